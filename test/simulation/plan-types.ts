/** What a plan of a world is made of. */
import type { FaultKind } from './chaos.ts';

export const THEMES = [
  'everything',
  'election',
  'identity',
  'outage',
  'full etcd',
  'sweep',
  'nodes',
  'defaults',
] as const;
export type Theme = (typeof THEMES)[number];

export interface Machine {
  readonly name: string;
  /** True milliseconds of its first start. */
  readonly startAt: number;
  /** How fast its clocks run. */
  readonly rate: number;
  /** How far its wall clock is off, in milliseconds. */
  readonly skewMs: number;
}

export interface PublisherSlot extends Machine {
  readonly kind: 'publisher';
  readonly hostname: string;
  readonly nameFormat: 'sha256' | 'apiserver';
  readonly durationSeconds: number;
  readonly intervalMs: number;
  readonly policy: 'keep' | 'delete' | 'auto';
  /** Its first process is asked to stop before it has well begun, while its writes come late. */
  readonly hasty: boolean;
  /** A server beside it, whose health it asks for. */
  readonly health: boolean;
  /** The sweeper inside, if there is one. */
  readonly sweeps: SweepPlan | undefined;
}

/** Somebody who has the leases of a host deleted that is said to be gone. */
export interface ReleaserSlot extends Machine {
  readonly kind: 'releaser';
  readonly hostname: string;
}

/** An API server that publishes itself, beside the publishers of its host. */
export interface ServerSlot extends Machine {
  readonly kind: 'server';
  readonly hostname: string;
  /** It takes part in peer proxying. */
  readonly peers: boolean;
}

export interface SweepPlan {
  /**
   * Identity leases; every lease of their namespace, an election's too; or heartbeats whose Node is gone, with a selector that
   * finds every lease beside them.
   */
  readonly looksFor: 'identities' | 'everything' | 'ownerless';
  readonly tickMs: number;
  readonly confirmAfterMs: number;
  readonly pageSize: number;
}

export interface SweeperSlot extends Machine {
  readonly kind: 'sweeper';
  readonly sweeps: SweepPlan;
}

export interface ElectorSlot extends Machine {
  readonly kind: 'elector';
  /** No time between the deadline and what others observe. */
  readonly tight: boolean;
  readonly mayWatch: boolean;
  readonly shared: boolean;
  /** Several processes carry the very same holder identity. */
  readonly clone: boolean;
  /** At its end it deletes the lease that nobody wants. */
  readonly deletes: boolean;
}

export interface ClientGoSlot extends Machine {
  readonly kind: 'client-go';
}

export interface FleetSlot extends Machine {
  readonly kind: 'fleet';
  readonly intervalMs: number;
  /** It keeps the Nodes in common with the other fleets. */
  readonly shares: boolean;
}

export interface CensusSlot extends Machine {
  readonly kind: 'census';
}

export interface MonitorSlot extends Machine {
  readonly kind: 'monitor';
}

/** A process that uses a recipe. */
export interface RecipeSlot extends Machine {
  readonly kind: 'recipe';
  readonly recipe: 'lock' | 'once' | 'cron' | 'semaphore' | 'shards' | 'members';
  /** Its works end at once when they are asked to; else they take their time. */
  readonly tight: boolean;
  /** Cron: a fire is left out while the one before still runs. */
  readonly skip: boolean;
  /** Semaphore: how many may work at once, as this process was started. */
  readonly count: number;
  readonly mayWatch: boolean;
}

export type ServiceSlot =
  | PublisherSlot
  | ServerSlot
  | SweeperSlot
  | ReleaserSlot
  | ElectorSlot
  | ClientGoSlot
  | FleetSlot
  | CensusSlot
  | MonitorSlot;
export type Slot = ServiceSlot | RecipeSlot;

export type HappeningKind =
  | 'weather'
  | Extract<
      FaultKind,
      | 'API outage'
      | 'no space for writes'
      | 'no Date'
      | 'compaction'
      | 'watch silent'
      | 'watch lost'
      | 'watch cut'
      | 'watch ended (410)'
      | 'pause'
      | 'suspend'
      | 'crash'
      | 'stop'
      | 'overlapping restart'
      | 'clock step'
      | 'server down'
      | 'feature gate off'
      | 'operator deletes'
      | 'operator edits'
      | 'operator steps the leader down'
      | 'restore'
      | 'node deleted'
      | 'node recreated'
    >;

/** One thing that happens; what exactly is in its dice, 0 to 1. */
export interface Happening {
  readonly index: number;
  /** True milliseconds since the phase began. */
  readonly at: number;
  readonly kind: HappeningKind;
  /** The one that it happens to, where it happens to one. */
  readonly slot: string | undefined;
  readonly dice: readonly [number, number, number];
}

export interface Phase {
  readonly chaosMs: number;
  readonly quietMs: number;
  readonly happenings: readonly Happening[];
  /** Slots whose process stays dead through the quiet. */
  readonly dead: readonly string[];
}

/**
 * `orphan`: its host is long gone. `released`: given up on purpose. `untimed`: without times, made long ago. `foreign`:
 * no identity lease, under a host's name. `misnamed`: somebody wrote another host's name on it. `ring key`: no heartbeat,
 * where heartbeats are.
 */
export type Furniture = 'orphan' | 'released' | 'untimed' | 'foreign' | 'misnamed' | 'ring key';

/** See ring-drills.ts. */
export const RING_DRILLS = [
  'heard late',
  'created twice',
  'own record put back',
  'release put back',
  'own term over',
] as const;
export type RingDrill = (typeof RING_DRILLS)[number];

export interface Plan {
  readonly seed: number;
  readonly theme: Theme | RecipeSlot['recipe'];
  readonly slots: readonly Slot[];
  readonly nodes: readonly string[];
  /** Leases that lie there from before. */
  readonly furniture: readonly Furniture[];
  readonly phases: readonly Phase[];
  /** What is tried once the last quiet is over, to measure its bound. */
  readonly drill:
    | 'failover'
    | 'release'
    | 'step-down'
    | 'nobody leads'
    | 'election put back'
    | 'no Nodes seen'
    | 'a fleet dies'
    | 'two lists'
    | 'put back'
    | 'first to write'
    | 'clock ahead'
    | 'deletion'
    | RingDrill
    | 'none';
}
