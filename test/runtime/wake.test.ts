import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { it } from 'node:test';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { Wake } from '../../src/runtime/wake.ts';

async function waitsFor(wake: Wake, clock: ManualClock, ms: number, signal?: AbortSignal): Promise<() => boolean> {
  let over = false;
  void wake.wait(clock, ms, signal).then(() => (over = true));
  await settle();
  return () => over;
}

it('waits for the time, for news, or for the signal, and leaves no timer and no listener', async () => {
  const clock = new ManualClock();
  const wake = new Wake();
  const controller = new AbortController();
  const ends: (() => unknown)[] = [() => clock.advance(100), () => wake.now(), () => controller.abort()];
  for (const end of ends) {
    const over = await waitsFor(wake, clock, 100, controller.signal);
    await clock.advance(0);
    assert.equal(over(), false);
    await end();
    await settle();
    assert.equal(over(), true);
    assert.equal(clock.pending, 0);
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  }
});

it('keeps news for the next wait, once', async () => {
  const clock = new ManualClock();
  const wake = new Wake();
  wake.now();
  wake.now();
  assert.equal((await waitsFor(wake, clock, 100))(), true);
  const over = await waitsFor(wake, clock, 100);
  assert.equal(over(), false);
  wake.now();
  await settle();
  assert.equal((await waitsFor(wake, clock, 100))(), false);
});
