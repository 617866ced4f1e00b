/**
 * What a candidate and a leader make of what they see of the lease. Pure: no clock, no I/O.
 *
 * Guarantees:
 * - Another's lease is taken only when its holder released it, or when its record has not changed for its own published
 *   duration as we observed it on our monotonic clock; two clocks are never compared. An invalid duration is read as ours,
 *   one over an hour as an hour.
 * - A release is the holder's own or it is none: an empty holder beside a term mark that is not older than the record was
 *   emptied by somebody else, and is waited for as if that holder still led.
 * - What is taken is the very version that was judged, so a renewal that we did not see makes the take-over fail. That is
 *   why silence counts even while we could not look: the same record at both ends of a gap was not renewed within it, and
 *   if it was renewed since, the write is refused.
 * - A record that is older than what was seen, by its version or by fewer transitions in the same object, is no release and
 *   not our own: it came back with a backup, and is waited for.
 * - A record is our own only when its renewTime is one that we sent. Our holder identity alone proves nothing.
 * - Every new term has more transitions than the record that it is made from, its mark, and the lease that was there before a
 *   deletion; at 2147483647 they stay.
 */
import { versionNumber } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import { stepDownMark, termMark } from '../lease/marks.ts';
import { isCalled } from '../lease/names.ts';
import type { OwnWrite, OwnWrites } from '../lease/own-writes.ts';
import { recordOf, sameRecord } from '../lease/record.ts';
import type { AcquireReason } from './election-events.ts';
import { MAX_LEASE_DURATION_MS } from './election-options.ts';
import type { Timing } from './election-options.ts';
import type { LossReason } from './term.ts';

/** The API's own bound on leaseTransitions (int32). */
export const MAX_TRANSITIONS = 2_147_483_647;

/** What a write of ours says beside its renewTime. */
export interface TermWrite {
  readonly transitions: number;
  /** True for the write that begins a term, false for one that renews it. */
  readonly opens: boolean;
}
export type ElectionWrite = OwnWrite<TermWrite>;

/** What was last seen of the lease. */
export interface Observation {
  /** Undefined: there is none. Its version may be newer than `since`: changes of metadata are no renewal. */
  readonly lease: Lease | undefined;
  /** The uid of a lease that is known to have been deleted, not only not found. */
  readonly deleted?: string | undefined;
  /** Older than what was seen before: the server or the lease was set back, and a holder since then may still lead. */
  readonly setBack: boolean;
  /** Monotonic milliseconds at which this record was first seen. */
  readonly since: number;
  /** How long it must stay unchanged before somebody else may have it; 0: nobody holds it. */
  readonly durationMs: number;
  /** Of the lease seen last and its mark, also after a deletion; undefined: never seen any. */
  readonly transitions: number | undefined;
}

/** Who looks. */
interface Self {
  readonly holder: string;
  readonly timing: Timing;
}

/**
 * Folds a look at the lease into what was seen before.
 * @param lease undefined: there is none
 * @param nowMs monotonic milliseconds, taken after the answer arrived, so that silence is never overestimated
 * @param deleted the uid of the lease that a watch reported as deleted
 */
export function observeLease(
  self: Self & { readonly writes: OwnWrites<TermWrite> },
  previous: Observation | undefined,
  lease: Lease | undefined,
  nowMs: number,
  deleted?: string,
): Observation {
  const { holder, timing } = self;
  if (lease === undefined) {
    if (previous === undefined) {
      return { lease, deleted, setBack: false, since: nowMs, durationMs: 0, transitions: undefined };
    }
    if (previous.lease === undefined) return { ...previous, deleted: deleted ?? previous.deleted };
    // Deleting a lease stops nobody: its holder may lead until its duration has passed or a renewal has failed.
    const ours = previous.lease.spec.holderIdentity === holder && !previous.setBack;
    const durationMs = ours ? 0 : previous.durationMs;
    return { ...previous, lease, deleted, durationMs };
  }
  const same = previous?.lease !== undefined && sameRecord(recordOf(previous.lease), recordOf(lease));
  const setBack =
    (same && previous.setBack) || (previous?.lease !== undefined && isOlder(lease, previous.lease, self, nowMs));
  const durationMs = Math.max(
    durationOf(lease, holder, timing),
    setBack ? timing.leaseDurationMs : 0,
    // A mark that somebody takes off afterwards shortens nothing.
    same || setBack ? (previous?.durationMs ?? 0) : 0,
  );
  return {
    lease,
    setBack,
    since: same ? previous.since : nowMs,
    durationMs,
    transitions: Math.max(transitionsOf(lease), termMark(lease)?.transitions ?? 0),
  };
}

