/**
 * Collecting 5,000 expired leases: `leasekeeper sweep --once --confirm-after=0` beside kube-apiserver's own collector as
 * the Go client runs it, in turn on one server.
 *
 * Both are timed from inside, from the first request to the last answer, and ours as a whole process too, with Node's
 * start. One lease is alive: without one our sweeper would refuse. Ours makes two lists and one DELETE each, with
 * preconditions; the other one list, and a GET and a blind DELETE each.
 */
import { resolve } from 'node:path';
import type { RealApi } from '../support/real-api.ts';
import { runProgram } from '../support/process.ts';
import { median, runJson, table } from './measure.ts';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

interface Run {
  readonly seconds: number;
  readonly wallSeconds: number;
  readonly requests: number;
}

export interface CollectBench {
  readonly api: RealApi;
  /** The Go client; it makes the leases too. */
  readonly goPeer: string;
  readonly rounds: number;
  /** Default 5,000. */
  readonly count?: number;
}

export async function benchCollect({ api, goPeer, rounds, count = 5000 }: CollectBench): Promise<string> {
  const kubeconfig = await api.kubeconfig();
  const go = (command: string, ...args: readonly string[]): Promise<{ seconds: number; deleted?: number }> =>
    runJson(goPeer, [command, '--kubeconfig', kubeconfig, ...args]);
  const requests = async (): Promise<number> =>
    (await api.requestCount()) - (await api.requestCount({ verb: 'WATCH' }));
  const measured = async (run: () => Promise<Omit<Run, 'requests'>>): Promise<Run> => {
    await go('seed', '--count', String(count));
    const before = await requests();
    const times = await run();
    const made = (await requests()) - before;
    const { items } = await api.json<{ items: unknown[] }>('GET', LEASES);
    if (items.length !== 1) throw new Error(`${items.length} leases are left of one`);
    return { ...times, requests: made };
  };
  const contenders: readonly [string, () => Promise<Omit<Run, 'requests'>>][] = [
    ['leasekeeper', () => ours(kubeconfig, count)],
    ["kube-apiserver's collector", async () => theirs(await go('collect'))],
    ['the same, JSON', async () => theirs(await go('collect', '--protobuf=false'))],
  ];
  await api.json('POST', LEASES, {
    metadata: { name: 'living', labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver' } },
    spec: { holderIdentity: 'living_1', leaseDurationSeconds: 86_400, renewTime: living() },
  });
  const results = new Map<string, Run[]>(contenders.map(([name]) => [name, []]));
  try {
    for (let round = 0; round < rounds; round++) {
      for (const [name, run] of contenders) results.get(name)?.push(await measured(run));
    }
  } finally {
    await api.json('DELETE', `${LEASES}/living`);
  }
  const figures = [...results].map(([name, runs]) => ({
    name,
    seconds: median(runs.map((r) => r.seconds)),
    wall: median(runs.map((r) => r.wallSeconds)),
    requests: median(runs.map((r) => r.requests)),
  }));
  const mine = figures[0]?.seconds ?? NaN;
  return table(
    [`${count} expired leases`, 'seconds', 'whole process', 'requests', 'seconds, ours = 1'],
    figures.map((f) => [
      f.name,
      f.seconds.toFixed(2),
      f.wall.toFixed(2),
      f.requests.toFixed(0),
      (f.seconds / mine).toFixed(1),
    ]),
  );
}

const theirs = ({ seconds }: { seconds: number }): Omit<Run, 'requests'> => ({ seconds, wallSeconds: seconds });

async function ours(kubeconfig: string, count: number): Promise<Omit<Run, 'requests'>> {
  const cli = resolve(import.meta.dirname, '../../src/cli.ts');
  const args = ['sweep', '--once', '--confirm-after=0', '--log-format=json', '--kubeconfig', kubeconfig];
  const { code, stderr, durationMs } = await runProgram(args, { script: cli, timeoutMs: 120_000 });
  const last = JSON.parse(stderr.trim().split('\n').at(-1) ?? '{}') as { deleted?: number; took?: string };
  if (code !== 0 || last.deleted !== count) throw new Error(`sweep ended with ${code}: ${stderr.slice(-2000)}`);
  return { seconds: parseFloat(last.took ?? ''), wallSeconds: durationMs / 1000 };
}

/** Now, as a MicroTime. */
const living = (): string => new Date().toISOString().replace('Z', '000Z');
