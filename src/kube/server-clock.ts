/**
 * How far our wall clock is from the API server's, by the `Date` of the answers that come anyway.
 *
 * Guarantees: asks for nothing; a step of our clock since the last answer counts at once, what the server's does is known with
 * its next answer.
 */
import { clockDistance } from '../runtime/clock-distance.ts';
import type { Clock } from '../runtime/clock.ts';

export class ServerClock {
  readonly #clock: Clock;
  #header: unknown;
  #sentMs = 0;
  #receivedMs = 0;
  /** Our wall clock less our monotonic one, at that answer. */
  #offsetMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** An answer's beginning has come. @param sentMicros our wall clock when it was asked for */
  note(date: unknown, sentMicros: number): void {
    if (date === undefined) return;
    const receivedMs = this.#clock.wallMicros() / 1000;
    // Of many answers in one second the first tells as much as all of them.
    if (date === this.#header && receivedMs >= this.#receivedMs && receivedMs < this.#receivedMs + 1_000) return;
    this.#header = date;
    this.#sentMs = sentMicros / 1000;
    this.#receivedMs = receivedMs;
    this.#offsetMs = receivedMs - this.#clock.monotonic();
  }

  /** Milliseconds that our clock is ahead, at the least; undefined before the first answer that says the time. */
  distanceMs(): number | undefined {
    const dateMs = typeof this.#header === 'string' ? Date.parse(this.#header) : NaN;
    if (Number.isNaN(dateMs)) return undefined;
    const stepMs = this.#clock.wallMicros() / 1000 - this.#clock.monotonic() - this.#offsetMs;
    return clockDistance(this.#sentMs + stepMs, this.#receivedMs + stepMs, dateMs);
  }
}
