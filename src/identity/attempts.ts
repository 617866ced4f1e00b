/**
 * Failures in a row: how many, the last of them, and how long to wait.
 */
import { isStoreError } from '../lease/store.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Backoff } from '../runtime/backoff.ts';
import type { Observe } from '../runtime/observer.ts';
import type { PublisherEvent, PublisherOperation } from './publisher-events.ts';

/** First wait after a failure, in milliseconds (component-helpers' own). */
const FIRST_BACKOFF_MS = 200;

export class Attempts {
  #backoff: Backoff;
  readonly #random: () => number;
  readonly #observe: Observe<PublisherEvent>;
  #failures = 0;
  #lastError: LeaseStoreError | undefined;

  constructor(options: { capMs: number; random: () => number; observe: Observe<PublisherEvent> }) {
    this.#random = options.random;
    this.#backoff = this.#capped(options.capMs);
    this.#observe = options.observe;
  }

  /** From now on no wait is longer than this; they begin with the first again. */
  cap(capMs: number): void {
    this.#backoff = this.#capped(capMs);
  }

  #capped(capMs: number): Backoff {
    return createBackoff({ firstMs: FIRST_BACKOFF_MS, capMs, random: this.#random });
  }

  get failures(): number {
    return this.#failures;
  }

  get lastError(): LeaseStoreError | undefined {
    return this.#lastError;
  }

  /** A wait that is not a failure. */
  pause(): number {
    return this.#backoff.next();
  }

  succeeded(): void {
    this.#backoff.reset();
    if (this.#failures > 0) this.#observe({ type: 'recovered', failures: this.#failures });
    this.#failures = 0;
    this.#lastError = undefined;
  }

  /**
   * Milliseconds to wait.
   * @throws the error itself when no store reported it
   */
  failed(operation: PublisherOperation, error: unknown): number {
    if (!isStoreError(error)) throw error;
    const retryInMs = this.#backoff.next(error.retryAfterMs);
    this.#lastError = error;
    this.#observe({ type: 'failed', operation, error, attempt: ++this.#failures, retryInMs });
    return retryInMs;
  }
}
