/**
 * Time, from outside: everything that waits or measures takes a Clock, so that tests can move it.
 *
 * Guarantees of the system clock: `monotonic` never goes back, never runs ahead, and counts the time in which the machine
 * was suspended, wherever among its readings the process is stopped or the machine suspended; `wallMicros` follows steps
 * of the machine's clock within 2 ms and has microseconds.
 */
import { uptime } from 'node:os';

/** Time from outside: `createSystemClock` in production, `ManualClock` of `leasekeeper/testing` in tests. */
export interface Clock {
  /** Wall clock, in microseconds since the epoch. For what others read; never for measuring. */
  wallMicros(): number;
  /** Monotonic milliseconds since some point. For measuring; means nothing to others. */
  monotonic(): number;
  /** Calls back once after `ms` milliseconds, unless the returned function was called before. */
  schedule(ms: number, callback: () => void): () => void;
}

/** setTimeout's own limit; longer waits are cut into pieces. */
const MAX_TIMEOUT_MS = 2_147_483_647;
/** os.uptime reads a file (20 microseconds); it is asked this often, and whenever the wall clock shows a gap. */
const UPTIME_EVERY_MS = 50;
/** How far os.uptime and process.hrtime may disagree before the machine is believed to have been suspended. */
const SUSPEND_TOLERANCE_MS = 40;

/** Between two readings that count as of one moment, in milliseconds, and how often they are tried. */
const ONE_MOMENT_MS = 2;
const TRIES = 3;

/** What the system clock is made of; replaced in tests only. */
export interface TimeSources {
  /** Milliseconds, monotonic, standing still in suspend: process.hrtime. */
  readonly running: () => number;
  /** Milliseconds since boot, suspend included, in steps of 10 ms: os.uptime. */
  readonly sinceBoot: () => number;
  /** Milliseconds since the epoch: Date.now. */
  readonly wall: () => number;
}

const SYSTEM_SOURCES: TimeSources = {
  // The clock of performance.now(), which a start of the program would pay for with more than a millisecond.
  running: () => {
    const [seconds, nanos] = process.hrtime();
    return seconds * 1000 + nanos / 1e6;
  },
  sinceBoot: () => uptime() * 1000,
  wall: () => Date.now(),
};

/** The machine's clocks. Monotonic time counts the time in which the machine was suspended. */
export function createSystemClock(sources: TimeSources = SYSTEM_SOURCES): Clock {
  // process.hrtime() stands still while a Linux machine is suspended, os.uptime() does not; the later one is believed.
  // Where they cannot be read in one moment, each end of the range is used where it makes the suspended time shorter.
  const atStart = bootAhead(sources).most;
  let suspended = 0;
  let latest = 0;
  let nextUptime = 0;
  let lastAhead = NaN;
  let wallAnchor = sources.wall() - sources.running();
  return {
    wallMicros() {
      const running = sources.running();
      const wall = sources.wall();
      if (Math.abs(wallAnchor + running - wall) > 2) wallAnchor = wall - running;
      return Math.floor((wallAnchor + running) * 1000);
    },
    monotonic() {
      let running = sources.running();
      // A suspend, however short ago, shows as a gap between the wall clock and the running one.
      const ahead = sources.wall() - running;
      if (running >= nextUptime || Math.abs(ahead - lastAhead) > UPTIME_EVERY_MS) {
        lastAhead = ahead;
        const reading = bootAhead(sources);
        running = reading.running;
        nextUptime = running + UPTIME_EVERY_MS;
        const missed = reading.least - atStart;
        if (missed > suspended + SUSPEND_TOLERANCE_MS) suspended = missed;
      }
      latest = Math.max(latest, running + suspended);
      return latest;
    },
    schedule(ms, callback) {
      let left = Math.max(0, ms);
      let timer: NodeJS.Timeout;
      const arm = (): void => {
        const step = Math.min(left, MAX_TIMEOUT_MS);
        left -= step;
        timer = setTimeout(left > 0 ? arm : callback, step);
      };
      arm();
      return () => clearTimeout(timer);
    },
  };
}

/**
 * How far the time since boot is ahead of the running time: between `least` and `most`, which are less than a few
 * milliseconds apart unless the process was stopped between the readings again and again.
 */
function bootAhead({ running, sinceBoot }: TimeSources): { least: number; most: number; running: number } {
  let closest: { least: number; most: number; running: number } | undefined;
  let before = running();
  for (let i = 0; i < TRIES; i++) {
    const boot = sinceBoot();
    const after = running();
    if (!closest || after - before < closest.most - closest.least) {
      closest = { least: boot - after, most: boot - before, running: after };
    }
    if (after - before <= ONE_MOMENT_MS) break;
    before = after;
  }
  return closest!;
}

/**
 * Waits so many milliseconds. Resolves `true` when the time has passed, `false` as soon as the signal aborts. Leaves no timer or listener.
 */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    if (signal?.aborted) {
      resolve(false);
      return;
    }
    const onAbort = (): void => {
      cancel();
      resolve(false);
    };
    const cancel = clock.schedule(ms, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve(true);
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Resolves once the signal has aborted. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

/**
 * Runs `work` with a signal that aborts when the parent does, or after `ms` with a reason that `isTimeout` knows.
 * Leaves no timer or listener once the work has settled. Waits for the work: work that ignores its signal is not left
 * behind.
 */
export async function withTimeout<T>(
  clock: Clock,
  ms: number,
  parent: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const onAbort = (): void => controller.abort(parent?.reason);
  if (parent?.aborted) onAbort();
  else parent?.addEventListener('abort', onAbort, { once: true });
  const cancel = clock.schedule(ms, () => controller.abort(new TimeoutError(ms)));
  try {
    return await work(controller.signal);
  } finally {
    cancel();
    parent?.removeEventListener('abort', onAbort);
  }
}

/** The reason of a signal that `withTimeout` aborted. */
export class TimeoutError extends Error {
  override readonly name = 'TimeoutError';
  readonly code = 'Timeout';
  constructor(ms: number) {
    super(`no answer within ${ms} ms`);
  }
}

export const isTimeout = (reason: unknown): reason is TimeoutError => reason instanceof TimeoutError;
