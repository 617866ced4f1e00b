/**
 * Many candidates, many electors, and many other requests, on the embedded server in this process.
 *
 * - Herd: writes of a failover (the one that won, and all that were refused), and the time to the next leader, after a release and after
 *   a kill, by the number of candidates. The first failover stands apart: nobody knows yet of how many others there are.
 * - Urgent: renewals beside requests that hang, on one connection.
 * - Electors: hundreds in one process, where each write takes long: terms lost.
 *
 *   node test/bench/crowds.ts [herd] [urgent] [electors] [--failovers N (20)] [--candidates N,N (3,30,300,1000)]
 *     [--how release,kill]
 */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import type { EmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { LeaderElector } from '../../src/election/elector.ts';
import type { ElectionEvent } from '../../src/election/election-events.ts';
import type { Term } from '../../src/election/term.ts';
import { connect } from '../../src/kube/connection.ts';
import type { Connection } from '../../src/kube/connection.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { LeaseStore } from '../../src/lease/store.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { median, table } from './measure.ts';

const clock = createSystemClock();
const lease = { namespace: 'default', name: 'contended' };
/** Where for so long no write was refused a failover is over, in milliseconds. */
const QUIET_MS = 700;
const KILLED = { leaseDurationSeconds: 2, renewDeadlineMs: 1_500, retryPeriodMs: 500 };
/** Anything waited for. */
const PATIENCE_MS = 60_000;

interface World {
  readonly server: EmbeddedServer;
  readonly connect: () => Promise<Connection>;
}

async function withServer<T>(use: (world: World) => Promise<T>): Promise<T> {
  const server = await startEmbeddedServer({ logSize: 100_000 });
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-bench-'));
  const kubeconfig = join(dir, 'kubeconfig');
  await writeFile(kubeconfig, server.kubeconfig());
  try {
    return await use({ server, connect: () => connect({ clock, random: Math.random, kubeconfig }) });
  } finally {
    await server.close();
    await rm(dir, { recursive: true });
  }
}

const untilAborted = (term: Term): Promise<void> =>
  new Promise((resolve) => void term.signal.addEventListener('abort', () => resolve(), { once: true }));

/** One of many; killed, its requests fail before they are sent. */
interface Candidate {
  readonly stop: () => Promise<void>;
  kill(dead: boolean): void;
}

/** A failover: its writes, and milliseconds until the next leads. */
interface Failover {
  readonly writes: number;
  readonly ms: number;
}

async function failovers(
  { server, connect: open }: World,
  candidates: number,
  count: number,
  how: 'release' | 'kill',
): Promise<Failover[]> {
  let leader: Candidate | undefined;
  let onLead: (at: number) => void = () => {};
  const all = new Set<Candidate>();
  const begin = async (i: number): Promise<void> => {
    const connection = await open();
    let dead = false;
    const alive = (): void => {
      if (dead) throw new LeaseStoreError('Unavailable', { message: 'killed' });
    };
    const { store: real } = connection;
    const store: LeaseStore = Object.assign(Object.create(real) as LeaseStore, {
      get: async (...args: Parameters<LeaseStore['get']>) => (alive(), real.get(...args)),
      update: async (...args: Parameters<LeaseStore['update']>) => (alive(), real.update(...args)),
    });
    const ending = new AbortController();
    const elector = new LeaderElector({
      store,
      clock,
      random: Math.random,
      lease,
      id: `c${i}`,
      uuid: randomUUID(),
      ...(how === 'kill' && KILLED),
      work: (term) => {
        leader = me;
        onLead(performance.now());
        return untilAborted(term);
      },
    });
    const running = elector.run(ending.signal);
    const me: Candidate = {
      async stop() {
        all.delete(me);
        ending.abort();
        await running;
        await connection.close();
      },
      kill: (now) => void (dead = now),
    };
    all.add(me);
  };
  const refused = (): number =>
    server.requests.matching({ verb: /update|create/ }).filter(({ status }) => status === 409).length;
  /** Those that came too late, once no more are refused, and the one that won; a leader's renewals are no writes of the failover. */
  const writes = async (): Promise<number> => {
    for (let before = -1, now = refused(); ; [before, now] = [now, refused()]) {
      if (before === now) return now + 1;
      await wait(QUIET_MS);
    }
  };
  for (let i = 0; i < candidates; i++) await begin(i);
  await wait(1_000 + candidates * 8);
  const seen: Failover[] = [];
  while (seen.length < count) {
    const was = leader!;
    server.requests.clear();
    const next = new Promise<number>((resolve) => (onLead = resolve));
    const from = performance.now();
    if (how === 'kill') was.kill(true);
    else void was.stop().then(() => begin(candidates + seen.length));
    const at = await Promise.race([next, wait(PATIENCE_MS, NaN, { ref: false })]);
    seen.push({ writes: await writes(), ms: at - from });
    was.kill(false);
    if (how === 'kill') await wait(1_500);
  }
  await Promise.all([...all].map((one) => one.stop()));
  return seen;
}

export async function benchHerd(
  candidates: readonly number[],
  count: number,
  hows: readonly ('release' | 'kill')[] = ['release', 'kill'],
): Promise<string> {
  const rows: string[][] = [];
  for (const how of hows) {
    for (const n of candidates) {
      const [first, ...rest] = await withServer((world) => failovers(world, n, count, how));
      const [written, times] = [rest.map(({ writes }) => writes), rest.map(({ ms }) => ms)];
      const show = (values: number[]): string => `${Math.round(median(values))}, ${Math.round(Math.max(...values))}`;
      rows.push([
        `${n} candidates, ${how}`,
        show(written),
        `${show(times)} ms`,
        `${first?.writes}, ${Math.round(first?.ms ?? NaN)} ms`,
      ]);
    }
  }
  const limits = 'limits: 30 writes at the median; 50 ms after a release, 200 ms after the 2 s of a kill';
  return `${table([`${count} failovers`, 'writes: median, worst', 'next leads: median, worst', 'the first'], rows)}\n${limits}`;
}

export async function benchUrgent(): Promise<string> {
  const rows: string[][] = [];
  for (const [verb, count] of [
    ['delete', 64],
    ['get', 1_000],
  ] as const) {
    await withServer(async ({ server, connect: open }) => {
      const { store, close } = await open();
      server.faults.add({ match: { verb, name: 'hangs' }, fault: { type: 'hang' } });
      let latencies: number[] = [];
      let lost = 0;
      const stop = new AbortController();
      const observe = (event: ElectionEvent): void => {
        if (event.type === 'renewed') latencies.push(event.latencyMs);
        if (event.type === 'stopped' && !stop.signal.aborted) lost++;
      };
      const parts = {
        store,
        clock,
        random: Math.random,
        lease,
        id: 'a',
        uuid: randomUUID(),
        work: untilAborted,
        observe,
      };
      const elector = new LeaderElector({
        ...parts,
        leaseDurationSeconds: 3,
        renewDeadlineMs: 2_000,
        retryPeriodMs: 300,
      });
      const running = elector.run(stop.signal);
      await wait(4_000);
      const idle = latencies.slice(1);
      latencies = [];
      const ref = { namespace: 'default', name: 'hangs' };
      const hangs = Array.from({ length: count }, () =>
        verb === 'get'
          ? store.get(ref, { signal: stop.signal })
          : store.delete(ref, { uid: 'u', resourceVersion: '1' }, { signal: stop.signal }),
      );
      await wait(8_000);
      const worst = (values: number[]): string => `${Math.max(...values).toFixed(1)} ms`;
      rows.push([`${count} hanging ${verb}s`, `${latencies.length}`, worst(idle), worst(latencies), `${lost}`]);
      stop.abort();
      await Promise.allSettled([running, ...hangs]);
      await close();
    });
  }
  return table(['one leader, one connection', 'renewals', 'idle, worst', 'worst', 'terms lost'], rows);
}

export async function benchElectors(electors: number, writeMs: number, seconds: number): Promise<string> {
  return withServer(async ({ server, connect: open }) => {
    const { store, close } = await open();
    server.faults.add({ match: { verb: /^(update|create)$/ }, fault: { type: 'delay', ms: writeMs } });
    const stop = new AbortController();
    const counts = { leading: 0, renewed: 0, lost: 0 };
    const observe = ({ type }: ElectionEvent): void => {
      if (type === 'renewed') counts.renewed++;
      if (type === 'stopped' && !stop.signal.aborted) counts.lost++;
    };
    const work = (term: Term): Promise<void> => {
      counts.leading++;
      return untilAborted(term);
    };
    const runs = Array.from({ length: electors }, (_, i) => {
      const own = { id: 'a', uuid: randomUUID(), lease: { namespace: 'default', name: `l${i}` }, work, observe };
      return new LeaderElector({ store, clock, random: Math.random, ...own }).run(stop.signal);
    });
    await wait(seconds * 1_000);
    const { leading, renewed, lost } = counts;
    stop.abort();
    server.faults.clear();
    await Promise.all(runs);
    await close();
    return table(
      ['electors in one process, 15 s / 10 s / 2 s', 'for', 'terms begun', 'renewals', 'terms lost'],
      [[`${electors}, ${writeMs} ms a write`, `${seconds} s`, `${leading}`, `${renewed}`, `${lost}`]],
    );
  });
}

if (import.meta.main) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      failovers: { type: 'string', default: '20' },
      candidates: { type: 'string', default: '3,30,300,1000' },
      how: { type: 'string', default: 'release,kill' },
    },
  });
  const wanted = (what: string): boolean => positionals.length === 0 || positionals.includes(what);
  const candidates = values.candidates.split(',').map(Number);
  const hows = values.how.split(',') as ('release' | 'kill')[];
  if (wanted('herd')) console.log(`${await benchHerd(candidates, Number(values.failovers), hows)}\n`);
  if (wanted('urgent')) console.log(`${await benchUrgent()}\n`);
  if (wanted('electors')) console.log(await benchElectors(600, 300, 30));
}
