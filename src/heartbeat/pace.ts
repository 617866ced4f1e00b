/**
 * How many requests may be made in a moment: a token bucket whose rate follows the number of nodes.
 *
 * Guarantees: over any time no more than two and a half times what ordinary renewals take (or 50 a second, where that is more), plus a
 * twentieth of a second's worth at once; while nothing succeeds, a quarter of the ordinary. What a stall or an outage has
 * held up is therefore never sent in one burst. Pure; time comes as an argument.
 */

/** Requests a second that are always allowed: a handful of nodes need not wait for each other. */
const FLOOR_PER_SECOND = 50;
/** A first renewal takes a GET and a POST: twice the ordinary, and some room. */
const CATCH_UP = 2.5;
const PROBING = 0.25;
/** Milliseconds of the rate that may be saved up: a turn of the event loop that took long is made up for at once. */
const SAVED_MS = 50;
/** Requests that may be saved up at the least. */
const SAVED_FLOOR = 10;
/** Failures in a row from which the API counts as gone. */
const GONE_AFTER = 20;

export class Pace {
  #intervalMs: number;
  #shorter: { readonly intervalMs: number; readonly until: number } | undefined;
  #nodes = 0;
  #failures = 0;
  #tokens = SAVED_FLOOR;
  #at: number;

  constructor(intervalMs: number, now: number) {
    this.#intervalMs = intervalMs;
    this.#at = now;
  }

  /** How many nodes are to be renewed, once an interval each. */
  set nodes(count: number) {
    this.#nodes = count;
  }

  /** Another interval from now on; a shorter one before it still sets the rate until all have had their turn of that. */
  update(intervalMs: number, now: number): void {
    this.#fill(now);
    const before = this.#intervalAt(now);
    this.#shorter = before < intervalMs ? { intervalMs: before, until: now + 2 * before } : undefined;
    this.#intervalMs = intervalMs;
  }

  succeeded(): void {
    this.#failures = 0;
  }

  failed(): void {
    this.#failures++;
  }

  /** Takes one; false when there is none yet. */
  take(now: number): boolean {
    this.#fill(now);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }

  /** Counts a request that is made without asking. */
  spend(): void {
    this.#tokens--;
  }

  /** Milliseconds until there is one. */
  wait(now: number): number {
    this.#fill(now);
    return this.#tokens >= 1 ? 0 : (1 - this.#tokens) / this.#rate(now);
  }

  #intervalAt(now: number): number {
    return this.#shorter && now < this.#shorter.until ? this.#shorter.intervalMs : this.#intervalMs;
  }

  /** Requests a millisecond. */
  #rate(now: number): number {
    const factor = this.#failures >= GONE_AFTER ? PROBING : CATCH_UP;
    return Math.max(FLOOR_PER_SECOND / 1000, (factor * this.#nodes) / this.#intervalAt(now));
  }

  #fill(now: number): void {
    const rate = this.#rate(now);
    this.#tokens = Math.min(this.#tokens + (now - this.#at) * rate, Math.max(SAVED_FLOOR, rate * SAVED_MS));
    this.#at = now;
  }
}
