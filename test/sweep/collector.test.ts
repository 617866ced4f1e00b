import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { settle } from '../../src/runtime/manual-clock.ts';
import type { SweeperOptions } from '../../src/sweep/sweeper.ts';
import { storeError } from '../support/memory-api.ts';
import { HOUR, World } from './world.ts';

const EXPIRED = { age: HOUR + 300 };

function expired(count: number): World {
  const world = new World();
  for (let i = 0; i < count; i++) world.put(`e${String(i).padStart(3, '0')}`, EXPIRED);
  world.put('alive', { age: 5 });
  return world;
}

const deletesAt = (world: World): number[] =>
  world.store.journal.filter(({ verb }) => verb === 'delete').map(({ at }) => at - 30_000);

for (const { what, carried, most } of [
  { what: 'as concurrency says', carried: undefined, most: 7 },
  { what: 'as the store carries', carried: 3, most: 3 },
])
  test(`as many DELETEs are under way ${what}, no more`, async () => {
    const world = expired(20);
    let now = 0;
    let peak = 0;
    const store: SweeperOptions['store'] = {
      concurrency: carried,
      list: (...args) => world.store.list(...args),
      delete: async (...args) => {
        peak = Math.max(peak, ++now);
        await world.store.delete(...args).finally(() => now--);
      },
    };
    world.store.faults = ({ verb }) => (verb === 'delete' ? { delayMs: 100 } : undefined);
    const { deleted } = await world.pass({ concurrency: 7, store });
    assert.deepEqual([deleted, peak], [20, most]);
  });

test('qps spaces the DELETEs, and nobody waits after the last', async () => {
  const world = expired(5);
  const { tookMs } = await world.pass({ qps: 4 });
  assert.deepEqual(deletesAt(world), [0, 250, 500, 750, 1_000]);
  assert.equal(tookMs, 31_000);
});

test('429 pauses all DELETEs for as long as the server says; refused ones are sent again, once each', async () => {
  const world = expired(8);
  const busy = { fail: storeError('TooManyRequests', 'slow down', { retryAfterMs: 7_000 }) };
  world.store.next('delete', undefined, busy, busy, busy);
  const result = await world.pass({ concurrency: 4 });
  assert.deepEqual([result.outcome, result.deleted, result.failed], ['completed', 8, 0]);
  assert.equal(result.error, undefined);
  const at = deletesAt(world);
  assert.equal(at.length, 8 + 3);
  assert.deepEqual(
    at.filter((t) => t > 0 && t < 7_000),
    [],
  );
  assert.deepEqual(
    world.of('throttled').map(({ waitMs }) => waitMs),
    [7_000],
    'one pause for all that were under way',
  );
});

test('the longest of the pauses asked for holds', async () => {
  const world = expired(3);
  const busy = (retryAfterMs: number) => ({ fail: storeError('TooManyRequests', 'slow down', { retryAfterMs }) });
  world.store.next('delete', busy(2_000), busy(9_000), busy(4_000));
  await world.pass();
  assert.deepEqual(deletesAt(world), [0, 0, 0, 9_000, 9_000, 9_000]);
});

test('after a pause qps still holds', async () => {
  const world = expired(4);
  world.store.next('delete', { fail: storeError('TooManyRequests', 'slow down', { retryAfterMs: 5_000 }) });
  await world.pass({ qps: 10 });
  const at = deletesAt(world);
  assert.equal(at.length, 5);
  assert.ok(at[1]! >= 5_000);
  for (let i = 2; i < at.length; i++) assert.ok(at[i]! - at[i - 1]! >= 100, String(at));
});

test('a server that keeps refusing is left alone until the next pass', async () => {
  const world = expired(50);
  world.store.faults = ({ verb }) => (verb === 'delete' ? { delayMs: 10, fail: 'TooManyRequests' } : undefined);
  const result = await world.pass({ concurrency: 10 });
  assert.deepEqual([result.outcome, result.because, result.left, result.failed], ['stopped', 'throttled', 50, 0]);
  assert.equal(result.error?.code, 'TooManyRequests');
  assert.equal(world.of('throttled').length, 5);
  assert.equal(world.store.count('delete'), 60, 'ten at once, and after each of five pauses');
  assert.equal(world.clock.pending, 0);
});

