/**
 * What `publish` is told: its options read, checked against each other, and made into what its services take.
 */
import { formatDuration } from '../config/duration.ts';
import { HTTP_OPTIONS, PUBLISH_ADDRESS, httpSettings } from '../config/http-flags.ts';
import type { HttpSettings } from '../config/http-flags.ts';
import { API_OPTIONS, CONFIG_OPTIONS, LEASE_OPTIONS, LOG_OPTIONS } from '../config/shared-flags.ts';
import { PUBLISH_OPTIONS, healthTimeoutMs, publisherOptions } from '../config/publish-flags.ts';
import { readOptions, ruleProblems } from '../config/option-spec.ts';
import type { Given, OptionValues, Problem } from '../config/option-spec.ts';
import { PUBLISH_SWEEP_OPTIONS, sweepSettings } from '../config/sweep-flags.ts';
import type { SweepSettings } from '../config/sweep-flags.ts';
import type { ServerHealthOptions } from '../identity/server-health.ts';
import type { IdentityOptions } from '../identity/identity-options.ts';
import { scheduleProblem } from './cron.ts';

/** The two looks of a sweep are at least so many renew intervals apart. */
const LOOKS_APART = 3;

export const PUBLISH_TABLE = {
  ...LOG_OPTIONS,
  ...API_OPTIONS,
  ...LEASE_OPTIONS,
  ...PUBLISH_OPTIONS,
  ...PUBLISH_SWEEP_OPTIONS,
  ...HTTP_OPTIONS,
  ...CONFIG_OPTIONS,
};
export type PublishValues = OptionValues<typeof PUBLISH_TABLE>;

/** The server beside us is asked this often in a renew interval. */
const PROBES_PER_INTERVAL = 3;

export interface PublishSettings {
  /** Gate APIServerIdentity. */
  readonly enabled: boolean;
  readonly identity: IdentityOptions;
  readonly health: Pick<ServerHealthOptions, 'intervalMs' | 'timeoutMs' | 'threshold'>;
  readonly http: HttpSettings;
  /** Without --sweep, or with the gate off: undefined. */
  readonly sweep: SweepSettings | undefined;
}

/** Values that can be read one by one are not all good together: see `publishProblems`. */
export function publishSettings(values: PublishValues, osHostname: string): PublishSettings {
  const { options: identity } = publisherOptions(values, osHostname);
  const enabled = values.featureGates.enabled('APIServerIdentity');
  return {
    enabled,
    identity,
    health: {
      intervalMs: identity.renewIntervalMs / PROBES_PER_INTERVAL,
      timeoutMs: values.serverHealthTimeout ?? healthTimeoutMs(identity.renewIntervalMs),
      threshold: values.serverHealthThreshold,
    },
    http: httpSettings(values, PUBLISH_ADDRESS).settings,
    sweep: enabled && values.sweep ? sweepSettings(values, PUBLISH_TABLE).settings : undefined,
  };
}

/**
 * Everything that is wrong with values that can be read one by one.
 * @param unread what is wrong with single values already
 */
export async function publishProblems(
  values: PublishValues,
  given: Given,
  unread: readonly Problem[],
  osHostname: string,
): Promise<Problem[]> {
  const broken = [...publisherOptions(values, osHostname).problems, ...httpSettings(values, PUBLISH_ADDRESS).problems];
  if (values.sweep) {
    const flags = new Set(broken.map(({ option }) => option));
    // The two have options in common.
    broken.push(...sweepSettings(values, PUBLISH_TABLE).problems.filter(({ option }) => !flags.has(option)));
    // The living must have had the time to renew between the two looks; 0 is the explicit wish to do without.
    const least = LOOKS_APART * values.renewInterval;
    if (
      !flags.has(PUBLISH_TABLE.renewInterval.flag) &&
      values.sweepConfirmAfter > 0 &&
      values.sweepConfirmAfter < least
    ) {
      const option = PUBLISH_TABLE.sweepConfirmAfter.flag;
      const rule = `must be at least ${LOOKS_APART} renew intervals (${formatDuration(least)}), or 0s`;
      broken.push({ option, value: formatDuration(values.sweepConfirmAfter), rule });
    }
    const rule = await scheduleProblem(values.sweepSchedule);
    if (rule !== undefined)
      broken.push({ option: PUBLISH_TABLE.sweepSchedule.flag, value: values.sweepSchedule, rule });
  }
  return ruleProblems(broken, PUBLISH_TABLE, given, unread);
}

/** Values and everything that is wrong, at once. */
export async function readPublish(
  given: Given,
  osHostname: string,
): Promise<{ values: PublishValues; problems: Problem[] }> {
  const { values, problems } = readOptions(PUBLISH_TABLE, given);
  return { values, problems: [...problems, ...(await publishProblems(values, given, problems, osHostname))] };
}
