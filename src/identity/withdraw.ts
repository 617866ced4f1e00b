/**
 * Deletes our lease when we leave.
 *
 * Guarantees: only a lease whose holder is us is ever deleted, and only the version that was seen to be ours (uid and
 * resourceVersion as preconditions), so a successor's is never touched; a write of ours whose answer was lost is waited
 * for as long as it could still take effect and time is left, so that nothing of ours comes after any outcome but `unknown`;
 * settles by its signal at the latest. `deleted` says that the API server took the deletion; a finalizer that somebody set
 * may hold the object back.
 */
import type { Lease } from '../lease/lease.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseStore } from '../lease/store.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { settledBy } from './decide.ts';
import type { LostWrite, Self } from './decide.ts';
import { Attempts } from './attempts.ts';
import type { PublisherEvent, PublisherOperation, ShutdownOutcome } from './publisher-events.ts';

/** Longest wait between two tries, in milliseconds. */
const BACKOFF_CAP_MS = 1_000;
/** Conflicts that are answered at once; a second writer with our holder must not make a storm. */
const CONFLICTS_AT_ONCE = 5;

export interface Withdrawal {
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly self: Self;
  readonly timeoutMs: number;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  readonly observe: Observe<PublisherEvent>;
}

/**
 * @param held the version that we believe to hold
 * @param lost writes whose answers never came
 * @param signal ends it, with outcome `unknown`
 */
export async function withdraw(
  w: Withdrawal,
  held: Lease | undefined,
  lost: readonly LostWrite[],
  signal: AbortSignal,
): Promise<ShutdownOutcome> {
  const ref = { namespace: w.self.namespace, name: w.self.name };
  let known = held;
  const attempts = new Attempts({ capMs: BACKOFF_CAP_MS, random: w.random, observe: w.observe });
  let pending = lost;
  let deleted = false;
  let conflicts = 0;
  while (!signal.aborted) {
    let operation: PublisherOperation = 'delete';
    try {
      if (known !== undefined) {
        const { uid, resourceVersion } = known.metadata;
        await w.store.delete(ref, { uid, resourceVersion }, { signal, timeoutMs: w.timeoutMs });
        deleted = true;
        known = undefined;
        // A PUT that is still under way carries the uid that is gone now; a POST does not.
        pending = pending.filter((write) => write.base === undefined);
        if (pending.length === 0) return 'deleted';
        continue;
      }
      operation = 'get';
      const seen = await look(w, ref, signal);
      const now = w.clock.monotonic();
      const ours = seen?.spec.holderIdentity === w.self.holder;
      pending = pending.filter((write) => !settledBy(write, seen, now));
      if (ours) known = seen;
      // Another's lease is no reason not to wait: it keeps a POST of ours out only for as long as it is there.
      else if (pending.length === 0) return deleted ? 'deleted' : seen === undefined ? 'absent' : 'notOurs';
      else await sleep(w.clock, attempts.pause(), signal);
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (signal.aborted) break;
      if (operation === 'delete' && (error.code === 'Conflict' || error.code === 'NotFound')) {
        // Changed since, by a write of ours whose answer was lost, by a successor, or it is gone: look again.
        known = undefined;
        if (++conflicts > CONFLICTS_AT_ONCE) await sleep(w.clock, attempts.pause(), signal);
        continue;
      }
      await sleep(w.clock, attempts.failed(operation, error), signal);
    }
  }
  return 'unknown';
}

async function look(
  w: Withdrawal,
  ref: { namespace: string; name: string },
  signal: AbortSignal,
): Promise<Lease | undefined> {
  try {
    return await w.store.get(ref, { signal, timeoutMs: w.timeoutMs });
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return undefined;
    throw error;
  }
}
