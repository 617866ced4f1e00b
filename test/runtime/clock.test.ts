import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it, mock } from 'node:test';
import fc from '../support/fast-check.ts';
import type { TimeSources } from '../../src/runtime/clock.ts';
import { createSystemClock, isTimeout, sleep, TimeoutError, withTimeout } from '../../src/runtime/clock.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

const WALL = Date.UTC(2026, 0, 1);

/** A machine whose three clocks are moved by hand, in milliseconds. */
class Machine {
  running = 5_000;
  boot = 900_000;
  wall = WALL;
  readonly sources: TimeSources = {
    running: () => this.running,
    // The kernel tells it in steps of 10 ms.
    sinceBoot: () => Math.floor(this.boot / 10) * 10,
    wall: () => Math.floor(this.wall),
  };
  run(ms: number): void {
    this.running += ms;
    this.suspend(ms);
  }
  suspend(ms: number): void {
    this.boot += ms;
    this.wall += ms;
  }
}

describe('system clock: monotonic', () => {
  it('counts running time exactly, without the steps of the boot clock', () => {
    const machine = new Machine();
    const clock = createSystemClock(machine.sources);
    const start = clock.monotonic();
    for (let i = 1; i <= 1_000; i++) {
      machine.run(1.25);
      assert.equal(clock.monotonic() - start, i * 1.25);
    }
  });

  it('does not go back where the machine does', () => {
    const machine = new Machine();
    const clock = createSystemClock(machine.sources);
    machine.run(1_000);
    const before = clock.monotonic();
    machine.running -= 20;
    assert.equal(clock.monotonic(), before);
    machine.run(30);
    assert.equal(clock.monotonic(), before + 10);
  });

  it('counts the time in which the machine was suspended', () => {
    const machine = new Machine();
    const clock = createSystemClock(machine.sources);
    const start = clock.monotonic();
    machine.run(1_000);
    machine.suspend(60_000);
    near(clock.monotonic() - start, 61_000, 10);
    machine.run(500);
    machine.suspend(3_000);
    near(clock.monotonic() - start, 64_500, 10);
  });

  it('sees a suspend at its first reading afterwards, however soon after the last one before', () => {
    const machine = new Machine();
    const clock = createSystemClock(machine.sources);
    const start = clock.monotonic();
    machine.run(1);
    clock.monotonic();
    machine.suspend(60_000);
    near(clock.monotonic() - start, 60_001, 10);
  });

  it('counts many short suspends too, once they add up', () => {
    const machine = new Machine();
    const clock = createSystemClock(machine.sources);
    const start = clock.monotonic();
    for (let i = 0; i < 50; i++) {
      machine.run(10);
      machine.suspend(40);
      clock.monotonic();
    }
    near(clock.monotonic() - start, 2_500, 110);
  });

  it('does not move when the wall clock is stepped', () => {
    const machine = new Machine();
    const clock = createSystemClock(machine.sources);
    const start = clock.monotonic();
    machine.wall += 3_600_000;
    assert.equal(clock.monotonic(), start);
    machine.wall -= 7_200_000;
    assert.equal(clock.monotonic(), start);
  });

  it('never goes back and never runs ahead, whatever the machine does', () => {
    const step = fc.record({ kind: fc.constantFrom('run', 'suspend', 'wall'), ms: fc.integer({ min: 0, max: 5_000 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const machine = new Machine();
        const clock = createSystemClock(machine.sources);
        const start = clock.monotonic();
        let [last, real] = [start, 0];
        for (const { kind, ms } of steps) {
          if (kind === 'run') machine.run(ms);
          else if (kind === 'suspend') machine.suspend(ms);
          else if (kind === 'wall') machine.wall -= ms;
          if (kind === 'run' || kind === 'suspend') real += ms;
          const now = clock.monotonic();
          assert.ok(now >= last);
          // The tolerance of 40 ms, a step of os.uptime, and what passes between two looks at it.
          near(now - start, real, 40 + 10 + 50);
          last = now;
        }
      }),
    );
  });
});

describe('system clock: monotonic, when the process or the machine stands still between two of its readings', () => {
  const HOUR = 3_600_000;

  /** What happens before each reading, from the first one on; `run`: a pause of the process. */
  type Happening = readonly [kind: 'run' | 'suspend' | 'wall', ms: number] | undefined;

  class Interrupted extends Machine {
    readonly happenings: Happening[] = [];
    /** Milliseconds that have passed outside. */
    real = 0;
    override readonly sources: TimeSources = {
      running: () => this.#read(() => this.running),
      sinceBoot: () => this.#read(() => Math.floor(this.boot / 10) * 10),
      wall: () => this.#read(() => Math.floor(this.wall)),
    };
    override suspend(ms: number): void {
      super.suspend(ms);
      this.real += ms;
    }
    happen(happening: Happening): void {
      const [kind, ms] = happening ?? ['wall', 0];
      if (kind === 'wall') this.wall += ms;
      else this[kind](ms);
    }
    #read(value: () => number): number {
      this.happen(this.happenings.shift());
      return value();
    }
  }

  for (const at of [0, 1, 2, 3, 4, 5, 6]) {
    it(`an hour's stop before reading ${at} counts once, in the making too`, () => {
      for (const inMaking of [true, false]) {
        const machine = new Interrupted();
        const stop: Happening[] = [...new Array<Happening>(at), ['run', HOUR]];
        if (inMaking) machine.happenings.push(...stop);
        const origin = machine.running;
        const clock = createSystemClock(machine.sources);
        if (!inMaking) {
          clock.monotonic();
          machine.run(100);
          machine.happenings.push(...stop);
        }
        for (let i = 0; i < 5; i++) {
          const now = clock.monotonic();
          near(now - origin, machine.real, 10);
          machine.run(60);
        }
        near(clock.monotonic() - origin, machine.real, 10);
        // And a suspend is seen as ever.
        machine.suspend(HOUR / 2);
        near(clock.monotonic() - origin, machine.real, 20);
      }
    });
  }

  it('never runs ahead, never goes back, and is right again at the first quiet reading', () => {
    const ms = fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 0, max: HOUR }));
    const happening = fc.option(fc.tuple(fc.constantFrom('run', 'suspend', 'wall'), ms), { nil: undefined, freq: 2 });
    const call = fc.record({ before: happening, during: fc.array(happening, { maxLength: 12 }) });
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 10 }), fc.array(call, { maxLength: 20 }), (making, calls) => {
        const machine = new Interrupted();
        const origin = machine.running;
        machine.happenings.push(...making);
        const clock = createSystemClock(machine.sources);
        machine.happenings.length = 0;
        const made = machine.real;
        let last = -Infinity;
        const read = (during: readonly Happening[]): number => {
          machine.happenings.push(...during);
          const now = clock.monotonic();
          machine.happenings.length = 0;
          assert.ok(now >= last, 'never back');
          assert.ok(now - origin <= machine.real + 110, `${now - origin} is ahead of ${machine.real}`);
          last = now;
          return now;
        };
        for (const { before, during } of calls) {
          machine.happen(before);
          read(during);
          machine.run(60);
          const quiet = read([]);
          // What passed in the making may count or not: the zero of the clock means nothing.
          assert.ok(quiet - origin >= machine.real - made - 110, `${quiet - origin} is behind ${machine.real}`);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('asks for the time since boot, which is slow, once in 50 ms', () => {
    const machine = new Interrupted();
    let asked = 0;
    const sources = { ...machine.sources, sinceBoot: () => (asked++, machine.sources.sinceBoot()) };
    const clock = createSystemClock(sources);
    asked = 0;
    for (let i = 0; i < 10_000; i++) {
      clock.monotonic();
      machine.run(0.1);
    }
    assert.ok(asked >= 19 && asked <= 21, `${asked}`);
  });
});

