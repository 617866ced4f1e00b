/**
 * What a kept census tells its observer, and what it answers.
 */
import type { MicroTime } from '../lease/micro-time.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import type { CensusLease, Counts } from './census.ts';
import type { LeaseState } from './judge.ts';

/** What a kept census tells its observer. */
export type CensusEvent =
  /** Everything is known from now on, for the first time or again after a loss. What follows is reported as changes to it. */
  | { readonly type: 'synced'; readonly first: boolean }
  /** What is known may be old from now on; reported once each time it begins, and again when the reason becomes another. */
  | { readonly type: 'lost'; readonly error: LeaseStoreError }
  /** The watch had been silent for too long and was replaced. */
  | { readonly type: 'restarted'; readonly silentMs: number }
  /** A hostname (or a lease without one) is seen for the first time; changed its state; has no lease any more. */
  | { readonly type: 'appeared'; readonly instance: InstanceState }
  | { readonly type: 'changed'; readonly instance: InstanceState; readonly from: LeaseState }
  | { readonly type: 'gone'; readonly instance: InstanceState }
  /** A renewTime is ahead of the API server's clock by `lease.aheadMs`: its publisher's clock is wrong. Reported once a lease. */
  | { readonly type: 'ahead'; readonly lease: CensusLease }
  /** One lease came, changed its state, its holder or its hostname, or went. A renewal alone is not reported. */
  | LeaseChange
  /** An election that was watched has another leader, or the same one in a new term. */
  | ({ readonly type: 'switched' } & LeaderSwitch);

/** What became of one lease. */
export interface LeaseChange {
  readonly type: 'lease';
  readonly change: 'added' | 'modified' | 'deleted';
  readonly lease: CensusLease;
  /** As it was; absent where it was not there. */
  readonly before?: CensusLease | undefined;
  /** Monotonic milliseconds that both show. */
  readonly at: number;
}

/** How an election came from one leader to the next. */
export interface LeaderSwitch {
  readonly namespace: string;
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** `released`: given up on purpose. `expired`: after a silence. `taken`: neither was seen. */
  readonly how: 'released' | 'expired' | 'taken';
  /** Milliseconds from the last sign of the one (a renewal, its release) to the first of the other. */
  readonly switchMs: number;
  /** Milliseconds of these in which nobody held the lease. */
  readonly leaderlessMs: number;
}

/** An instance and its state. */
export interface InstanceState {
  readonly hostname?: string | undefined;
  /** The hostname, else the lease's name. */
  readonly name: string;
  /** For one that is gone, the state that it was in. */
  readonly state: LeaseState;
}

/** Numbers of a kept census, as of one moment. */
export interface Answer {
  readonly counts: Counts;
  /** Leases by state. */
  readonly leaseCounts: Readonly<Record<LeaseState, number>>;
  /**
   * Leases that are called live by their published renewTime because they were not seen to change yet; 0 once the
   * census has looked on for the freshness window.
   */
  readonly estimated: number;
  /** The moment that the numbers show, by our wall clock. */
  readonly asOf: MicroTime;
  /** Milliseconds since that moment. */
  readonly ageMs: number;
}

/**
 * `NotSynced`: nothing was read yet. `TooOld`: see `maxAgeMs`. `NoServerDate`: nothing tells the age of a lease: the API
 * server never sent its time, or it is a shard's, which nobody renews.
 */
export type UnknownReason = 'NotSynced' | 'TooOld' | 'NoServerDate';

/** What a kept census knows at the moment: numbers, or why there are none. */
export type CensusSnapshot = {
  /** True while the watch is believed to miss nothing. */
  readonly synced: boolean;
  /** Milliseconds since the last proof that nothing was missed; absent before the first. */
  readonly freshnessMs?: number | undefined;
  /** Why it is not synced, where there is a reason. */
  readonly error?: LeaseStoreError | undefined;
  readonly clock: 'observed';
  /** As the options say. */
  readonly freshForMs: number;
} & (
  | { readonly known: true; readonly answer: Answer }
  | {
      readonly known: false;
      readonly reason: UnknownReason;
      /** The last known answer, to be shown with its age and never in place of an answer. */
      readonly last?: Answer | undefined;
    }
);
