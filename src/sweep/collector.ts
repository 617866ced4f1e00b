/**
 * Deletes what a pass found collectable: one DELETE each, with uid and resourceVersion as preconditions.
 *
 * Guarantees: a lease that changed since it was read survives, whatever happens in between; no DELETE is repeated but one
 * that was refused with 429; a 429 pauses all of them; when the signal aborts, everything under way has ended before the
 * promise settles.
 */
import type { LeaseStore, LeaseStoreError } from '../lease/store.ts';
import { isStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { sleep } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Collectable } from './decide.ts';
import type { StopReason, SweepEvent } from './sweep-events.ts';

/** Milliseconds of pause after a 429 that asks for none: what Kubernetes' own 429s ask for. */
const FIRST_PAUSE_MS = 1_000;
/** A server that asks for a longer pause than this is left alone until the next pass. */
const MAX_PAUSE_MS = 60_000;
/** Pauses without an answer other than 429 in between before the pass gives up. */
const MAX_PAUSES = 5;
/** Failures without another answer in between before the pass gives up: the server is not there, or forbids it. */
const MAX_FAILURES = 20;

interface CollectorParts {
  readonly store: Pick<LeaseStore, 'delete' | 'concurrency'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly observe: Observe<SweepEvent>;
  readonly options: {
    readonly namespace: string;
    readonly concurrency: number;
    readonly qps: number;
    readonly requestTimeoutMs: number;
  };
}

interface Collected {
  readonly deleted: number;
  readonly changed: number;
  readonly gone: number;
  readonly failed: number;
  readonly left: number;
  readonly stopped?: StopReason;
  readonly error?: LeaseStoreError;
}

export async function collect(
  { store, clock, random, observe, options }: CollectorParts,
  leases: readonly Collectable[],
  signal: AbortSignal,
): Promise<Collected> {
  const { namespace, concurrency, qps, requestTimeoutMs: timeoutMs } = options;
  const spacingMs = qps > 0 ? 1000 / qps : 0;
  const backoff = createBackoff({ firstMs: FIRST_PAUSE_MS, capMs: MAX_PAUSE_MS, random });
  // Several sweepers, or passes that give up early, should not all begin with the same leases.
  const offset = Math.floor(random() * leases.length);
  const count = { deleted: 0, changed: 0, gone: 0, failed: 0 };
  let taken = 0;
  let nextSlot = -Infinity;
  let pausedUntil = -Infinity;
  let failures = 0;
  let stopped: StopReason | undefined;
  let lastError: LeaseStoreError | undefined;

  // Ends the waits; requests under way go on to their answers unless the caller's own signal aborts.
  const halt = new AbortController();
  const onAbort = (): void => halt.abort();
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  const stop = (reason: StopReason): void => {
    stopped ??= reason;
    halt.abort();
  };

  /** Waits for a turn: a free slot under the limit, and the end of every pause. False: no more requests. */
  async function turn(): Promise<boolean> {
    for (;;) {
      if (halt.signal.aborted) return false;
      const now = clock.monotonic();
      const at = Math.max(now, nextSlot, pausedUntil);
      nextSlot = at + spacingMs;
      if (at > now && !(await sleep(clock, at - now, halt.signal))) return false;
      if (pausedUntil <= at) return !halt.signal.aborted;
    }
  }

  function pause(error: LeaseStoreError, sentAt: number): void {
    const askedMs = error.retryAfterMs ?? 0;
    const now = clock.monotonic();
    // What was sent before the pause belongs to it: one refusal for all that were under way.
    if (sentAt >= pausedUntil) {
      if (askedMs > MAX_PAUSE_MS || backoff.attempts >= MAX_PAUSES) return stop('throttled');
      const waitMs = backoff.next(askedMs);
      pausedUntil = now + waitMs;
      observe({ type: 'throttled', waitMs });
    } else if (askedMs > MAX_PAUSE_MS) {
      stop('throttled');
    } else {
      pausedUntil = Math.max(pausedUntil, now + askedMs);
    }
  }

  /** The server does what it is asked to. */
  function answered(): void {
    failures = 0;
    backoff.reset();
  }

  async function remove(lease: Collectable): Promise<void> {
    const { name, uid, resourceVersion } = lease;
    while (await turn()) {
      const sentAt = clock.monotonic();
      try {
        await store.delete({ namespace, name }, { uid, resourceVersion }, { signal, timeoutMs });
      } catch (error) {
        if (!isStoreError(error)) throw error;
        if (error.code === 'TooManyRequests') {
          lastError = error;
          pause(error, sentAt);
          continue;
        }
        return refused(lease, error);
      }
      answered();
      count.deleted++;
      observe({ type: 'deleted', lease });
      return;
    }
  }

  function refused(lease: Collectable, error: LeaseStoreError): void {
    if (error.code === 'Conflict' || error.code === 'NotFound') {
      answered();
      const because = error.code === 'Conflict' ? 'changed' : 'gone';
      count[because]++;
      observe({ type: 'leftAlone', lease, because });
    } else if (error.code !== 'Aborted' || error.mayHaveCommitted) {
      count.failed++;
      lastError = error;
      observe({ type: 'deleteFailed', lease, error });
      if (++failures >= MAX_FAILURES) stop('failing');
    }
  }

  async function worker(): Promise<void> {
    try {
      while (taken < leases.length && !halt.signal.aborted) await remove(leases[(offset + taken++) % leases.length]!);
    } catch (error) {
      halt.abort();
      throw error;
    }
  }

  try {
    // What waits within the store waits within its own timeout.
    const length = Math.min(concurrency, store.concurrency ?? Infinity, leases.length);
    // All of them, even when one throws: nothing may go on behind the caller's back.
    const workers = await Promise.allSettled(Array.from({ length }, worker));
    for (const one of workers) if (one.status === 'rejected') throw one.reason;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  const left = leases.length - count.deleted - count.changed - count.gone - count.failed;
  return {
    ...count,
    left,
    // A reason to stop that left nothing undone stopped nothing.
    ...(stopped !== undefined && left > 0 && { stopped }),
    ...(lastError && (count.failed > 0 || left > 0) && { error: lastError }),
  };
}
