/**
 * The sweeper's options, as `sweep` and `publish --sweep` take them: the same keys, so that one configuration file serves
 * both; on `publish` the flags begin with `--sweep-`.
 */
import { HEARTBEAT_NAMESPACE } from '../lease/lease-kind.ts';
import { KIND_LABEL } from '../lease/marks.ts';
import { SWEEP_ROWS } from '../sweep/sweep-options.ts';
import type { SweepOptions } from '../sweep/sweep-options.ts';
import { bind, optionsOf, prefixed, wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import { HTTP_SECURITY_OPTIONS, OFF, addressOption } from './http-flags.ts';
import type { OptionSpec, OptionValues } from './option-spec.ts';
import { API_OPTIONS, CONFIG_OPTIONS, LEASE_OPTIONS, LOG_OPTIONS, queryRules } from './shared-flags.ts';

const SWEEP_OPTIONS = {
  sweepSchedule: {
    kind: 'string',
    flag: '--schedule',
    arg: 'CRON',
    help: 'when passes begin after the first: minute, hour, day, month, weekday; with seconds first when there are six',
    default: '*/5 * * * *',
    live: true,
  },
  ...bind(SWEEP_ROWS, {
    sweepDryRun: { field: 'dryRun', flag: '--dry-run', live: true },
    sweepGrace: { field: 'graceMs', flag: '--grace', live: true },
    sweepConfirmAfter: { field: 'confirmAfterMs', flag: '--confirm-after', live: true },
    sweepConcurrency: { field: 'concurrency', flag: '--concurrency', live: true },
    sweepQps: { field: 'qps', flag: '--qps', fraction: true, live: true },
  }),
  // Its default is made from two other options.
  sweepSelector: {
    kind: 'string',
    flag: '--selector',
    short: '-l',
    arg: 'SELECTOR',
    help: `${SWEEP_ROWS.labelSelector.text}; else the identity label and its value`,
    live: true,
    field: 'labelSelector',
  },
  ...bind(SWEEP_ROWS, {
    sweepMaxSkew: { field: 'maxSkewMs', flag: '--max-skew', live: true },
    sweepIncludeElections: { field: 'includeElections', flag: '--include-elections', live: true },
    sweepAllowAll: { field: 'allowAll', flag: '--allow-all', live: true },
  }),
} as const satisfies Record<string, OptionSpec>;

/** For `publish`: whether to sweep, and how. */
export const PUBLISH_SWEEP_OPTIONS = {
  sweep: {
    kind: 'boolean',
    flag: '--sweep',
    help: 'also delete expired leases, as the command sweep does; needs no more permissions',
    default: false,
    live: true,
  },
  ...prefixed(SWEEP_OPTIONS, 'sweep', 'with --sweep'),
} as const satisfies Record<string, OptionSpec>;

export const SWEEP_TABLE = {
  once: {
    kind: 'boolean',
    flag: '--once',
    help: 'one pass, then exit: 0, or 1 when it could not be done',
    default: false,
    weakest: 'flag',
  },
  ownerGone: {
    kind: 'boolean',
    flag: '--owner-gone',
    help: `also delete heartbeats, in ${HEARTBEAT_NAMESPACE}, whose Node does not exist: seen twice, and not written in between`,
    default: false,
  },
  ...SWEEP_OPTIONS,
  httpAddress: addressOption(
    `where /metrics, /livez and /readyz are served: ADDRESS (default ${OFF}); not with --once`,
  ),
  ...HTTP_SECURITY_OPTIONS,
  ...LEASE_OPTIONS,
  ...API_OPTIONS,
  ...CONFIG_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

export interface SweepSettings {
  readonly schedule: string;
  readonly options: SweepOptions;
}

/** In place of the options that say which leases: heartbeats are what has no other kind there. */
export const heartbeatSweep = ({ schedule, options }: SweepSettings): SweepSettings => ({
  schedule,
  options: { ...options, namespace: HEARTBEAT_NAMESPACE, labelSelector: `!${KIND_LABEL}` },
});

const TABLE = { ...SWEEP_OPTIONS, ...LEASE_OPTIONS, requestTimeout: API_OPTIONS.requestTimeout };

/** The sweeper's options, and everything that is wrong with them but the schedule: that is left to who runs it. */
export function sweepSettings(values: OptionValues<typeof TABLE>): SweepSettings & { wrong: Wrong[] } {
  const labelSelector = `${values.labelKey}=${values.labelValue}`;
  const sweep = optionsOf({ rows: SWEEP_ROWS }, TABLE, values, { labelSelector });
  if (values.sweepSelector === undefined) {
    const { labelValue } = values;
    sweep.wrong.push(
      ...queryRules(values).filter(({ key }) => key !== 'namespace'),
      ...wrong('labelValue', labelValue, labelValue === '' ? 'must be a label value' : undefined),
    );
  }
  return { schedule: values.sweepSchedule, ...sweep };
}
