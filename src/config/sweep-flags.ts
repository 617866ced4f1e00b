/**
 * The sweeper's options, as `sweep` and `publish --sweep` take them: the same keys, so that one configuration file serves
 * both; on `publish` the flags begin with `--sweep-`.
 */
import { isLabelValue, labelKeyProblem } from '../lease/names.ts';
import { SWEEP_DEFAULTS, sweepOptions, sweepProblems } from '../sweep/sweep-options.ts';
import type { SweepOptions } from '../sweep/sweep-options.ts';
import { formatDuration } from './duration.ts';
import { API_OPTIONS, LEASE_OPTIONS } from './shared-flags.ts';
import type { OptionSpec, OptionValues, Problem } from './option-spec.ts';

export const DEFAULT_SCHEDULE = '*/5 * * * *';

export const SWEEP_OPTIONS = {
  sweepSchedule: {
    kind: 'string',
    flag: '--schedule',
    arg: 'CRON',
    help: 'when passes begin after the first: minute, hour, day, month, weekday; with seconds first when there are six',
    default: DEFAULT_SCHEDULE,
    live: true,
  },
  sweepDryRun: {
    kind: 'boolean',
    flag: '--dry-run',
    help: 'tell what would be deleted, and why; delete nothing',
    default: SWEEP_DEFAULTS.dryRun,
    live: true,
  },
  sweepGrace: {
    kind: 'duration',
    flag: '--grace',
    arg: 'DURATION',
    help: 'time past its expiry before a lease may be deleted',
    default: SWEEP_DEFAULTS.graceMs,
    live: true,
  },
  sweepConfirmAfter: {
    kind: 'duration',
    flag: '--confirm-after',
    arg: 'DURATION',
    help: 'wait between the two looks of a pass: at least three times the slowest renew interval',
    default: SWEEP_DEFAULTS.confirmAfterMs,
    live: true,
  },
  sweepConcurrency: {
    kind: 'integer',
    flag: '--concurrency',
    arg: 'N',
    help: 'deletions under way at once',
    default: SWEEP_DEFAULTS.concurrency,
    min: 1,
    live: true,
  },
  sweepQps: {
    kind: 'number',
    flag: '--qps',
    arg: 'N',
    help: 'deletions a second at the most; 0: no limit but the API server’s own',
    default: SWEEP_DEFAULTS.qps,
    live: true,
  },
  sweepSelector: {
    kind: 'string',
    flag: '--selector',
    short: '-l',
    arg: 'SELECTOR',
    help: 'label selector of the leases; else the identity label and its value',
    live: true,
  },
  sweepMaxSkew: {
    kind: 'duration',
    flag: '--max-skew',
    arg: 'DURATION',
    help: "distance of this machine's clock from the API server's that is worth a warning",
    default: SWEEP_DEFAULTS.maxSkewMs,
    live: true,
  },
  sweepAllowAll: {
    kind: 'boolean',
    flag: '--allow-all',
    help: 'delete even when no unexpired lease would be left',
    default: SWEEP_DEFAULTS.allowAll,
    live: true,
  },
} as const satisfies Record<string, OptionSpec>;

/** Of one call alone. */
export const ONCE_OPTIONS = {
  once: {
    kind: 'boolean',
    flag: '--once',
    help: 'one pass, then exit: 0, or 1 when it could not be done',
    default: false,
    weakest: 'flag',
  },
} as const satisfies Record<string, OptionSpec>;

type SweepTable = typeof SWEEP_OPTIONS;

/** For `publish`: whether to sweep, and how. */
export const PUBLISH_SWEEP_OPTIONS = {
  sweep: {
    kind: 'boolean',
    flag: '--sweep',
    help: 'also delete expired leases, as the command sweep does; needs no more permissions',
    default: false,
    live: true,
  },
  ...(Object.fromEntries(Object.entries(SWEEP_OPTIONS).map(besidePublisher)) as unknown as SweepTable),
} as const satisfies Record<string, OptionSpec>;

/** Not shortened there: `-l` says nothing of sweeping. */
function besidePublisher([key, { flag, help, ...spec }]: [string, OptionSpec]): [string, OptionSpec] {
  const { short: _, ...rest } = spec;
  return [key, { ...rest, flag: `--sweep-${flag.slice(2)}`, help: `with --sweep: ${help}` }];
}

export interface SweepSettings {
  readonly schedule: string;
  readonly options: SweepOptions;
}

const VALUES = { ...SWEEP_OPTIONS, ...LEASE_OPTIONS, requestTimeout: API_OPTIONS.requestTimeout };
type SweepValues = OptionValues<typeof VALUES>;

/** The option that sets each of the sweeper's. */
const KEYS: Partial<Record<keyof SweepOptions, keyof SweepValues>> = {
  namespace: 'namespace',
  labelSelector: 'sweepSelector',
  graceMs: 'sweepGrace',
  confirmAfterMs: 'sweepConfirmAfter',
  concurrency: 'sweepConcurrency',
  qps: 'sweepQps',
  maxSkewMs: 'sweepMaxSkew',
  requestTimeoutMs: 'requestTimeout',
  dryRun: 'sweepDryRun',
  allowAll: 'sweepAllowAll',
};

/**
 * The sweeper's options from what was given, and everything that is wrong with them; the schedule is left to whoever
 * runs it.
 * @param table of the command: whose flags the problems name
 */
export function sweepSettings(
  values: SweepValues,
  table: Readonly<Record<string, OptionSpec>>,
): { settings: SweepSettings; problems: Problem[] } {
  const options = sweepOptions({
    namespace: values.namespace,
    labelSelector: values.sweepSelector ?? `${values.labelKey}=${values.labelValue}`,
    graceMs: values.sweepGrace,
    confirmAfterMs: values.sweepConfirmAfter,
    concurrency: values.sweepConcurrency,
    qps: values.sweepQps,
    maxSkewMs: values.sweepMaxSkew,
    ...(values.requestTimeout !== undefined && { requestTimeoutMs: values.requestTimeout }),
    dryRun: values.sweepDryRun,
    allowAll: values.sweepAllowAll,
  });
  const problems: Problem[] = sweepProblems(options).map(({ field, value, rule }) => {
    const key = KEYS[field as keyof SweepOptions];
    const spec = key && table[key];
    const shown = spec?.kind === 'duration' ? formatDuration(Number(value)) : value;
    return { option: spec?.flag ?? field, value: shown, rule: inDurations(rule) };
  });
  if (values.sweepSelector === undefined) {
    const { labelKey, labelValue } = values;
    const check = (option: string, value: string, rule: string | undefined): void => {
      if (rule !== undefined) problems.push({ option, value, rule });
    };
    check(LEASE_OPTIONS.labelKey.flag, labelKey, labelKeyProblem(labelKey));
    const fits = labelValue !== '' && isLabelValue(labelValue);
    check(LEASE_OPTIONS.labelValue.flag, labelValue, fits ? undefined : 'must be a label value');
  }
  return { settings: { schedule: values.sweepSchedule, options }, problems };
}

/** The sweeper's rules speak of milliseconds, its users of durations. */
const inDurations = (rule: string): string => rule.replace(/(\d+) ms/g, (_, ms: string) => formatDuration(Number(ms)));