const transitionsOf = (lease: Lease): number => lease.spec.leaseTransitions ?? 0;

/** True for what was there before what was seen. While our own term held there nobody else led; no transitions tell nothing. */
function isOlder(
  lease: Lease,
  seen: Lease,
  { holder, timing, writes }: Self & { readonly writes: OwnWrites<TermWrite> },
  nowMs: number,
): boolean {
  if (isNewer(seen, lease)) return true;
  const { leaseTransitions = Infinity } = lease.spec;
  const sameObject = lease.metadata.uid === seen.metadata.uid;
  const own = ownWrite(holder, writes, seen);
  const held = own !== undefined && nowMs < own.sentAt + timing.holdMs;
  return sameObject && leaseTransitions < transitionsOf(seen) && !held;
}

function durationOf(lease: Lease, holder: string, { leaseDurationMs, retryPeriodMs }: Timing): number {
  const { holderIdentity, leaseDurationSeconds } = lease.spec;
  const published = (seconds: number | undefined): number =>
    seconds !== undefined && seconds > 0 ? Math.min(seconds * 1000, MAX_LEASE_DURATION_MS) : leaseDurationMs;
  if (holderIdentity) return published(leaseDurationSeconds);
  const emptied = emptiedTerm(lease);
  if (emptied) return published(emptied.durationSeconds);
  // Whom it was released for comes first.
  const next = releasedFor(lease);
  return next === undefined || isCalled(holder, next) ? 0 : retryPeriodMs;
}

/** The term of a lease that somebody else than its holder emptied; undefined: its holder released it, or holds it. */
export function emptiedTerm(lease: Lease): ReturnType<typeof termMark> {
  const mark = lease.spec.holderIdentity ? undefined : termMark(lease);
  return mark && mark.transitions >= transitionsOf(lease) ? mark : undefined;
}

/** Whom a released lease was released for; undefined: nobody in particular. */
function releasedFor(lease: Lease): string | undefined {
  if (lease.spec.preferredHolder) return lease.spec.preferredHolder;
  const asked = stepDownMark(lease);
  return asked?.transitions === transitionsOf(lease) ? asked.to : undefined;
}

/**
 * Whether the holder of a term is asked to end it, by `preferredHolder` or by a request that names this term.
 * @returns for whom; undefined: it is not asked
 */
export function askedToStepDown(
  lease: Lease,
  { holder, transitions }: { readonly holder: string; readonly transitions: number },
): { readonly to: string | undefined } | undefined {
  const { preferredHolder } = lease.spec;
  if (preferredHolder && !isCalled(holder, preferredHolder)) return { to: preferredHolder };
  const asked = stepDownMark(lease);
  if (asked?.holder !== holder || asked.transitions !== transitions) return undefined;
  return asked.to !== undefined && isCalled(holder, asked.to) ? undefined : { to: asked.to };
}

/** What we wrote, and this lease still says; undefined when somebody else wrote it. */
export function ownWrite(holder: string, writes: OwnWrites<TermWrite>, lease: Lease): ElectionWrite | undefined {
  if (lease.spec.holderIdentity !== holder) return undefined;
  const write = writes.find(lease);
  return write?.transitions === transitionsOf(lease) ? write : undefined;
}

export type CandidateAction =
  /** Nothing was seen yet. */
  | { readonly do: 'read' }
  /** Nothing to do before this instant, unless the lease changes. */
  | { readonly do: 'wait'; readonly until: number }
  /** Write a new term over exactly this version; undefined: create it. */
  | {
      readonly do: 'acquire';
      readonly base: Lease | undefined;
      readonly transitions: number;
      readonly why: AcquireReason;
    }
  /** We lead already: the answer to this write of ours was lost. */
  | { readonly do: 'adopt'; readonly lease: Lease; readonly write: ElectionWrite };

interface CandidateState extends Self {
  readonly writes: OwnWrites<TermWrite>;
  /** Milliseconds for which others go first once the lease can be had. */
  readonly headStartMs: number;
}

