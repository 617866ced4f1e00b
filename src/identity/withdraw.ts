/**
 * Deletes our lease when we leave.
 *
 * Guarantees: only a lease whose holder is us is ever deleted, and only the version that was seen to be ours (uid and
 * resourceVersion as preconditions), so a successor's is never touched; a write of ours whose answer was lost is waited
 * for as long as it could still take effect and time is left; settles by its signal at the latest.
 */
import type { Lease } from '../lease/lease.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseStore } from '../lease/store.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { settledBy } from './decide.ts';
import type { LostWrite, Self } from './decide.ts';
import type { Attempts } from './attempts.ts';
import type { PublisherOperation, ShutdownOutcome } from './events.ts';

export interface Withdrawal {
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly self: Self;
  readonly timeoutMs: number;
  readonly attempts: Attempts;
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
  let pending = lost;
  while (!signal.aborted) {
    let operation: PublisherOperation = 'delete';
    try {
      if (known !== undefined) {
        const { uid, resourceVersion } = known.metadata;
        await w.store.delete(ref, { uid, resourceVersion }, { signal, timeoutMs: w.timeoutMs });
        // What was still under way carries the uid that is gone now, and can no longer take effect.
        return 'deleted';
      }
      operation = 'get';
      const seen = await look(w, ref, signal);
      pending = pending.filter((write) => !settledBy(write, seen));
      if (seen?.spec.holderIdentity === w.self.holder) known = seen;
      else if (pending.length === 0) return seen === undefined ? 'absent' : 'notOurs';
      else await sleep(w.clock, w.attempts.pause(), signal);
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (error.code === 'Aborted') break;
      if (operation === 'delete' && (error.code === 'Conflict' || error.code === 'NotFound')) {
        // Changed since, by a write of ours whose answer was lost, by a successor, or it is gone: look again.
        known = undefined;
        continue;
      }
      await sleep(w.clock, w.attempts.failed(operation, error), signal);
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
