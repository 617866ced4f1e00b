/**
 * The options of `lock`, `once`, `shard`, `members` and `shards`. They belong to one call of a command: flags only.
 */
import { ELECTION_BETWEEN, ELECTION_ROWS, timing } from '../election/election-options.ts';
import type { ElectionOptions } from '../election/election-options.ts';
import { parseRef, refProblem } from '../lease/names.ts';
import type { LeaseRef } from '../lease/store.ts';
import { CRON_ROWS, MEMBER_ROWS, ONCE_ROWS, SEMAPHORE_ROWS, SLOTS_ROWS, USE_ROWS } from '../recipes/recipe-options.ts';
import { INT32_MAX, msWithin } from '../runtime/options.ts';
import type { OptionRows } from '../runtime/options.ts';
import { bind, optionsOf, wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import { HTTP_SECURITY_OPTIONS, OFF, addressOption, securityRules } from './http-flags.ts';
import type { OptionSpec, OptionValues, Table } from './option-spec.ts';
import { API_OPTIONS, CONFIG_OPTIONS, LOG_OPTIONS, OUTPUT_OPTIONS } from './shared-flags.ts';

/** Milliseconds that the work has to end once its process group was killed. */
const KILLED_MS = 5_000;

const WHO = {
  recipeId: {
    kind: 'string',
    flag: '--id',
    arg: 'ID',
    help: "who this is, for people to read: the holder is ID_<uuid>; else the operating system's hostname",
    weakest: 'flag',
  },
  recipeStopTimeout: {
    kind: 'duration',
    flag: '--stop-timeout',
    arg: 'DURATION',
    help: 'time from SIGTERM until the command is killed; when the lease is lost, at most what is left until others may have it',
    default: ELECTION_ROWS.workTimeoutMs.default as number,
    rule: msWithin(0, INT32_MAX - KILLED_MS),
    weakest: 'flag',
  },
} as const satisfies Record<string, OptionSpec>;

const times = (rows: OptionRows<ElectionOptions>) =>
  bind(rows, {
    recipeLeaseDuration: { field: 'leaseDurationSeconds', flag: '--lease-duration', weakest: 'flag' },
    recipeRenewDeadline: { field: 'renewDeadlineMs', flag: '--renew-deadline', weakest: 'flag' },
    recipeRetryPeriod: { field: 'retryPeriodMs', flag: '--retry-period', weakest: 'flag' },
  });

const lease = (help: string) =>
  ({ kind: 'string', flag: '--lease', arg: '[NAMESPACE/]NAME', help, weakest: 'flag' }) as const satisfies OptionSpec;

const COMMON = {
  ...WHO,
  ...times(ELECTION_ROWS),
  featureGates: CONFIG_OPTIONS.featureGates,
  ...API_OPTIONS,
  ...LOG_OPTIONS,
} as const;

export const LOCK_TABLE = {
  recipeLease: lease('the lease that is the lock; it is created when there is none'),
  ...bind(USE_ROWS, {
    lockWait: { field: 'waitMs', flag: '--wait', optional: true, weakest: 'flag', more: '. Then the exit code is 75' },
  }),
  lockNoWait: {
    kind: 'boolean',
    flag: '--no-wait',
    help: 'do not wait: exit code 75 when the lock is taken. A holder that may be dead is watched for its lease duration first',
    default: false,
    weakest: 'flag',
  },
  ...COMMON,
} as const satisfies Table;

export const ONCE_TABLE = {
  recipeLease: lease('the lease that records the keys; it is created when there is none'),
  ...bind(ONCE_ROWS, { onceKey: { field: 'key', flag: '--key', arg: 'KEY', optional: true, weakest: 'flag' } }),
  ...COMMON,
} as const satisfies Table;

const RING = {
  kind: 'string',
  flag: '--ring',
  arg: '[NAMESPACE/]NAME',
  help: 'the ring: the members that share its slots; at most 63 characters',
  weakest: 'flag',
} as const satisfies OptionSpec;

export const SHARD_TABLE = {
  recipeRing: RING,
  ...bind(SLOTS_ROWS, { shardSlots: { field: 'slots', flag: '--slots', optional: true, weakest: 'flag' } }),
  shardHttpAddress: {
    ...addressOption('where /metrics, /livez and /readyz are served: ADDRESS'),
    default: OFF,
    weakest: 'flag',
  },
  ...HTTP_SECURITY_OPTIONS,
  ...COMMON,
  ...times(MEMBER_ROWS),
} as const satisfies Table;

/** For `rbac` of the library's recipes. */
export const RBAC_CRON_TABLE = {
  recipeLease: { ...lease('the lease that records the fires'), default: 'node-cron' },
  ...bind(CRON_ROWS, { cronOverlap: { field: 'overlap', flag: '--overlap', arg: 'POLICY', weakest: 'flag' } }),
  ...LOG_OPTIONS,
} as const satisfies Table;
export const RBAC_SEMAPHORE_TABLE = {
  recipeLease: lease('the semaphore; its slots are the leases NAME-0, NAME-1 and so on'),
  ...bind(SEMAPHORE_ROWS, { semaphoreCount: { field: 'count', flag: '--count', optional: true, weakest: 'flag' } }),
  ...LOG_OPTIONS,
} as const satisfies Table;
export const RBAC_MEMBER_TABLE = { recipeRing: RING, ...LOG_OPTIONS } as const satisfies Table;

/** For `members` and `shards`, which look and end. */
export const RING_VIEW_TABLE = {
  output: { ...OUTPUT_OPTIONS.output, choices: ['json', 'yaml', 'name'] },
  ...API_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Table;

/** What is wrong with a text that should name a Lease. */
export const refRules = (text: string | undefined): Wrong[] =>
  wrong('recipeLease', text, text === undefined ? 'is required: [NAMESPACE/]NAME' : refProblem(text));

export interface RecipeSettings {
  /** Without a namespace where none was given: the context's, or the pod's. */
  readonly ref: (namespace: string | undefined) => LeaseRef;
  readonly id: string;
  readonly stopTimeoutMs: number;
  readonly election: ElectionOptions;
  readonly wrong: readonly Wrong[];
}

/**
 * What `lock`, `once` and `shard` have in common.
 * @param killMarginMs between killing the command and the instant at which others may have the lease
 */
export function recipeSettings<T extends Table>(
  table: T,
  values: OptionValues<typeof COMMON>,
  [key, text]: readonly [key: string, text: string | undefined],
  osHostname: string,
  killMarginMs: number,
): RecipeSettings {
  const { recipeStopTimeout: stopTimeoutMs, recipeRenewDeadline } = values;
  const id = values.recipeId ?? osHostname;
  const { options: election, wrong: broken } = optionsOf(
    { rows: ELECTION_ROWS, between: ELECTION_BETWEEN },
    table,
    values as unknown as OptionValues<T>,
    { workTimeoutMs: stopTimeoutMs + KILLED_MS },
  );
  const latest = Math.max(Math.floor(timing(election).holdMs - killMarginMs), 0);
  const late = broken.length === 0 && recipeRenewDeadline > latest;
  const rule = `must be at most ${latest} ms with this lease duration: the command is ended in between`;
  return {
    ref: (namespace) => parseRef(text ?? '', namespace ?? 'default'),
    id,
    stopTimeoutMs,
    election,
    wrong: [
      ...wrong(key, text, text === undefined ? 'is required: [NAMESPACE/]NAME' : refProblem(text)),
      ...wrong(
        'recipeId',
        id,
        /\p{Cc}/u.test(id) || id === '' || id.length > 253
          ? 'must be 1 to 253 characters, without control characters'
          : undefined,
      ),
      ...broken,
      ...wrong('recipeRenewDeadline', recipeRenewDeadline, late ? rule : undefined, ['recipeLeaseDuration']),
    ],
  };
}

export function lockRules(values: OptionValues<typeof LOCK_TABLE>): Wrong[] {
  const { lockWait, lockNoWait } = values;
  const both = lockNoWait && lockWait !== undefined ? 'contradicts --wait' : undefined;
  return [...optionsOf({ rows: USE_ROWS }, LOCK_TABLE, values).wrong, ...wrong('lockNoWait', undefined, both)];
}

export const onceRules = (values: OptionValues<typeof ONCE_TABLE>): Wrong[] =>
  optionsOf({ rows: ONCE_ROWS }, ONCE_TABLE, values).wrong;

export function shardRules(values: OptionValues<typeof SHARD_TABLE>): Wrong[] {
  const name = values.recipeRing?.split('/').at(-1) ?? '';
  return [
    ...optionsOf({ rows: SLOTS_ROWS }, SHARD_TABLE, values).wrong,
    ...securityRules(values),
    ...wrong('recipeRing', values.recipeRing, name.length > 63 ? 'the name must be at most 63 characters' : undefined),
  ];
}

/** Why a text names no ring; undefined when it does. */
export function ringRules(text: string): string | undefined {
  if (text === '') return 'is required: [NAMESPACE/]NAME';
  const name = text.split('/').at(-1) ?? '';
  return refProblem(text) ?? (name.length > 63 ? 'the name must be at most 63 characters' : undefined);
}
