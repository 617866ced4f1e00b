/**
 * What a candidate and a leader make of what they see of the lease. Pure: no clock, no I/O.
 *
 * Guarantees:
 * - Another's lease is taken only when it is empty, or when its record has not changed for its own published duration as
 *   we observed it on our monotonic clock; two clocks are never compared. An invalid duration is read as ours, one over
 *   an hour as an hour.
 * - What is taken is the very version that was judged, so a renewal that we did not see makes the take-over fail. That is
 *   why silence counts even while we could not look: the same record at both ends of a gap was not renewed within it, and
 *   if it was renewed since, the write is refused.
 * - A record is our own only when its renewTime is one that we sent. Our holder identity alone proves nothing.
 * - Every new term has a higher fencing token than the last record seen; at 2147483647 it stays.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import type { LossReason } from './leadership-error.ts';
import type { AcquireReason } from './election-events.ts';
import { MAX_LEASE_DURATION_MS } from './election-options.ts';
import type { Timing } from './election-options.ts';

/** The API's own bound on leaseTransitions (int32). */
export const MAX_TOKEN = 2_147_483_647;

/** A write of ours that is, or may turn out to be, the lease's current record. */
export interface Attempt {
  readonly renewTime: MicroTime;
  /** Monotonic milliseconds, taken before it was sent. */
  readonly sentAt: number;
  readonly fencingToken: number;
  /** True for the write that begins a term, false for one that renews it. */
  readonly opens: boolean;
}

/** The last sight of the lease. */
export interface Observation {
  /** Undefined: there is none. Its version may be newer than `since`: changes of metadata are no renewal. */
  readonly lease: Lease | undefined;
  /** Monotonic milliseconds at which this record was first seen. */
  readonly since: number;
  /** How long it must stay unchanged before somebody else may have it; 0: nobody holds it. */
  readonly durationMs: number;
  /** The last leaseTransitions seen, also after a deletion; undefined: never seen any. */
  readonly transitions: number | undefined;
}

/**
 * Folds a look at the lease into what was seen before.
 * @param holder our own holder identity
 * @param lease undefined: there is none
 * @param nowMs monotonic milliseconds, taken after the answer arrived, so that silence is never overestimated
 */
export function observeLease(
  previous: Observation | undefined,
  holder: string,
  lease: Lease | undefined,
  nowMs: number,
  ownDurationMs: number,
): Observation {
  if (lease === undefined) {
    if (previous === undefined) return { lease, since: nowMs, durationMs: 0, transitions: undefined };
    if (previous.lease === undefined) return previous;
    // Deleting a lease stops nobody: whoever held it may lead until its duration has passed or a renewal has failed.
    const durationMs = previous.lease.spec.holderIdentity === holder ? 0 : previous.durationMs;
    return { ...previous, lease, durationMs };
  }
  if (previous?.lease !== undefined && sameRecord(previous.lease, lease)) return { ...previous, lease };
  return { lease, since: nowMs, durationMs: durationOf(lease, ownDurationMs), transitions: transitionsOf(lease) };
}

const transitionsOf = (lease: Lease): number => lease.spec.leaseTransitions ?? 0;

function durationOf({ spec }: Lease, ownDurationMs: number): number {
  if (!spec.holderIdentity) return 0;
  if (spec.leaseDurationSeconds === undefined || !(spec.leaseDurationSeconds > 0)) return ownDurationMs;
  return Math.min(spec.leaseDurationSeconds * 1000, MAX_LEASE_DURATION_MS);
}

/** True when nobody renewed between the two: everything that a renewal or a change of hands writes is the same. */
function sameRecord(a: Lease, b: Lease): boolean {
  return (
    a.metadata.uid === b.metadata.uid &&
    a.spec.holderIdentity === b.spec.holderIdentity &&
    a.spec.leaseDurationSeconds === b.spec.leaseDurationSeconds &&
    a.spec.leaseTransitions === b.spec.leaseTransitions &&
    sameTime(a.spec.renewTime, b.spec.renewTime) &&
    sameTime(a.spec.acquireTime, b.spec.acquireTime)
  );
}

