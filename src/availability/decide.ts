/**
 * Whether a node is Ready, as the node lifecycle controller judges: by its Ready condition, and by when its lease was last
 * *seen* to be renewed or its kubelet to post, on the monotonic clock. Pure.
 *
 * Guarantees: no two clocks are compared; a renewTime is compared only with those seen before it on the same lease, and
 * counts as a renewal when it is later than all of them. Duration and holder are not read. Ready takes both a condition
 * that says so and a sign of life that was seen.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import type { ReadyCondition } from '../lease/node-source.ts';
import type { AvailabilityOptions } from './availability-options.ts';

/**
 * `Ready` and `NotReady`: as the condition says, of a node that lives. `Unknown`: without a sign of life for the grace period, or
 * without a condition for the startup grace period, or called so by its condition: then only a post of its kubelet helps.
 * `Pending`: looked at for too short a time to say.
 */
export type Availability = 'Ready' | 'NotReady' | 'Unknown' | 'Pending';

/** What was seen of one node. */
export interface NodeObservation {
  /** The latest renewTime ever seen; undefined: none. */
  readonly renewTime: MicroTime | undefined;
  /** Monotonic milliseconds of the last sign of life, or since when the node is looked at. */
  readonly since: number;
  /** True: a sign of life was seen. False: what is there was there before we looked. */
  readonly observed: boolean;
  readonly ready: ReadyCondition | undefined;
  /** Since when the node is looked at, or lost its condition. */
  readonly bareSince: number;
}

/** The beginning, without a lease. */
export const firstObservation = (now: number, ready: ReadyCondition | undefined): NodeObservation => ({
  renewTime: undefined,
  since: now,
  observed: false,
  ready,
  bareSince: now,
});

/**
 * @param now monotonic milliseconds, after the lease arrived
 * @param happened false for a lease that may have been there before we looked: the first list of a monitor
 */
export function leaseSeen(before: NodeObservation, lease: Lease, now: number, happened: boolean): NodeObservation {
  const { renewTime } = lease.spec;
  if (renewTime === undefined) return before;
  if (before.renewTime === undefined)
    return happened ? { ...before, renewTime, since: now, observed: true } : { ...before, renewTime };
  return renewTime.compare(before.renewTime) > 0 ? { ...before, renewTime, since: now, observed: true } : before;
}

/**
 * Takes in the condition of a node that was known before.
 * @param now monotonic milliseconds, after the Node arrived
 */
export function statusSeen(before: NodeObservation, ready: ReadyCondition | undefined, now: number): NodeObservation {
  if (!ready) return before.ready ? { ...before, ready, bareSince: now } : before;
  const { heartbeatTime } = before.ready ?? {};
  const same = before.ready && (ready.heartbeatTime?.equals(heartbeatTime) ?? heartbeatTime === undefined);
  return same ? { ...before, ready } : { ...before, ready, since: now, observed: true };
}

/**
 * @param proof the monotonic millisecond until which nothing was missed: silence is known only that far
 * @returns the verdict, and the monotonic millisecond before which silence does not change it
 */
export function availabilityOf(
  { ready, since, observed, bareSince }: NodeObservation,
  proof: number,
  { graceMs, startupGraceMs }: Pick<AvailabilityOptions, 'graceMs' | 'startupGraceMs'>,
): readonly [Availability, number] {
  const until = ready ? since + graceMs : bareSince + startupGraceMs;
  if (proof > until || ready?.status === 'Unknown') return ['Unknown', Infinity];
  if (ready?.status === 'False') return ['NotReady', until];
  return [ready && observed ? 'Ready' : 'Pending', until];
}
