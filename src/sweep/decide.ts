/**
 * Which leases a pass may delete: two looks at the same leases go in, a plan comes out. Pure.
 *
 * Guarantees: a lease is collected only when both looks saw it expired with the same uid and resourceVersion, when it
 * has a holder that is not ours, when the leases beside it show that renewals work (doubt.ts), and when nothing else
 * stands against it; what is not known is never a reason to delete.
 * Time is the API server's alone, and always the earliest that it can have been: a lease judged too late is collected by
 * a later pass, one judged too early would be a living one.
 */
import { expiredAt, publishedExpiry } from '../lease/expiry.ts';
import type { Lease } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';
import { KIND_LABEL, LEASE_KINDS } from '../lease/marks.ts';
import { HOSTNAME_LABEL, hostnameOf } from '../lease/names.ts';
import type { Silences } from './doubt.ts';
import { Witnesses, longSilences } from './doubt.ts';

/**
 * How far a `Date` header may be from the truth, either way, in milliseconds: it holds whole seconds (RFC 9110), cut off
 * by most servers, rounded or kept for a while by some proxies.
 */
const DATE_UNCERTAINTY_MS = 1_000;
/** How many leases from the future one report names. */
const FUTURE_EXAMPLES = 10;

/** One list of the leases, all its pages. */
export interface Look {
  readonly leases: readonly Lease[];
  /** The earliest `Date` of its answers: nothing in the list is older. `undefined` when one of them had none. */
  readonly date: MicroTime | undefined;
}

/** The lease that this process publishes itself. */
export interface OwnLease {
  readonly namespace: string;
  readonly name: string;
  readonly holderIdentity: string;
}

/** The part of the options that decides. Milliseconds. */
export interface SweepPolicy {
  readonly graceMs: number;
  readonly maxSkewMs: number;
  /** 0: the two looks confirm nothing, so any unexpired lease is proof enough that renewals work. */
  readonly confirmAfterMs: number;
  readonly allowAll: boolean;
  readonly includeElections: boolean;
  readonly own?: OwnLease | undefined;
}

/** What is kept of the first look: versions by uid. */
export interface FirstLook {
  readonly expired: ReadonlyMap<string, string>;
  /** Leases whose renewTime lies so far ahead that it proves no life. */
  readonly future: ReadonlyMap<string, string>;
  readonly silences: Silences | undefined;
}

/** Why a lease was left alone. */
export type KeepReason =
  /** It is being deleted already. */
  | 'terminating'
  /** It has no holder: given up on purpose. Deleting a released election lease would reset its transitions. */
  | 'released'
  /** Live or stale. */
  | 'unexpired'
  /** Expired at the first look, renewed before the second. */
  | 'renewed'
  /** Our own. */
  | 'own'
  /** Of an election, a lock and their kind: a new one would begin again, with transitions 0 and nothing done. */
  | 'election'
  /** Read without a uid or a resourceVersion: it could only be deleted blindly. */
  | 'unversioned'
  /** Expired, but for less than the grace. */
  | 'grace'
  /** The first look did not see it expired, or not at all. */
  | 'expiredOnce'
  /** Expired in both looks, but somebody wrote it in between. */
  | 'changed'
  /** Others that were silent for about as long came back between the looks: the API may be recovering from an outage. */
  | 'recovering'
  /** Nobody renewed since it expired: perhaps nobody can. */
  | 'unproven'
  /** A heartbeat whose Node is there, or was at the first look. */
  | 'owned'
  /** Nothing stood against it, but the pass as a whole is void. */
  | 'passVoid';

/** A lease that may go, as much as its deletion and the report of it need. */
export interface Collectable {
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly holderIdentity: string;
  readonly hostname: string | undefined;
  /** Milliseconds since its expiry, at the second look, at the least; missing where expiry is not what it goes for. */
  readonly expiredForMs?: number;
  /** A heartbeat: it goes because no Node has its name. */
  readonly ownerGone?: true;
  /** With finalizers it is only marked for deletion; it goes when they do. */
  readonly finalizers: readonly string[];
}

