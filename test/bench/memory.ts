/**
 * Resident memory of the built `publish`: idle after a minute, after thousands of renewals, and with its endpoints on.
 * Reads /proc: says nothing on a system without it.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { table } from './measure.ts';

/** Budget of DESIGN, in megabytes. */
const BUDGET = 80;

function resident(pid: number): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(found?.[1]) / 1024;
}

/** @param cli the built program's cli.js */
export async function memory(cli: string, kubeconfig: string, seconds: number): Promise<string> {
  if (!existsSync('/proc/self/status')) return 'skipped: resident memory (there is no /proc)';
  const publish = (host: string, ...args: string[]): string[] => [
    cli,
    'publish',
    '--kubeconfig',
    kubeconfig,
    '--hostname-override',
    host,
    ...args,
  ];
  const contenders: [name: string, args: string[]][] = [
    ['bare node', ['-e', 'setInterval(() => {}, 1000)']],
    ['publish', publish('bench-idle')],
    ['publish, a renewal every 20 ms', publish('bench-busy', '--renew-interval=20ms', '--request-timeout=19ms')],
    ['publish --http-address', publish('bench-http', '--http-address=0')],
    ['serve', [cli, 'serve', '--kubeconfig', kubeconfig, '--http-address=0']],
  ];
  const children = contenders.map(([, args]) => spawn(process.execPath, args, { stdio: 'ignore' }));
  try {
    const at = async (ms: number): Promise<number[]> => {
      await wait(ms);
      return children.map(({ pid }) => resident(pid!));
    };
    const early = await at(5_000);
    const late = await at(seconds * 1000 - 5_000);
    const mb = (n: number | undefined): string => `${n?.toFixed(0)} MB`;
    const rows = contenders.map(([name], i) => [name, mb(early[i]), mb(late[i]), (late[i]! / late[0]!).toFixed(2)]);
    return `Resident memory; budget for publish: ${BUDGET} MB, aim 1.5 times bare node.\n\n${table(['', 'after 5 s', `after ${seconds} s`, 'bare node = 1'], rows)}`;
  } finally {
    for (const child of children) child.kill();
  }
}
