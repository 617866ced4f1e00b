/** Lock: value and error come back, waits end in time, what hangs is settled behind. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stepDown } from '../../src/election/step-down.ts';
import { LeadershipError } from '../../src/election/term.ts';
import type { Term } from '../../src/election/term.ts';
import { withChanges } from '../../src/lease/lease.ts';
import { Lock } from '../../src/recipes/lock.ts';
import { Once } from '../../src/recipes/once.ts';
import { RecipeError } from '../../src/recipes/recipe-error.ts';
import { Semaphore } from '../../src/recipes/semaphore.ts';
import { sleep } from '../../src/runtime/clock.ts';
import { OptionsError } from '../../src/runtime/options.ts';
import { settle } from '../../src/runtime/manual-clock.ts';
import { Cluster, REF, deferred } from './support.ts';

type Work = (term: Term) => Promise<void>;

test("the work's value comes back, and its error; the Lease says its kind and is released after", async () => {
  const cluster = new Cluster();
  const lock = new Lock(cluster.process('a'));
  const value = await cluster.until(
    lock.use(async (term) => {
      term.check();
      assert.ok(term.fencingToken > 0);
      assert.equal(cluster.peek()?.spec.holderIdentity, term.holder);
      return 42;
    }),
  );
  assert.equal(value, 42);
  assert.equal(cluster.peek()?.spec.holderIdentity, '');
  assert.equal(cluster.peek()?.metadata.labels['leasekeeper.dev/kind'], 'lock');
  await assert.rejects(cluster.until(lock.use(async () => Promise.reject(new Error('mine')))), { message: 'mine' });
  assert.equal(cluster.peek()?.spec.holderIdentity, '');
  assert.equal(cluster.clock.pending, 0);
});

test('two never work at once; the next begins with the release; tokens grow', async () => {
  const cluster = new Cluster();
  const done = deferred();
  const tokens: number[] = [];
  let working = 0;
  const work = async ({ fencingToken }: { fencingToken: number }): Promise<void> => {
    assert.equal(++working, 1);
    tokens.push(fencingToken);
    if (tokens.length === 1) await done.promise;
    working--;
  };
  const first = new Lock(cluster.process('a')).use(work);
  await cluster.clock.advance(10);
  const second = new Lock(cluster.process('b')).use(work);
  await cluster.clock.advance(5_000);
  assert.equal(tokens.length, 1);
  const released = cluster.clock.monotonic();
  done.resolve();
  await cluster.until(Promise.all([first, second]));
  assert.ok(cluster.clock.monotonic() - released < 1_000, 'no waiting after the release');
  assert.ok((tokens[0] ?? 0) < (tokens[1] ?? 0));
});

test('who holds a lock, or a slot, is asked to step down: its work ends, and the one that is named goes first', async () => {
  for (const [name, use] of [
    [REF.name, (cluster: Cluster, id: string, work: Work) => new Lock(cluster.process(id)).use(work)],
    [
      `${REF.name}-0`,
      (cluster: Cluster, id: string, work: Work) => new Semaphore({ ...cluster.process(id), count: 1 }).use(work),
    ],
  ] as const) {
    const cluster = new Cluster();
    const held: string[] = [];
    const works = ['a', 'b', 'c'].map(async (id, i) => {
      await sleep(cluster.clock, i * 100);
      return use(cluster, id, async (term) => {
        held.push(id);
        await new Promise<void>((resolve) => term.signal.addEventListener('abort', () => resolve(), { once: true }));
        assert.equal((term.signal.reason as LeadershipError).code, 'SteppingDown');
        term.check();
      });
    });
    await cluster.clock.advance(1_000);
    const { store, clock } = cluster;
    for (const to of ['c', undefined, undefined]) {
      const lease = { namespace: REF.namespace, name };
      const { outcome } = await cluster.until(stepDown({ store, clock, random: () => 0.5, lease, to }));
      assert.equal(outcome, 'steppedDown');
    }
    await cluster.until(Promise.all(works));
    assert.deepEqual(held, ['a', 'c', 'b'], name);
  }
});

test('waitMs ends the waiting: null, or an error where asked for; 0 looks once', async () => {
  const cluster = new Cluster();
  const done = deferred();
  const first = new Lock(cluster.process('a')).use(() => done.promise);
  await cluster.clock.advance(10);
  const lock = new Lock(cluster.process('b'));
  let ran = false;
  const work = async (): Promise<void> => void (ran = true);
  const began = cluster.clock.monotonic();
  assert.equal(await cluster.until(lock.use(work, { waitMs: 3_000 })), null);
  assert.ok(Math.abs(cluster.clock.monotonic() - began - 3_000) <= 100);
  await assert.rejects(
    cluster.until(lock.use(work, { waitMs: 1_000, otherwise: 'throw' })),
    (error) => error instanceof RecipeError && error.code === 'NotAcquired',
  );
  const before = cluster.clock.monotonic();
  assert.equal(await cluster.until(lock.use(work, { waitMs: 0 })), null);
  assert.ok(cluster.clock.monotonic() - before < 500);
  assert.equal(ran, false);
  done.resolve();
  await cluster.until(first);
  await cluster.until(lock.idle());
  await cluster.until(lock.use(work, { waitMs: 0 }));
  assert.equal(ran, true);
});

test('waitMs ends the waiting also while the acquiring write hangs; what it acquires is released behind', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  a.store.next('create', { answerDelayMs: 4_000 });
  const lock = new Lock(a);
  let ran = false;
  const value = await cluster.until(lock.use(async () => void (ran = true), { waitMs: 1_000 }));
  assert.equal(value, null);
  assert.ok(cluster.clock.monotonic() < 1_500);
  await cluster.until(lock.idle());
  assert.equal(ran, false);
  assert.equal(cluster.peek()?.spec.holderIdentity ?? '', '');
});

test('the signal ends the waiting with its reason, and asks a work that runs to end', async () => {
  const cluster = new Cluster();
  const done = deferred();
  const first = new Lock(cluster.process('a')).use(() => done.promise);
  await cluster.clock.advance(10);
  const stop = new AbortController();
  const waiting = new Lock(cluster.process('b')).use(async () => {}, { signal: stop.signal });
  waiting.catch(() => {});
  await cluster.clock.advance(100);
  const reason = new Error('no more');
  stop.abort(reason);
  await assert.rejects(cluster.until(waiting), reason);
  done.resolve();
  await cluster.until(first);
  const asked = new AbortController();
  const working = new Lock(cluster.process('c')).use(
    (term) => new Promise<string>((resolve) => term.signal.addEventListener('abort', () => resolve('ended'))),
    { signal: asked.signal },
  );
  await cluster.clock.advance(1_000);
  asked.abort();
  assert.equal(await cluster.until(working), 'ended');
  assert.equal(cluster.peek()?.spec.holderIdentity, '');
});

test('a holder that dies is followed once its duration has passed', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  void new Lock(a).use(() => new Promise(() => {}));
  await cluster.clock.advance(100);
  // From now on nothing of it gets through.
  a.store.faults = () => ({ hang: true });
  const renewed = cluster.peek()?.spec.renewTime?.epochMs ?? 0;
  const began = await cluster.until(new Lock(cluster.process('b')).use(async () => cluster.clock.wallMicros() / 1000));
  assert.ok((began ?? 0) - renewed <= 15_200, String((began ?? 0) - renewed));
});

test('a success in a term that was lost is an error', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  const done = deferred();
  const using = new Lock(a).use(async () => {
    await done.promise;
    return 'well';
  });
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

test('of fifty waiters one works at a time, and all come to it', async () => {
  const cluster = new Cluster();
  let working = 0;
  let count = 0;
  const uses = Array.from({ length: 50 }, (_, i) =>
    new Lock(cluster.process(`w${i}`)).use(async () => {
      assert.equal(++working, 1);
      count++;
      await settle();
      working--;
    }),
  );
  await cluster.until(Promise.all(uses), 600_000);
  assert.equal(count, 50);
});

test('bad options are refused at once, all of them', () => {
  const cluster = new Cluster();
  assert.throws(
    () => new Lock({ ...cluster.process('a'), lease: { namespace: 'X', name: '' }, retryPeriodMs: -1 }),
    (error) => error instanceof OptionsError && error.problems.length >= 3,
  );
});

test('a Lease that is lost before the answer to its acquisition came: the lock is waited for again', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  a.store.next('create', { answerDelayMs: 1_000 });
  let runs = 0;
  const using = new Lock(a).use(async () => ++runs);
  await cluster.clock.advance(500);
  cluster.store.edit(REF, (lease) =>
    withChanges(lease, { spec: { holderIdentity: 'another', leaseTransitions: 1, acquireTime: lease.spec.renewTime } }),
  );
  assert.equal(await cluster.until(using), 1);
});

test('waitMs 0: a holder that died is no holder for ever', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  void new Lock(a).use(() => new Promise(() => {}));
  await cluster.clock.advance(100);
  a.store.faults = () => ({ hang: true });
  await cluster.clock.advance(60_000);
  assert.equal(await cluster.until(new Lock(cluster.process('b')).use(async () => 'ran', { waitMs: 0 })), 'ran');
});

test('a work that is none is refused before anything is acquired', async () => {
  const cluster = new Cluster();
  const parts = cluster.process('a');
  const none = undefined as unknown as () => Promise<void>;
  await assert.rejects(new Lock(parts).use(none), OptionsError);
  await assert.rejects(new Semaphore({ ...parts, count: 2 }).use(none), OptionsError);
  await assert.rejects(new Once(parts).run('key', none), OptionsError);
  assert.equal(parts.store.count('create'), 0);
});
