/**
 * The options of `publish`: the publisher's, and those of what runs beside it.
 */
import type { OwnerReference } from '../lease/lease.ts';
import { PAYLOAD_ANNOTATION } from '../lease/marks.ts';
import type { MarkOptions } from '../runtime/mark-options.ts';
import { HEALTH_ROWS, IDENTITY_BETWEEN, IDENTITY_ROWS } from '../identity/identity-options.ts';
import type { HealthTimes, IdentityOptions } from '../identity/identity-options.ts';
import { bind, optionsOf, wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import { HTTP_OPTIONS, OFF, httpSettings } from './http-flags.ts';
import type { HttpSettings } from './http-flags.ts';
import type { OptionSpec, OptionValues } from './option-spec.ts';
import {
  API_OPTIONS,
  CONFIG_OPTIONS,
  LEASE_OPTIONS,
  LOG_OPTIONS,
  OWNER_ARG,
  OWNER_RULE,
  PAIR_RULE,
  ownerOf,
  pairOf,
} from './shared-flags.ts';
import { PUBLISH_SWEEP_OPTIONS, sweepSettings } from './sweep-flags.ts';
import type { SweepSettings } from './sweep-flags.ts';

const MARK_OPTIONS = {
  labels: {
    kind: 'strings',
    flag: '--label',
    arg: 'KEY=VALUE',
    help: `${IDENTITY_ROWS.labels.text}; may be given several times`,
  },
  annotations: {
    kind: 'strings',
    flag: '--annotation',
    arg: 'KEY=VALUE',
    help: `${IDENTITY_ROWS.annotations.text}, for instance ${PAYLOAD_ANNOTATION} with a small payload as JSON; may be given several times`,
  },
  owners: {
    kind: 'strings',
    flag: '--owner',
    arg: OWNER_ARG,
    help: `${IDENTITY_ROWS.owners.text}; an owner is in its namespace or cluster-scoped; may be given several times`,
  },
} as const satisfies Record<string, OptionSpec>;

const IDENTITY_OPTIONS = {
  ...bind(IDENTITY_ROWS, {
    hostname: {
      field: 'hostname',
      flag: '--hostname-override',
      arg: 'NAME',
      more: "; else the operating system's name",
      optional: true,
    },
    nameFormat: { field: 'nameFormat', flag: '--lease-name-format', arg: 'FORMAT' },
    namePrefix: { field: 'namePrefix', flag: '--lease-name-prefix', arg: 'PREFIX', optional: true },
    nameComponent: { field: 'component', flag: '--lease-name-component', arg: 'NAME' },
    leaseDuration: { field: 'leaseDurationSeconds', flag: '--lease-duration', live: true },
    renewInterval: { field: 'renewIntervalMs', flag: '--renew-interval', live: true },
    maxSkew: { field: 'maxSkewMs', flag: '--max-skew', live: true },
    besideServer: { field: 'besideServer', flag: '--beside-server', arg: 'WAY' },
    shutdownPolicy: { field: 'shutdownPolicy', flag: '--shutdown-policy', arg: 'POLICY', live: true },
  }),
  freshFor: HTTP_OPTIONS.freshFor,
  ...LEASE_OPTIONS,
  requestTimeout: API_OPTIONS.requestTimeout,
} as const;

export const PUBLISH_TABLE = {
  ...IDENTITY_OPTIONS,
  ...MARK_OPTIONS,
  serverHealthUrl: {
    kind: 'string',
    flag: '--server-health-url',
    arg: 'URL',
    help: 'claim and renew only while this answers 2xx, for instance https://127.0.0.1:6443/livez',
  },
  ...bind(HEALTH_ROWS, {
    serverHealthTimeout: { field: 'timeoutMs', flag: '--server-health-timeout', optional: true, live: true },
    serverHealthThreshold: { field: 'threshold', flag: '--server-health-threshold', live: true },
  }),
  ...PUBLISH_SWEEP_OPTIONS,
  ...HTTP_OPTIONS,
  ...LEASE_OPTIONS,
  ...API_OPTIONS,
  ...CONFIG_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;
export type PublishValues = OptionValues<typeof PUBLISH_TABLE>;

/** The two looks of a sweep are at least so many renew intervals apart. */
const RENEWALS_BETWEEN_LOOKS = 3;
/** The server beside us is asked this often in a renew interval. */
const PROBES_PER_INTERVAL = 3;
const MAX_HEALTH_TIMEOUT_MS = 2_000;

interface PublishSettings {
  /** Gate APIServerIdentity. */
  readonly enabled: boolean;
  readonly identity: IdentityOptions;
  readonly health: HealthTimes;
  readonly http: HttpSettings;
  /** Without --sweep, or with the gate off: undefined. */
  readonly sweep: SweepSettings | undefined;
  /** But for the schedule of the sweep. */
  readonly wrong: readonly Wrong[];
}

export function publishSettings(values: PublishValues, osHostname: string): PublishSettings {
  const { sweepConfirmAfter, serverHealthUrl: url } = values;
  const marks = marksOf(values);
  const identity = optionsOf({ rows: IDENTITY_ROWS, between: IDENTITY_BETWEEN }, IDENTITY_OPTIONS, values, {
    hostname: osHostname,
    ...marks.options,
  });
  const { renewIntervalMs } = identity.options;
  const health = optionsOf({ rows: HEALTH_ROWS }, PUBLISH_TABLE, values, {
    intervalMs: renewIntervalMs / PROBES_PER_INTERVAL,
    timeoutMs: Math.min(MAX_HEALTH_TIMEOUT_MS, renewIntervalMs / 2),
  });
  const { timeoutMs } = health.options;
  const http = httpSettings(values, OFF);
  const sweep = values.sweep ? sweepSettings(values) : undefined;
  const enabled = values.featureGates.enabled('APIServerIdentity');
  const all = [...marks.wrong, ...identity.wrong, ...http.wrong];
  if (url !== undefined) {
    const late = timeoutMs < renewIntervalMs ? undefined : 'must be shorter than the renew interval';
    all.push(
      ...wrong('serverHealthUrl', url, urlProblem(url)),
      ...health.wrong.filter(({ key }) => key in PUBLISH_TABLE),
      ...wrong('serverHealthTimeout', timeoutMs, late, ['renewInterval']),
    );
  }
  if (sweep) {
    // The living must have had the time to renew between the two looks; who sets 0 does without.
    const least = RENEWALS_BETWEEN_LOOKS * renewIntervalMs;
    const rule = `must be at least ${RENEWALS_BETWEEN_LOOKS} renew intervals (${least} ms), or 0s`;
    const close = sweepConfirmAfter > 0 && sweepConfirmAfter < least;
    const said = new Set(all.map(({ key }) => key));
    all.push(...sweep.wrong.filter(({ key }) => !said.has(key)));
    if (!said.has('renewInterval'))
      all.push(...wrong('sweepConfirmAfter', sweepConfirmAfter, close ? rule : undefined, ['renewInterval']));
  }
  return {
    enabled,
    identity: identity.options,
    health: health.options,
    http,
    sweep: enabled && sweep ? { schedule: sweep.schedule, options: sweep.options } : undefined,
    wrong: all,
  };
}

function urlProblem(url: string): string | undefined {
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? '')) return 'must be an http or https URL';
  return /^[^/]*\/\/[^/?#]*@/.test(url) ? 'must hold no user name or password' : undefined;
}

/** What is said in texts, as the publisher takes it. */
function marksOf(values: PublishValues): { options: MarkOptions; wrong: Wrong[] } {
  const problems: Wrong[] = [];
  const pairs = (key: 'labels' | 'annotations'): Record<string, string> =>
    Object.fromEntries(
      (values[key] ?? []).flatMap((text) => {
        const pair = pairOf(text);
        if (!pair) problems.push(...wrong(key, text, PAIR_RULE));
        return pair ? [pair] : [];
      }),
    );
  const owners = (values.owners ?? []).flatMap((text): OwnerReference[] => {
    const owner = ownerOf(text);
    if (!owner) problems.push(...wrong('owners', text, OWNER_RULE));
    return owner ? [owner] : [];
  });
  return { options: { labels: pairs('labels'), annotations: pairs('annotations'), owners }, wrong: problems };
}
