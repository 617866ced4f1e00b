/**
 * What a publisher of identity leases can be told: defaults and rules, stated once.
 */
import {
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
import type { OptionProblem } from '../runtime/options.ts';

/** `delete`: the lease goes when the publisher stops. `keep`: it stays for the next start. `auto`: see `IdentityOptions`. */
export type ShutdownPolicy = 'auto' | 'keep' | 'delete';
export const SHUTDOWN_POLICIES: readonly ShutdownPolicy[] = ['auto', 'keep', 'delete'];

/** A publisher's options: `identityOptions` fills in the defaults, `identityProblems` checks the rules. */
export interface IdentityOptions {
  /** Host that the lease stands for, byte for byte; 1 to 253 characters. */
  readonly hostname: string;
  /** Default `kube-system`. */
  readonly namespace: string;
  /** Default `sha256`. */
  readonly nameFormat: NameFormat;
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
   * Default `auto`: with a server health URL, keep the lease while that server still answers and delete it when it does
   * not; without one, keep it.
   */
  readonly shutdownPolicy: ShutdownPolicy;
  /** Milliseconds from the wish to stop until `run` settles, whatever the API does; default 8000. */
  readonly shutdownTimeoutMs: number;
}

/** What a running publisher takes: not what its lease is called, or where it lies. */
export type IdentityChanges = Partial<
  Pick<IdentityOptions, 'leaseDurationSeconds' | 'renewIntervalMs' | 'requestTimeoutMs' | 'shutdownPolicy'>
>;

export const IDENTITY_DEFAULTS = {
  namespace: 'kube-system',
  nameFormat: 'sha256',
  labelKey: IDENTITY_LABEL,
  labelValue: IDENTITY_LABEL_VALUE,
  leaseDurationSeconds: 3600,
  renewIntervalMs: 10_000,
  shutdownPolicy: 'auto',
  shutdownTimeoutMs: 8_000,
} as const satisfies Partial<IdentityOptions>;

/** The largest share of the renew interval by which a renewal comes later, at random (component-helpers' own). */
export const RENEW_JITTER = 0.04;
const MAX_REQUEST_TIMEOUT_MS = 5_000;
const INT32_MAX = 2_147_483_647;

/** Fills in what was left out. */
export function identityOptions(given: Partial<IdentityOptions> & { hostname: string }): IdentityOptions {
  const set = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const merged = { ...IDENTITY_DEFAULTS, ...set } as Partial<IdentityOptions> & typeof IDENTITY_DEFAULTS;
  const requestTimeoutMs = merged.requestTimeoutMs ?? Math.min(MAX_REQUEST_TIMEOUT_MS, merged.renewIntervalMs / 2);
  return { ...merged, hostname: given.hostname, requestTimeoutMs };
}

/** Everything that is wrong with the options; empty when they can be used. */
export function identityProblems(o: IdentityOptions): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const check = (field: keyof IdentityOptions, rule: string | undefined): void => {
    if (rule !== undefined) problems.push({ field, value: o[field], rule });
  };
  const positive = (n: number): string | undefined =>
    Number.isFinite(n) && n > 0 ? undefined : 'must be longer than nothing';
  check('hostname', hostnameProblem(o.hostname));
  check('namespace', objectNameProblem(o.namespace));
  check('nameFormat', NAME_FORMATS.includes(o.nameFormat) ? undefined : `must be one of ${NAME_FORMATS.join(', ')}`);
  if (hostnameProblem(o.hostname) === undefined && NAME_FORMATS.includes(o.nameFormat)) {
    const name = leaseName(o.hostname, o.nameFormat, o.namePrefix);
    const rule = objectNameProblem(name);
    check('namePrefix', rule && `makes the lease name ${JSON.stringify(name)}, which ${rule}`);
  }
  check(
    'labelKey',
    labelKeyProblem(o.labelKey) ?? (o.labelKey === HOSTNAME_LABEL ? 'is taken by the hostname' : undefined),
  );
  check('labelValue', o.labelValue !== '' && isLabelValue(o.labelValue) ? undefined : 'must be a label value');
  const seconds = o.leaseDurationSeconds;
  check(
    'leaseDurationSeconds',
    Number.isInteger(seconds) && seconds > 0 && seconds <= INT32_MAX
      ? undefined
      : `must be whole seconds from 1 to ${INT32_MAX}`,
  );
  check('renewIntervalMs', positive(o.renewIntervalMs));
  check('requestTimeoutMs', positive(o.requestTimeoutMs));
  check('shutdownTimeoutMs', positive(o.shutdownTimeoutMs));
  check(
    'shutdownPolicy',
    SHUTDOWN_POLICIES.includes(o.shutdownPolicy) ? undefined : `must be one of ${SHUTDOWN_POLICIES.join(', ')}`,
  );
  if (o.requestTimeoutMs >= o.renewIntervalMs) check('requestTimeoutMs', 'must be shorter than the renew interval');
  if (o.renewIntervalMs * (1 + RENEW_JITTER) >= seconds * 1000) {
    check('renewIntervalMs', `plus its jitter of ${RENEW_JITTER * 100} % must be shorter than the lease duration`);
  }
  return problems;
}
