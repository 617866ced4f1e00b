/**
 * What a publisher makes of what it sees under its lease's name. Pure: no clock, no I/O.
 *
 * Guarantees: a lease that lacks our identity label is never touched; a process that has held the lease never fights the
 * one that took it over, but waits until that one has been silent for its own lease duration, by our monotonic clock;
 * a process that never held it claims it from anybody. A lost answer is recognised as our own write.
 */
import { newLease, withChanges } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { hostnameMarks, leaseName } from '../lease/names.ts';
import type { OwnWrite } from '../lease/own-writes.ts';
import { silence } from '../lease/record.ts';
import type { Silence } from '../lease/record.ts';
import type { IdentityOptions } from './identity-options.ts';

/** Who we are: fixed for the life of the process. */
export interface Self {
  readonly name: string;
  readonly namespace: string;
  readonly holder: string;
  readonly labelKey: string;
  readonly labelValue: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly leaseDurationSeconds: number;
}

/** @param holder from `holderIdentity`, a fresh one for every process start */
export function identitySelf(options: IdentityOptions, holder: string): Self {
  const marks = hostnameMarks(options.hostname);
  return {
    name: leaseName(options.hostname, options.nameFormat, options.namePrefix),
    namespace: options.namespace,
    holder,
    labelKey: options.labelKey,
    labelValue: options.labelValue,
    labels: { [options.labelKey]: options.labelValue, ...marks.labels },
    annotations: marks.annotations,
    leaseDurationSeconds: options.leaseDurationSeconds,
  };
}

export interface Memory {
  /** True from the first time that we held the lease on. */
  readonly held: boolean;
  /** What we wrote and may find again: the last acknowledged write, and every later one whose answer was lost. */
  readonly written: readonly OwnWrite[];
  /** The other's record while we stand by. */
  readonly watched: Silence | undefined;
}

export type Verdict =
  /** There is no lease: make it. */
  | { readonly do: 'create' }
  /** Take this version over. */
  | { readonly do: 'takeOver'; readonly lease: Lease }
  /** It is ours: go on from this version. `write`: ours that is its record; undefined: somebody else wrote in our name. */
  | { readonly do: 'adopt'; readonly lease: Lease; readonly write: OwnWrite | undefined }
  /** A newer process holds it: wait, at most until it has been silent for its duration. */
  | { readonly do: 'standBy'; readonly lease: Lease; readonly watched: Silence; readonly leftMs: number }
  /** Somebody else's lease under our name. */
  | { readonly do: 'refuse'; readonly lease: Lease };

/**
 * @param seen the lease under our name; undefined: there is none
 * @param nowMs monotonic milliseconds, after the answer
 */
export function decide(self: Self, memory: Memory, seen: Lease | undefined, nowMs: number): Verdict {
  if (seen === undefined) return { do: 'create' };
  const holder = seen.spec.holderIdentity ?? '';
  if (holder === self.holder) {
    const write = memory.written.find(({ renewTime }) => renewTime.equals(seen.spec.renewTime));
    return { do: 'adopt', lease: seen, write };
  }
  if (seen.metadata.labels[self.labelKey] !== self.labelValue) return { do: 'refuse', lease: seen };
  if (!memory.held || holder === '') return { do: 'takeOver', lease: seen };
  const watched = silence(memory.watched, seen, nowMs);
  const durationMs = (seen.spec.leaseDurationSeconds ?? self.leaseDurationSeconds) * 1000;
  const leftMs = watched.since + durationMs - nowMs;
  return leftMs > 0 ? { do: 'standBy', lease: seen, watched, leftMs } : { do: 'takeOver', lease: seen };
}

/** The lease for a POST. */
export function created(self: Self, now: MicroTime): Lease {
  return newLease(
    { name: self.name, namespace: self.namespace, labels: self.labels, annotations: self.annotations },
    {
      holderIdentity: self.holder,
      leaseDurationSeconds: self.leaseDurationSeconds,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 0,
    },
  );
}

/** The lease for the one PUT that takes a lease over; it keeps everything on it that is not ours to say. */
export function takenOver(self: Self, from: Lease, now: MicroTime): Lease {
  return withChanges(from, {
    labels: self.labels,
    annotations: self.annotations,
    spec: {
      holderIdentity: self.holder,
      leaseDurationSeconds: self.leaseDurationSeconds,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: Math.min((from.spec.leaseTransitions ?? 0) + 1, 2_147_483_647),
    },
  });
}

/** The lease for a renewal, made from the last answer; labels that somebody removed come back. */
export function renewed(self: Self, held: Lease, now: MicroTime): Lease {
  return withChanges(held, {
    labels: self.labels,
    annotations: self.annotations,
    spec: { leaseDurationSeconds: self.leaseDurationSeconds, renewTime: now },
  });
}
