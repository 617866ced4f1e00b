/**
 * leasekeeper as a library: Kubernetes Leases for TypeScript.
 *
 * `openLeases` is the entry point: it finds the cluster, and publishes, leads, locks and counts by name. The classes below it take
 * everything from outside, a `Clock` and a source of chance too, so that tests can hold them still.
 */
export { openLeases } from './leases.ts';
export type { DoorOptions, Leases, Nodes, OpenOptions, Until } from './leases.ts';
export type { LeaseObservers, RecipeKind } from './observe/lease-observers.ts';
export type { Logger } from './observe/log.ts';
export type { RecipeEvent } from './observe/recipe-log.ts';

export { version } from './version.ts';

export { MicroTime } from './lease/micro-time.ts';
export { LeaseParseError, leaseToJson, newLease, parseLease, withChanges } from './lease/lease.ts';
export type { Lease, LeaseMetadata, LeaseSpec, MarkChanges, OwnerReference } from './lease/lease.ts';
export { expiredAt, publishedExpiry } from './lease/expiry.ts';
export { silence } from './lease/record.ts';
export type { LeaseRecord, Silence } from './lease/record.ts';
export {
  HOSTNAME_ANNOTATION,
  HOSTNAME_LABEL,
  IDENTITY_LABEL,
  IDENTITY_LABEL_VALUE,
  holderIdentity,
  hostnameLabel,
  hostnameOf,
  leaseName,
} from './lease/names.ts';
export type { NameFormat } from './lease/names.ts';
export { kindOf } from './lease/lease-kind.ts';
export type { Kind } from './lease/lease-kind.ts';
export { LeaseStoreError, isStoreError } from './lease/store.ts';
export type {
  CallOptions,
  LeaseEvent,
  LeasePage,
  LeaseQuery,
  LeaseRef,
  LeaseStore,
  LeaseStoreErrorCode,
  LeaseStoreErrorOptions,
  PageQuery,
  Preconditions,
} from './lease/store.ts';

export { createSystemClock, sleep } from './runtime/clock.ts';
export type { Clock } from './runtime/clock.ts';
export { observers } from './runtime/observer.ts';
export type { Observe } from './runtime/observer.ts';

export { connect } from './kube/connection.ts';
export type { ConnectOptions, Connection } from './kube/connection.ts';
export type { KubeConfigObject, LoadOptions } from './kube/auth/kubeconfig.ts';
export { KubeConfigError } from './kube/auth/settings.ts';
export type { KubeConfigErrorCode } from './kube/auth/settings.ts';

export { OptionsError } from './runtime/options.ts';
export type { OptionProblem } from './runtime/options.ts';

export { Publisher } from './identity/publisher.ts';
export type { PublisherOptions } from './identity/publisher.ts';
export { ServerHealth } from './identity/server-health.ts';
export type { HealthProbe, HealthRefusal, ServerHealthOptions } from './identity/server-health.ts';
export type {
  BesideServer,
  HealthTimes,
  IdentityChanges,
  IdentityOptions,
  ShutdownPolicy,
} from './identity/identity-options.ts';
export type { MarkOptions } from './runtime/mark-options.ts';
export type {
  PublisherEvent,
  PublisherOperation,
  PublisherPhase,
  PublisherStatus,
  ShutdownOutcome,
} from './identity/publisher-events.ts';

export { Sweeper } from './sweep/sweeper.ts';
export type { SweeperOptions, Ticks } from './sweep/sweeper.ts';
export type { SweepOptions } from './sweep/sweep-options.ts';
export type { PassOutcome, PassResult, StopReason as SweepStopReason, SweepEvent } from './sweep/sweep-events.ts';
export type { Collectable, FutureRenewal, KeepReason, OwnLease, VoidReason } from './sweep/decide.ts';

export { FeatureGates, FeatureGatesError, defaultFeatureGates } from './features/gates.ts';
export type { GateMetric, GateName, GateProblem, GateSource, GateSpec, Stage } from './features/gates.ts';

