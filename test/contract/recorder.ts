/** Follows a watch and keeps what it tells, so that a test can wait for a number of events instead of for time. */
import assert from 'node:assert/strict';
import type { LeaseEvent } from '../../src/lease/store.ts';

/** How long a test waits for an event that should come, in milliseconds: far more than any store needs. */
const PATIENCE_MS = 60_000;

export class Recorder {
  /** All but `fresh`, which a store may tell at any time. */
  readonly events: LeaseEvent[] = [];
  readonly #controller = new AbortController();
  readonly #ended: Promise<void>;
  #error: unknown;
  #wake: () => void = () => {};

  constructor(open: (signal: AbortSignal) => AsyncIterable<LeaseEvent>) {
    this.#ended = this.#follow(open(this.#controller.signal)).catch((error: unknown) => {
      this.#error = error;
      this.#wake();
    });
  }

  /** The events so far, as soon as there are this many. Fails when the watch ends before, or after ten seconds. */
  async until(count: number): Promise<readonly LeaseEvent[]> {
    const deadline = Date.now() + PATIENCE_MS;
    while (this.events.length < count) {
      if (this.#error) throw this.#error as Error;
      const left = deadline - Date.now();
      const seen = this.events.map((event) => event.type).join(', ');
      assert.ok(left > 0, `waited for ${count} events, saw: ${seen || 'none'}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.events;
  }

  /** Aborts the watch and waits for its end; throws what it threw. */
  async stop(): Promise<void> {
    this.#controller.abort();
    await this.#ended;
    if (this.#error) throw this.#error as Error;
  }

  async #follow(events: AsyncIterable<LeaseEvent>): Promise<void> {
    for await (const event of events) {
      if (event.type !== 'fresh') this.events.push(event);
      this.#wake();
    }
  }
}
