import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createSharedWatch } from '../../src/election/shared-watch.ts';
import { sleep } from '../../src/runtime/clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { REF, Scene } from './actors.ts';
import type { Actor } from './actors.ts';

async function play(fn: (scene: Scene) => Promise<void>): Promise<void> {
  const scene = new Scene();
  try {
    await fn(scene);
  } finally {
    await scene.close();
  }
  assert.equal(scene.clock.pending, 0, 'no timer is left behind');
}
const gets = (actor: Actor): number[] =>
  actor.store.journal.filter((call) => call.verb === 'get').map((call) => call.at);

describe('without permission to watch', () => {
  const forbidden = (call: { verb: string }): { fail: 'Forbidden' } | undefined =>
    call.verb === 'watch' ? { fail: 'Forbidden' } : undefined;

  test("polls at client-go's pace", () =>
    play(async (scene) => {
      scene.actor('a');
      await scene.clock.advance(0);
      const random = [0, 0.5, 0.999];
      let i = 0;
      const b = scene.actor('b', { faults: forbidden, random: () => random[i++ % 3]! });
      await scene.clock.advance(60_000);
      const times = gets(b);
      const steps = times.slice(1).map((at, k) => at - times[k]!);
      for (const step of steps) assert(step >= 2_000 && step < 4_400, `${step} ms between polls`);
      assert(new Set(steps.map(Math.round)).size >= 3);
      assert.equal(b.store.count('watch'), 1);
      assert.equal(b.of('failed')[0]!.operation, 'watch');
      assert.equal(b.of('watchLost').length, 1);
    }));

  test('takes over after release and exactly at expiry all the same', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b', { faults: forbidden });
      await scene.clock.advance(10_000);
      a.stop();
      const took = await scene.until(() => b.leads, 10_000);
      assert(took !== undefined && took <= 4_400);
      const c = scene.actor('c', { faults: forbidden });
      await scene.clock.advance(10_000);
      b.store.faults = () => ({ hang: true });
      const seen = gets(c);
      assert(seen.length > 0);
      assert((await scene.until(() => c.leads, 15_000 + 4_400)) !== undefined);
    }));

  test('watches again once it is permitted', () =>
    play(async (scene) => {
      scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b', { faults: forbidden });
      await scene.clock.advance(60_000);
      b.store.faults = undefined;
      await scene.clock.advance(301_000);
      const before = b.store.count('get');
      await scene.clock.advance(60_000);
      assert.equal(b.store.count('get'), before);
      assert.equal(b.of('watchRecovered').length, 1);
    }));
});

describe('a lost watch', () => {
  test('is polled past, until it is fresh again', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(10_000);
      b.store.watches.lose();
      await scene.clock.advance(20_000);
      assert(b.store.count('get') >= 4);
      assert(a.leads && !b.leads, 'the leader was seen to renew');
      assert.equal(b.store.count('update'), 0);
      b.store.watches.resume();
      await scene.clock.advance(0);
      const before = b.store.count('get');
      await scene.clock.advance(20_000);
      assert.equal(b.store.count('get'), before);
      assert.deepEqual([b.of('watchLost').length, b.of('watchRecovered').length], [1, 1]);
    }));

  test('that is back at once costs no request', () =>
    play(async (scene) => {
      scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(10_000);
      b.store.watches.lose();
      await scene.clock.advance(1_000);
      b.store.watches.resume('relist');
      await scene.clock.advance(60_000);
      assert.equal(b.store.count('get'), 0);
    }));

  test('that nobody noticed: the take-over is refused, and the leader stays', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(10_000);
      b.store.watches.silence();
      await scene.clock.advance(60_000);
      assert(a.leads && !b.leads);
      assert.equal(a.terms.length, 1);
      assert.equal(b.of('raceLost').length, 1);
      assert(b.store.count('get') >= 10, 'from then on it is polled past');
      b.store.watches.resume();
    }));

  test('while nothing can be read at all: silence across the gap counts when the record is still the same', () =>
    play(async (scene) => {
      const a = scene.actor('a');
      await scene.clock.advance(0);
      const b = scene.actor('b');
      await scene.clock.advance(10_000);
      for (const actor of [a, b]) {
        actor.store.faults = () => ({ fail: 'Unavailable' });
        actor.store.watches.lose();
      }
      a.stop();
      await scene.clock.advance(60_000);
      assert(!a.leads && !b.leads);
      b.store.faults = undefined;
      const took = await scene.until(() => b.leads, 5_000);
      assert(took !== undefined && took <= 2_000);
    }));

  for (const lacking of ['uid', 'resourceVersion'] as const) {
    test(`that tells of a lease without ${lacking} is polled past: no write can be based on it`, () =>
      play(async (scene) => {
        const a = scene.actor('a');
        await scene.clock.advance(0);
        const b = scene.actor('b', {
          async *watch(_, signal) {
            const lease = scene.peek()!;
            yield { type: 'list', leases: [lease] };
            await sleep(scene.clock, 10_000, signal);
            const metadata = { ...lease.metadata, [lacking]: '' };
            const spec = { ...lease.spec, holderIdentity: '' };
            yield { type: 'modified', lease: { ...lease, metadata, spec } };
            await sleep(scene.clock, 1e9, signal);
          },
        });
        await scene.clock.advance(40_000);
        assert.equal(b.settled, undefined);
        assert(a.leads && !b.leads && b.elector.leader === 'a_1');
        assert.equal(b.of('watchLost').length, 1);
        assert(gets(b).length >= 5);
      }));
  }

  test('that never tells its list is polled past too', () =>
    play(async (scene) => {
      scene.api.put({ name: REF.name, spec: { holderIdentity: '' } });
      const a = scene.actor('a', { faults: (call) => (call.verb === 'watch' ? { hang: true } : undefined) });
      assert((await scene.until(() => a.leads, 4_400)) !== undefined);
    }));
});

