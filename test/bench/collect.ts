/**
 * Collecting 5,000 expired leases: `leasekeeper sweep --once --confirm-after=0` beside kube-apiserver's own collector as
 * the Go client runs it, and a bare client of 64 connections (bare-collect.ts), which deletes blindly and then as the sweeper
 * does, in turn on one server.
 *
 * Ours is the built program, as it is installed; from source Node would strip types first. Both are timed from inside, from
 * the first request to the last answer, and ours as a whole process too, with Node's start. One lease is alive: without one
 * our sweeper would refuse. Ours makes two lists and one DELETE each, with preconditions; the Go client one list, and a GET
 * and a blind DELETE each. The server is warmed up first, for nobody's account, and our log goes to a file: its reader would
 * take time from the server.
 *
 * Our sweeper keeps two cores busy, most of them with the API server's own work: on a machine that has other things to do,
 * or no more than these two cores for client and server, seconds say how busy it was, and CPU seconds what it costs.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { RealApi } from '../support/real-api.ts';
import { runProgram } from '../support/process.ts';
import { figure } from './figures.ts';
import { cpuSeconds, median, runJson, table } from './measure.ts';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

interface Times {
  readonly seconds: number;
  readonly wallSeconds: number;
}
interface Run extends Times {
  readonly requests: number;
  readonly clientCpu: number;
  readonly serverCpu: number;
}

export interface CollectBench {
  readonly api: RealApi;
  /** The built program's cli.js. */
  readonly cli: string;
  /** The Go client; it makes the leases too. */
  readonly goPeer: string;
  readonly rounds: number;
  /** Default 5,000. */
  readonly count?: number;
}

export async function benchCollect({ api, cli, goPeer, rounds, count = 5000 }: CollectBench): Promise<string> {
  const kubeconfig = await api.kubeconfig();
  const go = (command: string, ...args: readonly string[]): Promise<{ seconds: number; deleted?: number }> =>
    runJson(goPeer, [command, '--kubeconfig', kubeconfig, ...args]);
  const requests = async (): Promise<number> =>
    (await api.requestCount()) - (await api.requestCount({ verb: 'WATCH' }));
  const serverCpu = (): number => cpuSeconds(api.apiServer.pid!) + cpuSeconds(api.etcd.pid!);
  const clientCpu = (): number => cpuSeconds('self', 'ended');
  const measured = async (run: () => Promise<Times>): Promise<Run> => {
    await go('seed', '--count', String(count));
    const before = await requests();
    const [server, client] = [serverCpu(), clientCpu()];
    const times = await run();
    const used = { clientCpu: clientCpu() - client, serverCpu: serverCpu() - server };
    const made = (await requests()) - before;
    const { items } = await api.json<{ items: unknown[] }>('GET', LEASES);
    if (items.length !== 1) throw new Error(`${items.length} leases are left of one`);
    return { ...times, ...used, requests: made };
  };
  const log = join(api.dir, 'sweep.log');
  const sweep = (): Promise<Times> => ours({ cli, kubeconfig, count, log });
  const bare = resolve(import.meta.dirname, 'bare-collect.ts');
  const contenders: readonly [string, () => Promise<Times>][] = [
    ['leasekeeper', sweep],
    ["kube-apiserver's collector", async () => theirs(await go('collect'))],
    ['bare client, 64 connections', async () => theirs(await runJson(process.execPath, [bare, kubeconfig, '64']))],
    [
      'the same, as the sweeper asks',
      async () => theirs(await runJson(process.execPath, [bare, kubeconfig, '64', 'checked'])),
    ],
  ];
  // What was measured before may have left some.
  await api.request('DELETE', LEASES);
  await api.json('POST', LEASES, {
    metadata: { name: 'living', labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver' } },
    spec: { holderIdentity: 'living_1', leaseDurationSeconds: 86_400, renewTime: living() },
  });
  const results = new Map<string, Run[]>(contenders.map(([name]) => [name, []]));
  try {
    await measured(sweep);
    for (let round = 0; round < rounds; round++) {
      for (const [name, run] of contenders) results.get(name)?.push(await measured(run));
    }
  } finally {
    await api.json('DELETE', `${LEASES}/living`);
  }
  const [first = [], go_ = [], least = [], checked = []] = [...results.values()];
  const by = (runs: readonly Run[]): number[] => runs.map((r, round) => r.seconds / (first[round]?.seconds ?? NaN));
  figure('collect', {
    values: by(go_),
    beside: `bare client of 64 connections: ${median(by(least)).toFixed(2)} of ours; ${median(by(checked)).toFixed(2)} with two lists and preconditions`,
  });
  return table(
    [
      `${count} expired leases`,
      'seconds',
      'whole process',
      'requests',
      'CPU s, client',
      'CPU s, server',
      'seconds, ours = 1',
    ],
    [...results].map(([name, runs]) => {
      const of = (value: (run: Run, round: number) => number, digits: number): string =>
        median(runs.map(value)).toFixed(digits);
      return [
        name,
        of((r) => r.seconds, 2),
        of((r) => r.wallSeconds, 2),
        of((r) => r.requests, 0),
        of((r) => r.clientCpu, 1),
        of((r) => r.serverCpu, 1),
        // Of the same round: the machine is as busy for both.
        of((r, round) => r.seconds / (first[round]?.seconds ?? NaN), 2),
      ];
    }),
  );
}

const theirs = ({ seconds }: { seconds: number }): Times => ({ seconds, wallSeconds: seconds });

interface Ours {
  readonly cli: string;
  readonly kubeconfig: string;
  readonly count: number;
  /** The file for its log. */
  readonly log: string;
}

async function ours({ cli, kubeconfig, count, log }: Ours): Promise<Times> {
  const args = ['sweep', '--once', '--confirm-after=0', '--log-format=json', '--kubeconfig', kubeconfig];
  const stderr = openSync(log, 'w');
  const { code, durationMs } = await runProgram(args, { script: cli, timeoutMs: 120_000, stderr }).finally(() =>
    closeSync(stderr),
  );
  const lines = readFileSync(log, 'utf8').trim().split('\n');
  const last = JSON.parse(lines.at(-1) || '{}') as { deleted?: number; took?: string };
  if (code !== 0 || last.deleted !== count) throw new Error(`sweep ended with ${code}: ${lines.slice(-10).join('\n')}`);
  return { seconds: parseFloat(last.took ?? ''), wallSeconds: durationMs / 1000 };
}

/** Now, as a MicroTime. */
const living = (): string => new Date().toISOString().replace('Z', '000Z');