/** What a candidate does. */
export function decideCandidate(
  { holder, timing, writes, headStartMs }: CandidateState,
  seen: Observation | undefined,
  nowMs: number,
): CandidateAction {
  if (seen === undefined) return { do: 'read' };
  const { lease } = seen;
  const transitions = seen.transitions === undefined ? 0 : Math.min(seen.transitions + 1, MAX_TRANSITIONS);
  const write = lease && !seen.setBack && ownWrite(holder, writes, lease);
  if (lease && write) {
    // A term is counted from the sending: what was found again too late is written again, as a new term.
    if (write.opens && write.sentAt + timing.termMs > nowMs) return { do: 'adopt', lease, write };
    return { do: 'acquire', base: lease, transitions, why: 'own' };
  }
  const next = lease && !lease.spec.holderIdentity ? releasedFor(lease) : undefined;
  const meant = next !== undefined && isCalled(holder, next);
  const until = seen.since + seen.durationMs + (meant ? 0 : headStartMs);
  if (nowMs < until) return { do: 'wait', until };
  const why = lease === undefined ? 'absent' : lease.spec.holderIdentity ? 'expired' : 'released';
  return { do: 'acquire', base: lease, transitions, why };
}

export type LeaderAction =
  /** Still ours: go on from this version. The deadline counts from when `write` was sent. */
  | { readonly do: 'adopt'; readonly lease: Lease; readonly write: ElectionWrite }
  | { readonly do: 'stop'; readonly reason: LossReason };

export interface LeaderState {
  readonly holder: string;
  readonly writes: OwnWrites<TermWrite>;
  readonly transitions: number;
  /** The lease as last answered. */
  readonly held: Lease;
}

/** What a leader does that has read its lease. */
export function decideLeader(state: LeaderState, lease: Lease | undefined): LeaderAction {
  // A lease that was created again may have had other leaders in between.
  if (lease === undefined || lease.metadata.uid !== state.held.metadata.uid) return { do: 'stop', reason: 'deleted' };
  if (!lease.spec.holderIdentity) return { do: 'stop', reason: 'released' };
  const write = ownWrite(state.holder, state.writes, lease);
  if (write?.transitions !== state.transitions) return { do: 'stop', reason: 'taken' };
  return { do: 'adopt', lease, write };
}

/** What a leader does with what its watch shows, which may be older than its own last write. */
export function decideNews(
  state: LeaderState,
  { lease, deleted }: Observation,
): LeaderAction | { readonly do: 'read' } | { readonly do: 'nothing' } {
  const { holder, writes, held } = state;
  if (lease === undefined) {
    return deleted === held.metadata.uid ? { do: 'stop', reason: 'deleted' } : { do: 'read' };
  }
  const write = ownWrite(holder, writes, lease);
  // The answer to a write that is under way says the same.
  if (write && write !== writes.acknowledged && !writes.lost.includes(write)) return { do: 'nothing' };
  const newer = isNewer(lease, held);
  if (newer) return decideLeader(state, lease);
  return newer === false || write ? { do: 'nothing' } : { do: 'read' };
}

/** Undefined: the server's versions are no numbers. */
export function isNewer(lease: Lease, than: Lease): boolean | undefined {
  const [a, b] = [lease, than].map(({ metadata }) => versionNumber(metadata.resourceVersion));
  return a === undefined || b === undefined ? undefined : a > b;
}

/**
 * The token of a term that was first seen as ours in this version.
 * @returns undefined: the version is no number, or too great a one to be exact
 */
export function versionToken({ metadata }: Lease): number | undefined {
  const version = versionNumber(metadata.resourceVersion);
  return version !== undefined && version <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(version) : undefined;
}

/**
 * Milliseconds that one attempt to renew may take: half of what is left, so that an attempt that hangs leaves time for
 * another one on a new connection; all of it once that would be too little to be worth splitting, or not well above what an
 * answer takes.
 */
export function renewTimeout(remainingMs: number, retryPeriodMs: number, typicalMs: number): number {
  const half = remainingMs / 2;
  return half > Math.max(retryPeriodMs / 4, 2 * typicalMs) ? half : Math.max(remainingMs, 1);
}

/** Milliseconds until the next attempt after one that failed: the backoff's, but never past half of what is left. */
export function renewPause(backoffMs: number, remainingMs: number): number {
  return Math.max(Math.min(backoffMs, remainingMs / 2), MIN_PAUSE_MS);
}

/** Between two attempts to renew that failed at once. */
const MIN_PAUSE_MS = 50;
