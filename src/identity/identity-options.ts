/**
 * The options of a publisher of identity leases: defaults and rules, stated once.
 */
import { KIND_ANNOTATIONS, KIND_LABEL, PAYLOAD_ANNOTATION } from '../lease/marks.ts';
import {
  HOSTNAME_ANNOTATION,
  HOSTNAME_LABEL,
  IDENTITY_LABEL,
  IDENTITY_LABEL_VALUE,
  NAME_FORMATS,
  hostnameProblem,
  isLabelValue,
  labelKeyProblem,
  leaseName,
  objectNameProblem,
} from '../lease/names.ts';
import type { NameFormat } from '../lease/names.ts';
import { MARK_ROWS } from '../runtime/mark-options.ts';
import type { MarkOptions } from '../runtime/mark-options.ts';
import { positive, positiveMs, wholeNumber, wholeSeconds } from '../runtime/options.ts';
import type { OptionRows, RuleBetween } from '../runtime/options.ts';

/** `delete`: the lease goes when the publisher stops. `keep`: it stays for the next start. `auto`: see `IdentityOptions`. */
export type ShutdownPolicy = 'auto' | 'keep' | 'delete';
const SHUTDOWN_POLICIES: readonly ShutdownPolicy[] = ['auto', 'keep', 'delete'];

/** What a publisher does beside an API server that takes part in peer proxying: see `IdentityOptions`. */
export type BesideServer = 'auto' | 'publish';

/** A publisher's options. */
export interface IdentityOptions extends MarkOptions {
  /** Host that the lease stands for, byte for byte; 1 to 253 characters. */
  readonly hostname: string;
  /** Default `kube-system`. */
  readonly namespace: string;
  /** Default `sha256`. */
  readonly nameFormat: NameFormat;
  /** Format `apiserver`: whose name it is; default `kube-apiserver`. An aggregated API server gives its own. */
  readonly component: string;
  /** What the lease's name begins with; default `kube-apiserver` (format `sha256`) or `apiserver` (format `apiserver`). */
  readonly namePrefix?: string | undefined;
  /** Default `apiserver.kubernetes.io/identity`. */
  readonly labelKey: string;
  /** Default `kube-apiserver`. */
  readonly labelValue: string;
  /** Whole seconds; default 3600, kube-apiserver's own. */
  readonly leaseDurationSeconds: number;
  /** Milliseconds from the end of one renewal to the next, plus up to 4 %; default 10000, kube-apiserver's own. */
  readonly renewIntervalMs: number;
  /** Milliseconds that one request may take; default half the renew interval, at most 5000. */
  readonly requestTimeoutMs: number;
  /**
   * Milliseconds without a renewal after which another's lease is claimed; default 30000, at the least three renew intervals and
   * a request timeout.
   */
  readonly freshForMs: number;
  /**
   * Milliseconds between our clock and the API server's from which a warning is due, and by which renewTime does not follow a
   * clock that is stepped back. Default 60000.
   */
  readonly maxSkewMs: number;
  /**
   * Default `auto`: hold no lease while an API server on this host takes part in peer proxying with its own. `publish`: hold
   * it all the same, though it disturbs the server's peers.
   */
  readonly besideServer: BesideServer;
  /**
   * Default `auto`: with a server health URL, keep the lease while that server still answers and delete it when it does
   * not; without one, keep it.
   */
  readonly shutdownPolicy: ShutdownPolicy;
  /** Milliseconds from the stop until `run` settles, whatever the API does; default 8000. */
  readonly shutdownTimeoutMs: number;
}

/** What a running publisher takes: not what its lease is called, or where it lies. */
export type IdentityChanges = Partial<
  Pick<
    IdentityOptions,
    'leaseDurationSeconds' | 'renewIntervalMs' | 'requestTimeoutMs' | 'shutdownPolicy' | 'freshForMs' | 'maxSkewMs'
  >
>;

/** The largest share of the renew interval by which a renewal comes later, at random (component-helpers' own). */
export const RENEW_JITTER = 0.04;
const MAX_REQUEST_TIMEOUT_MS = 5_000;
const RENEW_INTERVAL_MS = 10_000;

