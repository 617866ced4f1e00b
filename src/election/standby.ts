/**
 * Standing by: acquires the lease as soon as it may.
 *
 * Guarantees: where nobody else is known to contend, a release is acted on at once, and silence exactly when the published
 * duration has passed; where others are, after a wait of random length that grows with the logarithm of their number. An
 * acquiring write that is under way when the signal aborts is waited for, so that nothing is held by accident.
 */
import { LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Backoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import { isRefusal } from './candidate.ts';
import type { Candidate, Written } from './candidate.ts';
import { decideCandidate } from './decide.ts';
import type { CandidateAction } from './decide.ts';
import type { AcquireReason } from './election-events.ts';
import { MAX_LEASE_DURATION_MS } from './election-options.ts';
import type { LeaseFollower } from './lease-follower.ts';

export interface Acquired extends Written {
  readonly why: AcquireReason | 'adopted';
}

type Acquire = Extract<CandidateAction, { do: 'acquire' }>;

/** First wait after a failed acquisition, as a share of the retry period; no wait is longer than the retry period. */
const FIRST_WAIT = 1 / 8;

/** @returns undefined when the signal aborted before */
export async function standBy(
  candidate: Candidate,
  follower: LeaseFollower,
  signal: AbortSignal,
): Promise<Acquired | undefined> {
  const { clock, random, timing, wake } = candidate;
  const backoff = createBackoff({ firstMs: timing.retryPeriodMs * FIRST_WAIT, capMs: timing.retryPeriodMs, random });
  if (!signal.aborted) candidate.report({ type: 'contending' });
  while (!signal.aborted) {
    const now = candidate.now();
    const action = decideCandidate(candidate, candidate.seen, now);
    if (action.do === 'adopt') {
      candidate.writes.stored(action.write, action.lease);
      return { ...action, why: 'adopted' };
    }
    if (action.do === 'acquire') {
      const acquired = await acquire(candidate, action, follower, backoff, signal);
      if (acquired) return acquired;
    } else if (now >= follower.pollAt) await follower.poll(signal);
    else {
      const until = action.do === 'wait' ? action.until : Infinity;
      await wake.wait(clock, Math.min(until, follower.pollAt, now + MAX_LEASE_DURATION_MS) - now, signal);
    }
  }
  return undefined;
}

/** One try; undefined: it failed, and what had to be waited for has been. */
async function acquire(
  candidate: Candidate,
  { base, transitions, why }: Acquire,
  follower: LeaseFollower,
  backoff: Backoff,
  signal: AbortSignal,
): Promise<Acquired | undefined> {
  const { clock, random, timing, wake } = candidate;
  const before = candidate.seen;
  const unchanged = (): boolean => !signal.aborted && candidate.seen === before;
  try {
    // Half a term: later than that, what is left of it is hardly worth having.
    const call = { deadline: candidate.now() + timing.termMs, timeoutMs: () => timing.termMs / 2 };
    const written = await candidate.acquire(base, transitions, call);
    backoff.reset();
    // A process that was stopped meanwhile may find its answer when the term is over: then a new term is written.
    return written.write.sentAt + timing.termMs > candidate.now() ? { ...written, why } : undefined;
  } catch (error) {
    if (!(error instanceof LeaseStoreError)) throw error;
    if (isRefusal(error)) {
      // A write of ours whose answer was lost may be what came first; that is no race.
      if (!candidate.mayHaveAcquired) {
        const retryInMs = random() * timing.retryPeriodMs;
        candidate.report({ type: 'raceLost', retryInMs });
        // The watch shows who won, as a rule.
        const until = candidate.now() + retryInMs;
        while (unchanged() && candidate.now() < until) await wake.wait(clock, until - candidate.now(), signal);
      }
      if (unchanged() && !(await follower.poll(signal))) await sleep(clock, backoff.next(), signal);
    } else {
      const retryInMs = backoff.next(error.retryAfterMs);
      candidate.report({ type: 'failed', operation: base ? 'takeOver' : 'create', error, retryInMs });
      await sleep(clock, retryInMs, signal);
      // Where answers get lost, only a look tells.
      if (error.mayHaveCommitted && unchanged()) await follower.poll(signal);
    }
    return undefined;
  }
}
