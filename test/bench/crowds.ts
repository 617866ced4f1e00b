/**
 * Many candidates, many electors, and many other requests, on the embedded server in this process.
 *
 * - Herd: writes of a failover (the one that won, and all that were refused), and the time to the next leader, after a release and after
 *   a kill, by the number of candidates, which run in processes of their own. The first failover stands apart: nobody knows yet of how many others there are.
 * - Urgent: renewals beside requests that hang, on one connection.
 * - Electors: hundreds in one process, where each write takes long: terms lost.
 *
 *   node test/bench/crowds.ts [herd] [urgent] [electors] [--failovers N (20)] [--candidates N,N (3,30,300,1000)]
 *     [--how release,kill] [--processes N (4): candidates are spread over]
 */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
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
import { createSystemClock } from '../../src/runtime/clock.ts';
import type { Asked, CandidatesOptions, Said } from './candidates.ts';
import { figure } from './figures.ts';
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
  readonly kubeconfig: string;
  readonly connect: () => Promise<Connection>;
}

async function withServer<T>(use: (world: World) => Promise<T>): Promise<T> {
  const server = await startEmbeddedServer({ logSize: 100_000 });
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-bench-'));
  const kubeconfig = join(dir, 'kubeconfig');
  await writeFile(kubeconfig, server.kubeconfig());
  try {
    return await use({ server, kubeconfig, connect: () => connect({ clock, random: Math.random, kubeconfig }) });
  } finally {
    await server.close();
    await rm(dir, { recursive: true });
  }
}

const untilAborted = (term: Term): Promise<void> =>
  new Promise((resolve) => void term.signal.addEventListener('abort', () => resolve(), { once: true }));

/** A failover: its writes, and milliseconds until the next leads: from the release, or from the end of the dead one's lease. */
interface Failover {
  readonly writes: number;
  readonly ms: number;
}

/** Candidates in processes of their own: on a machine for each candidate nobody waits for what another makes of an event. */
class Candidates {
  readonly #children: ChildProcess[];
  readonly #waiting = new Set<{ readonly on: (said: Said) => boolean; readonly done: (said: Said) => void }>();
  readonly #all = new Set<number>();

  constructor(options: CandidatesOptions, processes: number) {
    const program = new URL('candidates.ts', import.meta.url).pathname;
    this.#children = Array.from({ length: processes }, () => {
      const child = fork(program, [JSON.stringify(options)]);
      child.on('message', (said: Said) => {
        for (const one of this.#waiting) if (one.on(said) && this.#waiting.delete(one)) one.done(said);
      });
      return child;
    });
  }

  ask(ask: Asked['ask'], id: number): void {
    if (ask === 'begin') this.#all.add(id);
    if (ask === 'stop') this.#all.delete(id);
    this.#children[id % this.#children.length]!.send({ ask, id } satisfies Asked);
  }

  said<S extends Said['say']>(say: S, id?: number): Promise<Extract<Said, { say: S }>> {
    return new Promise((done) => {
      const on = (said: Said): boolean => said.say === say && (id === undefined || said.id === id);
      this.#waiting.add({ on, done: done as (said: Said) => void });
    });
  }

  async begin(id: number): Promise<void> {
    const begun = this.said('begun', id);
    this.ask('begin', id);
    await begun;
  }

  async close(): Promise<void> {
    const stopped = [...this.#all].map((id) => this.said('stopped', id));
    for (const id of this.#all) this.ask('stop', id);
    await Promise.all(stopped);
    for (const child of this.#children) child.disconnect();
  }
}

async function failovers(
  { server, kubeconfig }: World,
  candidates: number,
  count: number,
  how: 'release' | 'kill',
  processes: number,
): Promise<Failover[]> {
  const all = new Candidates({ kubeconfig, lease, timing: how === 'kill' ? KILLED : {} }, processes);
  const refused = (): number =>
    server.requests.matching({ verb: /update|create/ }).filter(({ status }) => status === 409).length;
  /** Those that came too late, once no more are refused, and the one that won; a leader's renewals are no writes of the failover. */
  const writes = async (): Promise<number> => {
    for (let before = -1, now = refused(); ; [before, now] = [now, refused()]) {
      if (before === now) return now + 1;
      await wait(QUIET_MS);
    }
  };
  let next = all.said('leads');
  for (let i = 0; i < candidates; i++) await all.begin(i);
  let leader = (await next).id;
  await wait(1_000 + candidates * 2);
  const seen: Failover[] = [];
  while (seen.length < count) {
    server.requests.clear();
    next = all.said('leads');
    const leaves = all.said('leaves', leader);
    if (how === 'kill') all.ask('kill', leader);
    else {
      const stopped = all.said('stopped', leader);
      all.ask('stop', leader);
      void stopped.then(() => all.begin(candidates + seen.length));
    }
    const { at, sentAt } = await leaves;
    const from = how === 'kill' ? sentAt + KILLED.leaseDurationSeconds * 1000 : at;
    const led = await Promise.race([next, wait(PATIENCE_MS, undefined, { ref: false })]);
    seen.push({ writes: await writes(), ms: (led?.at ?? NaN) - from });
    all.ask('revive', leader);
    leader = led?.id ?? leader;
    if (how === 'kill') await wait(1_500);
  }
  await all.close();
  return seen;
}

export async function benchHerd(
  candidates: readonly number[],
  count: number,
  hows: readonly ('release' | 'kill')[] = ['release', 'kill'],
  processes = 4,
): Promise<string> {
  const rows: string[][] = [];
  for (const how of hows) {
    for (const n of candidates) {
      const [first, ...rest] = await withServer((world) => failovers(world, n, count, how, processes));
      const [written, times] = [rest.map(({ writes }) => writes), rest.map(({ ms }) => ms)];
      const show = (values: number[]): string => `${Math.round(median(values))}, ${Math.round(Math.max(...values))}`;
      rows.push([
        `${n} candidates, ${how}`,
        show(written),
        `${show(times)} ms`,
        `${first?.writes}, ${Math.round(first?.ms ?? NaN)} ms`,
      ]);
      if (n === 1_000 && how === 'release')
        figure('herd', { values: written, beside: `the next leads after ${median(times).toFixed(0)} ms` });
    }
  }
  const limits =
    'limits: 30 writes at the median; 50 ms after a release, 200 ms after the lease of a dead leader has ended';
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
      processes: { type: 'string', default: '4' },
    },
  });
  const wanted = (what: string): boolean => positionals.length === 0 || positionals.includes(what);
  const candidates = values.candidates.split(',').map(Number);
  const hows = values.how.split(',') as ('release' | 'kill')[];
  if (wanted('herd'))
    console.log(`${await benchHerd(candidates, Number(values.failovers), hows, Number(values.processes))}\n`);
  if (wanted('urgent')) console.log(`${await benchUrgent()}\n`);
  if (wanted('electors')) console.log(await benchElectors(600, 300, 30));
}
