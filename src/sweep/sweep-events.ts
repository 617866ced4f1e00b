/**
 * What a sweeper tells its observer, and what a pass comes to.
 */
import type { LeaseStoreError } from '../lease/store.ts';
import type { Collectable, FutureRenewal, KeepReason, VoidReason } from './decide.ts';

/** Why the deletions of a pass ended early. */
export type StopReason =
  /** The server kept refusing with 429, or asked for a longer pause than a pass is worth. */
  | 'throttled'
  /** Too many DELETEs in a row failed. */
  | 'failing';

/** How a pass ended. */
export type PassOutcome =
  /** Every collectable lease had its DELETE (none, in a dry run). */
  | 'completed'
  /** Nothing was deleted: the looks do not allow a judgement. */
  | 'void'
  /** The deletions ended early; the rest is for the next pass. */
  | 'stopped'
  /** The signal. */
  | 'aborted';

/** `collectable` is `deleted + changed + gone + failed + left`. */
export interface PassResult {
  readonly outcome: PassOutcome;
  /** With outcome `void` or `stopped`. */
  readonly because?: VoidReason | 'listFailed' | StopReason;
  /** The list's failure that made the pass void, or the last failure of a DELETE. */
  readonly error?: LeaseStoreError;
  readonly dryRun: boolean;
  /** Leases that the last complete look saw. */
  readonly seen: number;
  /** Leases that may go. */
  readonly collectable: number;
  readonly kept: Readonly<Record<KeepReason, number>>;
  readonly deleted: number;
  /** 409: renewed or recreated between the look and the DELETE, and left alone. */
  readonly changed: number;
  /** 404: another sweeper, or its holder, was faster. */
  readonly gone: number;
  /** No answer, or another refusal. Not repeated: the next pass looks again. */
  readonly failed: number;
  /** Not tried. */
  readonly left: number;
  /** Milliseconds that our clock is ahead of the API server's, at the least; missing when it is not known. */
  readonly clockDistanceMs?: number;
  /** Milliseconds of the pass, its wait between the two looks included. */
  readonly tookMs: number;
}

/** What a sweeper tells its observer. */
export type SweepEvent =
  | {
      readonly type: 'passStarted';
      readonly namespace: string;
      readonly labelSelector: string;
      readonly dryRun: boolean;
    }
  /** A list is complete. */
  | {
      readonly type: 'looked';
      readonly look: 1 | 2;
      readonly leases: number;
      readonly pages: number;
      readonly tookMs: number;
    }
  /** Once a pass. `exceeded`: past `maxSkewMs`; changes nothing, as only the API server's clock is believed. */
  | { readonly type: 'clockDistance'; readonly distanceMs: number; readonly exceeded: boolean }
  /** Leases whose renewTime is further ahead of the API server's clock than `maxSkewMs`; the first few by name. */
  | { readonly type: 'futureRenewals'; readonly count: number; readonly examples: readonly FutureRenewal[] }
  /** In a dry run: what would go. */
  | { readonly type: 'wouldDelete'; readonly lease: Collectable }
  /** With finalizers: marked for deletion. */
  | { readonly type: 'deleted'; readonly lease: Collectable }
  /** `changed`: 409, it lives. `gone`: 404. */
  | { readonly type: 'leftAlone'; readonly lease: Collectable; readonly because: 'changed' | 'gone' }
  /** With `error.mayHaveCommitted` it may be deleted all the same. */
  | { readonly type: 'deleteFailed'; readonly lease: Collectable; readonly error: LeaseStoreError }
  /** 429: no DELETE is sent for this long. */
  | { readonly type: 'throttled'; readonly waitMs: number }
  | { readonly type: 'passFinished'; readonly result: PassResult }
  /** A tick came while a pass was running; it is dropped. */
  | { readonly type: 'tickSkipped' };
