/**
 * leasekeeper as a library: Kubernetes Leases for TypeScript.
 *
 * `connect` gives a `LeaseStore` over a Kubernetes API; `Publisher` keeps one process's identity lease. Everything that
 * waits takes a `Clock` and a source of chance from outside: `createSystemClock()` and `Math.random` in production.
 */
export { version } from './version.ts';

export { MicroTime } from './lease/micro-time.ts';
export { LeaseParseError, leaseToJson, newLease, parseLease, withChanges } from './lease/lease.ts';
export type { Lease, LeaseMetadata, LeaseSpec, OwnerReference } from './lease/lease.ts';
export { expiredAt, observe, publishedExpiry, silenceLeft } from './lease/expiry.ts';
export type { Observation } from './lease/expiry.ts';
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
export type { OptionProblem } from './runtime/problem.ts';

export { connect } from './kube/connection.ts';
export type { ConnectOptions, Connection } from './kube/connection.ts';
export type { LoadOptions } from './kube/config.ts';
export { KubeConfigError } from './kube/settings.ts';
export type { KubeConfigErrorCode } from './kube/settings.ts';

export { Publisher } from './identity/publisher.ts';
export type { PublisherOptions } from './identity/publisher-options.ts';
export { ServerHealth } from './identity/health.ts';
export type { HealthProbe, ServerHealthOptions } from './identity/health.ts';
export { identityOptions, identityProblems } from './identity/options.ts';
export type { IdentityChanges, IdentityOptions, ShutdownPolicy } from './identity/options.ts';
export type {
  PublisherEvent,
  PublisherOperation,
  PublisherPhase,
  PublisherStatus,
  ShutdownOutcome,
} from './identity/events.ts';

export { createSweeper } from './sweep/sweeper.ts';
export type { Sweeper, SweeperParts, Ticks } from './sweep/sweeper.ts';
export { SWEEP_DEFAULTS, sweepOptions, sweepProblems } from './sweep/options.ts';
export type { SweepOptions } from './sweep/options.ts';
export type { PassOutcome, PassResult, StopReason as SweepStopReason, SweepEvent } from './sweep/events.ts';
export type { Collectable, FutureRenewal, KeepReason, OwnLease, VoidReason } from './sweep/decide.ts';

export { FeatureGates, FeatureGatesError, defaultFeatureGates } from './features/gates.ts';
export type { GateMetric, GateName, GateProblem, GateSource, GateSpec, Stage } from './features/gates.ts';

export { CensusService } from './census/census.ts';
export type { CensusServiceOptions } from './census/census.ts';
export type { Answer, CensusEvent, CensusSnapshot, InstanceState, UnknownReason } from './census/events.ts';
export type { CensusOptions } from './census/options.ts';
export { takeCensus } from './census/list.ts';
export type { LookOptions } from './census/list.ts';
export type { Census, CensusClock, CensusLease, Counts, Instance } from './census/count.ts';
export type { LeaseState } from './census/judge.ts';

export { LeaderElector } from './election/elector.ts';
export type { LeaderElectorOptions } from './election/elector.ts';
export type { Term } from './election/term.ts';
export type { Work } from './election/lead.ts';
export { ELECTION_DEFAULTS, electionOptions, electionProblems } from './election/options.ts';
export type { ElectionOptions } from './election/options.ts';
export { ElectionOptionsError, LeadershipError } from './election/errors.ts';
export type { LeadershipErrorCode, LossReason } from './election/errors.ts';
export type {
  AcquireReason,
  ElectionEvent,
  ElectionHappening,
  ElectionOperation,
  StopReason,
} from './election/events.ts';
export { createSharedWatch } from './election/shared-watch.ts';
export type { WatchLease } from './election/sight.ts';

export { Heartbeat } from './heartbeat/heartbeat.ts';
export type { HeartbeatChanges, HeartbeatParts } from './heartbeat/heartbeat.ts';
export type { Disturbance } from './heartbeat/decide.ts';
export type { HeartbeatEvent, HeartbeatOperation, HeartbeatStatus } from './heartbeat/events.ts';
export { NodeMonitor } from './heartbeat/monitor.ts';
export type {
  AvailabilityEvent,
  AvailabilitySnapshot,
  AvailabilityStatus,
  NodeMonitorParts,
  NodesUnknownReason,
} from './heartbeat/monitor.ts';
export type { Availability } from './heartbeat/availability.ts';
export type { NodeAvailability } from './heartbeat/register.ts';
export type { NodeEvent, NodeInfo, NodeSource } from './heartbeat/nodes.ts';
export {
  AVAILABILITY_DEFAULTS,
  HEARTBEAT_DEFAULTS,
  availabilityOptions,
  availabilityProblems,
  heartbeatOptions,
  heartbeatProblems,
} from './heartbeat/options.ts';
export type { AvailabilityOptions, HeartbeatOptions } from './heartbeat/options.ts';
export { createNodesApi } from './kube/nodes-api.ts';
export type { ApiNode, ApiNodeEvent, NodesApi, NodesApiOptions } from './kube/nodes-api.ts';
export { RESERVED_PREFIXES, WorkloadNameError, workloadLeaseName } from './lease/workload-names.ts';
