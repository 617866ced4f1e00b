/**
 * The publisher's options, as `publish` takes them: flags, and the capability's own defaults and rules.
 */
import {
  IDENTITY_DEFAULTS,
  SHUTDOWN_POLICIES,
  identityOptions,
  identityProblems,
} from '../identity/identity-options.ts';
import type { IdentityOptions } from '../identity/identity-options.ts';
import { NAME_FORMATS } from '../lease/names.ts';
import { formatDuration } from './duration.ts';
import { API_OPTIONS, LEASE_OPTIONS } from './shared-flags.ts';
import type { OptionSpec, OptionValues, Problem } from './option-spec.ts';

export const PUBLISH_OPTIONS = {
  hostname: {
    kind: 'string',
    flag: '--hostname-override',
    arg: 'NAME',
    help: "host that the lease stands for, taken as it is; else the operating system's name",
  },
  nameFormat: {
    kind: 'string',
    flag: '--lease-name-format',
    arg: 'FORMAT',
    help: 'sha256: <prefix>-<64 hex digits>; apiserver: the name kube-apiserver 1.27 and later gives itself',
    choices: NAME_FORMATS,
    default: IDENTITY_DEFAULTS.nameFormat,
  },
  namePrefix: {
    kind: 'string',
    flag: '--lease-name-prefix',
    arg: 'PREFIX',
    help: "what the lease's name begins with (default kube-apiserver, or apiserver with format apiserver)",
  },
  leaseDuration: {
    kind: 'duration',
    flag: '--lease-duration',
    arg: 'DURATION',
    help: 'how long the lease is valid after a renewal, whole seconds',
    default: IDENTITY_DEFAULTS.leaseDurationSeconds * 1000,
    live: true,
  },
  renewInterval: {
    kind: 'duration',
    flag: '--renew-interval',
    arg: 'DURATION',
    help: 'time from one renewal to the next, plus up to 4 %',
    default: IDENTITY_DEFAULTS.renewIntervalMs,
    live: true,
  },
  shutdownPolicy: {
    kind: 'string',
    flag: '--shutdown-policy',
    arg: 'POLICY',
    help: 'what becomes of the lease on SIGTERM; auto: with --server-health-url delete it when the server no longer answers, else keep it',
    choices: SHUTDOWN_POLICIES,
    default: IDENTITY_DEFAULTS.shutdownPolicy,
    live: true,
  },
  serverHealthUrl: {
    kind: 'string',
    flag: '--server-health-url',
    arg: 'URL',
    help: 'claim and renew only while this answers 2xx, for instance https://127.0.0.1:6443/livez',
  },
  serverHealthTimeout: {
    kind: 'duration',
    flag: '--server-health-timeout',
    arg: 'DURATION',
    help: 'longest time for one answer of it; default half the renew interval, at most 2s',
    live: true,
  },
  serverHealthThreshold: {
    kind: 'integer',
    flag: '--server-health-threshold',
    arg: 'N',
    help: 'bad answers in a row until the server counts as gone; it is asked three times an interval',
    default: 3,
    min: 1,
    live: true,
  },
} as const satisfies Record<string, OptionSpec>;

const PUBLISH_TABLE = { ...LEASE_OPTIONS, ...PUBLISH_OPTIONS, requestTimeout: API_OPTIONS.requestTimeout };
type PublishTable = typeof PUBLISH_TABLE;

/** The flag that sets each of the publisher's options. */
const FLAGS: Partial<Record<keyof IdentityOptions, OptionSpec>> = {
  hostname: PUBLISH_OPTIONS.hostname,
  namespace: LEASE_OPTIONS.namespace,
  nameFormat: PUBLISH_OPTIONS.nameFormat,
  namePrefix: PUBLISH_OPTIONS.namePrefix,
  labelKey: LEASE_OPTIONS.labelKey,
  labelValue: LEASE_OPTIONS.labelValue,
  leaseDurationSeconds: PUBLISH_OPTIONS.leaseDuration,
  renewIntervalMs: PUBLISH_OPTIONS.renewInterval,
  requestTimeoutMs: API_OPTIONS.requestTimeout,
  shutdownPolicy: PUBLISH_OPTIONS.shutdownPolicy,
};

/** Milliseconds that one answer of the server beside us may take, when nobody said. */
export const healthTimeoutMs = (renewIntervalMs: number): number => Math.min(2_000, renewIntervalMs / 2);

/** The publisher's options from what was given, and everything that is wrong with them. */
export function publisherOptions(
  values: OptionValues<PublishTable>,
  osHostname: string,
): { options: IdentityOptions; problems: Problem[] } {
  const options = identityOptions({
    hostname: values.hostname ?? osHostname,
    namespace: values.namespace,
    nameFormat: values.nameFormat as IdentityOptions['nameFormat'],
    namePrefix: values.namePrefix,
    labelKey: values.labelKey,
    labelValue: values.labelValue,
    leaseDurationSeconds: values.leaseDuration / 1000,
    renewIntervalMs: values.renewInterval,
    ...(values.requestTimeout === undefined ? {} : { requestTimeoutMs: values.requestTimeout }),
    shutdownPolicy: values.shutdownPolicy as IdentityOptions['shutdownPolicy'],
  });
  const problems: Problem[] = identityProblems(options).map(({ field, value, rule }) => {
    const spec = FLAGS[field as keyof IdentityOptions];
    const shown =
      spec?.kind === 'duration' ? formatDuration(Number(value) * (field.endsWith('Seconds') ? 1000 : 1)) : value;
    return { option: spec?.flag ?? field, value: shown, rule };
  });
  const { serverHealthUrl: url } = values;
  const timeout = values.serverHealthTimeout ?? healthTimeoutMs(values.renewInterval);
  if (url !== undefined && !/^https?:$/.test(URL.parse(url)?.protocol ?? '')) {
    problems.push({ option: PUBLISH_OPTIONS.serverHealthUrl.flag, value: url, rule: 'must be an http or https URL' });
  } else if (url !== undefined && /^[^/]*\/\/[^/?#]*@/.test(url)) {
    const rule = 'must hold no user name or password';
    problems.push({ option: PUBLISH_OPTIONS.serverHealthUrl.flag, value: url, rule });
  }
  if (!(timeout > 0 && timeout < values.renewInterval)) {
    const rule = 'must be greater than 0 and shorter than the renew interval';
    if (url !== undefined) {
      problems.push({ option: PUBLISH_OPTIONS.serverHealthTimeout.flag, value: formatDuration(timeout), rule });
    }
  }
  return { options, problems };
}
