/**
 * The state of one lease, judged in two ways that must never be mixed. Pure.
 *
 * `publishedState` compares what a lease says with the API server's clock: for one look at it. It is as good as the
 * publisher's clock.
 * `LeaseObservation` measures silence on our own monotonic clock: for anyone who goes on looking. No two clocks have to agree;
 * only the age of what was there before we looked is taken from the published times, and is marked as an estimate.
 *
 * A time that has not come is no sign of life in either way: such a lease is live only once it was seen to change.
 * What cannot be judged is `unknown`: never live, never expired, never nothing. So is a shard that somebody holds: nobody
 * renews it, and it is held for as long as the lease of a member that it names.
 */
import type { Kind } from '../lease/lease-kind.ts';
import { UNTIMED_LEASE_LIFE_MS, expiryOf } from '../lease/expiry.ts';
import type { PublishedTimes } from '../lease/expiry.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import type { LeaseRecord } from '../lease/record.ts';

/** `unknown`: somebody holds it, and nothing tells how old its last renewal is. */
export type LeaseState = 'live' | 'unknown' | 'stale' | 'expired' | 'released';

/** The best first: an instance is in the best state of its leases. */
export const LEASE_STATES: readonly LeaseState[] = ['live', 'unknown', 'stale', 'expired', 'released'];

/** True when a lease in this state makes an instance, or may. */
export const countsAsInstance = (state: LeaseState): boolean => state !== 'expired' && state !== 'released';

/** Whether anybody holds a lease in this state; undefined: nothing tells. */
export const isHeld = (state: LeaseState): boolean | undefined =>
  state === 'unknown' ? undefined : countsAsInstance(state);

/** What a lease says of its life. Without a holder it is released: given up on purpose. */
type Published = Pick<LeaseRecord, 'holder' | 'acquireTime'> & PublishedTimes & { readonly kind?: Kind };

/** No time on it tells whether its holder lives. */
const timesSayNothing = ({ kind }: Published): boolean => kind === 'shard';

/** The last sign of life that a lease publishes; the time of its making when it says nothing of renewals. */
export const lastSign = ({ renewTime, acquireTime, creationTimestamp }: Published): MicroTime | undefined =>
  renewTime ?? acquireTime ?? creationTimestamp;

/**
 * How far a renewal may lie in the future, in milliseconds: the API server tells whole seconds, cut off, and clocks differ a
 * little. kubectl calls ages until there `0s`.
 */
const CLOCK_TOLERANCE_MS = 2_000;

/**
 * Milliseconds that the last sign of a lease is ahead of the API server's clock, if that is more than clocks differ; its
 * publisher's clock is wrong then, and tells nothing of its life.
 */
export function aheadMs(lease: Published, serverNow: MicroTime | undefined): number | undefined {
  const ahead = serverNow && lastSign(lease)?.since(serverNow);
  return ahead !== undefined && ahead > CLOCK_TOLERANCE_MS ? ahead : undefined;
}

/**
 * Judges by what the lease says.
 * @param serverDate the API server's `Date` of the answer that brought the lease, in whole seconds, cut off. It is the
 *   earliest that the server's clock can have shown, so whatever was renewed within that second is never called too old.
 */
export function publishedState(lease: Published, serverDate: MicroTime | undefined, freshForMs: number): LeaseState {
  if (!lease.holder) return 'released';
  const sign = lastSign(lease);
  if (serverDate === undefined || sign === undefined || timesSayNothing(lease)) return 'unknown';
  const expiry = expiryOf(lease);
  if (expiry !== undefined && serverDate.since(expiry) > 0) return 'expired';
  const fresh = serverDate.since(sign) <= freshForMs && aheadMs(lease, serverDate) === undefined;
  return fresh ? 'live' : 'stale';
}

/**
 * Judges by two looks at a lease that was there at both: who wrote it in between lives, whatever clock it has.
 * @param renewed it was renewed in between
 * @param observedMs between the two looks, at the least: who was silent for its own duration has expired, whatever it says
 */
export function comparedState(
  lease: Published,
  renewed: boolean,
  serverDate: MicroTime | undefined,
  observedMs = 0,
): LeaseState {
  if (!lease.holder) return 'released';
  if (timesSayNothing(lease)) return 'unknown';
  if (renewed) return 'live';
  if (lease.leaseDurationSeconds !== undefined && observedMs > lease.leaseDurationSeconds * 1000) return 'expired';
  const state = publishedState(lease, serverDate, Infinity);
  return state === 'live' ? 'stale' : state;
}

/** What the API server's clock can show now. */
export interface ServerNow {
  readonly earliest: MicroTime;
  readonly latest: MicroTime;
}

/** When, on the monotonic clock in milliseconds, a lease was last renewed, and when it will have expired. */
export interface LeaseObservation {
  /** NaN when nothing tells; -Infinity when it was not since we look, and its own time has not come. */
  readonly renewedAt: number;
  readonly expiresAt: number;
  /** True when `renewedAt` was worked out from published times instead of observed. */
  readonly estimated: boolean;
}

/**
 * A lease as it is seen for the first time, or changed.
 * @param nowMs monotonic milliseconds, taken after the lease arrived
 * @param sinceMs how long ago the change can have been at the most: 0 when it was seen to happen, Infinity for a lease
 *   that is seen for the first time
 * @param server `undefined` when the API server never sent its time
 */
export function observationOf(
  lease: Published,
  nowMs: number,
  sinceMs: number,
  server: ServerNow | undefined,
): LeaseObservation {
  if (timesSayNothing(lease)) return { renewedAt: Number.NaN, expiresAt: Infinity, estimated: true };
  const sign = lastSign(lease);
  const serverNow = server?.earliest;
  let age = 0;
  let known = 0;
  if (sinceMs > 0) {
    age = known = sign && serverNow ? Math.min(Math.max(serverNow.since(sign), 0), sinceMs) : Number.NaN;
    if (aheadMs(lease, server?.latest) !== undefined) age = sinceMs;
  }
  const { renewTime, acquireTime, leaseDurationSeconds } = lease;
  let left = UNTIMED_LEASE_LIFE_MS;
  if ((renewTime ?? acquireTime) && leaseDurationSeconds !== undefined)
    left = leaseDurationSeconds * 1000 - (known || 0);
  else if (serverNow) left = expiryOf(lease)?.since(serverNow) ?? left;
  return { renewedAt: nowMs - age, expiresAt: nowMs + left, estimated: sinceMs > 0 };
}

/** Judges a lease that somebody holds by how long it has been silent at `atMs`, monotonic milliseconds. */
export function observedState(
  { renewedAt, expiresAt }: LeaseObservation,
  atMs: number,
  freshForMs: number,
): LeaseState {
  if (atMs > expiresAt) return 'expired';
  if (Number.isNaN(renewedAt)) return 'unknown';
  return atMs - renewedAt <= freshForMs ? 'live' : 'stale';
}

/** The monotonic millisecond after which silence alone makes the state another; Infinity when it never does. */
export function deadlineOf({ renewedAt, expiresAt }: LeaseObservation, state: LeaseState, freshForMs: number): number {
  if (!countsAsInstance(state)) return Infinity;
  return state === 'live' ? Math.min(renewedAt + freshForMs, expiresAt) : expiresAt;
}