describe('system clock: wall', () => {
  it('has microseconds between the milliseconds of the source', () => {
    const machine = new Machine();
    const clock = createSystemClock(machine.sources);
    const start = clock.wallMicros();
    assert.equal(start, WALL * 1000);
    machine.run(0.125);
    assert.equal(clock.wallMicros() - start, 125);
    machine.run(0.25);
    assert.equal(clock.wallMicros() - start, 375);
  });

  for (const step of [3, -3, 500, -500, 3_600_000, -3_600_000]) {
    it(`follows a step of ${step} ms at once`, () => {
      const machine = new Machine();
      const clock = createSystemClock(machine.sources);
      clock.wallMicros();
      machine.wall += step;
      near(clock.wallMicros() / 1000, WALL + step, 2);
      machine.run(1_000);
      near(clock.wallMicros() / 1000, WALL + step + 1_000, 2);
    });
  }

  it('follows suspend, and slow drift within 2 ms', () => {
    const machine = new Machine();
    const clock = createSystemClock(machine.sources);
    machine.suspend(60_000);
    near(clock.wallMicros() / 1000, machine.wall, 2);
    for (let i = 0; i < 1_000; i++) {
      machine.run(10);
      machine.wall += 0.05;
      near(clock.wallMicros() / 1000, machine.wall, 3);
    }
  });

  it('is the real time when nothing is replaced', () => {
    const clock = createSystemClock();
    const [from, read, until] = [Date.now(), clock.wallMicros() / 1000, Date.now()];
    assert.ok(from - 50 <= read && read <= until + 50, `${read} is not between ${from} and ${until}`);
    const before = clock.monotonic();
    assert.ok(clock.monotonic() >= before);
  });
});

