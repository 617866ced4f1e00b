/**
 * What a publisher makes of what it sees under its lease's name. Pure: no clock, no I/O.
 *
 * Guarantees: a lease that lacks our identity label is never touched; a process that has held the lease never fights the
 * one that took it over, but waits until nobody has renewed it for our freshness window, by our monotonic clock; a process
 * that never held it claims it from anybody but an API server that publishes itself. A lost answer is recognised as our own
 * write. Only a record that is provably older than our last acknowledged write is claimed back at once.
 */
import { newLease, withChanges } from '../lease/lease.ts';
import type { Lease, MarkChanges, OwnerReference } from '../lease/lease.ts';
import { KIND_ANNOTATIONS, KIND_LABEL } from '../lease/marks.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { HOSTNAME_ANNOTATION, hostnameMarks, leaseName } from '../lease/names.ts';
import type { OwnWrite } from '../lease/own-writes.ts';
import { recordOf, silence } from '../lease/record.ts';
import type { LeaseRecord, Silence } from '../lease/record.ts';
import { INT32_MAX } from '../runtime/options.ts';
import type { IdentityOptions } from './identity-options.ts';

/** Marks of other kinds of lease. */
const NOT_OURS: MarkChanges = Object.fromEntries(KIND_ANNOTATIONS.map((key) => [key, undefined]));
/** Renew intervals without a renewal after which the lease of another is claimed, where `freshForMs` is no longer. */
const WINDOW_INTERVALS = 3;
/** How long a server that deletes its lease at its start may take to make the next, in milliseconds. */
const SERVER_START_MS = 5_000;
/** Reads that found our holder with another's renewTime: then it is an API server that keeps what it finds. */
const SERVER_RENEWALS = 2;

/** Who we are: fixed for the life of the process, but for the times. */
export interface Self {
  readonly name: string;
  readonly namespace: string;
  readonly holder: string;
  readonly labelKey: string;
  readonly labelValue: string;
  /** Undefined, here and below: is taken off, it says of this lease what is not so. */
  readonly labels: MarkChanges;
  readonly annotations: MarkChanges;
  readonly owners: readonly OwnerReference[];
  readonly leaseDurationSeconds: number;
  /** Milliseconds of silence after which the lease of another is nobody's. */
  readonly windowMs: number;
  /** The name is also the one that an API server on this host gives itself. */
  readonly sharedName: boolean;
}

/** @param holder from `holderIdentity`, a fresh one for every process start */
export function identitySelf(options: IdentityOptions, holder: string): Self {
  const { hostname, nameFormat, namePrefix, component, renewIntervalMs, requestTimeoutMs, freshForMs } = options;
  const marks = hostnameMarks(hostname);
  return {
    name: leaseName(hostname, nameFormat, namePrefix, component),
    namespace: options.namespace,
    holder,
    labelKey: options.labelKey,
    labelValue: options.labelValue,
    labels: {
      ...options.labels,
      [KIND_LABEL]: undefined,
      [options.labelKey]: options.labelValue,
      ...marks.labels,
    },
    annotations: { ...NOT_OURS, [HOSTNAME_ANNOTATION]: undefined, ...options.annotations, ...marks.annotations },
    owners: options.owners,
    leaseDurationSeconds: options.leaseDurationSeconds,
    windowMs: Math.max(freshForMs, WINDOW_INTERVALS * renewIntervalMs + requestTimeoutMs),
    sharedName: nameFormat === 'apiserver',
  };
}

export interface Memory {
  /** What we wrote and may find again: the last acknowledged write, and every later one whose answer was lost. */
  readonly written: readonly OwnWrite[];
  readonly acknowledged: OwnWrite | undefined;
  /** The lease as we last wrote it; undefined: we have not held it yet. */
  readonly last: LeaseRecord | undefined;
  /** The record that we took over last. */
  readonly took: LeaseRecord | undefined;
  /** What the lease was put back to, until a write of ours has succeeded since: what has more transitions was made of it. */
  readonly putBack: LeaseRecord | undefined;
  /** The other's record while we stand by. */
  readonly watched: Silence | undefined;
  /** Since when the lease that we knew is gone, monotonic milliseconds. */
  readonly goneSince: number | undefined;
  /** Reads before this one, each within our window of the next, that found our holder with another's renewTime. */
  readonly foreignRenewals: number;
}

/** Who holds the lease while we stand by: a newer process like us, or an API server that publishes itself. */
type Rival = 'process' | 'server';

export type Verdict =
  /** There is no lease: make it. */
  | { readonly do: 'create' }
  /** It was deleted just now, perhaps by a server that is about to make its own. */
  | { readonly do: 'wait'; readonly leftMs: number }
  /** Take this version over. `restored`: it is older than what we wrote. */
  | { readonly do: 'takeOver'; readonly lease: Lease; readonly restored: boolean }
  /** It is ours: go on from this version. `write`: ours that is its record; undefined: another wrote it in our name. */
  | { readonly do: 'adopt'; readonly lease: Lease; readonly write: OwnWrite | undefined; readonly restored: boolean }
  /** Another holds it: wait, at most until nobody has renewed it for our window. */
  | {
      readonly do: 'standBy';
      readonly lease: Lease;
      readonly rival: Rival;
      readonly watched: Silence;
      readonly leftMs: number;
    }
  /** Somebody else's lease under our name. */
  | { readonly do: 'refuse'; readonly lease: Lease };

/**
 * @param seen the lease under our name; undefined: there is none
 * @param nowMs monotonic milliseconds, after the answer
 */
