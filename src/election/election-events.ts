/**
 * What an elector reports to its observer. `leading` and `stopped` come in pairs, one of each for every term.
 */
import type { LeaseRef, LeaseStoreError } from '../lease/store.ts';
import type { LossReason } from './term.ts';

/** What an elector asked of the API when a request failed. */
export type ElectionOperation = 'get' | 'create' | 'takeOver' | 'renew' | 'release' | 'watch';

/** Why the lease could be had. `own`: it was still ours from an earlier term. */
export type AcquireReason = 'absent' | 'released' | 'expired' | 'own';

/** Why a term ended. */
export type StopReason =
  | LossReason
  /** The work returned, or threw, by itself. */
  | 'workEnded'
  | 'workFailed'
  /** The elector was to stop, and the work has ended. */
  | 'shutdown'
  /** Another is to lead, and the work has ended. */
  | 'steppedDown'
  /** The elector was to stop, and the work did not end in time. */
  | 'abandoned';

/** Instants are milliseconds of the elector's monotonic clock. */
export type ElectionHappening =
  /** Standing by, or trying to acquire, from now on. */
  | { readonly type: 'contending' }
  /** Somebody else (or we, or nobody: undefined) is seen to hold the lease. */
  | { readonly type: 'leaderObserved'; readonly leader: string | undefined; readonly transitions: number }
  | {
      readonly type: 'leading';
      readonly why: AcquireReason | 'adopted';
      /** Of the lease. */
      readonly uid: string;
      /** The lease's, in this term. */
      readonly transitions: number;
      readonly fencingToken: number;
      /** When the term ends unless it is renewed. */
      readonly deadline: number;
      /** When others may lead: everything must have ended by then. */
      readonly expires: number;
    }
  /** `adopted`: the answer was lost, and the write found again. `latencyMs`: from its sending. */
  | {
      readonly type: 'renewed';
      readonly fencingToken: number;
      readonly deadline: number;
      readonly expires: number;
      readonly latencyMs: number;
      readonly adopted: boolean;
    }
  /** A renewal was refused because the lease had changed, and took a read more (client-go's slow path). */
  | { readonly type: 'slowPath'; readonly fencingToken: number }
  /** `remainingMs`: until the term's deadline, while leading. */
  | {
      readonly type: 'failed';
      readonly operation: ElectionOperation;
      readonly error: LeaseStoreError;
      readonly retryInMs: number;
      readonly remainingMs?: number;
    }
  /** Another candidate was faster; without news of the lease the next try comes after `retryInMs`. */
  | { readonly type: 'raceLost'; readonly retryInMs: number }
  /** Reported once: the server's versions are no safe integers, so tokens are the lease's transitions. */
  | { readonly type: 'tokensFromTransitions'; readonly fencingToken: number }
  /** Another is to lead (`to`; undefined: anybody): the work was asked to end, and the lease is released once it has. */
  | { readonly type: 'steppingDown'; readonly fencingToken: number; readonly to: string | undefined }
  /** The work returned although its signal had not aborted: it is run again, whatever it began still goes on. */
  | { readonly type: 'workReturned'; readonly fencingToken: number }
  | { readonly type: 'stopped'; readonly reason: StopReason; readonly fencingToken: number; readonly error?: unknown }
  /** The term is lost, others may lead, and its work has still not ended. */
  | { readonly type: 'workOverdue'; readonly fencingToken: number }
  | { readonly type: 'released' }
  /** Not released: others wait until it expires. */
  | { readonly type: 'leftToExpire' }
  /** The watch cannot be trusted for now; a standby polls in its stead. */
  | { readonly type: 'watchLost'; readonly error: LeaseStoreError | undefined }
  | { readonly type: 'watchRecovered' };

/** What an elector reports to its observer. */
export type ElectionEvent = ElectionHappening & {
  readonly lease: LeaseRef;
  /** Our own holder identity. */
  readonly holder: string;
};
