/**
 * Counting: leases with their states make instances, and instances make numbers. Pure.
 *
 * Guarantees: leases of one hostname are one instance, whatever generation their names are of and however many there are;
 * a lease without a hostname is an instance of its own. A change of holder changes no count. When the state of one lease
 * that matters is unknown, there are no counts: never a 0 or a 1 that nobody knows.
 * A lease whose deletion was asked for (deletionTimestamp, held back by a finalizer) counts as its renewals say: asking
 * does not stop a server.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { kindOf } from '../lease/lease-kind.ts';
import type { Kind } from '../lease/lease-kind.ts';
import { PAYLOAD_ANNOTATION } from '../lease/marks.ts';
import { EARLIER_IDENTITY_LABEL, HOSTNAME_LABEL, IDENTITY_LABEL, hostnameOf } from '../lease/names.ts';
import { recordOf, sameRecord } from '../lease/record.ts';
import type { LeaseRecord } from '../lease/record.ts';
import type { LeaseState } from './judge.ts';
import { LEASE_STATES, aheadMs, comparedState, countsAsInstance, lastSign, publishedState } from './judge.ts';

/** Hostnames by the best state of their leases. `instances` is `live` + `stale`. */
export interface Counts {
  readonly instances: number;
  readonly live: number;
  readonly stale: number;
  /** Hostnames with an expired lease and no better one: no instances. */
  readonly expired: number;
  /** Hostnames with a released lease and no better one: no instances. */
  readonly released: number;
}

/** What a census keeps of a lease. */
export interface LeaseSummary extends LeaseRecord {
  readonly namespace: string;
  readonly name: string;
  readonly kind: Kind;
  readonly hostname?: string | undefined;
  readonly creationTimestamp?: MicroTime | undefined;
  /** Its deletion was asked for, and a finalizer holds it back. */
  readonly terminating: boolean;
  /** Those that say more than which host and which product; 16 at the most, absent without any. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Annotation `leasekeeper.dev/payload`, of at most 4096 characters: foreign text, JSON by rule. */
  readonly payload?: string | undefined;
}

/** One lease of a census. */
export interface CensusLease extends LeaseSummary {
  readonly state: LeaseState;
  /** Milliseconds from its last renewal to the census; below 0 when its publisher's clock is ahead. */
  readonly renewedAgoMs?: number | undefined;
  /**
   * Milliseconds that its last renewal was ahead of the API server's clock when it was read, where that is more than two
   * seconds: its publisher's clock is wrong, and the lease is live only where it was seen to change.
   */
  readonly aheadMs?: number | undefined;
  /** The whole lease as it was read; absent where only this summary is kept. */
  readonly source?: Lease | undefined;
}

/** One running server: the leases of one hostname, in the best state of them. */
export interface Instance {
  /** Absent when its lease carries none. */
  readonly hostname?: string | undefined;
  /** The hostname, else the lease's name. */
  readonly name: string;
  readonly state: LeaseState;
  readonly leases: readonly CensusLease[];
}

/**
 * How it was judged who is live. `server-date`: by the published renew times and the API server's clock. `observed`: by what was
 * seen to change.
 */
export type CensusClock = 'server-date' | 'observed';

/** The moment that a census shows, and how it was judged. */
interface CensusFrame {
  /** The moment that the census shows, by the API server's clock (`server-date`) or ours (`observed`). */
  readonly asOf?: MicroTime | undefined;
  readonly clock: CensusClock;
  readonly freshForMs: number;
  /** Milliseconds since that moment, at the time of the answer. */
  readonly freshnessMs: number;
}

/** The leases of one moment, and the instances that they make. */
export interface Census extends CensusFrame {
  /** Absent when they cannot be known. */
  readonly counts?: Counts | undefined;
  /** Leases by state. */
  readonly leaseCounts: Readonly<Record<LeaseState, number>>;
  /** What counts, or may count, as an instance: live, unknown and stale ones, by name. */
  readonly instances: readonly Instance[];
  /** All of them, by namespace and name. */
  readonly leases: readonly CensusLease[];
}

/** Characters of a holder that are kept. */
const MAX_HOLDER = 1_024;

const zeros = (): Record<LeaseState, number> => ({ live: 0, unknown: 0, stale: 0, expired: 0, released: 0 });

/** Leases that are one instance. */
export class Group {
  readonly hostname: string | undefined;
  readonly name: string;
  /** The best state of its leases; `undefined` when it has none. */
  state: LeaseState | undefined;
  readonly leases: Record<LeaseState, number> = zeros();

  constructor(hostname: string | undefined, name: string) {
    this.hostname = hostname;
    this.name = name;
  }
}

/** What makes leases one instance: their hostname, else (none, or an empty one) only themselves. */
function hostnameIn(lease: Lease): string | undefined {
  return hostnameOf(lease) || undefined;
}

/** Numbers kept as leases come, change and go: each step costs the same however many there are. */
export class Tally {
  readonly leases: Record<LeaseState, number> = zeros();
  readonly #byState: Record<LeaseState, number> = zeros();
  readonly #groups = new Map<string, Group>();

  /** The group of this hostname, made when there is none; it stays only while a lease is counted in it. */
  group(hostname: string | undefined, namespace: string, leaseName: string): Group {
    const key = groupKey(hostname, namespace, leaseName);
    let group = this.#groups.get(key);
    if (!group) this.#groups.set(key, (group = new Group(hostname, hostname ?? leaseName)));
    return group;
  }

