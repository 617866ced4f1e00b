/**
 * Resident memory of the built `publish` and of `elect`'s watchdog beside a bare Node that waits, after ten minutes: they are
 * started first, and looked at when everything else was measured. Reads /proc: says nothing on a system without it.
 */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { leaveNothing } from '../support/children.ts';
import type { RealApi } from '../support/real-api.ts';
import { figure } from './figures.ts';
import { median, table } from './measure.ts';

/** Of each kind. */
const COUNT = 3;
const NAMESPACE = 'bench-memory';

function resident(pid: number): number {
  const found = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(found?.[1]) / 1024;
}

/** The first child of a process. */
const childOf = (pid: number): number =>
  Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]);

export interface MemoryBench {
  /** Waits until they are so old, and looks. */
  finish(seconds: number): Promise<string>;
  end(): void;
}

/** @param cli the built program's cli.js */
export async function startMemory(cli: string, api: RealApi): Promise<MemoryBench> {
  if (!existsSync('/proc/self/status'))
    return { finish: async () => 'skipped: resident memory (there is no /proc)', end: () => {} };
  await api.json('POST', '/api/v1/namespaces', { metadata: { name: NAMESPACE } });
  const kubeconfig = await api.kubeconfig();
  const where = ['--kubeconfig', kubeconfig, '--namespace', NAMESPACE];
  const publish = (host: string, ...args: string[]): string[] => {
    return [cli, 'publish', ...where, '--hostname-override', host, ...args];
  };
  const lease = (i: number): string[] => ['--kubeconfig', kubeconfig, '--lease', `${NAMESPACE}/elected-${i}`];
  const kinds: [name: string, args: (i: number) => string[], watchdog?: true][] = [
    ['bare node', () => ['-e', 'setInterval(() => {}, 1000)']],
    ['publish', (i) => publish(`bench-${i}`)],
    ["elect's watchdog", (i) => [cli, 'elect', ...lease(i), '--', 'sleep', '86400'], true],
    ['publish, a renewal every 20 ms', (i) => publish(`busy-${i}`, '--renew-interval=20ms', '--request-timeout=19ms')],
    ['publish --http-address', (i) => publish(`http-${i}`, '--http-address=0')],
    ['serve', () => [cli, 'serve', ...where, '--http-address=0']],
  ];
  const began = performance.now();
  const started = kinds.map(([name, args, watchdog]) => ({
    name,
    watchdog,
    // What has a budget is there several times; one that renews all the time takes CPU from everything else.
    children: Array.from(
      { length: name.includes('every') || name.includes('http') || name === 'serve' ? 1 : COUNT },
      (_, i) => {
        const child = spawn(process.execPath, args(i), { stdio: 'ignore' });
        leaveNothing(child);
        return child;
      },
    ),
  }));
  const end = (): void => {
    for (const { children } of started) for (const child of children) child.kill();
  };
  return {
    end,
    async finish(seconds) {
      await wait(Math.max(0, seconds * 1000 - (performance.now() - began)));
      const minutes = ((performance.now() - began) / 60_000).toFixed(0);
      const all = started.map(({ watchdog, children }) =>
        children.map(({ pid }) => resident(watchdog ? childOf(pid!) : pid!)),
      );
      end();
      const bare = median(all[0]!);
      const by = (values: readonly number[]): number[] => values.map((value) => value / bare);
      const beside = (mb: readonly number[]): string => `${median(mb).toFixed(0)} MB; bare Node ${bare.toFixed(0)} MB`;
      figure('publish', { values: by(all[1]!), beside: beside(all[1]!) });
      figure('watchdog', { values: by(all[2]!), beside: beside(all[2]!) });
      const rows = started.map(({ name }, i) => [
        name,
        `${all[i]!.map((mb) => mb.toFixed(1)).join(', ')} MB`,
        median(by(all[i]!)).toFixed(2),
      ]);
      return `Resident memory after ${minutes} minutes.\n\n${table(['', 'each', 'bare node = 1'], rows)}`;
    },
  };
}
