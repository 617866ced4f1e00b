/**
 * What heartbeats can be given: defaults and rules, stated once.
 */
import { objectNameProblem } from '../lease/names.ts';
import { positive, wholeNumber, wholeSeconds } from '../runtime/options.ts';
import type { OptionRows, RuleBetween } from '../runtime/options.ts';

/** Heartbeats' options. */
export interface HeartbeatOptions {
  /** Default `kube-node-lease`, kubelet's own. */
  readonly namespace: string;
  /** Whole seconds; default 40, kubelet's own. */
  readonly leaseDurationSeconds: number;
  /** Milliseconds from one renewal of a node to its next; default 10000, kubelet's own: a quarter of the duration. */
  readonly renewIntervalMs: number;
  /** Milliseconds that one request may take; default half the renew interval, at most 5000. */
  readonly requestTimeoutMs: number;
  /**
   * Requests under way at once; default 64: ten thousand nodes are renewed in time while answers take 64 ms, two thousand
   * while they take a third of a second. At most three quarters of the store's urgent calls: of `maxConnections` of `connect`.
   */
  readonly concurrency: number;
}

const MAX_REQUEST_TIMEOUT_MS = 5_000;
const RENEW_INTERVAL_MS = 10_000;

/** Defaults are kubelet's own. */
export const HEARTBEAT_ROWS: OptionRows<HeartbeatOptions> = {
  namespace: { default: 'kube-node-lease', rule: objectNameProblem, text: 'namespace of the heartbeats' },
  leaseDurationSeconds: {
    unit: 's',
    default: 40,
    rule: wholeSeconds,
    text: 'how long a heartbeat is valid after a renewal, whole seconds',
  },
  renewIntervalMs: {
    unit: 'ms',
    default: RENEW_INTERVAL_MS,
    rule: positive,
    text: 'time from one renewal of a node to its next',
  },
  requestTimeoutMs: {
    unit: 'ms',
    default: ({ renewIntervalMs = RENEW_INTERVAL_MS }) => Math.min(MAX_REQUEST_TIMEOUT_MS, renewIntervalMs / 2),
    rule: positive,
    text: 'longest time for one request',
  },
  concurrency: { default: 64, rule: wholeNumber(1), text: 'most requests under way at once' },
};

export const HEARTBEAT_BETWEEN: readonly RuleBetween<HeartbeatOptions>[] = [
  {
    of: ['requestTimeoutMs', 'renewIntervalMs'],
    rule: ({ requestTimeoutMs, renewIntervalMs }) =>
      requestTimeoutMs < renewIntervalMs ? undefined : 'must be shorter than the renew interval',
  },
  {
    of: ['renewIntervalMs', 'leaseDurationSeconds'],
    rule: ({ renewIntervalMs, leaseDurationSeconds }) =>
      renewIntervalMs < leaseDurationSeconds * 1000 ? undefined : 'must be shorter than the lease duration',
  },
];
