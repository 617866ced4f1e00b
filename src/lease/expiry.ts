/**
 * When a lease has expired: two predicates that must never be mixed.
 *
 * `expiredAt` compares what the lease *says* with a wall clock (the API server's, never ours): for collectors and counts.
 * `Observation` measures on the monotonic clock how long a lease has *not changed*: for whoever wants to take it over,
 * because it needs no two clocks to agree.
 */
import type { Lease } from './lease.ts';
import { MicroTime } from './micro-time.ts';

/** A lease that lacks renewTime or duration counts as expired once it is this old, in milliseconds: one hour. */
export const UNTIMED_LEASE_LIFE_MS = 3_600_000;

/** The instant from which the lease is expired, by its own fields; `undefined` when not even its creation is known. */
export function publishedExpiry(lease: Lease): MicroTime | undefined {
  const { renewTime, leaseDurationSeconds } = lease.spec;
  if (renewTime !== undefined && leaseDurationSeconds !== undefined) {
    return MicroTime.fromEpochMicrosClamped(renewTime.epochMicros + leaseDurationSeconds * 1e6);
  }
  const created = lease.metadata.creationTimestamp;
  return created && MicroTime.fromEpochMicrosClamped(created.epochMicros + UNTIMED_LEASE_LIFE_MS * 1000);
}

/**
 * True when `renewTime + leaseDurationSeconds + grace` lies before `now`.
 * A lease whose age is not known is not expired: unknown never deletes.
 */
export function expiredAt(lease: Lease, now: MicroTime, graceMs = 0): boolean {
  const expiry = publishedExpiry(lease);
  return expiry !== undefined && now.since(expiry) > graceMs;
}

/** A version of a lease and when, on the monotonic clock in milliseconds, it was first seen. */
export interface Observation {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly since: number;
  readonly durationMs: number;
}

/**
 * Folds a look at a lease into what was seen before: an unchanged version keeps its `since`.
 * @param nowMs monotonic milliseconds, taken after the answer arrived, so that silence is never overestimated
 * @param fallbackDurationMs used when the lease publishes no valid duration
 */
export function observe(
  previous: Observation | undefined,
  lease: Lease,
  nowMs: number,
  fallbackDurationMs: number,
): Observation {
  const { uid, resourceVersion } = lease.metadata;
  if (previous?.uid === uid && previous.resourceVersion === resourceVersion) return previous;
  const seconds = lease.spec.leaseDurationSeconds;
  return {
    uid,
    resourceVersion,
    since: nowMs,
    durationMs: seconds === undefined ? fallbackDurationMs : seconds * 1000,
  };
}

/** Milliseconds until the observed version has been silent for its own duration; 0 or less: it has. */
export function silenceLeft(observation: Observation, nowMs: number): number {
  return observation.since + observation.durationMs - nowMs;
}
