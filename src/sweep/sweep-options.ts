/**
 * What a sweeper can be told: defaults and rules, stated once. When it sweeps (its schedule) is not among them: ticks
 * come from outside.
 */
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE } from '../lease/names.ts';
import type { OptionProblem } from '../runtime/options.ts';

/** A sweeper's options: `sweepOptions` fills in the defaults, `sweepProblems` checks the rules. */
export interface SweepOptions {
  /** The one namespace that is swept. Default `kube-system`. */
  readonly namespace: string;
  /** Kubernetes' selector syntax; default `apiserver.kubernetes.io/identity=kube-apiserver`. */
  readonly labelSelector: string;
  /** Milliseconds past its published expiry before a lease may be collected. Default 0. */
  readonly graceMs: number;
  /**
   * Milliseconds between the two looks of a pass. Default 30000: three renew intervals of a publisher. A shorter time is
   * safe only while no publisher is just recovering from an API outage. With 0 any unexpired lease proves that renewals
   * work, else only one renewed after the expiry of the lease that would go.
   */
  readonly confirmAfterMs: number;
  /** DELETEs under way at once. Default 64. */
  readonly concurrency: number;
  /** DELETEs a second at the most; 0, the default, sets no limit. A server's 429 is obeyed in any case. */
  readonly qps: number;
  /** Leases in one page of a list. Default 500, kubectl's own. */
  readonly pageSize: number;
  /** Milliseconds between our clock and the API server's from which a warning is due. Default 60000. */
  readonly maxSkewMs: number;
  /** Milliseconds that one request may take. Default 10000. */
  readonly requestTimeoutMs: number;
  /** Tell what would go and delete nothing. Default false. */
  readonly dryRun: boolean;
  /** Collect even when no unexpired lease would be left, or none was renewed since. Default false. */
  readonly allowAll: boolean;
}

/** What stands in for options that are left out. */
export const SWEEP_DEFAULTS: SweepOptions = {
  namespace: 'kube-system',
  labelSelector: `${IDENTITY_LABEL}=${IDENTITY_LABEL_VALUE}`,
  graceMs: 0,
  confirmAfterMs: 30_000,
  concurrency: 64,
  qps: 0,
  pageSize: 500,
  maxSkewMs: 60_000,
  requestTimeoutMs: 10_000,
  dryRun: false,
  allowAll: false,
};

/** Options that break a rule. `problems` holds all of them. */
export class SweepOptionsError extends Error {
  override readonly name = 'SweepOptionsError';
  readonly code = 'InvalidOptions';
  readonly problems: readonly OptionProblem[];
  constructor(problems: readonly OptionProblem[]) {
    super(problems.map(({ field, value, rule }) => `${field}: ${JSON.stringify(value)} ${rule}`).join('; '));
    this.problems = problems;
  }
}

/** Fills in what was left out. */
export function sweepOptions(given: Partial<SweepOptions> = {}): SweepOptions {
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  return { ...SWEEP_DEFAULTS, ...set };
}

const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** More connections than this help no server, and hide a slip of the finger. */
const MAX_CONCURRENCY = 1_000;
const MAX_PAGE_SIZE = 10_000;
/** A day: what is longer was meant in another unit. */
const MAX_MS = 86_400_000;

/** Everything that is wrong with the options; empty when they can be used. */
export function sweepProblems(options: SweepOptions): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const check = (field: keyof SweepOptions, holds: boolean, rule: string): void => {
    if (!holds) problems.push({ field, value: options[field], rule });
  };
  const range = (field: 'graceMs' | 'confirmAfterMs' | 'maxSkewMs' | 'requestTimeoutMs', from: number): void => {
    const rule = `must be a number of milliseconds from ${from} to ${MAX_MS}`;
    check(field, Number.isFinite(options[field]) && options[field] >= from && options[field] <= MAX_MS, rule);
  };
  const count = (field: 'concurrency' | 'pageSize', most: number): void => {
    const value = options[field];
    check(field, Number.isInteger(value) && value >= 1 && value <= most, `must be a whole number from 1 to ${most}`);
  };
  const { namespace, labelSelector, qps } = options;
  check(
    'namespace',
    typeof namespace === 'string' && NAMESPACE.test(namespace),
    "must be 1 to 63 lower-case letters, digits or '-', beginning and ending with a letter or digit",
  );
  check(
    'labelSelector',
    typeof labelSelector === 'string' && labelSelector.trim() !== '',
    "must not be empty: every lease of the namespace would be meant, the electors' too",
  );
  range('graceMs', 0);
  range('confirmAfterMs', 0);
  range('maxSkewMs', 1);
  range('requestTimeoutMs', 1);
  count('concurrency', MAX_CONCURRENCY);
  count('pageSize', MAX_PAGE_SIZE);
  check('qps', Number.isFinite(qps) && qps >= 0, 'must be 0 (no limit) or a positive number');
  for (const field of ['dryRun', 'allowAll'] as const) {
    check(field, typeof options[field] === 'boolean', 'must be true or false');
  }
  return problems;
}