export { LiveCensus } from './census/live-census.ts';
export type { LiveCensusOptions } from './census/live-census.ts';
export type {
  Answer,
  CensusEvent,
  CensusSnapshot,
  InstanceState,
  LeaderSwitch,
  LeaseChange,
  UnknownReason,
} from './census/census-events.ts';
export type { ElectionStanding } from './census/elections.ts';
export type { CensusOptions } from './census/census-options.ts';
export { identityLeases } from './census/census-query.ts';
export type { CensusQuery } from './census/census-query.ts';
export { takeCensus } from './census/take-census.ts';
export type { TakeCensusOptions } from './census/take-census.ts';
export type { Census, CensusClock, CensusLease, Counts, Instance, LeaseSummary } from './census/census.ts';
export type { LeaseState } from './census/judge.ts';

export { LeaderElector } from './election/elector.ts';
export type { LeaderElectorOptions } from './election/elector.ts';
export type { Term } from './election/term.ts';
export type { Work } from './election/lead.ts';
export type { ElectionOptions } from './election/election-options.ts';
export { LeadershipError } from './election/term.ts';
export type { LeadershipErrorCode, LossReason } from './election/term.ts';
export type {
  AcquireReason,
  ElectionEvent,
  ElectionHappening,
  ElectionOperation,
  StopReason,
} from './election/election-events.ts';
export { stepDown } from './election/step-down.ts';
export type { StepDownOptions, StepDownOutcome } from './election/step-down.ts';
export { createSharedWatch } from './election/shared-watch.ts';
export type { WatchLease } from './election/lease-follower.ts';

export { Heartbeat } from './heartbeat/heartbeats.ts';
export type { HeartbeatChanges, HeartbeatInit } from './heartbeat/heartbeats.ts';
export type { Disturbance } from './heartbeat/decide.ts';
export type { HeartbeatEvent, HeartbeatOperation, HeartbeatStatus } from './heartbeat/heartbeat-events.ts';
export { NodeMonitor } from './availability/node-monitor.ts';
export type {
  AvailabilityEvent,
  AvailabilitySnapshot,
  AvailabilityStatus,
  NodeMonitorOptions,
  NodesUnknownReason,
} from './availability/node-monitor.ts';
export type { Availability } from './availability/decide.ts';
export type { NodeAvailability } from './availability/node-register.ts';
export type { NodeEvent, NodeInfo, NodeSource, ReadyCondition } from './lease/node-source.ts';
export type { HeartbeatOptions } from './heartbeat/heartbeat-options.ts';
export type { AvailabilityOptions } from './availability/availability-options.ts';
export { createNodesApi } from './kube/node-api.ts';
export type { NodesApiOptions } from './kube/node-api.ts';
export { RESERVED_PREFIXES, WorkloadNameError, workloadLeaseName } from './lease/workload-names.ts';

export { Lock } from './recipes/lock.ts';
export type { RecipeOptions } from './recipes/lock.ts';
export type { UseOptions, UseOutcome } from './recipes/waiting.ts';
export { Once } from './recipes/once.ts';
export type { OnceOutcome } from './recipes/once.ts';
export { Cron } from './recipes/cron.ts';
export type { CronEvent, CronOptions } from './recipes/cron.ts';
export type { CronTimes } from './recipes/recipe-options.ts';
export type { ClaimRefusal } from './recipes/fires.ts';
export { Semaphore } from './recipes/semaphore.ts';
export type { SemaphoreEvent, SemaphoreOptions, SlotTerm } from './recipes/semaphore.ts';
export { Members } from './recipes/members.ts';
export type { MemberChange, MemberInfo, MembersOptions, Payload } from './recipes/members.ts';
export type { RingEvent, RingMemberOptions } from './recipes/ring-member.ts';
export { Shards } from './recipes/shards.ts';
export type { ShardEvent, ShardTerm, ShardWork, ShardsOptions } from './recipes/shards.ts';
export { RecipeError } from './recipes/recipe-error.ts';
export type { RecipeErrorCode } from './recipes/recipe-error.ts';
