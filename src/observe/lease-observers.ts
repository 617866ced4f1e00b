/**
 * One observer for each thing that tells its observer of events: what `leasekeeper/pino` and `leasekeeper/prom-client` give.
 * What they ask is asked after the observer was made: they are given functions.
 */
import type { AvailabilityEvent, AvailabilityStatus } from '../availability/node-monitor.ts';
import type { CensusEvent, CensusSnapshot } from '../census/census-events.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import type { HeartbeatEvent, HeartbeatStatus } from '../heartbeat/heartbeat-events.ts';
import type { IdentityOptions } from '../identity/identity-options.ts';
import type { PublisherEvent, PublisherStatus } from '../identity/publisher-events.ts';
import type { LeaseQuery, LeaseRef } from '../lease/store.ts';
import type { Observe } from '../runtime/observer.ts';
import type { SweepEvent } from '../sweep/sweep-events.ts';
import type { RecipeEvent } from './recipe-log.ts';

/** A publisher, as it is asked for its state. */
export interface PublisherView {
  readonly status: PublisherStatus;
  readonly options: Pick<IdentityOptions, 'namespace' | 'labelValue' | 'leaseDurationSeconds'>;
}

/** Makes an observer for each publisher, elector, census, sweeper, heartbeat and monitor of nodes. */
export interface LeaseObservers {
  /** For `new Publisher({ observe })`. */
  publisher(publisher: () => PublisherView): Observe<PublisherEvent>;
  /** For `new LeaderElector({ observe })`. */
  election(
    lease: LeaseRef,
    elector: () => { readonly term: { readonly remainingMs: number } | undefined },
  ): Observe<ElectionEvent>;
  /** For `new LiveCensus({ observe })`. */
  census(query: LeaseQuery, census: () => { snapshot(): CensusSnapshot }): Observe<CensusEvent>;
  /** For `new Sweeper({ observe })`. */
  sweep(): Observe<SweepEvent>;
  /** For `new Heartbeat({ observe })`. */
  heartbeat(heartbeat: () => { readonly status: HeartbeatStatus }): Observe<HeartbeatEvent>;
  /** For `new NodeMonitor({ observe })`. */
  availability(monitor: () => { readonly status: AvailabilityStatus }): Observe<AvailabilityEvent>;
  /** For the recipes. */
  recipe(kind: RecipeKind, lease: LeaseRef): Observe<RecipeEvent>;
}

/** The methods of `Leases` that are recipes. */
export type RecipeKind = 'lock' | 'once' | 'cron' | 'semaphore' | 'members' | 'shards';
