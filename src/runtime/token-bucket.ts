/**
 * A rate limit that lets a few through at once: a bucket of tokens that fills with time.
 */
import type { Clock } from './clock.ts';

export class TokenBucket {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #everyMs: number;
  #tokens: number;
  #filledAt: number;

  /**
   * @param burst how many may come at once
   * @param everyMs milliseconds until one more is allowed
   */
  constructor(clock: Clock, burst: number, everyMs: number) {
    this.#clock = clock;
    this.#burst = burst;
    this.#everyMs = everyMs;
    this.#tokens = burst;
    this.#filledAt = clock.monotonic();
  }

  /** Takes one and gives 0, or takes none and gives the milliseconds until there is one. */
  take(): number {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) / this.#everyMs);
    this.#filledAt = now;
    // Whole milliseconds: a wait too short for any clock to notice would be asked for again at once.
    if (this.#tokens < 1) return Math.ceil((1 - this.#tokens) * this.#everyMs);
    this.#tokens -= 1;
    return 0;
  }
}