  /**
   * Counts one lease of a group as `to` instead of `from`; `undefined` for one that was not counted or is no more.
   * @returns the group's state before
   */
  move(group: Group, from: LeaseState | undefined, to: LeaseState | undefined): LeaseState | undefined {
    const before = group.state;
    if (from === to) return before;
    if (from) this.leases[from] -= 1;
    if (from) group.leases[from] -= 1;
    if (to) this.leases[to] += 1;
    if (to) group.leases[to] += 1;
    const after = LEASE_STATES.find((state) => group.leases[state] > 0);
    if (after !== before) {
      if (before) this.#byState[before] -= 1;
      if (after) this.#byState[after] += 1;
      group.state = after;
    }
    return before;
  }

  /** Forgets a group that has no lease left. */
  prune(group: Group, namespace: string, leaseName: string): void {
    if (group.state === undefined) this.#groups.delete(groupKey(group.hostname, namespace, leaseName));
  }

  /** `undefined` while an instance's state is unknown. */
  counts(): Counts | undefined {
    const { live, unknown, stale, expired, released } = this.#byState;
    return unknown > 0 ? undefined : { instances: live + stale, live, stale, expired, released };
  }
}

/** The first character tells the two kinds of key apart, whatever hostnames others publish. */
const groupKey = (hostname: string | undefined, namespace: string, leaseName: string): string =>
  hostname === undefined ? `/${namespace}/${leaseName}` : `=${hostname}`;

/** A census of leases that were judged already. Of two with one namespace and name the later counts. */
export function census(leases: Iterable<CensusLease>, frame: CensusFrame): Census {
  const unique = new Map<string, CensusLease>();
  for (const lease of leases) unique.set(`${lease.namespace}/${lease.name}`, lease);
  const sorted = [...unique.values()].sort(
    (a, b) => compareText(a.namespace, b.namespace) || compareText(a.name, b.name),
  );
  const tally = new Tally();
  const members = new Map<Group, CensusLease[]>();
  for (const lease of sorted) {
    const group = tally.group(lease.hostname, lease.namespace, lease.name);
    tally.move(group, undefined, lease.state);
    const known = members.get(group);
    if (known) known.push(lease);
    else members.set(group, [lease]);
  }
  const instances: Instance[] = [];
  for (const [{ hostname, name, state }, of] of members) {
    if (state && countsAsInstance(state)) instances.push({ hostname, name, state, leases: of });
  }
  instances.sort((a, b) => compareText(a.name, b.name));
  return { ...frame, counts: tally.counts(), leaseCounts: tally.leases, instances, leases: sorted };
}

/** A lease as it was read: what is kept of it, and all of it where that is wanted. */
export interface ReadLease extends LeaseSummary {
  readonly source?: Lease | undefined;
}

/** The census of one list, judged by what the leases say and the API server's `Date`. */
export function publishedCensus(
  leases: readonly ReadLease[],
  given: { readonly serverDate?: MicroTime | undefined; readonly freshForMs: number; readonly freshnessMs?: number },
): Census {
  const { serverDate, freshForMs, freshnessMs = 0 } = given;
  const judged = leases.map((lease): CensusLease => {
    const sign = lastSign(lease);
    return {
      ...lease,
      state: publishedState(lease, serverDate, freshForMs),
      renewedAgoMs: sign && serverDate?.since(sign),
      aheadMs: aheadMs(lease, serverDate),
    };
  });
  return census(judged, { asOf: serverDate, clock: 'server-date', freshForMs, freshnessMs });
}

/**
 * The census of a second list, judged by what changed since the first; what was not there then is judged by what it says.
 * @param before the first list
 * @param observedMs between the two, at the least
 */
export function comparedCensus(before: Census, after: Census, observedMs = 0): Census {
  const first = new Map(before.leases.map((lease) => [`${lease.namespace}/${lease.name}`, lease]));
  const { asOf, freshForMs, freshnessMs } = after;
  const judged = after.leases.map((lease): CensusLease => {
    const known = first.get(`${lease.namespace}/${lease.name}`);
    if (known?.uid !== lease.uid) return lease;
    return { ...lease, state: comparedState(lease, !sameRecord(known, lease), asOf, observedMs) };
  });
  return census(judged, { asOf, clock: 'observed', freshForMs, freshnessMs });
}

/** Labels that the rest of a summary shows, and how many others are kept. */
const KNOWN_LABELS = new Set([HOSTNAME_LABEL, IDENTITY_LABEL, EARLIER_IDENTITY_LABEL]);
const MAX_LABELS = 16;
const MAX_PAYLOAD = 4_096;

/** The parts of a lease that a census shows. */
export function summary(lease: Lease): LeaseSummary {
  const { namespace, name, creationTimestamp, deletionTimestamp } = lease.metadata;
  const record = recordOf(lease);
  // Our own have 116 characters. A copy: a part of a text keeps the whole of it in memory.
  const holder = record.holder && record.holder.length > MAX_HOLDER ? copied(record.holder) : record.holder;
  const terminating = deletionTimestamp !== undefined;
  const more = Object.entries(lease.metadata.labels).filter(([key]) => !KNOWN_LABELS.has(key));
  const payload = lease.metadata.annotations[PAYLOAD_ANNOTATION];
  return {
    ...record,
    holder,
    namespace,
    name,
    kind: kindOf(lease),
    hostname: hostnameIn(lease),
    creationTimestamp,
    terminating,
    ...(more.length > 0 && { labels: Object.fromEntries(more.slice(0, MAX_LABELS)) }),
    ...(payload !== undefined && payload.length <= MAX_PAYLOAD && { payload }),
  };
}

const copied = (holder: string): string => Buffer.from(holder.slice(0, MAX_HOLDER)).toString();

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
