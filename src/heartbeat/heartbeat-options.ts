/**
 * What heartbeats can be told: defaults and rules, stated once.
 */
import { objectNameProblem } from '../lease/names.ts';
import type { OptionProblem } from '../runtime/options.ts';

/** Heartbeats' options: `heartbeatOptions` fills in the defaults, `heartbeatProblems` checks the rules. */
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
   * while they take a third of a second. More than 64 need a `maxConnections` of `connect` as high.
   */
  readonly concurrency: number;
}

/** What stands in for options that are left out: kubelet's own numbers. */
export const HEARTBEAT_DEFAULTS = {
  namespace: 'kube-node-lease',
  leaseDurationSeconds: 40,
  renewIntervalMs: 10_000,
  concurrency: 64,
} as const satisfies Partial<HeartbeatOptions>;

const MAX_REQUEST_TIMEOUT_MS = 5_000;
const INT32_MAX = 2_147_483_647;

type Given<Options> = { readonly [Key in keyof Options]?: Options[Key] | undefined };

/** Fills in what was left out. */
export function heartbeatOptions(given: Given<HeartbeatOptions> = {}): HeartbeatOptions {
  const renewIntervalMs = given.renewIntervalMs ?? HEARTBEAT_DEFAULTS.renewIntervalMs;
  return {
    namespace: given.namespace ?? HEARTBEAT_DEFAULTS.namespace,
    leaseDurationSeconds: given.leaseDurationSeconds ?? HEARTBEAT_DEFAULTS.leaseDurationSeconds,
    renewIntervalMs,
    requestTimeoutMs: given.requestTimeoutMs ?? Math.min(MAX_REQUEST_TIMEOUT_MS, renewIntervalMs / 2),
    concurrency: given.concurrency ?? HEARTBEAT_DEFAULTS.concurrency,
  };
}

const positive = (n: number): string | undefined =>
  Number.isFinite(n) && n > 0 ? undefined : 'must be longer than nothing';

/** Everything that is wrong with the options; empty when they can be used. */
export function heartbeatProblems(o: HeartbeatOptions): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const check = (field: keyof HeartbeatOptions, rule: string | undefined): void => {
    if (rule !== undefined) problems.push({ field, value: o[field], rule });
  };
  const { leaseDurationSeconds: seconds, concurrency } = o;
  check('namespace', objectNameProblem(o.namespace));
  const whole = Number.isInteger(seconds) && seconds > 0 && seconds <= INT32_MAX;
  check('leaseDurationSeconds', whole ? undefined : `must be whole seconds from 1 to ${INT32_MAX}`);
  check('renewIntervalMs', positive(o.renewIntervalMs));
  check('requestTimeoutMs', positive(o.requestTimeoutMs));
  check('concurrency', Number.isInteger(concurrency) && concurrency >= 1 ? undefined : 'must be 1 or more');
  if (o.requestTimeoutMs >= o.renewIntervalMs) check('requestTimeoutMs', 'must be shorter than the renew interval');
  if (o.renewIntervalMs >= seconds * 1000) check('renewIntervalMs', 'must be shorter than the lease duration');
  return problems;
}
