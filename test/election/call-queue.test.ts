/** Many electors over one store that carries few calls at a time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallQueue } from '../../src/election/call-queue.ts';
import { isStoreError } from '../../src/lease/store.ts';
import type { CallOptions, LeaseStore } from '../../src/lease/store.ts';
import { withTimeout } from '../../src/runtime/clock.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { storeError } from '../support/memory-api.ts';
import { Scene } from './actors.ts';

test('the earliest deadline goes first, in order of asking among equals; who gives up does not go', async () => {
  const clock = new ManualClock();
  const queue = new CallQueue(1);
  const began: string[] = [];
  const stop = new AbortController();
  const call = (name: string, deadline: number, signal?: AbortSignal): Promise<void> =>
    queue.run(clock, deadline, signal, async () => {
      began.push(name);
      await new Promise<void>((resolve) => void clock.schedule(100, resolve));
    });
  const all = [call('first', 9_000), call('late', 8_000), call('soon', 2_000), call('soon too', 2_000)];
  const given = call('given up', 1_000, stop.signal);
  const refused = call('given up before', 1_000, AbortSignal.abort());
  stop.abort();
  for (const each of [given, refused]) await assert.rejects(each, (error) => isStoreError(error, 'Aborted'));
  await clock.advance(1_000);
  await Promise.all(all);
  assert.deepEqual(began, ['first', 'soon', 'soon too', 'late']);
  assert.equal(queue.typicalMs, 100);
});

test('as many at a time as the store carries, never more', async () => {
  const clock = new ManualClock();
  const queue = new CallQueue(3);
  let [running, most, begun] = [0, 0, 0];
  const call = (): Promise<void> =>
    queue.run(clock, 0, undefined, async () => {
      most = Math.max(most, ++running);
      const fails = begun++ % 3 === 1;
      await new Promise<void>((resolve) => void clock.schedule(10, resolve));
      running--;
      if (fails) throw new Error('failed');
    });
  const all = Array.from({ length: 50 }, () => call().catch(() => undefined));
  for (let i = 0; i < 30; i++) {
    await clock.advance(5);
    void all.push(call().catch(() => undefined));
  }
  await clock.advance(1_000);
  await settle();
  await Promise.all(all);
  assert.equal(most, 3);
});

/** As a pool of connections: calls beyond the limit wait in order, and their time runs from the call. */
function pool(store: MemoryStore, clock: ManualClock, limit: number): LeaseStore {
  let running = 0;
  const waiting: (() => void)[] = [];
  const through = async <T>(options: CallOptions | undefined, call: (signal: AbortSignal) => Promise<T>): Promise<T> =>
    withTimeout(clock, options?.timeoutMs ?? 10_000, options?.signal, async (signal) => {
      if (running >= limit) {
        await new Promise<void>((resolve, reject) => {
          waiting.push(resolve);
          signal.addEventListener('abort', () => {
            const at = waiting.indexOf(resolve);
            if (at === -1) return;
            waiting.splice(at, 1);
            reject(storeError('Timeout'));
          });
        });
      } else running++;
      try {
        return await call(signal);
      } finally {
        const next = waiting.shift();
        if (next) next();
        else running--;
      }
    });
  return {
    concurrency: limit,
    get: (ref, options) => through(options, (signal) => store.get(ref, { signal })),
    create: (lease, options) => through(options, (signal) => store.create(lease, { signal })),
    update: (lease, options) => through(options, (signal) => store.update(lease, { signal })),
    delete: (...args) => store.delete(...args),
    list: (...args) => store.list(...args),
    watch: (...args) => store.watch(...args),
  };
}

test('no term is lost while each lease can be renewed in time: 80 electors, 8 calls at a time, 700 ms each', async () => {
  const scene = new Scene();
  const memory = new MemoryStore({
    clock: scene.clock,
    api: scene.api,
    faults: ({ verb }) => (verb === 'watch' ? undefined : { delayMs: 350, answerDelayMs: 350 }),
  });
  const store = pool(memory, scene.clock, 8);
  const actors = Array.from({ length: 80 }, (_, i) =>
    scene.actor(`a${i}`, { store, memory, lease: { namespace: 'kube-system', name: `lease-${i}` } }),
  );
  await scene.clock.advance(10_000);
  assert.equal(scene.leaders.length, 80);
  for (let i = 0; i < 60; i++) {
    await scene.clock.advance(1_000);
    assert.equal(scene.leaders.length, 80);
  }
  assert(actors.every(({ terms }) => terms.length === 1));
  assert.equal(actors.flatMap((actor) => actor.of('failed')).length, 0);
  await scene.close();
});
