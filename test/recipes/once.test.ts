/** Once: one success for a key, however many start, fail, die or come later. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ElectionEvent } from '../../src/election/election-events.ts';
import { withChanges } from '../../src/lease/lease.ts';
import { DONE_ANNOTATION, MAX_DONE_BYTES } from '../../src/recipes/done-keys.ts';
import { Once } from '../../src/recipes/once.ts';
import { RecipeError } from '../../src/recipes/recipe-error.ts';
import { OptionsError } from '../../src/runtime/options.ts';
import { Cluster, REF, deferred } from './support.ts';

const code = (expected: string) => (error: unknown) => error instanceof RecipeError && error.code === expected;

test('five start at once: one runs, the others go on with its success, without taking the Lease', async () => {
  const cluster = new Cluster();
  let runs = 0;
  const all = Array.from({ length: 5 }, (_, i) =>
    new Once(cluster.process(`p${i}`)).run('v1', async () => {
      runs++;
      await new Promise<void>((resolve) => cluster.clock.schedule(3_000, resolve));
      return 'migrated';
    }),
  );
  const outcomes = await cluster.until(Promise.all(all));
  assert.equal(runs, 1);
  assert.deepEqual(
    outcomes.filter(({ ran }) => ran),
    [{ ran: true, value: 'migrated' }],
  );
  assert.equal(cluster.peek()?.metadata.annotations[DONE_ANNOTATION], '["v1"]');
  assert.equal(cluster.peek()?.spec.leaseTransitions, 0, 'nobody took it over after the success');
  assert.equal(cluster.peek()?.metadata.labels['leasekeeper.dev/kind'], 'once');
});

test('a key that succeeded never runs again, also after two hundred others, and costs no write', async () => {
  const cluster = new Cluster();
  for (let i = 0; i <= 200; i++) await cluster.until(new Once(cluster.process('a')).run(`v${i}`, async () => {}));
  const late = cluster.process('old');
  const outcome = await cluster.until(new Once(late).run('v0', () => assert.fail('it ran again')));
  assert.deepEqual(outcome, { ran: false });
  assert.equal(late.store.count('update') + late.store.count('create'), 0);
});

test('one that fails gives its error to its caller and leaves the key to the next', async () => {
  const cluster = new Cluster();
  const first = new Once(cluster.process('a')).run('v1', async () => Promise.reject(new Error('broken')));
  await assert.rejects(cluster.until(first), { message: 'broken' });
  const second = await cluster.until(new Once(cluster.process('b')).run('v1', async () => 'well'));
  assert.deepEqual(second, { ran: true, value: 'well' });
});

test('one that dies in the middle is followed by another, once its duration has passed', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  void new Once(a).run('v1', () => new Promise(() => {}));
  await cluster.clock.advance(500);
  a.store.faults = () => ({ hang: true });
  let runs = 0;
  const others = ['b', 'c', 'd'].map((id) => new Once(cluster.process(id)).run('v1', async () => void runs++));
  await cluster.until(Promise.all(others));
  assert.equal(runs, 1);
});

test('the answer to the record gets lost, or its write is refused once: it is recorded all the same, and run once', async () => {
  for (const fault of [{ lose: 'Unavailable' }, { fail: 'ServerError' }, { fail: 'Conflict' }] as const) {
    const cluster = new Cluster();
    const a = cluster.process('a');
    let runs = 0;
    const outcome = await cluster.until(
      new Once(a).run('v1', async () => {
        runs++;
        a.store.next('update', fault);
      }),
    );
    assert.deepEqual([outcome.ran, runs, cluster.peek()?.metadata.annotations[DONE_ANNOTATION]], [true, 1, '["v1"]']);
  }
});

test('a success whose term was lost before it was recorded is an error, and the key is run by the next', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  const done = deferred();
  const first = new Once(a).run('v1', () => done.promise);
  first.catch(() => {});
  await cluster.clock.advance(100);
  a.store.faults = () => ({ fail: 'Unavailable' });
  await cluster.clock.advance(9_000);
  done.resolve();
  await assert.rejects(cluster.until(first), code('NotRecorded'));
  assert.deepEqual((await cluster.until(new Once(cluster.process('b')).run('v1', async () => {}))).ran, true);
});

test('where no further key fits it is refused before anything runs; what cannot be read runs nothing', async () => {
  const cluster = new Cluster();
  await cluster.until(new Once(cluster.process('a')).run('v1', async () => {}));
  const mark = (text: string): void =>
    void cluster.store.edit(REF, (lease) => withChanges(lease, { annotations: { [DONE_ANNOTATION]: text } }));
  // As full as it gets.
  const keys = Array.from({ length: 1_000 }, (_, i) => `${i}-${'x'.repeat(110)}`);
  while (JSON.stringify(keys).length < MAX_DONE_BYTES - 200) keys.push(`${keys.length}-${'y'.repeat(100)}`);
  mark(JSON.stringify(keys));
  const once = new Once(cluster.process('b'));
  const full = once.run('another'.repeat(36), () => assert.fail('it ran'));
  full.catch(() => {});
  await assert.rejects(cluster.until(full), code('RecordFull'));
  mark('{"not":"a list"}');
  const bad = once.run('v2', () => assert.fail('it ran'));
  bad.catch(() => {});
  await assert.rejects(cluster.until(bad), code('BadRecord'));
  await assert.rejects(
    once.run('', async () => {}),
    OptionsError,
  );
});

test('a Lease that is lost before the answer to its acquisition came: the key is run all the same', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  a.store.next('create', { answerDelayMs: 1_000 });
  const running = new Once(a).run('v1', async () => 'well');
  await cluster.clock.advance(500);
  cluster.store.remove(REF);
  assert.deepEqual(await cluster.until(running), { ran: true, value: 'well' });
});

test('a record that is read when the term is over begins nothing: the key is waited for again', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  let reads = 0;
  a.store.faults = ({ verb }) => (verb === 'get' && ++reads === 1 ? { answerDelayMs: 5_000 } : undefined);
  let stoodStillMs = 0;
  const clock = {
    monotonic: () => cluster.clock.monotonic() + stoodStillMs,
    schedule: (ms: number, callback: () => void) => cluster.clock.schedule(ms, callback),
    wallMicros: () => cluster.clock.wallMicros(),
  };
  const get = a.store.get.bind(a.store);
  a.store.get = async (...asked) => {
    const lease = await get(...asked);
    if (reads === 1 && stoodStillMs === 0) stoodStillMs = 60_000;
    return lease;
  };
  const worked: boolean[] = [];
  const running = new Once({ ...a, clock }).run('v1', async (term) => void worked.push(term.remainingMs > 0));
  await cluster.until(running);
  assert.deepEqual(worked, [true]);
});

test('stopped between the acquisition and the work: the work does not begin, and the Lease is given back', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  a.store.faults = ({ verb }) => (verb === 'get' ? { fail: 'Unavailable', delayMs: 10 } : undefined);
  const stop = new AbortController();
  const once = new Once(a);
  const running = once.run('v1', () => assert.fail('it began'), stop.signal);
  running.catch(() => {});
  await cluster.clock.advance(1_000);
  assert.notEqual(cluster.peek()?.spec.holderIdentity, undefined);
  const before = a.store.count('get');
  stop.abort(new Error('no more'));
  await assert.rejects(cluster.until(running), { message: 'no more' });
  assert.ok(a.store.count('get') - before <= 2, 'no more looks');
  assert.equal(cluster.peek()?.spec.holderIdentity, '');
});

test('stopped while the acquiring write is under way: what it acquires is released behind', async () => {
  const cluster = new Cluster();
  const a = cluster.process('a');
  a.store.next('create', { answerDelayMs: 3_000 });
  const stop = new AbortController();
  const once = new Once(a);
  const running = once.run('v1', () => assert.fail('it began'), stop.signal);
  running.catch(() => {});
  await cluster.clock.advance(1_000);
  stop.abort(new Error('no more'));
  await assert.rejects(cluster.until(running), { message: 'no more' });
  await cluster.until(once.idle());
  assert.equal(cluster.peek()?.spec.holderIdentity, '');
});

test('what the work needs and does not get is reported: nothing hangs in silence', async () => {
  const cluster = new Cluster();
  const events: ElectionEvent[] = [];
  const { store, ...parts } = cluster.process('a');
  store.faults = ({ verb }) => (verb === 'get' ? { fail: 'Forbidden' } : undefined);
  const stop = new AbortController();
  const once = new Once({ ...parts, store, observe: (event) => void events.push(event) });
  const running = once.run('v1', async () => {}, stop.signal);
  await cluster.clock.advance(5_000);
  assert.ok(events.some((event) => event.type === 'failed' && event.error.code === 'Forbidden'));
  stop.abort();
  await assert.rejects(cluster.until(running));
});

test('the record of its own success ends nothing early', async () => {
  const cluster = new Cluster();
  const ends: string[] = [];
  const observe = (event: ElectionEvent): void => void (event.type === 'stopped' && ends.push(event.reason));
  let aborted: boolean | undefined;
  await cluster.until(
    new Once({ ...cluster.process('a'), observe }).run('v1', async (term) => {
      term.signal.addEventListener('abort', () => (aborted ??= term.remainingMs > 0));
    }),
  );
  assert.deepEqual(ends, ['workEnded']);
  assert.equal(aborted, false);
});
