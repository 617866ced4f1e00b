import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../support/fast-check.ts';
import { sleep } from '../../src/runtime/clock.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';

describe('ManualClock', () => {
  it('stands still until it is moved', () => {
    const clock = new ManualClock();
    assert.equal(clock.monotonic(), 0);
    assert.equal(clock.wallMicros(), Date.UTC(2026, 0, 1) * 1000);
    assert.equal(clock.monotonic(), 0);
  });

  it('fires in the order of time, then of making, and shows the time of each', async () => {
    const times = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 15 });
    await fc.assert(
      fc.asyncProperty(times, async (delays) => {
        const clock = new ManualClock();
        const fired: [number, number][] = [];
        delays.forEach((ms, i) => clock.schedule(ms, () => fired.push([clock.monotonic(), i])));
        await clock.advance(20);
        const wanted = delays.map((ms, i): [number, number] => [ms, i]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
        assert.deepEqual(fired, wanted);
        assert.equal(clock.pending, 0);
      }),
      { numRuns: 30 },
    );
  });

  it('fires what a fired timer sets up, when it falls due on the way', async () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    const tick = (): void => {
      seen.push(clock.monotonic());
      clock.schedule(10, tick);
    };
    clock.schedule(10, tick);
    await clock.advance(35);
    assert.deepEqual(seen, [10, 20, 30]);
    assert.equal(clock.monotonic(), 35);
    assert.equal(clock.next, 5);
  });

  it('gives promises their turn before the next timer', async () => {
    const clock = new ManualClock();
    const seen: string[] = [];
    const work = async (): Promise<void> => {
      await sleep(clock, 10);
      for (let i = 0; i < 20; i++) await Promise.resolve();
      seen.push(`worked at ${clock.monotonic()}`);
    };
    const working = work();
    clock.schedule(11, () => seen.push('next'));
    await clock.advance(20);
    await working;
    assert.deepEqual(seen, ['worked at 10', 'next']);
  });

  it('does not fire what was cancelled, even by a timer of the same time', async () => {
    const clock = new ManualClock();
    let fired = 0;
    clock.schedule(5, () => cancel());
    const cancel = clock.schedule(5, () => fired++);
    await clock.advance(5);
    assert.equal(fired, 0);
    assert.equal(clock.pending, 0);
  });

  it('steps to the next timer, and says when there is none', async () => {
    const clock = new ManualClock();
    let fired = 0;
    clock.schedule(70, () => fired++);
    assert.equal(await clock.step(), true);
    assert.deepEqual([fired, clock.monotonic()], [1, 70]);
    assert.equal(await clock.step(), false);
  });

  it('steps the wall clock alone', async () => {
    const clock = new ManualClock(0);
    clock.stepWall(-3_600_000);
    assert.equal(clock.monotonic(), 0);
    await clock.advance(1.5);
    assert.equal(clock.wallMicros(), -3_600_000_000 + 1_500);
  });

  it('jumps without firing; what is overdue fires at the next advance, at the time it is then', async () => {
    const clock = new ManualClock();
    const seen: number[] = [];
    clock.schedule(10, () => seen.push(clock.monotonic()));
    clock.jump(1_000);
    await settle();
    assert.deepEqual(seen, []);
    await clock.advance(0);
    assert.deepEqual(seen, [1_000]);
  });
});
