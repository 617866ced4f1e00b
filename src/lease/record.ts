/**
 * What tells that somebody renewed a lease, or that it changed hands: the one rule for every capability.
 *
 * Guarantees: labels, annotations, owners and managed fields are no sign of life; everything that a renewal, a take-over or
 * a release writes is. A lease that was deleted and created again is another one.
 */
import type { Lease } from './lease.ts';
import type { MicroTime } from './micro-time.ts';

/** The part of a lease that its holder writes. */
export interface LeaseRecord {
  readonly uid: string;
  /** Undefined: nobody; an empty holder and none are the same. */
  readonly holder?: string | undefined;
  readonly leaseDurationSeconds?: number | undefined;
  readonly leaseTransitions?: number | undefined;
  readonly renewTime?: MicroTime | undefined;
  readonly acquireTime?: MicroTime | undefined;
}

export function recordOf({ metadata, spec }: Lease): LeaseRecord {
  const { holderIdentity, leaseDurationSeconds, leaseTransitions, renewTime, acquireTime } = spec;
  const holder = holderIdentity || undefined;
  return { uid: metadata.uid, holder, leaseDurationSeconds, leaseTransitions, renewTime, acquireTime };
}

/** True when nobody renewed, took over or released the lease between the two. */
export function sameRecord(a: LeaseRecord, b: LeaseRecord): boolean {
  return (
    a.uid === b.uid &&
    a.holder === b.holder &&
    a.leaseDurationSeconds === b.leaseDurationSeconds &&
    a.leaseTransitions === b.leaseTransitions &&
    sameTime(a.renewTime, b.renewTime) &&
    sameTime(a.acquireTime, b.acquireTime)
  );
}

const sameTime = (a: MicroTime | undefined, b: MicroTime | undefined): boolean => (a ? a.equals(b) : b === undefined);

/** A record and when, on the monotonic clock in milliseconds, it was first seen. */
export interface Silence {
  readonly record: LeaseRecord;
  readonly since: number;
}

/**
 * Folds a read of a lease into what was seen before: while nobody renews it, `since` stays.
 * @param nowMs monotonic milliseconds, taken after the answer arrived, so that silence is never overestimated
 */
export function silence(before: Silence | undefined, lease: Lease, nowMs: number): Silence {
  const record = recordOf(lease);
  return before && sameRecord(before.record, record) ? before : { record, since: nowMs };
}
