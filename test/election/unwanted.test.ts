/** The last one out deletes the lease, and nobody else's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deleteUnwanted } from '../../src/election/unwanted.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { REF, Scene } from './actors.ts';

async function play(
  fn: (scene: Scene, leave: () => Promise<boolean | 'open'>, store: MemoryStore) => Promise<void>,
): Promise<void> {
  const scene = new Scene();
  const { clock, api } = scene;
  const store = new MemoryStore({ clock, api, by: 'leaver' });
  const leave = async (): Promise<boolean | 'open'> => {
    let outcome: boolean | 'open' = 'open';
    const deleting = deleteUnwanted({ store, clock, lease: REF, retryPeriodMs: 2_000 }).then(
      (deleted) => (outcome = deleted),
    );
    await scene.until(() => outcome !== 'open', 10_000);
    await deleting;
    return outcome;
  };
  try {
    await fn(scene, leave, store);
  } finally {
    await scene.close();
  }
  assert.equal(scene.clock.pending, 0);
}

test('released, and nobody takes it within the slowest contender’s pause: deleted', () =>
  play(async (scene, leave) => {
    const a = scene.actor('a');
    await scene.clock.advance(1_000);
    a.stop();
    await a.outcome;
    const began = scene.clock.monotonic();
    assert.equal(await leave(), true);
    assert.equal(scene.peek(), undefined);
    assert(scene.clock.monotonic() - began >= 4_400);
    assert.equal(await leave(), true, 'gone already');
  }));

test('held, or taken meanwhile: left alone', () =>
  play(async (scene, leave) => {
    const a = scene.actor('a');
    await scene.clock.advance(1_000);
    assert.equal(await leave(), false);
    a.stop();
    await a.outcome;
    scene.clock.schedule(3_000, () => void scene.actor('late'));
    assert.equal(await leave(), false);
    assert.equal(scene.leaders.length, 1);
  }));

test('an API that does not answer is an error', () =>
  play(async ({ clock }, _, store) => {
    store.next('get', { fail: 'Unavailable' });
    await assert.rejects(deleteUnwanted({ store, clock, lease: REF, retryPeriodMs: 2_000 }), LeaseStoreError);
  }));

test('emptied by another, while its leader is cut off and leads on: left alone, so that a newcomer waits', () =>
  play(async (scene, leave) => {
    const a = scene.actor('a');
    await scene.clock.advance(1_000);
    a.store.faults = () => ({ hang: true });
    a.store.watches.silence();
    scene.api.edit(REF, ({ spec }) => ({ spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1 } }));
    assert.equal(await leave(), false);
    const late = scene.actor('late');
    assert(await scene.until(() => late.leads, 20_000));
    assert(!a.leads, 'one at a time');
  }));