test('a server that asks for more than a minute is left alone at once', async () => {
  const world = expired(50);
  world.store.next('delete', { fail: storeError('TooManyRequests', 'later', { retryAfterMs: 600_000 }) });
  const result = await world.pass({ concurrency: 1 });
  assert.deepEqual([result.outcome, result.because, result.left], ['stopped', 'throttled', 50]);
  assert.equal(world.store.count('delete'), 1);
});

test('a failure is counted and not repeated, the pass goes on, the next one is right', async () => {
  const world = expired(40);
  const codes = ['ServerError', 'Timeout', 'Unavailable', 'Forbidden', 'BadAnswer', 'Invalid'] as const;
  world.store.next('delete', ...codes.map((fail) => ({ fail })));
  const result = await world.pass({ concurrency: 3 });
  assert.deepEqual([result.outcome, result.deleted, result.failed, result.left], ['completed', 34, 6, 0]);
  assert.equal(world.store.count('delete'), 40);
  assert.deepEqual(
    world.of('deleteFailed').map(({ error }) => error.code),
    codes,
  );
  assert.equal((await world.pass()).deleted, 6);
  assert.deepEqual(world.names(), ['alive']);
});

test('when every DELETE fails the pass ends early', async () => {
  const world = expired(500);
  world.store.faults = ({ verb }) => (verb === 'delete' ? { fail: 'Forbidden' } : undefined);
  const result = await world.pass({ concurrency: 8 });
  assert.deepEqual([result.outcome, result.because, result.error?.code], ['stopped', 'failing', 'Forbidden']);
  assert.equal(result.failed + result.left, 500);
  assert.ok(world.store.count('delete') < 20 + 8, `${world.store.count('delete')} DELETEs`);
});

test('a few that can never be deleted do not keep the others: passes begin at different ones', async () => {
  const world = expired(200);
  // Forbidden by an admission policy, say; they come first in the list.
  world.store.faults = ({ verb, name }) => (verb === 'delete' && name < 'e100' ? { fail: 'Forbidden' } : undefined);
  for (const start of [0, 0.6]) await world.pass({ concurrency: 1, random: () => start });
  assert.ok(world.deletions().length >= 80, `${world.deletions().length} deleted`);
});

test('a DELETE whose answer was lost is reported as unknown, and found done by the next pass', async () => {
  const world = expired(2);
  world.store.next('delete', { lose: 'Unavailable' });
  const result = await world.pass();
  assert.deepEqual([result.deleted, result.failed], [1, 1]);
  assert.equal(world.of('deleteFailed')[0]?.error.mayHaveCommitted, true);
  const next = await world.pass();
  assert.deepEqual([next.outcome, next.collectable], ['completed', 0]);
});

test('DELETEs carry the request timeout; a hanging one ends by it and holds up no other', async () => {
  const world = expired(5);
  world.store.next('delete', { hang: true });
  const result = await world.pass({ requestTimeoutMs: 3_000, concurrency: 2 });
  assert.deepEqual([result.deleted, result.failed, result.tookMs], [4, 1, 33_000]);
});

test('an abort during a pause or a wait for a slot ends it at once', async () => {
  for (const options of [{ qps: 0.01 }, {}]) {
    const world = expired(5);
    const busy = { fail: storeError('TooManyRequests', 'slow down', { retryAfterMs: 50_000 }) };
    if (!('qps' in options)) world.store.next('delete', busy);
    const sweeping = world.sweeper({ concurrency: 1, ...options }).sweepOnce(world.abort.signal);
    await world.clock.advance(31_000);
    world.abort.abort();
    const result = await sweeping;
    assert.equal(result.outcome, 'aborted');
    assert.equal(result.deleted + result.left, 5);
    await settle();
    assert.equal(world.clock.pending, 0);
  }
});

test('a pass that gives up does not wait for slots that nobody needs any more', async () => {
  const world = expired(50);
  world.store.next('delete', { fail: storeError('TooManyRequests', 'later', { retryAfterMs: 600_000 }) });
  const result = await world.pass({ qps: 0.1, concurrency: 10 });
  assert.deepEqual([result.outcome, result.tookMs, world.store.count('delete')], ['stopped', 30_000, 1]);
  assert.equal(world.clock.pending, 0);
});

test('passes leave no listener on the signal', async () => {
  const world = expired(30);
  world.store.next('delete', { fail: 'TooManyRequests' }, { fail: 'ServerError' }, { delayMs: 100 });
  await world.pass({ concurrency: 5, qps: 50 });
  await world.pass();
  assert.equal(getEventListeners(world.abort.signal, 'abort').length, 0);
});