/** A lease whose renewTime lies in the future. */
export interface FutureRenewal {
  readonly name: string;
  readonly holderIdentity: string | undefined;
  readonly hostname: string | undefined;
  /** Milliseconds that renewTime is ahead of the API server's clock. */
  readonly aheadMs: number;
}

/** Why a pass could not judge. */
export type VoidReason =
  /** An answer came without a `Date`: nobody knows what is expired. */
  | 'noDate'
  /** No unexpired lease would be left: renewals are probably failing (etcd out of space), not every server dead. */
  | 'noneUnexpired'
  /** There are unexpired leases, but none was renewed since those expired that would go: as above. */
  | 'noneRenewed'
  /** There is no Node at all: they are probably not to be seen, not all gone. */
  | 'noNodes'
  /** All that would go were silent for about as long as some who came back between the looks. */
  | 'recovering';

export interface Plan {
  /** Leases that the last look saw. */
  readonly seen: number;
  /** Held and not expired: signs that somebody lives and can renew. */
  readonly unexpired: number;
  readonly collect: readonly Collectable[];
  /** How many were kept, by the first reason that stands against collecting them. */
  readonly kept: Readonly<Record<KeepReason, number>>;
  readonly future: { readonly count: number; readonly examples: readonly FutureRenewal[] };
  /** Why nothing is collected at all. */
  readonly voidBecause?: VoidReason;
}

/** Nothing remembered: everything expired is expired for the first time. */
export const NO_FIRST_LOOK: FirstLook = { expired: new Map(), future: new Map(), silences: undefined };

/** What the second look needs to know of the first; `undefined` without a `Date`. */
export function remember(look: Look, policy: SweepPolicy): FirstLook | undefined {
  if (!look.date) return undefined;
  const now = earliest(look.date);
  const expired = new Map<string, string>();
  const future = new Map<string, string>();
  for (const lease of look.leases) {
    const { uid, resourceVersion } = lease.metadata;
    if (judge(lease, now, NO_FIRST_LOOK, policy) === 'expiredOnce') expired.set(uid, resourceVersion);
    else if (aheadMs(lease, look.date) > policy.maxSkewMs) future.set(uid, resourceVersion);
  }
  const held = look.leases.filter(isHeld);
  return { expired, future, silences: longSilences(held, ({ metadata }) => expired.has(metadata.uid), now) };
}

/** Why a lease is kept; `undefined` when it may be collected. */
function judge(lease: Lease, now: MicroTime, first: FirstLook, policy: SweepPolicy): KeepReason | undefined {
  const { uid, resourceVersion } = lease.metadata;
  if (lease.metadata.deletionTimestamp) return 'terminating';
  if (!lease.spec.holderIdentity) return 'released';
  const before = first.expired.get(uid);
  if (!expiredAt(lease, now)) return before === undefined || before === resourceVersion ? 'unexpired' : 'renewed';
  if (isOwn(lease, policy.own)) return 'own';
  if (!policy.includeElections && beginsAgain(lease)) return 'election';
  if (uid === '' || resourceVersion === '') return 'unversioned';
  if (!expiredAt(lease, now, policy.graceMs)) return 'grace';
  if (before === undefined) return 'expiredOnce';
  return before === resourceVersion ? undefined : 'changed';
}

