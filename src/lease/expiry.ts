/**
 * When a lease has expired by what it *says*, on a wall clock (the API server's, never ours): for collectors and counts.
 * Who wants to take a lease over measures its silence instead (record.ts): that needs no two clocks to agree.
 */
import type { Lease } from './lease.ts';
import { MicroTime } from './micro-time.ts';

/** A lease that lacks renewTime or duration counts as expired once it is this old, in milliseconds: one hour. */
export const UNTIMED_LEASE_LIFE_MS = 3_600_000;

/** The fields of a lease that say when it expires. */
export interface PublishedTimes {
  readonly renewTime?: MicroTime | undefined;
  /** Counts where there is no renewTime, as konnectivity's agents count. */
  readonly acquireTime?: MicroTime | undefined;
  readonly leaseDurationSeconds?: number | undefined;
  readonly creationTimestamp?: MicroTime | undefined;
}

/**
 * The instant from which the lease is expired, by its own fields; `undefined` when not even its creation is known. What is
 * never renewed is left for its hour, whatever its acquireTime: this decides about deletions.
 */
export function publishedExpiry({ spec, metadata }: Lease): MicroTime | undefined {
  const { renewTime, leaseDurationSeconds } = spec;
  return expiryOf({ renewTime, leaseDurationSeconds, creationTimestamp: metadata.creationTimestamp });
}

export function expiryOf(times: PublishedTimes): MicroTime | undefined {
  const { leaseDurationSeconds, creationTimestamp: created } = times;
  const sign = times.renewTime ?? times.acquireTime;
  if (sign !== undefined && leaseDurationSeconds !== undefined) {
    return MicroTime.fromEpochMicrosClamped(sign.epochMicros + leaseDurationSeconds * 1e6);
  }
  return created && MicroTime.fromEpochMicrosClamped(created.epochMicros + UNTIMED_LEASE_LIFE_MS * 1000);
}

/**
 * True when `renewTime + leaseDurationSeconds + grace` lies before `now`.
 * A lease whose age is not known is unexpired: unknown never deletes.
 */
export function expiredAt(lease: Lease, now: MicroTime, graceMs = 0): boolean {
  const expiry = publishedExpiry(lease);
  return expiry !== undefined && now.since(expiry) > graceMs;
}
