/** Asking the one that holds a lease to step down: what is answered, and that only those are asked that know such requests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stepDown } from '../../src/election/step-down.ts';
import type { StepDownOptions, StepDownOutcome } from '../../src/election/step-down.ts';
import { withChanges } from '../../src/lease/lease.ts';
import { STEP_DOWN_ANNOTATION, TERM_ANNOTATION } from '../../src/lease/marks.ts';
import { isStoreError } from '../../src/lease/store.ts';
import { OptionsError } from '../../src/runtime/options.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { REF, Scene } from './actors.ts';

async function play(
  fn: (
    scene: Scene,
    ask: (more?: Partial<StepDownOptions>) => Promise<StepDownOutcome>,
    store: MemoryStore,
  ) => Promise<void>,
): Promise<void> {
  const scene = new Scene();
  const { clock, api } = scene;
  const store = new MemoryStore({ clock, api, by: 'operator' });
  const ask = (more: Partial<StepDownOptions> = {}): Promise<StepDownOutcome> =>
    stepDown({ store, clock, random: () => 0.5, lease: REF, ...more });
  try {
    await fn(scene, ask, store);
  } finally {
    await scene.close();
  }
  assert.equal(scene.clock.pending, 0, 'no timer is left behind');
}
/** Moves time on until the question is answered. */
async function answered(scene: Scene, asking: Promise<StepDownOutcome>): Promise<StepDownOutcome & { tookMs: number }> {
  const began = scene.clock.monotonic();
  let done: StepDownOutcome | undefined;
  const noted = asking.then((outcome) => (done = outcome));
  await scene.until(() => done !== undefined, 60_000);
  return { ...(await noted), tookMs: scene.clock.monotonic() - began };
}

test('the leader releases, and the answer names who leads now', () =>
  play(async (scene, ask) => {
    const a = scene.actor('a');
    await scene.clock.advance(0);
    const b = scene.actor('b');
    await scene.clock.advance(1_000);
    assert.deepEqual(await answered(scene, ask()), {
      outcome: 'steppedDown',
      holder: a.elector.holder,
      next: b.elector.holder,
      tookMs: 0,
    });
    await scene.clock.advance(30_000);
    assert.equal(b.terms.length, 1);
  }));

test('nobody else contends: released is enough', () =>
  play(async (scene, ask) => {
    const a = scene.actor('a');
    await scene.clock.advance(1_000);
    const { outcome, tookMs } = await answered(scene, ask());
    assert.equal(outcome, 'steppedDown');
    assert(tookMs <= 2_000, String(tookMs));
    assert.equal(a.of('stopped')[0]!.reason, 'steppedDown');
  }));

test('to one of two: that one', () =>
  play(async (scene, ask) => {
    scene.actor('a');
    await scene.clock.advance(0);
    scene.actor('b');
    const c = scene.actor('c');
    await scene.clock.advance(1_000);
    const { outcome, next } = (await answered(scene, ask({ to: 'c' }))) as Extract<StepDownOutcome, { next: unknown }>;
    assert.deepEqual([outcome, next], ['steppedDown', c.elector.holder]);
  }));

test('to one that does not contend: another takes it, or nobody', () =>
  play(async (scene, ask) => {
    const a = scene.actor('a');
    await scene.clock.advance(0);
    const b = scene.actor('b');
    await scene.clock.advance(1_000);
    const { outcome, tookMs } = await answered(scene, ask({ to: 'nobody' }));
    assert.equal(outcome, 'another');
    assert(tookMs <= 2_100, String(tookMs));
    a.stop();
    b.stop();
    await scene.clock.advance(5_000);
    scene.actor('alone', {
      work: (term) => new Promise((resolve) => term.signal.addEventListener('abort', () => resolve())),
      once: true,
    });
    await scene.clock.advance(1_000);
    assert.equal((await answered(scene, ask({ to: 'nobody', waitMs: 3_000 }))).outcome, 'absent');
  }));

test('work that does not end: it goes on, and the answer comes in time', () =>
  play(async (scene, ask) => {
    let end = (): void => {};
    const a = scene.actor('a', { work: () => new Promise<void>((resolve) => (end = resolve)) });
    await scene.clock.advance(1_000);
    const { outcome, tookMs } = await answered(scene, ask({ waitMs: 5_000 }));
    assert.deepEqual([outcome, tookMs], ['timedOut', 5_000]);
    assert(a.leads);
    end();
  }));