describe('system clock: schedule', () => {
  it('calls back once, after the time, and not when cancelled', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const clock = createSystemClock(new Machine().sources);
    const [kept, cancelled] = [mock.fn(), mock.fn()];
    clock.schedule(100, kept);
    const cancel = clock.schedule(100, cancelled);
    t.mock.timers.tick(99);
    assert.equal(kept.mock.callCount(), 0);
    cancel();
    t.mock.timers.tick(1_000);
    assert.equal(kept.mock.callCount(), 1);
    assert.equal(cancelled.mock.callCount(), 0);
    cancel();
  });

  it("waits longer than setTimeout's own 24.8 days, and can be cancelled in any part of it", (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const clock = createSystemClock(new Machine().sources);
    const limit = 2 ** 31 - 1;
    const [kept, cancelled] = [mock.fn(), mock.fn()];
    clock.schedule(2 * limit + 1_000, kept);
    const cancel = clock.schedule(2 * limit, cancelled);
    t.mock.timers.tick(limit);
    cancel();
    t.mock.timers.tick(limit);
    t.mock.timers.tick(999);
    assert.equal(kept.mock.callCount(), 0);
    t.mock.timers.tick(1);
    assert.equal(kept.mock.callCount(), 1);
    assert.equal(cancelled.mock.callCount(), 0);
  });

  it('takes a negative time as none', async () => {
    await new Promise<void>((resolve) => void createSystemClock().schedule(-5, resolve));
  });
});

describe('sleep', () => {
  it('is true when the time has passed, and not before', async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const slept = track(sleep(clock, 100, controller.signal));
    await clock.advance(99);
    assert.equal(slept.state, 'pending');
    await clock.advance(1);
    assert.equal(await slept.promise, true);
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  });

  it('is false at once when the signal aborts, and leaves no timer and no listener', async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const slept = sleep(clock, 100, controller.signal);
    assert.equal(clock.pending, 1);
    controller.abort();
    assert.equal(await slept, false);
    assert.equal(clock.pending, 0);
    assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
  });

  it('is false, without a timer, when the signal aborted before', async () => {
    const clock = new ManualClock();
    const slept = sleep(clock, 100, AbortSignal.abort());
    assert.equal(clock.pending, 0);
    assert.equal(await slept, false);
  });

  it('leaves no timer of the system clock after an abort', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const clock = createSystemClock();
    const before = timers();
    const controller = new AbortController();
    const slept = sleep(clock, 60_000, controller.signal);
    assert.equal(timers(), before + 1);
    controller.abort();
    assert.equal(await slept, false);
    assert.equal(timers(), before);
  });
});

describe('withTimeout', () => {
  const untilAborted = (signal: AbortSignal): Promise<never> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));

  it('gives what the work gives, and leaves nothing behind', async () => {
    const clock = new ManualClock();
    const { signal } = new AbortController();
    assert.equal(await withTimeout(clock, 100, signal, async () => 5), 5);
    assert.equal(clock.pending, 0);
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });

  it('throws what the work throws, synchronously or not, and leaves nothing behind', async () => {
    const clock = new ManualClock();
    const works = [
      () => Promise.reject(new Error('broken')),
      () => {
        throw new Error('broken');
      },
    ];
    for (const work of works) await assert.rejects(withTimeout(clock, 100, undefined, work), /broken/);
    assert.equal(clock.pending, 0);
  });

  it('aborts the work when the time has passed, with a reason of its own', async () => {
    const clock = new ManualClock();
    const answer = track(withTimeout(clock, 100, undefined, untilAborted));
    await clock.advance(99);
    assert.equal(answer.state, 'pending');
    await clock.advance(1);
    await assert.rejects(
      answer.promise,
      (error) => isTimeout(error) && /100 ms/.test(error.message) && error.code === 'Timeout',
    );
  });

  it("aborts the work when the parent does, with the parent's reason", async () => {
    const clock = new ManualClock();
    const parent = new AbortController();
    const answer = withTimeout(clock, 100, parent.signal, untilAborted);
    parent.abort(new Error('shutdown'));
    await assert.rejects(answer, /shutdown/);
    assert.equal(clock.pending, 0);
    assert.equal(getEventListeners(parent.signal, 'abort').length, 0);
  });

  it('starts the work aborted when the parent was', async () => {
    const clock = new ManualClock();
    const aborted = await withTimeout(clock, 100, AbortSignal.abort(), async (signal) => signal.aborted);
    assert.equal(aborted, true);
    assert.equal(clock.pending, 0);
  });

  it('waits for work that ignores its signal', async () => {
    const clock = new ManualClock();
    const answer = track(withTimeout(clock, 100, undefined, () => sleep(clock, 500)));
    await clock.advance(300);
    assert.equal(answer.state, 'pending');
    await clock.advance(200);
    assert.equal(await answer.promise, true);
  });

  it('knows its own reason from others', () => {
    assert.equal(isTimeout(new TimeoutError(5)), true);
    for (const other of [undefined, new Error('Timeout'), { code: 'Timeout' }]) assert.equal(isTimeout(other), false);
  });
});

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not within ${tolerance} of ${expected}`);
}

function track<T>(promise: Promise<T>): { promise: Promise<T>; state: 'pending' | 'settled' } {
  const tracked = { promise, state: 'pending' as 'pending' | 'settled' };
  const settled = (): void => void (tracked.state = 'settled');
  promise.then(settled, settled);
  return tracked;
}
