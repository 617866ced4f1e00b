/**
 * Whether a node is Ready or Unknown, as the node lifecycle controller tells it: by when its lease was last *seen* to be
 * renewed, on the monotonic clock. Pure.
 *
 * Guarantees: no two clocks are compared; a renewTime is compared only with those seen before it on the same lease, and
 * counts as a renewal when it is later than all of them. Duration and holder are not read. What has not been looked at
 * for long enough is Pending: never Ready, never Unknown.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';

/**
 * `Ready`: seen to be renewed within the grace period. `Unknown`: not seen to be for as long as that, or without a lease
 * for as long. `Pending`: looked at for less than the grace period, and not seen to be renewed yet.
 */
export type Availability = 'Ready' | 'Unknown' | 'Pending';

/** What was seen of one node's lease. */
export interface NodeSighting {
  /** The latest renewTime ever seen; undefined: none. */
  readonly renewTime: MicroTime | undefined;
  /** Monotonic milliseconds at which it was seen to grow, or since when the node is looked at. */
  readonly since: number;
  /** True: seen to grow. False: what is there was there before we looked. */
  readonly observed: boolean;
}

/** The beginning, without a lease. */
export const firstSight = (now: number): NodeSighting => ({ renewTime: undefined, since: now, observed: false });

/**
 * @param now monotonic milliseconds, after the lease arrived
 * @param happened false for a lease that may have been there before we looked: the first list of a monitor
 */
export function sighted(before: NodeSighting, lease: Lease, now: number, happened: boolean): NodeSighting {
  const { renewTime } = lease.spec;
  if (renewTime === undefined) return before;
  if (before.renewTime === undefined) return { renewTime, since: happened ? now : before.since, observed: happened };
  return renewTime.compare(before.renewTime) > 0 ? { renewTime, since: now, observed: true } : before;
}

/**
 * @param proof the monotonic millisecond until which nothing was missed: silence is known only that far
 */
export function availabilityOf({ since, observed }: NodeSighting, proof: number, graceMs: number): Availability {
  if (proof - since > graceMs) return 'Unknown';
  return observed ? 'Ready' : 'Pending';
}
