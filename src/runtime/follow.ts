/**
 * Follows a watch until its signal aborts: the one loop of opening, reading, pausing and opening again.
 *
 * Guarantees: one watch at a time; no event is handed on after the stop, or from a watch that was replaced; `run` settles
 * when its signal aborts and the watch has ended, leaving no timer. What is no LeaseStoreError ends `run`: it is a mistake
 * of the program.
 */
import { isStoreError } from '../lease/store.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { sleep } from './clock.ts';
import type { Clock } from './clock.ts';

interface FollowerOptions<Event> {
  readonly clock: Clock;
  /** Opens a watch that ends when its signal aborts. */
  readonly open: (signal: AbortSignal) => AsyncIterable<Event>;
  readonly onEvent: (event: Event) => void;
  /**
   * Called when a watch ended by itself.
   * @param error what ended it; undefined: it ended without one
   * @returns milliseconds until the next is opened
   */
  readonly onEnd: (error: LeaseStoreError | undefined) => number;
}

export class Follower<Event> {
  readonly #options: FollowerOptions<Event>;
  #turn: AbortController | undefined;

  constructor(options: FollowerOptions<Event>) {
    this.#options = options;
  }

  /** Closes the watch that is open, because it can no longer be trusted, and opens another at once. */
  replace(): void {
    this.#turn?.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, open, onEvent, onEnd } = this.#options;
    const stop = (): void => this.#turn?.abort();
    signal.addEventListener('abort', stop, { once: true });
    try {
      while (!signal.aborted) {
        const turn = new AbortController();
        this.#turn = turn;
        let failure: LeaseStoreError | undefined;
        try {
          for await (const event of open(turn.signal)) {
            if (turn.signal.aborted) break;
            onEvent(event);
          }
        } catch (error) {
          if (!isStoreError(error)) throw error;
          failure = error;
        }
        this.#turn = undefined;
        if (!turn.signal.aborted) await sleep(clock, onEnd(failure), signal);
      }
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}