export function decide(self: Self, memory: Memory, seen: Lease | undefined, nowMs: number): Verdict {
  const { last, watched } = memory;
  if (seen === undefined) {
    const leftMs = (memory.goneSince ?? -Infinity) + SERVER_START_MS - nowMs;
    return self.sharedName && leftMs > 0 ? { do: 'wait', leftMs } : { do: 'create' };
  }
  const record = recordOf(seen);
  const write = memory.written.find(({ renewTime }) => renewTime.equals(record.renewTime));
  if (record.holder === self.holder) {
    // Found while we stand by: a POST of ours that came late, or our time put back, which is older than what we know.
    if (write && !(watched && write === memory.acknowledged))
      return { do: 'adopt', lease: seen, write, restored: false };
    const server = self.sharedName && memory.foreignRenewals + 1 >= SERVER_RENEWALS;
    if (!write && !watched && !server)
      return { do: 'adopt', lease: seen, write, restored: putBack(self, record, memory) };
  } else {
    if (seen.metadata.labels[self.labelKey] !== self.labelValue) return { do: 'refuse', lease: seen };
    const restored = !watched && provablyOlder(record, memory) && !madeOf(memory.putBack, record);
    if (record.holder === undefined || restored || !(last || watched || isServers(self, record)))
      return { do: 'takeOver', lease: seen, restored };
  }
  const silent = silence(watched, seen, nowMs);
  const leftMs = silent.since + self.windowMs - nowMs;
  if (leftMs <= 0) {
    if (record.holder !== self.holder) return { do: 'takeOver', lease: seen, restored: false };
    return { do: 'adopt', lease: seen, write, restored: putBack(self, record, memory) };
  }
  const server = isServers(self, record) || (self.sharedName && record.holder === self.holder);
  const rival = server ? 'server' : 'process';
  return { do: 'standBy', lease: seen, rival, watched: silent, leftMs };
}

/** Our own record is older than our last write; under a shared name it may be a server's whose clock is behind. */
const putBack = (self: Self, record: LeaseRecord, memory: Memory): boolean =>
  !self.sharedName && provablyOlder(record, memory);

/** An API server writes neither acquireTime nor leaseTransitions, and deletes the lease that it finds at its start. */
const isServers = (self: Self, { acquireTime, leaseTransitions }: LeaseRecord): boolean =>
  self.sharedName && acquireTime === undefined && leaseTransitions === undefined;

/**
 * True when a record that is no write of ours was written before our last acknowledged write: somebody put the lease, or
 * all of etcd, back. Another host's clock, another object, transitions that are missing, equal or at their end prove nothing.
 */
export function provablyOlder(seen: LeaseRecord, { last, took }: Pick<Memory, 'last' | 'took'>): boolean {
  if (!last) return false;
  const [then, now] = [seen.leaseTransitions ?? NaN, last.leaseTransitions ?? NaN];
  const same = seen.uid === last.uid;
  if (seen.holder === last.holder) return compared(seen.renewTime, last.renewTime) < 0;
  if (took?.holder !== undefined && seen.holder === took.holder && compared(seen.renewTime, took.renewTime) <= 0) {
    // The one that we took it over from may have come back after us, with its clock set back.
    const sameTerm = seen.acquireTime ? seen.acquireTime.equals(took.acquireTime) : took.acquireTime === undefined;
    if (same ? !(then >= now) : sameTerm) return true;
  }
  // Who took over what was put back has few transitions too, but a time of now.
  return same && then < now && now < INT32_MAX && !(compared(seen.acquireTime, last.renewTime) > 0);
}

/** True for a record that somebody made of one that was put back: it took that over, perhaps over a write of ours in between. */
const madeOf = (putBack: LeaseRecord | undefined, { uid, leaseTransitions = 0 }: LeaseRecord): boolean =>
  putBack !== undefined && putBack.uid === uid && leaseTransitions > (putBack.leaseTransitions ?? 0);

const compared = (a: MicroTime | undefined, b: MicroTime | undefined): number => (a && b ? a.compare(b) : NaN);

/** The lease for a POST. */
export function created(self: Self, now: MicroTime): Lease {
  const { name, namespace } = self;
  const lease = newLease(
    { name, namespace, ownerReferences: self.owners },
    {
      holderIdentity: self.holder,
      leaseDurationSeconds: self.leaseDurationSeconds,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 0,
    },
  );
  return withChanges(lease, { labels: self.labels, annotations: self.annotations });
}

/** The lease for the one PUT that takes a lease over; it keeps everything on it that is not ours to say. */
export function takenOver(self: Self, from: Lease, now: MicroTime): Lease {
  return withChanges(from, {
    labels: self.labels,
    annotations: self.annotations,
    ownerReferences: owned(self, from),
    spec: {
      holderIdentity: self.holder,
      leaseDurationSeconds: self.leaseDurationSeconds,
      acquireTime: now,
      renewTime: now,
      leaseTransitions: Math.min((from.spec.leaseTransitions ?? 0) + 1, INT32_MAX),
    },
  });
}

/** The lease for a renewal, made from the last answer; labels and owners that somebody removed come back. */
export function renewed(self: Self, held: Lease, now: MicroTime): Lease {
  return withChanges(held, {
    labels: self.labels,
    annotations: self.annotations,
    ownerReferences: owned(self, held),
    spec: { leaseDurationSeconds: self.leaseDurationSeconds, renewTime: now },
  });
}

/** Those that are there, and ours. */
function owned({ owners }: Self, { metadata }: Lease): readonly OwnerReference[] {
  const { ownerReferences: known } = metadata;
  const more = owners.filter(({ uid }) => !known.some((owner) => owner.uid === uid));
  return more.length === 0 ? known : [...known, ...more];
}