export const IDENTITY_ROWS: OptionRows<IdentityOptions> = {
  hostname: {
    type: 'string',
    required: true,
    rule: hostnameProblem,
    text: 'host that the lease stands for, taken as it is',
  },
  namespace: { default: 'kube-system', rule: objectNameProblem, text: 'namespace of the leases' },
  nameFormat: {
    default: 'sha256',
    choices: NAME_FORMATS,
    text: 'sha256: <prefix>-<64 hex digits>; apiserver: the name kube-apiserver 1.27 and later gives itself',
  },
  namePrefix: {
    type: 'string',
    text: "what the lease's name begins with (default kube-apiserver, or apiserver with format apiserver)",
  },
  component: {
    default: IDENTITY_LABEL_VALUE,
    rule: (name) => (name === '' ? 'must not be empty' : undefined),
    text: 'format apiserver: whose name it is; an aggregated API server gives its own',
  },
  labelKey: {
    default: IDENTITY_LABEL,
    rule: (key) => labelKeyProblem(key) ?? (key === HOSTNAME_LABEL ? 'is taken by the hostname' : undefined),
    text: 'label that marks the identity leases',
  },
  labelValue: {
    default: IDENTITY_LABEL_VALUE,
    rule: (value) => (value !== '' && isLabelValue(value) ? undefined : 'must be a label value'),
    text: 'value of that label: the product',
  },
  leaseDurationSeconds: {
    unit: 's',
    default: 3600,
    rule: wholeSeconds,
    text: 'how long the lease is valid after a renewal, whole seconds',
  },
  renewIntervalMs: {
    unit: 'ms',
    default: RENEW_INTERVAL_MS,
    rule: positive,
    text: 'time from one renewal to the next, plus up to 4 %',
  },
  requestTimeoutMs: {
    unit: 'ms',
    default: ({ renewIntervalMs = RENEW_INTERVAL_MS }) => Math.min(MAX_REQUEST_TIMEOUT_MS, renewIntervalMs / 2),
    rule: positive,
    text: 'longest time for one request',
  },
  freshForMs: {
    unit: 'ms',
    default: 30_000,
    rule: positiveMs,
    text: "time without a renewal after which another's lease is claimed; at the least three renew intervals and a request",
  },
  maxSkewMs: {
    unit: 'ms',
    default: 60_000,
    rule: positiveMs,
    text: "distance of this machine's clock from the API server's that is worth a warning",
  },
  besideServer: {
    default: 'auto',
    choices: ['auto', 'publish'],
    text: 'beside an API server that takes part in peer proxying with a lease of its own: auto holds none, publish holds one all the same',
  },
  shutdownPolicy: {
    default: 'auto',
    choices: SHUTDOWN_POLICIES,
    text: 'what becomes of the lease on SIGTERM; auto: with --server-health-url delete it when the server no longer answers, else keep it',
  },
  shutdownTimeoutMs: { unit: 'ms', default: 8_000, rule: positive, text: 'longest time to stop' },
  ...MARK_ROWS,
};

const written = (given: Readonly<Record<string, string>>, ours: readonly string[]): string | undefined => {
  const taken = ours.find((key) => key in given);
  return taken && `${JSON.stringify(taken)} is written by leasekeeper itself`;
};

export const IDENTITY_BETWEEN: readonly RuleBetween<IdentityOptions>[] = [
  {
    of: ['namePrefix', 'hostname', 'nameFormat', 'component'],
    rule: ({ hostname, nameFormat, namePrefix, component }) => {
      const name = leaseName(hostname, nameFormat, namePrefix, component);
      const rule = objectNameProblem(name);
      return rule && `makes the lease name ${JSON.stringify(name)}, which ${rule}`;
    },
  },
  {
    of: ['labels', 'labelKey'],
    rule: ({ labels, labelKey }) => written(labels, [labelKey, HOSTNAME_LABEL, KIND_LABEL]),
  },
  {
    of: ['annotations'],
    rule: ({ annotations }) => {
      const ours = [HOSTNAME_ANNOTATION, ...KIND_ANNOTATIONS.filter((key) => key !== PAYLOAD_ANNOTATION)];
      return written(annotations, ours);
    },
  },
  {
    of: ['requestTimeoutMs', 'renewIntervalMs'],
    rule: ({ requestTimeoutMs, renewIntervalMs }) =>
      requestTimeoutMs < renewIntervalMs ? undefined : 'must be shorter than the renew interval',
  },
  {
    of: ['renewIntervalMs', 'leaseDurationSeconds'],
    rule: ({ renewIntervalMs, leaseDurationSeconds }) =>
      renewIntervalMs * (1 + RENEW_JITTER) < leaseDurationSeconds * 1000
        ? undefined
        : `plus its jitter of ${RENEW_JITTER * 100} % must be shorter than the lease duration`,
  },
];

/** How often the server beside us is asked, and when it counts as gone. */
export interface HealthTimes {
  /** Milliseconds from the end of one probe to the next. */
  readonly intervalMs: number;
  /** Milliseconds that one probe may take; default of the program half the renew interval, at most 2000. */
  readonly timeoutMs: number;
  /** Bad answers in a row until the server counts as gone; default of the program 3. */
  readonly threshold: number;
}

export const HEALTH_ROWS: OptionRows<HealthTimes> = {
  intervalMs: { unit: 'ms', required: true, rule: positive, text: 'time from the end of one probe to the next' },
  timeoutMs: {
    unit: 'ms',
    required: true,
    rule: positive,
    text: 'longest time for one answer of that URL; default half the renew interval, at most 2s',
  },
  threshold: {
    default: 3,
    rule: wholeNumber(1),
    text: 'bad answers in a row until the server counts as gone; it is asked three times an interval',
  },
};
