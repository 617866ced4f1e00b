/** What recipes cost, counted: on a clock that is moved by hand, or on this machine. For tests and benches. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parseLease } from '../../src/lease/lease.ts';
import { Lock } from '../../src/recipes/lock.ts';
import { Shards } from '../../src/recipes/shards.ts';
import { assign } from '../../src/recipes/assign.ts';
import { isMember } from '../../src/recipes/ring-member.ts';
import { RingView } from '../../src/recipes/ring-view.ts';
import { Cluster, deferred } from './support.ts';
import { chance } from '../simulation/chance.ts';

/** Writes a minute of a member that holds so many keys, once it has them. */
export async function memberWrites(keys: number): Promise<number> {
  const cluster = new Cluster();
  const { store, clock, random, newId } = cluster.process('a');
  const ring = { namespace: 'default', name: 'ring' };
  const work = ({ signal }: { signal: AbortSignal }) =>
    new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  const shards = new Shards({ store, clock, random, ring, id: 'a', uuid: newId(), keys, work });
  const stop = new AbortController();
  const running = shards.run(stop.signal);
  await clock.advance(25_000);
  const writes = (): number => store.count('update') + store.count('create');
  const before = writes();
  await clock.advance(60_000);
  const counted = writes() - before;
  if (shards.held.length !== keys) throw new Error(`${shards.held.length} of ${keys} keys are held`);
  stop.abort();
  await cluster.until(running);
  return counted;
}

/**
 * Writes for each hand-over of a lock on which so many wait, refused ones too: from one work's end to the next one's begin and
 * its own release. Requests, answers and news are a few milliseconds under way, each for another time.
 */
export async function handOvers(waiters: number, rounds: number): Promise<number[]> {
  const cluster = new Cluster();
  const dice = chance(11);
  const ms = (): number => Math.floor(dice() * 5);
  let writes = 0;
  const began: number[] = [];
  const done = deferred();
  const stop = new AbortController();
  const uses = Array.from({ length: waiters + 1 }, (_, i) => {
    const { store, ...parts } = cluster.process(`w${i}`, () => 1 + ms());
    store.faults = ({ verb }) => {
      if (verb === 'watch') return undefined;
      if (verb === 'update' || verb === 'create') writes++;
      return { delayMs: 1 + ms(), answerDelayMs: 1 + ms() };
    };
    const lock = new Lock({ ...parts, store });
    const work = async (): Promise<void> => {
      began.push(writes);
      if (began.length > rounds) done.resolve();
      // All have seen who holds it.
      await new Promise<void>((resolve) => cluster.clock.schedule(500, resolve));
    };
    return (async () => {
      while (!stop.signal.aborted) await lock.use(work, { signal: stop.signal }).catch(() => {});
    })();
  });
  await cluster.until(done.promise, 600_000);
  stop.abort();
  await cluster.until(Promise.all(uses), 60_000);
  return began.slice(1, rounds + 1).map((count, i) => count - (began[i] ?? 0));
}

const names = (prefix: string, n: number): string[] => Array.from({ length: n }, (_, i) => `${prefix}${i}`);

/** Milliseconds of one assignment, after as many members shared as many keys and one more has joined. */
export function assignMs(members: number, keys: number): number {
  const all = names('key-', keys);
  const before = new Map<string, string>();
  for (const [member, own] of assign(names('m', members), all, () => undefined))
    for (const key of own) before.set(key, member);
  const started = performance.now();
  assign(names('m', members + 1), all, (key) => before.get(key));
  return performance.now() - started;
}

/** Bytes for a key that a member keeps of its ring, held by any member, once the watch has shown it as JSON. */
export function bytesAKey(keys: number): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const view = new RingView(15_000, isMember);
  const lease = (i: number) => {
    const holder = `worker-${i % 10}_6f1c2f0e-3c39-4d5c-9d0c-2a2b6f0c${String(1000 + (i % 10))}`;
    const term = { key: `key-${i}`, lease: `ring-m-worker-${i % 10}`, uid: `uid-${i % 10}`, holder };
    const time = '2026-01-01T00:00:00.000000Z';
    const metadata = {
      name: `ring-k-key-${i}`,
      namespace: 'default',
      uid: `6f1c2f0e-3c39-4d5c-9d0c-${String(100_000_000_000 + i)}`,
      resourceVersion: String(100_000 + i),
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: { 'leasekeeper.dev/kind': 'shard', 'leasekeeper.dev/ring': 'ring' },
      annotations: {
        'leasekeeper.dev/member': JSON.stringify({ ...term, transitions: 0, duration: 15 }),
        'leasekeeper.dev/term': JSON.stringify({ holder, transitions: 0, duration: 15 }),
      },
    };
    const spec = { holderIdentity: holder, leaseDurationSeconds: 15, acquireTime: time, renewTime: time };
    return parseLease(JSON.parse(JSON.stringify({ metadata, spec: { ...spec, leaseTransitions: 0 } })));
  };
  view.see({ type: 'list', leases: [] }, 0);
  collect();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < keys; i++) view.see({ type: 'added', lease: lease(i) }, 0);
  collect();
  const bytes = (process.memoryUsage().heapUsed - before) / keys;
  if (view.keys.length !== keys) throw new Error('not all are there');
  return bytes;
}
