/**
 * A clock that stands still until it is moved: for tests.
 *
 * Guarantees: timers fire in the order of their time, then of their making; while one fires, the clock shows its time;
 * what it sets off (promises, and whatever I/O is already there) is given its turn before the next one fires.
 */
import type { Clock } from './clock.ts';

interface Timer {
  readonly at: number;
  readonly callback: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #monotonic = 0;
  #wallOffsetMicros: number;
  readonly #timers = new Set<Timer>();

  /** @param wall the wall clock's first reading, in milliseconds since the epoch; default 2026-01-01T00:00:00Z */
  constructor(wall: number = Date.UTC(2026, 0, 1)) {
    this.#wallOffsetMicros = wall * 1000;
  }

  wallMicros(): number {
    return Math.floor(this.#wallOffsetMicros + this.#monotonic * 1000);
  }

  monotonic(): number {
    return this.#monotonic;
  }

  schedule(ms: number, callback: () => void): () => void {
    const timer = { at: this.#monotonic + Math.max(0, ms), callback };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Timers that wait: 0 when nothing was left behind. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Milliseconds until the next timer fires; `undefined` when none waits. */
  get next(): number | undefined {
    const first = this.#first(Infinity);
    return first && first.at - this.#monotonic;
  }

  /** Steps the wall clock alone, as an operator or NTP would. */
  stepWall(ms: number): void {
    this.#wallOffsetMicros += ms * 1000;
  }

  /** Moves time on by `ms`, firing what falls due on the way, and lets the consequences settle. */
  async advance(ms: number): Promise<void> {
    const until = this.#monotonic + ms;
    await settle();
    for (let timer = this.#first(until); timer; timer = this.#first(until)) {
      this.#timers.delete(timer);
      this.#monotonic = Math.max(this.#monotonic, timer.at);
      timer.callback();
      await settle();
    }
    this.#monotonic = until;
    await settle();
  }

  /** Moves time on to the next timer and fires it. False when none waits. */
  async step(): Promise<boolean> {
    await settle();
    const ms = this.next;
    if (ms === undefined) return false;
    await this.advance(ms);
    return true;
  }

  /** Jumps without firing anything on the way, as a paused or suspended process sees it; what is due fires at the next advance. */
  jump(ms: number): void {
    this.#monotonic += ms;
  }

  #first(until: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) if (timer.at <= until && (!first || timer.at < first.at)) first = timer;
    return first;
  }
}

/** Lets promises, and I/O that is ready, have their turn. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
