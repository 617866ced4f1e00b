/**
 * The options that several commands share, and those of small ones. What belongs to one capability stands in a file of its
 * own beside this one.
 */
import { identityLeases } from '../census/census-query.ts';
import type { CensusQuery } from '../census/census-query.ts';
import { TAKE_CENSUS_ROWS } from '../census/census-options.ts';
import { defaultFeatureGates } from '../features/gates.ts';
import { IDENTITY_ROWS } from '../identity/identity-options.ts';
import type { OwnerReference } from '../lease/lease.ts';
import { isLabelValue, labelKeyProblem, objectNameProblem } from '../lease/names.ts';
import { positiveMs, wholeNumber } from '../runtime/options.ts';
import type { OptionRows } from '../runtime/options.ts';
import { bind, optionsOf, wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import type { OptionSpec, OptionValues } from './option-spec.ts';

/** For every command. */
export const LOG_OPTIONS = {
  logLevel: {
    kind: 'string',
    flag: '--log-level',
    arg: 'LEVEL',
    help: 'least urgent level that is logged to stderr',
    choices: ['debug', 'info', 'warn', 'error'],
    default: 'info',
    live: true,
  },
  logFormat: {
    kind: 'string',
    flag: '--log-format',
    arg: 'FORMAT',
    help: 'form of a log line',
    choices: ['text', 'json'],
    default: 'text',
  },
} as const satisfies Record<string, OptionSpec>;

/** For commands that read options from a file. */
export const FILE_OPTIONS = {
  config: {
    kind: 'string',
    flag: '--config',
    arg: 'FILE',
    help: 'configuration file, YAML or JSON; publish, sweep and heartbeat take its changes, and read it again on SIGHUP',
    weakest: 'environment',
  },
} as const satisfies Record<string, OptionSpec>;

/** For commands that have feature gates. */
export const CONFIG_OPTIONS = {
  ...FILE_OPTIONS,
  featureGates: {
    kind: 'gates',
    flag: '--feature-gates',
    arg: 'NAME=BOOL,...',
    help: defaultFeatureGates.help(),
    default: defaultFeatureGates,
    live: true,
  },
} as const satisfies Record<string, OptionSpec>;

/** For commands that talk to a Kubernetes API. */
export const API_OPTIONS = {
  kubeconfig: {
    kind: 'string',
    flag: '--kubeconfig',
    arg: 'FILE',
    help: 'kubeconfig file; else $KUBECONFIG, else the service account of the pod, else ~/.kube/config',
  },
  context: {
    kind: 'string',
    flag: '--context',
    arg: 'NAME',
    help: "context of the kubeconfig; else the file's current one",
    completes: 'contexts',
  },
  requestTimeout: {
    kind: 'duration',
    flag: '--request-timeout',
    arg: 'DURATION',
    help: 'longest time for one request; publish and heartbeat: default half the renew interval, at most 5s; else 10s',
    rule: positiveMs,
    live: true,
    field: 'requestTimeoutMs',
  },
} as const satisfies Record<string, OptionSpec>;

interface Which {
  readonly namespace: string;
  readonly labelKey: string;
  readonly labelValue: string;
}

/** Which identity leases are meant. Who only reads may ask for more of them than a publisher can make. */
const QUERY_ROWS: OptionRows<Which> = {
  namespace: IDENTITY_ROWS.namespace,
  labelKey: { ...IDENTITY_ROWS.labelKey, rule: labelKeyProblem },
  labelValue: {
    ...IDENTITY_ROWS.labelValue,
    rule: (value) => (isLabelValue(value) ? undefined : 'must be a label value'),
  },
};

export const LEASE_OPTIONS = bind(QUERY_ROWS, {
  namespace: { field: 'namespace', flag: '--namespace', short: '-n', arg: 'NAME', completes: 'namespaces' },
  labelKey: { field: 'labelKey', flag: '--identity-label', arg: 'KEY' },
  labelValue: { field: 'labelValue', flag: '--identity-label-value', arg: 'VALUE' },
});

export const leaseQuery = ({ namespace, labelKey, labelValue }: Which): CensusQuery =>
  identityLeases(namespace, labelKey, labelValue);

export const queryRules = (values: OptionValues<typeof LEASE_OPTIONS>): Wrong[] =>
  optionsOf({ rows: QUERY_ROWS }, LEASE_OPTIONS, values).wrong;

export const TAKE_CENSUS_OPTIONS = bind(TAKE_CENSUS_ROWS, {
  freshFor: { field: 'freshForMs', flag: '--fresh-for' },
  observe: {
    field: 'observeMs',
    flag: '--observe',
    // A renew interval of 10 s, its jitter, a margin.
    alone: '12s',
    more: '; without a value 12s: longer than a publisher of defaults takes from one renewal to the next. A publisher that renews less often is not live then',
    weakest: 'flag',
  },
});

/** For commands that look once. */
export const takeCensusRules = (values: OptionValues<typeof LEASE_OPTIONS & typeof TAKE_CENSUS_OPTIONS>): Wrong[] => [
  ...queryRules(values),
  ...optionsOf({ rows: TAKE_CENSUS_ROWS }, TAKE_CENSUS_OPTIONS, values).wrong,
];

export const OUTPUT_OPTIONS = {
  output: {
    kind: 'string',
    flag: '--output',
    short: '-o',
    arg: 'FORMAT',
    help: 'output format; without it a table',
    weakest: 'flag',
    choices: ['wide', 'json', 'yaml', 'name'],
  },
} as const satisfies Record<string, OptionSpec>;

export const WATCH_OPTIONS = {
  watch: {
    kind: 'boolean',
    flag: '--watch',
    short: '-w',
    help: 'after the list, print each change, until SIGTERM or Ctrl-C',
    default: false,
    weakest: 'flag',
  },
} as const satisfies Record<string, OptionSpec>;

export const ALL_NAMESPACES = {
  kind: 'boolean',
  flag: '--all-namespaces',
  short: '-A',
  help: 'list the leases of all namespaces',
  default: false,
  weakest: 'flag',
} as const satisfies OptionSpec;

export const NO_HEADERS = {
  kind: 'boolean',
  flag: '--no-headers',
  help: 'leave out the line of headers',
  default: false,
  weakest: 'flag',
} as const satisfies OptionSpec;

export const GET_TABLE = {
  allNamespaces: ALL_NAMESPACES,
  leaseSelector: {
    kind: 'string',
    flag: '--selector',
    short: '-l',
    arg: 'SELECTOR',
    help: 'label selector in place of the identity label; an empty one means all leases',
    weakest: 'flag',
  },
  ...TAKE_CENSUS_OPTIONS,
  ...OUTPUT_OPTIONS,
  noHeaders: NO_HEADERS,
  ...WATCH_OPTIONS,
  ...LEASE_OPTIONS,
  ...API_OPTIONS,
  ...FILE_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

/** Which leases `get` prints. */
export function getQuery(values: OptionValues<typeof GET_TABLE>, names: readonly string[]): CensusQuery {
  const namespace = values.allNamespaces ? '' : values.namespace;
  const [name] = names;
  if (name !== undefined && names.length === 1) return { namespace, fieldSelector: `metadata.name=${name}` };
  if (names.length > 0) return { namespace, matches: ({ metadata }) => names.includes(metadata.name) };
  if (values.leaseSelector !== undefined) return { namespace, labelSelector: values.leaseSelector };
  return leaseQuery({ ...values, namespace });
}

export function getRules(values: OptionValues<typeof GET_TABLE>, names: readonly string[]): Wrong[] {
  const { watch, observe, leaseSelector, allNamespaces } = values;
  const named = names.length > 0;
  return [
    ...takeCensusRules(values),
    ...wrong(
      'observe',
      observe,
      watch && observe > 0 ? 'cannot be used with --watch, which judges by change' : undefined,
    ),
    ...wrong(
      'leaseSelector',
      leaseSelector,
      named && leaseSelector !== undefined ? 'cannot be used with a name' : undefined,
    ),
    ...wrong('allNamespaces', undefined, named && allNamespaces ? 'cannot be used with a name' : undefined),
    ...names.flatMap((name) => wrong('NAME', name, objectNameProblem(name))),
  ];
}

export const COUNT_TABLE = {
  ...TAKE_CENSUS_OPTIONS,
  live: {
    kind: 'boolean',
    flag: '--live',
    help: 'count only the instances renewed within --fresh-for',
    weakest: 'flag',
    default: false,
  },
  expect: {
    kind: 'integer',
    flag: '--expect',
    arg: 'N',
    help: 'exit with 3 when the number printed is not N',
    weakest: 'flag',
  },
  ...LEASE_OPTIONS,
  ...API_OPTIONS,
  ...FILE_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

export const RELEASE_TABLE = {
  force: {
    kind: 'boolean',
    flag: '--force',
    help: 'delete at once, also while somebody renews it',
    weakest: 'flag',
    default: false,
  },
  releaseObserve: {
    kind: 'duration',
    flag: '--observe',
    arg: 'DURATION',
    help: 'how long to observe whether somebody renews it: longer than the renew interval, as a publisher that renews less often is not seen',
    weakest: 'flag',
    // As long as a publisher of defaults stands by for silence.
    default: 35_000,
  },
  ...LEASE_OPTIONS,
  ...API_OPTIONS,
  ...FILE_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

export const DOCTOR_TABLE = {
  output: { ...OUTPUT_OPTIONS.output, help: 'output format; without it a line for each finding', choices: ['json'] },
  doctorHostname: {
    kind: 'string',
    flag: '--hostname-override',
    arg: 'NAME',
    help: "host whose lease is looked for; else the operating system's hostname",
    weakest: 'flag',
  },
  doctorObserve: {
    kind: 'duration',
    flag: '--observe',
    arg: 'DURATION',
    help: 'time between the two looks that show what is renewed, and whether holders change; 0s: one look',
    weakest: 'flag',
    default: 12_000,
  },
  ...LEASE_OPTIONS,
  ...API_OPTIONS,
  ...FILE_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

/** For `config`, which prints options and takes them all. */
export const CONFIG_PRINT_OPTIONS = {
  output: {
    kind: 'string',
    flag: '--output',
    short: '-o',
    arg: 'FORMAT',
    help: 'yaml and json: a configuration file; else a table',
    choices: ['yaml', 'json'],
    weakest: 'flag',
  },
} as const satisfies Record<string, OptionSpec>;

export const DEV_TABLE = {
  port: {
    kind: 'integer',
    flag: '--port',
    arg: 'PORT',
    help: 'port on 127.0.0.1; 0: a free one',
    default: 0,
    rule: wholeNumber(0, 65_535),
    weakest: 'flag',
  },
  writeKubeconfig: {
    kind: 'string',
    flag: '--write-kubeconfig',
    arg: 'FILE',
    help: 'where the kubeconfig for it is written; removed at the end',
    default: 'leasekeeper-dev.kubeconfig',
    weakest: 'flag',
  },
  ...LOG_OPTIONS,
} as const satisfies Record<string, OptionSpec>;

export const PAIR_RULE = 'must be KEY=VALUE';

/** A label or an annotation as it is written; the value may have more of the sign. */
export function pairOf(text: string): [key: string, value: string] | undefined {
  const at = text.indexOf('=');
  return at > 0 ? [text.slice(0, at), text.slice(at + 1)] : undefined;
}

export const OWNER_ARG = 'APIVERSION/KIND/NAME/UID';
export const OWNER_RULE = `must be ${OWNER_ARG}, for instance v1/Pod/web-0/4f1c…`;

/** An owner as it is written. */
export function ownerOf(text: string): OwnerReference | undefined {
  const [, apiVersion = '', kind = '', name = '', uid = ''] =
    /^(\S+)\/([^/\s]+)\/([^/\s]+)\/([^/\s]+)$/.exec(text) ?? [];
  return uid === '' ? undefined : { apiVersion, kind, name, uid };
}
