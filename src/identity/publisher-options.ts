/**
 * What a publisher is made of.
 */
import type { LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import type { PublisherEvent } from './publisher-events.ts';
import type { ServerHealth } from './server-health.ts';
import type { IdentityOptions } from './identity-options.ts';

/** What a publisher is made of. */
export interface PublisherOptions {
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** From `holderIdentity`: a fresh one for every process start, kept for the life of the process. */
  readonly holder: string;
  /** From `identityOptions`, without problems. */
  readonly options: IdentityOptions;
  readonly observe: Observe<PublisherEvent>;
  /** The server beside us; left out: the lease stands for this process alone. */
  readonly health?: ServerHealth | undefined;
}
