/**
 * Gives a lease back, so that others need not wait for it to expire.
 *
 * Guarantees: only a record that is our own is emptied, and only the version that was seen to be; after a conflict it is
 * looked at again, and given up as soon as it is not ours any more. Ends, whatever the API does, within a term's length.
 */
import type { Lease } from '../lease/lease.ts';
import { LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import type { Candidate } from './candidate.ts';
import { ownAttempt, renewTimeout } from './decide.ts';

/** First wait after a failure, in milliseconds. */
const FIRST_WAIT_MS = 100;

/** @param known the version that we believe to hold; undefined: look first */
export async function release(candidate: Candidate, fencingToken: number, known: Lease | undefined): Promise<void> {
  const { clock, random, timing, holder } = candidate;
  const until = candidate.now() + timing.termMs;
  const backoff = createBackoff({ firstMs: FIRST_WAIT_MS, capMs: timing.retryPeriodMs, random });
  let lease = known;
  let answerLost = false;
  for (let left = timing.termMs; left > 0; left = until - candidate.now()) {
    const timeoutMs = renewTimeout(left, timing.retryPeriodMs);
    try {
      if (lease === undefined) {
        lease = await candidate.look(timeoutMs);
        if (lease === undefined || !ownAttempt(holder, candidate.attempts, lease)) {
          if (answerLost && !lease?.spec.holderIdentity) candidate.tell({ type: 'released', fencingToken });
          return;
        }
      } else {
        await candidate.release(lease, timeoutMs);
        candidate.tell({ type: 'released', fencingToken });
        return;
      }
    } catch (error) {
      if (!(error instanceof LeaseStoreError)) throw error;
      if (error.code === 'Conflict' || error.code === 'NotFound') {
        lease = undefined;
        continue;
      }
      answerLost ||= error.mayHaveCommitted;
      const retryInMs = Math.min(backoff.next(error.retryAfterMs), Math.max(until - candidate.now(), 0));
      candidate.tell({ type: 'failed', operation: 'release', error, retryInMs });
      await sleep(clock, retryInMs);
    }
  }
  candidate.tell({ type: 'leftToExpire', fencingToken });
}
