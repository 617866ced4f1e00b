/**
 * What a publisher makes of what it sees under its lease's name. Pure: no clock, no I/O.
 *
 * Guarantees: a lease that lacks our identity label is never touched; a process that has held the lease never fights the
 * one that took it over, but waits until that one has been silent for its own lease duration, by our monotonic clock;
 * a process that never held it claims it from anybody. A lost answer is recognised as our own write.
 */
import { observe, silenceLeft } from '../lease/expiry.ts';
import type { Observation } from '../lease/expiry.ts';
import { newLease, withChanges } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { hostnameMarks, leaseName } from '../lease/names.ts';
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

/** A renewTime that we sent, and when on the monotonic clock. */
export interface Sent {
  readonly renewTime: MicroTime;
  readonly at: number;
}

export interface Memory {
  /** True from the first time that we held the lease on. */
  readonly held: boolean;
  /** What we wrote and may find again: the last acknowledged renewTime, and every later one whose answer was lost. */
  readonly sent: readonly Sent[];
  /** The other's lease while we stand by. */
  readonly watched: Observation | undefined;
}

export type Verdict =
  /** There is no lease: make it. */
  | { readonly do: 'create' }
  /** Take this version over. */
  | { readonly do: 'takeOver'; readonly lease: Lease }
  /** It is ours: go on from this version. `sentAt`: when we sent it; undefined: somebody else wrote in our name. */
  | { readonly do: 'adopt'; readonly lease: Lease; readonly sentAt: number | undefined }
  /** A newer process holds it: wait, at most until it has been silent for its duration. */
  | { readonly do: 'standBy'; readonly lease: Lease; readonly watched: Observation; readonly leftMs: number }
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
    const sent = memory.sent.find((s) => s.renewTime.equals(seen.spec.renewTime));
    return { do: 'adopt', lease: seen, sentAt: sent?.at };
  }
  if (seen.metadata.labels[self.labelKey] !== self.labelValue) return { do: 'refuse', lease: seen };
  if (!memory.held || holder === '') return { do: 'takeOver', lease: seen };
  const watched = observe(memory.watched, seen, nowMs, self.leaseDurationSeconds * 1000);
  const leftMs = silenceLeft(watched, nowMs);
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

/**
 * How long a POST without an answer may still take effect, in milliseconds: kube-apiserver ends a request after 60 s
 * (`--request-timeout`).
 */
export const LOST_POST_MS = 60_000;

/** A write whose answer never came, and the version it was made from: undefined for a POST. */
export interface LostWrite {
  readonly sent: Sent;
  readonly base: { readonly uid: string; readonly resourceVersion: string } | undefined;
}

/**
 * True when a look proves that a lost write can no longer take effect, or that it has.
 * @param nowMs monotonic milliseconds
 */
export function settledBy(lost: LostWrite, seen: Lease | undefined, nowMs: number): boolean {
  if (lost.base === undefined) {
    // It names no uid: refused while the name is taken, it makes a lease as soon as the name is free. What it made
    // carries its time for good.
    return nowMs - lost.sent.at > LOST_POST_MS || lost.sent.renewTime.equals(seen?.spec.acquireTime);
  }
  // A PUT can only come while exactly its version is there.
  return (
    seen === undefined ||
    seen.metadata.uid !== lost.base.uid ||
    seen.metadata.resourceVersion !== lost.base.resourceVersion
  );
}
