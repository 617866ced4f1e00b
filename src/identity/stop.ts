/**
 * The stages of a bounded stop: nothing new is begun, then writes in flight are given up, then everything is.
 */
import type { Clock } from '../runtime/clock.ts';

export class Stop {
  readonly #begun = new AbortController();
  readonly #writes = new AbortController();
  readonly #end = new AbortController();
  readonly #timers: (() => void)[] = [];
  readonly #signal: AbortSignal;
  readonly #onAbort: () => void;

  /**
   * @param graceMs milliseconds from the stop until a write in flight is given up
   * @param totalMs milliseconds from the stop until everything is
   */
  constructor(clock: Clock, signal: AbortSignal, graceMs: number, totalMs: number) {
    this.#signal = signal;
    this.#onAbort = () => {
      this.#timers.push(clock.schedule(graceMs, () => this.#writes.abort()));
      this.#timers.push(clock.schedule(totalMs, () => this.#end.abort()));
      this.#begun.abort();
    };
    if (signal.aborted) this.#onAbort();
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  get begun(): AbortSignal {
    return this.#begun.signal;
  }

  get writes(): AbortSignal {
    return this.#writes.signal;
  }

  get end(): AbortSignal {
    return this.#end.signal;
  }

  /** Begins the stop without the signal, for a failure of our own. */
  begin(): void {
    this.#begun.abort();
  }

  /** Leaves no timer or listener. */
  dispose(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    for (const cancel of this.#timers) cancel();
  }
}
