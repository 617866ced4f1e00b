/**
 * The calls of all electors that share one store: no more at a time than the store carries, and of those that wait the one
 * with the earliest deadline first.
 *
 * Guarantees: a call's own time begins when it is its turn, so that what waits is not given up for having waited: hundreds of
 * leases are renewed in time wherever the store could renew each of them in time. Where the store says no number, nothing
 * waits.
 */
import { LeaseStoreError } from '../lease/store.ts';
import type { LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';

/** Of each new measurement that much counts. */
const WEIGHT = 1 / 4;

interface Waiting {
  readonly deadline: number;
  readonly begin: () => void;
}

const queues = new WeakMap<LeaseStore, CallQueue>();

export class CallQueue {
  readonly #limit: number;
  #running = 0;
  /** The latest deadline first: who is next stands at the end. */
  readonly #waiting: Waiting[] = [];
  #typicalMs = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The one queue of a store. */
  static of(store: LeaseStore): CallQueue {
    let queue = queues.get(store);
    if (!queue) queues.set(store, (queue = new CallQueue(store.concurrency ?? Infinity)));
    return queue;
  }

  /** Milliseconds that calls took lately, from their turn to their answer; 0 before the first. */
  get typicalMs(): number {
    return this.#typicalMs;
  }

  /**
   * Makes the call as soon as it is its turn.
   * @param deadline by when it should have been answered, monotonic milliseconds
   * @throws LeaseStoreError `Aborted` when the signal aborts before its turn
   */
  async run<T>(clock: Clock, deadline: number, signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> {
    if (this.#running < this.#limit) this.#running++;
    else await this.#turn(deadline, signal);
    const began = clock.monotonic();
    try {
      const answer = await call();
      const took = clock.monotonic() - began;
      this.#typicalMs += (took - this.#typicalMs) * (this.#typicalMs === 0 ? 1 : WEIGHT);
      return answer;
    } finally {
      // Its place is the next one's.
      const next = this.#waiting.pop();
      if (next) next.begin();
      else this.#running--;
    }
  }

  #turn(deadline: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        const at = this.#waiting.indexOf(waiting);
        if (at === -1) return;
        this.#waiting.splice(at, 1);
        reject(new LeaseStoreError('Aborted', { message: 'given up before it was sent' }));
      };
      const begin = (): void => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      };
      const waiting: Waiting = { deadline, begin };
      const at = this.#waiting.findLastIndex((other) => other.deadline > deadline);
      this.#waiting.splice(at + 1, 0, waiting);
      if (signal?.aborted) onAbort();
      else signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}
