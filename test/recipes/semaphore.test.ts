/** Semaphore: never more than the count, also while counts change. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withChanges } from '../../src/lease/lease.ts';
import { LeadershipError } from '../../src/election/term.ts';
import { SLOTS_ANNOTATION, Semaphore } from '../../src/recipes/semaphore.ts';
import type { SemaphoreEvent } from '../../src/recipes/semaphore.ts';
import { OptionsError } from '../../src/runtime/options.ts';
import { Cluster, REF, deferred } from './support.ts';

function uses(
  cluster: Cluster,
  ids: string[],
  count: number,
  track: { now: number; most: number; slots: number[] },
  ms = 2_000,
) {
  return ids.map((id) =>
    new Semaphore({ ...cluster.process(id), count }).use(async (term) => {
      track.most = Math.max(track.most, ++track.now);
      track.slots.push(term.slot);
      term.check();
      await new Promise<void>((resolve) => cluster.clock.schedule(ms, resolve));
      track.now--;
    }),
  );
}
const names = (prefix: string, n: number): string[] => Array.from({ length: n }, (_, i) => `${prefix}${i}`);

test('of ten at most three work at once, each in a slot of its own, and all come to it', async () => {
  const cluster = new Cluster();
  const track = { now: 0, most: 0, slots: [] as number[] };
  await cluster.until(Promise.all(uses(cluster, names('p', 10), 3, track)), 300_000);
  assert.equal(track.most, 3);
  assert.equal(track.slots.length, 10);
  assert.ok(track.slots.every((slot) => slot >= 0 && slot < 3));
  assert.equal(cluster.peek('job-0')?.metadata.annotations[SLOTS_ANNOTATION], '3');
  assert.equal(cluster.peek('job-1')?.metadata.labels['leasekeeper.dev/kind'], 'semaphore');
  assert.equal(cluster.peek('job-3'), undefined);
});

test('a rollout from five to three: those with the new count wait for the old holders, never more than either allows', async () => {
  const cluster = new Cluster();
  const old = { now: 0, most: 0, slots: [] as number[] };
  const fresh = { now: 0, most: 0, slots: [] as number[] };
  const events: SemaphoreEvent[] = [];
  const first = uses(cluster, names('old', 5), 5, old, 20_000);
  await cluster.clock.advance(8_000);
  assert.equal(old.now, 5);
  const second = names('new', 4).map((id) =>
    new Semaphore({ ...cluster.process(id), count: 3, observe: (event) => void events.push(event) }).use(async () => {
      assert.equal(old.now, 0, 'an old holder still works');
      fresh.most = Math.max(fresh.most, ++fresh.now);
      await new Promise<void>((resolve) => cluster.clock.schedule(2_000, resolve));
      fresh.now--;
    }),
  );
  await cluster.until(Promise.all([...first, ...second]), 300_000);
  assert.equal(fresh.most, 3);
  assert.ok(events.some((event) => event.type === 'otherCount' && event.theirs === 5));
  assert.equal(cluster.peek('job-0')?.metadata.annotations[SLOTS_ANNOTATION], '3');
});

test('two counts that meet when all is free: never more works than the smaller count', async () => {
  for (let round = 0; round < 20; round++) {
    const cluster = new Cluster();
    const track = { now: 0, most: 0, slots: [] as number[] };
    await cluster.until(Promise.all(uses(cluster, names(`first${round}`, 3), 3, track)), 300_000);
    const [a, b] = [
      { now: 0, most: 0, slots: [] as number[] },
      { now: 0, most: 0, slots: [] as number[] },
    ];
    const check = setInterval(() => {}, 1_000_000);
    const both = [...uses(cluster, names(`five${round}`, 5), 5, a), ...uses(cluster, names(`two${round}`, 4), 2, b)];
    let most = 0;
    const done = Promise.all(both);
    let settled = false;
    void done.finally(() => (settled = true));
    while (!settled) {
      await cluster.clock.advance(50);
      if (b.now > 0) most = Math.max(most, a.now + b.now);
    }
    clearInterval(check);
    assert.ok(b.most <= 2 && a.most <= 5);
    assert.ok(most <= 2, `${most} works at once`);
  }
});

test('a count that grows while the one who brings it is cut off: never more works than the smaller count', async () => {
  for (const cutMs of [500, 1_500, 3_000, 6_000]) {
    const cluster = new Cluster();
    const track = { now: 0, most: 0, slots: [] as number[] };
    const work = async (): Promise<void> => {
      track.most = Math.max(track.most, ++track.now);
      await new Promise<void>((resolve) => cluster.clock.schedule(12_000, resolve));
      track.now--;
    };
    const use = (process: ReturnType<Cluster['process']>, count: number): Promise<unknown> =>
      new Semaphore({ ...process, count }).use(work);
    // The count is 1, and nobody holds a slot.
    await cluster.until(use(cluster.process('first'), 1));
    const fresh = cluster.process('fresh');
    let cut = false;
    fresh.store.faults = ({ verb }) => {
      if (verb === 'update' && !cut) {
        cut = true;
        cluster.clock.schedule(cutMs, () => (fresh.store.faults = undefined));
        return undefined;
      }
      return cut ? { fail: 'Unavailable' } : undefined;
    };
    track.most = 0;
    const all = [use(fresh, 2)];
    await cluster.clock.advance(100);
    all.push(use(cluster.process('old'), 1), use(cluster.process('other'), 2));
    await cluster.clock.advance(cutMs + 5_000);
    const counts = new Set(
      ['job-0', 'job-1']
        .map((name) => cluster.peek(name))
        .flatMap((slot) => (slot?.spec.holderIdentity ? [slot.metadata.annotations[SLOTS_ANNOTATION]] : [])),
    );
    assert.equal(counts.size, 1, `holders of ${[...counts].join(' and ')} at once, cut off for ${cutMs} ms`);
    await cluster.until(Promise.all(all), 300_000);
    assert.ok(track.most <= 2, `${track.most} at once`);
  }
});

test('a slot that is given back is taken at once; waitMs and its 0 hold here too', async () => {
  const cluster = new Cluster();
  const done = deferred();
  const held = new Semaphore({ ...cluster.process('a'), count: 1 }).use(() => done.promise);
  await cluster.clock.advance(1_000);
  const other = new Semaphore({ ...cluster.process('b'), count: 1 });
  assert.equal(await cluster.until(other.use(async () => 1, { waitMs: 0 })), null);
  assert.equal(await cluster.until(other.use(async () => 1, { waitMs: 2_000 })), null);
  const waiting = other.use(async () => cluster.clock.monotonic());
  await cluster.clock.advance(1_000);
  const freed = cluster.clock.monotonic();
  done.resolve();
  await cluster.until(held);
  assert.ok(((await cluster.until(waiting)) ?? 0) - freed < 1_000);
});

test('a holder that dies gives its slot up after its duration; errors of the work come back', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  void new Semaphore({ ...a, count: 1 }).use(() => new Promise(() => {}));
  await cluster.clock.advance(1_000);
  a.store.faults = () => ({ hang: true });
  const next = new Semaphore({ ...cluster.process('b'), count: 1 }).use(async () => Promise.reject(new Error('mine')));
  next.catch(() => {});
  await assert.rejects(cluster.until(next), { message: 'mine' });
  assert.ok(cluster.clock.monotonic() < 17_000);
});

test('bad counts are refused', () => {
  const cluster = new Cluster();
  for (const count of [0, -1, 1.5, NaN, 1_001])
    assert.throws(() => new Semaphore({ ...cluster.process('a'), count }), OptionsError);
});

test('a success in a slot that was lost is an error, as with a lock', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  const done = deferred();
  const using = new Semaphore({ ...a, count: 1 }).use(() => done.promise);
  using.catch(() => {});
  await cluster.clock.advance(100);
  a.store.faults = () => ({ fail: 'Unavailable' });
  await cluster.clock.advance(11_000);
  done.resolve();
  await assert.rejects(
    cluster.until(using),
    (error) => error instanceof LeadershipError && error.code === 'LeadershipLost',
  );
});

test('a Lease that somebody else made is a slot like any other', async () => {
  const cluster = new Cluster();
  cluster.store.put({ namespace: REF.namespace, name: 'job-0' });
  assert.equal(await cluster.until(new Semaphore({ ...cluster.process('a'), count: 1 }).use(async () => 'ran')), 'ran');
});

test('a slot that is lost before its work began is contended for again', async () => {
  const cluster = new Cluster();
  const old = new Semaphore({ ...cluster.process('old'), count: 3 });
  const done = deferred();
  // Slots 0, 1 and 2 are held; the first two are given back, and the holder of the last one goes on.
  const ends = [deferred(), deferred(), done];
  let all = 0;
  const uses = ends.map(() => old.use((term) => (all++, (ends[term.slot] as typeof done).promise)));
  await cluster.clock.advance(5_000);
  assert.equal(all, 3);
  const b = cluster.process('b');
  const using = new Semaphore({ ...b, count: 1 }).use(async () => 'ran');
  using.catch(() => {});
  ends[0]?.resolve();
  ends[1]?.resolve();
  await cluster.clock.advance(10_000);
  b.store.faults = () => ({ fail: 'Unavailable' });
  await cluster.clock.advance(15_000);
  b.store.faults = undefined;
  await cluster.clock.advance(1_000);
  done.resolve();
  assert.equal(await cluster.until(using), 'ran');
  await cluster.until(Promise.all(uses));
});

test('waitMs 0: a holder that died is no holder for ever; one that lives is refused at once', async () => {
  const cluster = new Cluster();
  const holders = ['a', 'b'].map((id) => cluster.process(id));
  for (const parts of holders) void new Semaphore({ ...parts, count: 2 }).use(() => new Promise(() => {}));
  await cluster.clock.advance(5_000);
  const c = new Semaphore({ ...cluster.process('c'), count: 2 });
  const before = cluster.clock.monotonic();
  assert.equal(await cluster.until(c.use(async () => 'ran', { waitMs: 0 })), null);
  assert.ok(cluster.clock.monotonic() - before < 1_000);
  for (const { store } of holders) store.faults = () => ({ hang: true });
  await cluster.clock.advance(60_000);
  assert.equal(await cluster.until(c.use(async () => 'ran', { waitMs: 0 })), 'ran');
});

test('holders that died are no obstacle, of whatever count, nor one whose count somebody took off', async () => {
  for (const count of [2, 3]) {
    const cluster = new Cluster();
    const holders = ['a', 'b'].map((id) => cluster.process(id));
    for (const parts of holders) void new Semaphore({ ...parts, count: 2 }).use(() => new Promise(() => {}));
    await cluster.clock.advance(5_000);
    for (const { store } of holders) store.faults = () => ({ hang: true });
    const c = new Semaphore({ ...cluster.process('c'), count });
    assert.equal(await cluster.until(c.use(async () => 'ran')), 'ran');
  }
  const cluster = new Cluster();
  const { store, ...parts } = cluster.process('a');
  void new Semaphore({ ...parts, store, count: 2 }).use(() => new Promise(() => {}));
  await cluster.clock.advance(5_000);
  store.faults = () => ({ hang: true });
  cluster.store.edit({ ...REF, name: 'job-0' }, (lease) => ({
    ...lease,
    metadata: { ...lease.metadata, annotations: {} },
  }));
  const b = new Semaphore({ ...cluster.process('b'), count: 2 });
  assert.equal(await cluster.until(b.use(async () => 'ran')), 'ran');
});

test('a slot of another count that somebody empties is not free before its holder must have ended', async () => {
  const cluster = new Cluster();
  let working = 0;
  const held: number[] = [];
  const old = names('old', 2).map((id) =>
    new Semaphore({ ...cluster.process(id), count: 2 }).use(async (term) => {
      working++;
      held.push(term.slot);
      // The one in the first slot ends soon; the other takes a while after it was asked to.
      if (term.slot === 0) await new Promise<void>((resolve) => cluster.clock.schedule(3_000, resolve));
      else {
        await new Promise<void>((resolve) => term.signal.addEventListener('abort', () => resolve(), { once: true }));
        await new Promise<void>((resolve) => cluster.clock.schedule(4_000, resolve));
      }
      working--;
    }),
  );
  await cluster.clock.advance(2_000);
  assert.deepEqual(held.toSorted(), [0, 1]);
  let begun = false;
  const fresh = new Semaphore({ ...cluster.process('new'), count: 1 }).use(() => {
    assert.equal(working, 0, 'an old holder still works');
    begun = true;
    return Promise.resolve();
  });
  await cluster.clock.advance(5_000);
  assert.equal(working, 1);
  cluster.store.edit({ ...REF, name: 'job-1' }, (lease) => withChanges(lease, { spec: { holderIdentity: '' } }));
  await cluster.until(Promise.all([Promise.allSettled(old), fresh]), 120_000);
  assert.ok(begun);
});

test('waitMs 0 beside another count: holders that live refuse at once, holders that died are watched for their duration', async () => {
  const cluster = new Cluster();
  const holders = ['a', 'b'].map((id) => cluster.process(id));
  for (const parts of holders) void new Semaphore({ ...parts, count: 2 }).use(() => new Promise(() => {}));
  await cluster.clock.advance(5_000);
  const c = new Semaphore({ ...cluster.process('c'), count: 3 });
  const before = cluster.clock.monotonic();
  assert.equal(await cluster.until(c.use(async () => 'ran', { waitMs: 0 })), null);
  assert.ok(cluster.clock.monotonic() - before < 1_000);
  for (const { store } of holders) store.faults = () => ({ hang: true });
  await cluster.clock.advance(60_000);
  assert.equal(await cluster.until(c.use(async () => 'ran', { waitMs: 0 })), 'ran');
});

test('waitMs is checked', async () => {
  const semaphore = new Semaphore({ ...new Cluster().process('a'), count: 1 });
  for (const waitMs of [-1, Number.NaN, Infinity]) {
    await assert.rejects(
      semaphore.use(async () => {}, { waitMs }),
      OptionsError,
    );
  }
});

test('the signal at any moment: the work has begun or never does', async () => {
  for (let ticks = 0; ticks < 600; ticks++) {
    const cluster = new Cluster();
    const stop = new AbortController();
    let began = false;
    const using = new Semaphore({ ...cluster.process('a'), count: 1 }).use(
      async () => {
        began = true;
        return 'ran';
      },
      { signal: stop.signal },
    );
    const ended = using.catch(() => 'given up');
    for (let i = 0; i < ticks; i++) await Promise.resolve();
    stop.abort();
    const how = await cluster.until(ended);
    await cluster.clock.advance(1_000);
    assert.equal(how, began ? 'ran' : 'given up', `after ${ticks} turns`);
  }
});

test('slots that cannot be read are reported: nothing hangs in silence', async () => {
  const cluster = new Cluster();
  const events: SemaphoreEvent[] = [];
  const { store, ...parts } = cluster.process('a');
  store.faults = ({ verb }) => (verb === 'list' ? { fail: 'Forbidden' } : undefined);
  const semaphore = new Semaphore({ ...parts, store, count: 1, observe: (event) => void events.push(event) });
  const using = semaphore.use(async () => {}, { waitMs: 10_000 });
  assert.equal(await cluster.until(using), null);
  assert.ok(events.some((event) => event.type === 'failed' && event.error.code === 'Forbidden'));
});

test('a name that leaves no room for the number of the last slot is refused at once', () => {
  const cluster = new Cluster();
  const make = (length: number) =>
    new Semaphore({
      ...cluster.process('a'),
      lease: { namespace: 'default', name: 'x'.repeat(length) },
      count: 101,
    });
  assert.throws(() => make(250), OptionsError);
  assert.doesNotThrow(() => make(249));
});