const sameTime = (a: MicroTime | undefined, b: MicroTime | undefined): boolean => (a ? a.equals(b) : b === undefined);

/** What we wrote, and this lease still says; undefined when somebody else wrote it. */
export function ownAttempt(holder: string, attempts: readonly Attempt[], lease: Lease): Attempt | undefined {
  if (lease.spec.holderIdentity !== holder) return undefined;
  return attempts.find((a) => a.renewTime.equals(lease.spec.renewTime) && a.fencingToken === transitionsOf(lease));
}

export type CandidateAction =
  /** Nothing was seen yet. */
  | { readonly do: 'look' }
  /** Nothing to do before this instant, unless the lease changes. */
  | { readonly do: 'wait'; readonly until: number }
  /** Write a new term over exactly this version; undefined: create it. */
  | {
      readonly do: 'acquire';
      readonly base: Lease | undefined;
      readonly fencingToken: number;
      readonly why: AcquireReason;
    }
  /** We lead already: the answer to this write of ours was lost. */
  | { readonly do: 'adopt'; readonly lease: Lease; readonly attempt: Attempt };

export interface CandidateState {
  readonly holder: string;
  readonly timing: Timing;
  readonly attempts: readonly Attempt[];
}

/** What a candidate does. */
export function decideCandidate(
  { holder, timing, attempts }: CandidateState,
  seen: Observation | undefined,
  nowMs: number,
): CandidateAction {
  if (seen === undefined) return { do: 'look' };
  const { lease, transitions } = seen;
  const fencingToken = transitions === undefined ? 0 : Math.min(transitions + 1, MAX_TOKEN);
  const attempt = lease && ownAttempt(holder, attempts, lease);
  if (lease && attempt) {
    // Leadership is counted from the sending, so what was found again too late is of no use but to be written anew.
    if (attempt.opens && attempt.sentAt + timing.termMs > nowMs) return { do: 'adopt', lease, attempt };
    return { do: 'acquire', base: lease, fencingToken, why: 'own' };
  }
  const until = seen.since + seen.durationMs;
  if (nowMs < until) return { do: 'wait', until };
  const why = lease === undefined ? 'absent' : lease.spec.holderIdentity ? 'expired' : 'released';
  return { do: 'acquire', base: lease, fencingToken, why };
}

export type LeaderAction =
  /** Still ours: go on from this version. The deadline counts from when `attempt` was sent. */
  | { readonly do: 'adopt'; readonly lease: Lease; readonly attempt: Attempt }
  | { readonly do: 'stop'; readonly reason: LossReason };

export interface LeaderState {
  readonly holder: string;
  readonly attempts: readonly Attempt[];
  readonly fencingToken: number;
  /** The lease as last answered. */
  readonly held: Lease;
}

/** What a leader does whose renewal was refused, once it has looked. */
export function decideLeader(state: LeaderState, lease: Lease | undefined): LeaderAction {
  // A lease made anew may have had other leaders in between.
  if (lease === undefined || lease.metadata.uid !== state.held.metadata.uid) return { do: 'stop', reason: 'deleted' };
  if (!lease.spec.holderIdentity) return { do: 'stop', reason: 'released' };
  const attempt = ownAttempt(state.holder, state.attempts, lease);
  if (attempt?.fencingToken !== state.fencingToken) return { do: 'stop', reason: 'taken' };
  return { do: 'adopt', lease, attempt };
}

/**
 * Milliseconds that one attempt to renew may take: half of what is left, so that an attempt that hangs leaves time for
 * another one on a new connection; all of it once that would be too little to be worth splitting.
 */
export function renewTimeout(remainingMs: number, retryPeriodMs: number): number {
  return remainingMs > retryPeriodMs / 2 ? remainingMs / 2 : Math.max(remainingMs, 1);
}

/** Milliseconds until the next attempt after one that failed: the backoff's, but never past half of what is left. */
export function renewPause(backoffMs: number, remainingMs: number): number {
  return Math.max(Math.min(backoffMs, remainingMs / 2), MIN_PAUSE_MS);
}

/** Between two attempts to renew that failed at once. */
const MIN_PAUSE_MS = 50;
