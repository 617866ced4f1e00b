/**
 * Sends the publisher's writes, one at a time, and keeps account of them.
 *
 * Guarantees: no renewTime is sent twice, so that our writes can be told apart; every write whose answer was lost is
 * remembered; a write is sent once and never repeated here.
 */
import type { Lease } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Attempts } from './attempts.ts';
import { Written } from './written.ts';

/** Conflicts in a row that are answered at once; after these the waits of a failure apply (component-helpers' own). */
const CONFLICTS_AT_ONCE = 5;

export type WriteResult =
  /** `began`: monotonic milliseconds, before it was sent. */
  | { readonly lease: Lease; readonly began: number; readonly latencyMs: number }
  /** It did not succeed; `look`: only a GET can tell how things stand. */
  | { readonly lease: undefined; readonly waitMs: number; readonly look: boolean };

export class Writer {
  readonly written = new Written();
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #attempts: Attempts;
  /** Milliseconds for one write. */
  timeoutMs: number;
  #conflicts = 0;

  constructor(options: { store: LeaseStore; clock: Clock; attempts: Attempts; timeoutMs: number }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#attempts = options.attempts;
    this.timeoutMs = options.timeoutMs;
  }

  /** The wall clock, but never a microsecond that was sent before and may be found again. */
  now(): MicroTime {
    let micros = this.#clock.wallMicros();
    const taken = (): boolean => this.written.sent.some(({ renewTime }) => renewTime.epochMicros === micros);
    while (taken()) micros++;
    return MicroTime.fromEpochMicros(micros);
  }

  /** Somebody else has the lease: conflicts until here are explained. */
  settled(): void {
    this.#conflicts = 0;
  }

  /** @throws what is no LeaseStoreError */
  async send(operation: 'create' | 'takeOver' | 'renew', lease: Lease, signal: AbortSignal): Promise<WriteResult> {
    const call = { signal, timeoutMs: this.timeoutMs };
    const create = operation === 'create';
    const began = this.#clock.monotonic();
    const sent = this.written.sending(lease.spec.renewTime as MicroTime, began);
    try {
      const answer = await (create ? this.#store.create(lease, call) : this.#store.update(lease, call));
      this.written.acknowledged(sent, answer);
      this.#conflicts = 0;
      this.#attempts.succeeded();
      return { lease: answer, began, latencyMs: this.#clock.monotonic() - began };
    } catch (error) {
      if (!isStoreError(error)) throw error;
      const changed = isStoreError(error, 'Conflict', 'AlreadyExists', 'NotFound');
      if (error.mayHaveCommitted) this.written.answerLost(sent, create ? undefined : lease);
      // Where something on the way sends a request twice, a conflict with our own write is what we are told.
      else if (!changed) this.written.refused(sent);
      const look = changed || error.mayHaveCommitted;
      return { lease: undefined, look, waitMs: this.#waitAfter(operation, error, changed, signal) };
    }
  }

  #waitAfter(
    operation: 'create' | 'takeOver' | 'renew',
    error: unknown,
    changed: boolean,
    signal: AbortSignal,
  ): number {
    if (signal.aborted) return 0;
    if (!changed) return this.#attempts.failed(operation, error);
    return ++this.#conflicts <= CONFLICTS_AT_ONCE ? 0 : this.#attempts.pause();
  }
}
