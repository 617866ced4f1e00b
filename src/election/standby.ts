/**
 * Standing by: watches the lease and acquires it as soon as it may.
 *
 * Guarantees: a release is acted on at once, silence exactly when the published duration has passed; waits of random length
 * only after a lost race. An acquiring write that is under way when the signal aborts is waited for, so that nothing is
 * held by accident.
 */
import { LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Backoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import type { Candidate, Written } from './candidate.ts';
import { decideCandidate } from './decide.ts';
import type { CandidateAction } from './decide.ts';
import type { AcquireReason } from './election-events.ts';
import { MAX_LEASE_DURATION_MS } from './election-options.ts';
import { Sight } from './sight.ts';
import type { WatchLease } from './sight.ts';
import { Wake } from '../runtime/wake.ts';

export interface Acquired extends Written {
  readonly why: AcquireReason | 'adopted';
}

type Acquire = Extract<CandidateAction, { do: 'acquire' }>;

/** First wait after a failed acquisition, as a share of the retry period; no wait is longer than the retry period. */
const FIRST_WAIT = 1 / 8;

/**
 * @param following is given the watch's end: it may come after this has returned
 * @returns undefined when the signal aborted before
 */
export async function standBy(
  candidate: Candidate,
  watch: WatchLease,
  signal: AbortSignal,
  following: (ended: Promise<void>) => void,
): Promise<Acquired | undefined> {
  const { clock, random, timing } = candidate;
  const wake = new Wake();
  const sight = new Sight(candidate, watch, wake);
  const backoff = createBackoff({ firstMs: timing.retryPeriodMs * FIRST_WAIT, capMs: timing.retryPeriodMs, random });
  const sides = new AbortController();
  const onAbort = (): void => {
    sides.abort();
    wake.now();
  };
  if (signal.aborted) return undefined;
  signal.addEventListener('abort', onAbort, { once: true });
  candidate.tell({ type: 'contending' });
  let failure: { readonly error: unknown } | undefined;
  following(
    sight.follow(sides.signal).catch((error: unknown) => {
      failure = { error };
      wake.now();
    }),
  );
  try {
    while (!signal.aborted) {
      if (failure) throw failure.error;
      const now = candidate.now();
      const action = decideCandidate(candidate, candidate.seen, now);
      if (action.do === 'adopt') return { ...action, why: 'adopted' };
      if (action.do === 'acquire') {
        const acquired = await acquire(candidate, action, sight, backoff, signal);
        if (acquired) return acquired;
      } else if (now >= sight.pollAt) await sight.poll(signal);
      else {
        const until = action.do === 'wait' ? action.until : Infinity;
        await wake.wait(clock, Math.min(until, sight.pollAt, now + MAX_LEASE_DURATION_MS) - now);
      }
    }
    return undefined;
  } finally {
    sides.abort();
    signal.removeEventListener('abort', onAbort);
  }
}

/** One try; undefined: it failed, and what had to be waited for has been. */
async function acquire(
  candidate: Candidate,
  { base, fencingToken, why }: Acquire,
  sight: Sight,
  backoff: Backoff,
  signal: AbortSignal,
): Promise<Acquired | undefined> {
  const { clock, random, timing } = candidate;
  const before = candidate.seen;
  try {
    // Half a term: later than that, what is left of it is hardly worth having.
    const written = await candidate.acquire(base, fencingToken, timing.termMs / 2);
    backoff.reset();
    // A process that was stopped meanwhile may find its answer when the term is over: then it is written anew.
    return written.attempt.sentAt + timing.termMs > candidate.now() ? { ...written, why } : undefined;
  } catch (error) {
    if (!(error instanceof LeaseStoreError)) throw error;
    const { code } = error;
    if (code === 'Conflict' || code === 'AlreadyExists' || code === 'NotFound') {
      // A write of ours whose answer was lost may be what came first; that is no race.
      if (candidate.attempts.every((attempt) => !attempt.opens || attempt.fencingToken !== fencingToken)) {
        const retryInMs = random() * timing.retryPeriodMs;
        candidate.tell({ type: 'raceLost', retryInMs });
        await sleep(clock, retryInMs, signal);
      }
      // The watch has told by now who won, as a rule.
      if (!signal.aborted && candidate.seen === before && !(await sight.poll(signal))) {
        await sleep(clock, backoff.next(), signal);
      }
    } else {
      const retryInMs = backoff.next(error.retryAfterMs);
      candidate.tell({ type: 'failed', operation: base ? 'takeOver' : 'create', error, retryInMs });
      await sleep(clock, retryInMs, signal);
      // Where answers get lost, only a look tells.
      if (error.mayHaveCommitted && !signal.aborted && candidate.seen === before) await sight.poll(signal);
    }
    return undefined;
  }
}