/** @param first what `remember` gave for the first look; `undefined` when that had no `Date` */
export function decide(first: FirstLook | undefined, second: Look, policy: SweepPolicy): Plan {
  const kept = noneKept();
  const seen = second.leases.length;
  if (!first || !second.date) {
    kept.passVoid = seen;
    return { seen, unexpired: 0, collect: [], kept, future: { count: 0, examples: [] }, voidBecause: 'noDate' };
  }
  const now = earliest(second.date);
  const witnesses = new Witnesses(first.silences, now);
  const expired: Lease[] = [];
  const examples: FutureRenewal[] = [];
  let futures = 0;
  let unexpired = 0;
  for (const lease of second.leases) {
    const ahead = aheadMs(lease, second.date);
    const fromFuture = ahead > policy.maxSkewMs;
    if (fromFuture && futures++ < FUTURE_EXAMPLES) examples.push(futureRenewal(lease, ahead));
    const reason = judge(lease, now, first, policy);
    if (reason === undefined) expired.push(lease);
    else kept[reason]++;
    // A renewTime from the future outlives its holder for as long as it is ahead: alone it proves no life, a write does.
    const proof = !fromFuture || first.future.get(lease.metadata.uid) !== lease.metadata.resourceVersion;
    if (!proof || (reason !== 'unexpired' && reason !== 'renewed')) continue;
    unexpired++;
    witnesses.hear(lease);
  }
  const plan = { seen, unexpired, kept, future: { count: futures, examples } };
  if (unexpired === 0 && !policy.allowAll && expired.length > 0) {
    kept.passVoid = expired.length;
    return { ...plan, collect: [], voidBecause: 'noneUnexpired' };
  }
  const collect: Collectable[] = [];
  for (const lease of expired) {
    const doubt = doubtAbout(lease, witnesses, policy);
    if (doubt) kept[doubt]++;
    else collect.push(collectable(lease, now));
  }
  if (collect.length > 0 || expired.length === 0) return { ...plan, collect };
  return { ...plan, collect, voidBecause: kept.recovering > 0 ? 'recovering' : 'noneRenewed' };
}

function doubtAbout(lease: Lease, witnesses: Witnesses, policy: SweepPolicy): 'recovering' | 'unproven' | undefined {
  if (witnesses.recovering(lease)) return 'recovering';
  const expiry = publishedExpiry(lease);
  if (policy.allowAll || policy.confirmAfterMs === 0 || (expiry && witnesses.renewedSince(expiry))) return undefined;
  return 'unproven';
}

export function noneKept(): Record<KeepReason, number> {
  return {
    terminating: 0,
    released: 0,
    unexpired: 0,
    renewed: 0,
    own: 0,
    election: 0,
    unversioned: 0,
    grace: 0,
    expiredOnce: 0,
    changed: 0,
    recovering: 0,
    unproven: 0,
    owned: 0,
    passVoid: 0,
  };
}

const isHeld = ({ metadata, spec }: Lease): boolean => !metadata.deletionTimestamp && Boolean(spec.holderIdentity);

/** The earliest that it can have been on the API server's clock. */
const earliest = (date: MicroTime): MicroTime =>
  MicroTime.fromEpochMicrosClamped(date.epochMicros - DATE_UNCERTAINTY_MS * 1000);

/** Milliseconds that renewTime is ahead of the latest that it can have been; negative for most. */
function aheadMs(lease: Lease, date: MicroTime): number {
  return (lease.spec.renewTime?.since(date) ?? -Infinity) - DATE_UNCERTAINTY_MS;
}

/**
 * True for a lease whose record must outlive its holder: by its mark, or, without one that we know, where it has changed hands
 * and carries no hostname, as an election's does.
 */
function beginsAgain({ metadata: { labels }, spec }: Lease): boolean {
  const kind = LEASE_KINDS.find((known) => known === labels[KIND_LABEL]);
  if (kind !== undefined) return kind !== 'member';
  return labels[HOSTNAME_LABEL] === undefined && (spec.leaseTransitions ?? 0) > 0;
}

function isOwn({ metadata, spec }: Lease, own: OwnLease | undefined): boolean {
  if (!own) return false;
  return (
    spec.holderIdentity === own.holderIdentity || (metadata.name === own.name && metadata.namespace === own.namespace)
  );
}

function collectable(lease: Lease, now: MicroTime): Collectable {
  const { name, uid, resourceVersion, finalizers } = lease.metadata;
  const expiry = publishedExpiry(lease);
  return {
    name,
    uid,
    resourceVersion,
    holderIdentity: lease.spec.holderIdentity ?? '',
    hostname: hostnameOf(lease),
    expiredForMs: expiry ? now.since(expiry) : 0,
    finalizers,
  };
}

function futureRenewal(lease: Lease, ahead: number): FutureRenewal {
  return {
    name: lease.metadata.name,
    holderIdentity: lease.spec.holderIdentity,
    hostname: hostnameOf(lease),
    aheadMs: ahead,
  };
}
