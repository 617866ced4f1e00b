/**
 * Deletes a lease that its last contender has left.
 *
 * Guarantees: nothing is deleted that anybody holds, or has written since it was seen to be free; who is there takes it first:
 * a watcher at once, client-go's standby at its next look.
 */
import { isStoreError } from '../lease/store.ts';
import type { LeaseRef, LeaseStore } from '../lease/store.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { emptiedTerm } from './decide.ts';
import { POLL_JITTER } from './election-options.ts';

interface UnwantedOptions {
  readonly store: Pick<LeaseStore, 'get' | 'delete'>;
  readonly clock: Clock;
  readonly lease: LeaseRef;
  /** Milliseconds: the longest of any contender. */
  readonly retryPeriodMs: number;
}

/**
 * @returns true when the lease is gone; false when somebody holds it, or wants it
 * @throws LeaseStoreError, but for what shows that another wrote or deleted it
 */
export async function deleteUnwanted({ store, clock, lease, retryPeriodMs }: UnwantedOptions): Promise<boolean> {
  try {
    const left = await store.get(lease);
    // Whose lease was emptied by another may lead on: a newcomer that finds none would not wait for it.
    if (left.spec.holderIdentity || emptiedTerm(left)) return false;
    await sleep(clock, retryPeriodMs * (1 + POLL_JITTER));
    const { uid, resourceVersion } = left.metadata;
    await store.delete(lease, { uid, resourceVersion });
    return true;
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return true;
    if (isStoreError(error, 'Conflict')) return false;
    throw error;
  }
}
