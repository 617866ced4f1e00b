/**
 * The options of a sweeper: defaults and rules, stated once. When it sweeps (its schedule) is not among them: ticks
 * come from outside.
 */
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE } from '../lease/names.ts';
import { msWithin, wholeNumber } from '../runtime/options.ts';
import type { OptionRows } from '../runtime/options.ts';

/** A sweeper's options. */
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
  /**
   * Collect also leases of elections, locks and their kind, whose record a new lease would begin again: fencing tokens of
   * other programs, what was done once. Default false.
   */
  readonly includeElections: boolean;
  /** Collect even when no unexpired lease would be left, or none was renewed since. Default false. */
  readonly allowAll: boolean;
}

const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** More connections than this help no server, and hide a slip of the finger. */
const MAX_CONCURRENCY = 1_000;
const MAX_PAGE_SIZE = 10_000;
/** A day: what is longer was meant in another unit. */
const MAX_MS = 86_400_000;

export const SWEEP_ROWS: OptionRows<SweepOptions> = {
  namespace: {
    default: 'kube-system',
    rule: (name) =>
      NAMESPACE.test(name)
        ? undefined
        : "must be 1 to 63 lower-case letters, digits or '-', beginning and ending with a letter or digit",
    text: 'namespace of the leases',
  },
  labelSelector: {
    default: `${IDENTITY_LABEL}=${IDENTITY_LABEL_VALUE}`,
    rule: (selector) =>
      selector.trim() === ''
        ? "must not be empty: every lease of the namespace would be meant, the electors' too"
        : undefined,
    text: 'label selector of the leases',
  },
  graceMs: {
    unit: 'ms',
    default: 0,
    rule: msWithin(0, MAX_MS),
    text: 'time past its expiry before a lease may be deleted',
  },
  confirmAfterMs: {
    unit: 'ms',
    default: 30_000,
    rule: msWithin(0, MAX_MS),
    text: 'wait between the two looks of a pass: at least three times the slowest renew interval',
  },
  concurrency: { default: 64, rule: wholeNumber(1, MAX_CONCURRENCY), text: 'deletions under way at once' },
  qps: {
    default: 0,
    rule: (qps) => (Number.isFinite(qps) && qps >= 0 ? undefined : 'must be 0 (no limit) or a positive number'),
    text: "deletions a second at the most; 0: no limit but the API server's own",
  },
  pageSize: { default: 500, rule: wholeNumber(1, MAX_PAGE_SIZE), text: 'leases in one page of a list' },
  maxSkewMs: {
    unit: 'ms',
    default: 60_000,
    rule: msWithin(1, MAX_MS),
    text: "distance of this machine's clock from the API server's that is worth a warning",
  },
  requestTimeoutMs: {
    unit: 'ms',
    default: 10_000,
    rule: msWithin(1, MAX_MS),
    text: 'longest time for one request',
  },
  dryRun: { default: false, text: 'report what would be deleted, and why; delete nothing' },
  includeElections: {
    default: false,
    text: 'also delete leases of elections, locks and their kind: one that is created again starts at 0 transitions, and no longer knows what was done',
  },
  allowAll: { default: false, text: 'delete even when no unexpired lease would be left' },
};
