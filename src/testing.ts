/**
 * leasekeeper/testing: for tests of whatever uses Leases. A Kubernetes API server for Leases in this process, with
 * faults to inject, and a clock that is moved by hand.
 */
export { startEmbeddedServer } from './embedded/embedded-server.ts';
export type {
  ApiOptions,
  ApiRequest,
  ApiResponse,
  Attributes,
  EmbeddedServer,
  EmbeddedServerOptions,
  Fault,
  FaultHandle,
  FaultMatch,
  FaultRequest,
  FaultRule,
  Faults,
  KubeObject,
  LoggedRequest,
  Matcher,
  ObjectStore,
  RequestLog,
  ServerClock,
  Tokens,
  User,
} from './embedded/embedded-server.ts';
export { ManualClock, settle } from './runtime/manual-clock.ts';
export type { Clock } from './runtime/clock.ts';
