/**
 * How an elector follows its lease: by watch, and by polling while the watch cannot be trusted.
 *
 * Guarantees: with a watch that works, one watch and no other request; while it is lost, or not permitted, a standby reads
 * at client-go's pace. A watch that was not permitted is tried again every five minutes, since permissions may come later.
 */
import type { Lease } from '../lease/lease.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import type { LeaseEvent, LeaseRef } from '../lease/store.ts';
import { Follower } from '../runtime/follow.ts';
import type { Candidate } from './candidate.ts';
import { POLL_JITTER } from './election-options.ts';

/** How the leases of a name are followed; ends as LeaseStore.watch does. */
export type WatchLease = (ref: LeaseRef, signal: AbortSignal) => AsyncIterable<LeaseEvent>;

/** Until a watch that was not permitted is tried again. */
const FORBIDDEN_PAUSE_MS = 300_000;

export class LeaseFollower {
  readonly #candidate: Candidate;
  readonly #follower: Follower<LeaseEvent>;
  #lost = false;
  #pollAt: number | undefined;

  constructor(candidate: Candidate, watch: WatchLease) {
    this.#candidate = candidate;
    this.#follower = new Follower({
      clock: candidate.clock,
      open: (signal) => watch(candidate.ref, signal),
      onEvent: (event) => this.#take(event),
      onEnd: (error) => this.#ended(error),
    });
    // Until the watch has shown its first list, it is as good as lost.
    this.#pollLater();
  }

  /** Monotonic milliseconds of the next poll; Infinity while the watch can be trusted. */
  get pollAt(): number {
    return this.#pollAt ?? Infinity;
  }

  /** Follows the lease until the signal aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.#follower.run(signal);
  }

  /** One read in place of the watch. False when it failed. */
  async poll(signal: AbortSignal): Promise<boolean> {
    const { timing } = this.#candidate;
    this.#pollLater();
    try {
      const deadline = this.#candidate.now() + timing.leaseDurationMs;
      await this.#candidate.read({ deadline, timeoutMs: () => timing.termMs / 2, signal });
      return true;
    } catch (error) {
      if (!(error instanceof LeaseStoreError)) throw error;
      if (error.code === 'Aborted') return false;
      const askedMs = Math.min(error.retryAfterMs ?? 0, timing.leaseDurationMs);
      const now = this.#candidate.now();
      this.#pollAt = Math.max(this.#pollAt ?? now, now + askedMs);
      this.#candidate.report({ type: 'failed', operation: 'get', error, retryInMs: this.#pollAt - now });
      return false;
    }
  }

  #ended(error: LeaseStoreError | undefined): number {
    const { timing } = this.#candidate;
    const retryInMs = isStoreError(error, 'Forbidden') ? FORBIDDEN_PAUSE_MS : timing.retryPeriodMs;
    if (error) this.#candidate.report({ type: 'failed', operation: 'watch', error, retryInMs });
    this.#blind(error);
    return retryInMs;
  }

  #take(event: LeaseEvent): void {
    if (event.type === 'lost') {
      this.#blind(event.error);
      return;
    }
    const { namespace, name } = this.#candidate.ref;
    const ours = ({ metadata }: Lease): boolean => metadata.name === name && metadata.namespace === namespace;
    const lease =
      event.type === 'fresh' ? undefined : (event.type === 'list' ? event.leases : [event.lease]).find(ours);
    if (lease && (lease.metadata.uid === '' || lease.metadata.resourceVersion === '')) {
      // No write can be based on it; a read refuses such an answer, and may get a better one.
      this.#blind(undefined);
      return;
    }
    // What was lost is back with a list or `fresh`; one that was only slow shows by any event that it is alive.
    if (event.type === 'fresh' || event.type === 'list' || !this.#lost) this.#trust();
    if (event.type === 'list' || (lease && event.type !== 'fresh')) this.#candidate.news(event.type, lease);
    this.#candidate.wake.now();
  }

  #trust(): void {
    this.#pollAt = undefined;
    if (this.#lost) this.#candidate.report({ type: 'watchRecovered' });
    this.#lost = false;
  }

  #blind(error: LeaseStoreError | undefined): void {
    if (!this.#lost) this.#candidate.report({ type: 'watchLost', error });
    this.#lost = true;
    if (this.#pollAt === undefined) this.#pollLater();
    this.#candidate.wake.now();
  }

  #pollLater(): void {
    const { random, timing, clock } = this.#candidate;
    this.#pollAt = clock.monotonic() + timing.retryPeriodMs * (1 + POLL_JITTER * random());
  }
}