describe('a shared watch', () => {
  const names = ['one', 'two', 'three', 'four'];
  const ref = (name: string): typeof REF => ({ namespace: 'kube-system', name });

  test('serves every lease of one process, with one request', () =>
    play(async (scene) => {
      for (const name of names) scene.actor('first', { lease: ref(name) });
      await scene.clock.advance(0);
      const store = new MemoryStore({ clock: scene.clock, api: scene.api });
      const watch = createSharedWatch({ store, namespace: 'kube-system' });
      const standbys = names.map((name) => scene.actor('second', { lease: ref(name), store, watch }));
      await scene.clock.advance(300_000);
      assert.deepEqual(
        store.journal.map((call) => call.verb),
        ['watch'],
      );
      scene.actors[0]!.stop();
      await scene.clock.advance(0);
      assert.deepEqual(
        standbys.map((standby) => standby.leads),
        [true, false, false, false],
      );
      // A leader that lost needs no watch of its own either.
      scene.api.remove(ref('one'));
      await scene.clock.advance(5_000);
      assert.equal(standbys[0]!.terms.length, 2);
      assert.equal(store.count('watch'), 1);
      assert.equal(store.watches.open, 1);
    }));

  test('is open while somebody follows, a leader too, closes with the last, and opens with the next', () =>
    play(async (scene) => {
      const store = new MemoryStore({ clock: scene.clock, api: scene.api });
      const watch = createSharedWatch({ store, namespace: 'kube-system' });
      const a = scene.actor('a', { lease: ref('one'), store, watch });
      const b = scene.actor('b', { lease: ref('two'), store, watch });
      await scene.clock.advance(10_000);
      assert(a.leads && b.leads);
      assert.equal(store.watches.open, 1);
      a.stop();
      scene.api.put({ name: 'two', spec: { holderIdentity: 'thief' } });
      await scene.clock.advance(0);
      assert(!b.leads);
      assert.equal(store.watches.open, 1);
      b.stop();
      await scene.clock.advance(0);
      assert.equal(store.watches.open, 0);
      const c = scene.actor('c', { lease: ref('one'), store, watch });
      await scene.clock.advance(0);
      assert(c.leads);
      assert.equal(store.watches.open, 1);
    }));

  test('falls back to a watch for each name where only those are permitted', () =>
    play(async (scene) => {
      for (const name of names) scene.api.put({ name, spec: { holderIdentity: 'other' } });
      const store = new MemoryStore({ clock: scene.clock, api: scene.api });
      store.next('watch', { fail: 'Forbidden' });
      const watch = createSharedWatch({ store, namespace: 'kube-system' });
      const actors = names.map((name) => scene.actor('a', { lease: ref(name), store, watch }));
      await scene.clock.advance(1_000);
      assert.equal(store.count('watch'), 1 + names.length);
      assert.equal(store.count('get'), 0);
      scene.api.put({ name: 'three', spec: { holderIdentity: '' } });
      await scene.clock.advance(0);
      assert.deepEqual(
        actors.map((actor) => actor.leads),
        [false, false, true, false],
      );
    }));

  test('passes on that it is lost, to who follows later too', () =>
    play(async (scene) => {
      scene.api.put({ name: 'one', spec: { holderIdentity: 'other' } });
      scene.api.put({ name: 'two', spec: { holderIdentity: 'other' } });
      const store = new MemoryStore({ clock: scene.clock, api: scene.api });
      const watch = createSharedWatch({ store, namespace: 'kube-system' });
      const a = scene.actor('a', { lease: ref('one'), store, watch });
      await scene.clock.advance(1_000);
      store.watches.lose();
      await scene.clock.advance(0);
      const b = scene.actor('b', { lease: ref('two'), store, watch });
      await scene.clock.advance(0);
      assert.deepEqual([a.of('watchLost').length, b.of('watchLost').length], [1, 1]);
      store.watches.resume('relist');
      await scene.clock.advance(0);
      assert.deepEqual([a.of('watchRecovered').length, b.of('watchRecovered').length], [1, 1]);
    }));
});