test('client-go’s leader is named, and nothing is written; also where an old mark of ours stands', () =>
  play(async (scene, ask, store) => {
    const a = scene.actor('a');
    await scene.clock.advance(1_000);
    const mark = scene.peek()!.metadata.annotations[TERM_ANNOTATION]!;
    a.stop();
    await scene.clock.advance(1_000);
    for (const text of [undefined, mark, '{}']) {
      scene.api.edit(REF, (lease) =>
        withChanges(lease, {
          spec: { holderIdentity: 'theirs', leaseTransitions: 0 },
          annotations: { [TERM_ANNOTATION]: text },
        }),
      );
      assert.deepEqual(await ask(), { outcome: 'notOurs', holder: 'theirs' });
    }
    // As a client-go under the name of ours would leave it: another term than the marked one.
    scene.api.edit(REF, (lease) =>
      withChanges(lease, {
        spec: { holderIdentity: a.elector.holder, leaseTransitions: 7 },
        annotations: { [TERM_ANNOTATION]: mark },
      }),
    );
    assert.deepEqual(await ask(), { outcome: 'notOurs', holder: a.elector.holder });
    assert.equal(scene.peek()!.metadata.annotations[STEP_DOWN_ANNOTATION], undefined);
    assert.equal(store.count('update'), 0);
  }));

test('nobody holds it; who is named holds it already; there is no such lease; times that are none', () =>
  play(async (scene, ask) => {
    await assert.rejects(ask(), (error) => isStoreError(error, 'NotFound'));
    const a = scene.actor('a');
    await scene.clock.advance(1_000);
    for (const to of ['a', a.elector.holder])
      assert.deepEqual(await ask({ to }), { outcome: 'leadsAlready', holder: a.elector.holder });
    a.stop();
    await scene.clock.advance(1_000);
    assert.deepEqual(await ask(), { outcome: 'notHeld' });
    for (const waitMs of [0, -1, NaN]) await assert.rejects(ask({ waitMs }), OptionsError);
    for (const to of ['', 'a\n']) await assert.rejects(ask({ to }), OptionsError);
  }));

test('renewed in between: asked again; and a stop ends the waiting', () =>
  play(async (scene, ask, store) => {
    const a = scene.actor('a', { work: () => new Promise((resolve) => void scene.clock.schedule(20_000, resolve)) });
    await scene.clock.advance(1_000);
    let edits = 0;
    const { update } = store;
    store.update = (lease, options) => {
      if (edits++ < 3) scene.api.edit(REF, (now) => withChanges(now, { annotations: { note: String(edits) } }));
      return update.call(store, lease, options);
    };
    const stop = new AbortController();
    const asking = ask({ signal: stop.signal });
    const failed = assert.rejects(asking, (error) => isStoreError(error, 'Aborted'));
    await scene.until(() => a.of('steppingDown').length > 0, 5_000);
    assert.equal(edits, 4);
    stop.abort();
    await failed;
  }));

test('who may not watch is not answered that the holder goes on', () =>
  play(async (scene, ask, store) => {
    scene.actor('a');
    await scene.clock.advance(1_000);
    store.faults = ({ verb }) => (verb === 'watch' ? { fail: 'Forbidden' } : undefined);
    let failure: unknown;
    void ask().catch((error: unknown) => (failure = error));
    await scene.until(() => failure !== undefined, 60_000);
    assert(isStoreError(failure, 'Forbidden'));
  }));

test('a watch that is silent tells nothing: at the end it is looked once more', () =>
  play(async (scene, ask, store) => {
    scene.actor('a');
    await scene.clock.advance(0);
    const b = scene.actor('b');
    await scene.clock.advance(1_000);
    store.faults = ({ verb }) => (verb === 'watch' ? { hang: true } : undefined);
    const { outcome, tookMs } = await answered(scene, ask());
    assert.equal(outcome, 'steppedDown');
    assert.equal(tookMs, 30_000);
    assert(b.leads);
    store.faults = ({ verb }) =>
      verb === 'watch'
        ? { hang: true }
        : verb === 'get' && scene.clock.monotonic() > 40_000
          ? { fail: 'Unavailable' }
          : undefined;
    let failure: unknown;
    void ask().catch((error: unknown) => (failure = error));
    await scene.until(() => failure !== undefined, 60_000);
    assert(isStoreError(failure, 'Unavailable'));
  }));
