/**
 * The options that several commands share, and those of small ones, once: flag, type, default (the capabilities' own) and
 * what it means. What belongs to one capability stands in a file of its own beside this one.
 */
import { CENSUS_DEFAULTS } from '../census/census-options.ts';
import { defaultFeatureGates } from '../features/gates.ts';
import { IDENTITY_DEFAULTS } from '../identity/identity-options.ts';
import type { OptionSpec } from './option-spec.ts';

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
  },
  requestTimeout: {
    kind: 'duration',
    flag: '--request-timeout',
    arg: 'DURATION',
    help: 'longest time for one request; publish and heartbeat: default half the renew interval, at most 5s; else 10s',
    live: true,
  },
} as const satisfies Record<string, OptionSpec>;

/** Which identity leases. */
export const LEASE_OPTIONS = {
  namespace: {
    kind: 'string',
    flag: '--namespace',
    short: '-n',
    arg: 'NAME',
    help: 'namespace of the leases',
    default: IDENTITY_DEFAULTS.namespace,
  },
  labelKey: {
    kind: 'string',
    flag: '--identity-label',
    arg: 'KEY',
    help: 'label that marks the identity leases',
    default: IDENTITY_DEFAULTS.labelKey,
  },
  labelValue: {
    kind: 'string',
    flag: '--identity-label-value',
    arg: 'VALUE',
    help: 'value of that label: the product',
    default: IDENTITY_DEFAULTS.labelValue,
  },
} as const satisfies Record<string, OptionSpec>;

const FRESH_FOR = {
  kind: 'duration',
  flag: '--fresh-for',
  arg: 'DURATION',
  help: 'a lease renewed within this time is live: three renew intervals',
  default: CENSUS_DEFAULTS.freshForMs,
} as const satisfies OptionSpec;

export const OUTPUT_OPTIONS = {
  freshFor: FRESH_FOR,
  output: {
    kind: 'string',
    flag: '--output',
    short: '-o',
    arg: 'FORMAT',
    help: 'form of the answer; else a table',
    weakest: 'flag',
    choices: ['wide', 'json', 'yaml', 'name'],
  },
} as const satisfies Record<string, OptionSpec>;

export const WATCH_OPTIONS = {
  watch: {
    kind: 'boolean',
    flag: '--watch',
    short: '-w',
    help: 'after the list go on, and print what changes, until SIGTERM or Ctrl-C',
    default: false,
    weakest: 'flag',
  },
} as const satisfies Record<string, OptionSpec>;

export const COUNT_OPTIONS = {
  freshFor: FRESH_FOR,
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

export const DEV_OPTIONS = {
  port: {
    kind: 'integer',
    flag: '--port',
    arg: 'PORT',
    help: 'port on 127.0.0.1; 0: a free one',
    default: 0,
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
} as const satisfies Record<string, OptionSpec>;
