/**
 * The options of `leases` and `step-down`, which are of leases of every kind. They belong to one call of a command.
 */
import { positiveMs } from '../runtime/options.ts';
import { TAKE_CENSUS_ROWS } from '../census/census-options.ts';
import type { CensusQuery } from '../census/census-query.ts';
import { successorProblem } from '../election/election-options.ts';
import { KINDS, kindOf } from '../lease/lease-kind.ts';
import { objectNameProblem } from '../lease/names.ts';
import { optionsOf, wrong } from './bindings.ts';
import type { Wrong } from './bindings.ts';
import type { OptionSpec, OptionValues, Table } from './option-spec.ts';
import {
  ALL_NAMESPACES,
  API_OPTIONS,
  LOG_OPTIONS,
  TAKE_CENSUS_OPTIONS,
  NO_HEADERS,
  OUTPUT_OPTIONS,
  WATCH_OPTIONS,
} from './shared-flags.ts';

const NAMESPACE = {
  kind: 'string',
  flag: '--namespace',
  short: '-n',
  arg: 'NAME',
  help: "namespace of the leases; else the context's, or the pod's",
  completes: 'namespaces',
  weakest: 'flag',
} as const satisfies OptionSpec;

export const STEP_DOWN_TABLE = {
  stepDownTo: {
    kind: 'string',
    flag: '--to',
    arg: 'HOLDER',
    help: 'who is to hold the lease next: a holder identity, or its part before the uuid; the others let it go first',
    rule: successorProblem,
    weakest: 'flag',
  },
  stepDownWait: {
    kind: 'duration',
    flag: '--wait',
    arg: 'DURATION',
    help: 'longest time until it has happened: then the exit code is 1',
    default: 30_000,
    rule: positiveMs,
    weakest: 'flag',
  },
  leasesNamespace: NAMESPACE,
  ...API_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Table;

export const LEASES_TABLE = {
  allNamespaces: ALL_NAMESPACES,
  leasesNamespace: NAMESPACE,
  leasesSelector: {
    kind: 'string',
    flag: '--selector',
    short: '-l',
    arg: 'SELECTOR',
    help: 'label selector; else all leases',
    weakest: 'flag',
  },
  leasesKind: {
    kind: 'strings',
    flag: '--kind',
    arg: 'KIND,...',
    help: `only leases of these kinds: ${KINDS.join(', ')}`,
    weakest: 'flag',
    rule: (kinds: readonly string[]) =>
      kinds.flatMap((list) => list.split(',')).every((kind) => (KINDS as readonly string[]).includes(kind))
        ? undefined
        : `must be one or more of ${KINDS.join(', ')}`,
  },
  leaderless: {
    kind: 'boolean',
    flag: '--leaderless',
    help: 'only elections that nobody leads',
    default: false,
    weakest: 'flag',
  },
  ...TAKE_CENSUS_OPTIONS,
  ...OUTPUT_OPTIONS,
  noHeaders: NO_HEADERS,
  ...WATCH_OPTIONS,
  ...API_OPTIONS,
  ...LOG_OPTIONS,
} as const satisfies Table;

type LeasesValues = OptionValues<typeof LEASES_TABLE>;

/** @param namespace the context's */
export function leasesQuery(values: LeasesValues, namespace: string): CensusQuery {
  const { allNamespaces, leasesNamespace = namespace, leasesSelector, leasesKind } = values;
  const kinds = values.leaderless ? ['election'] : leasesKind?.flatMap((list) => list.split(','));
  return {
    namespace: allNamespaces ? '' : leasesNamespace,
    ...(leasesSelector !== undefined && leasesSelector !== '' && { labelSelector: leasesSelector }),
    ...(kinds && { matches: (lease) => kinds.includes(kindOf(lease)) }),
  };
}

export function leasesRules(values: LeasesValues): Wrong[] {
  const { allNamespaces, leasesNamespace, leasesKind, leaderless, watch, observe } = values;
  const named = leasesNamespace !== undefined;
  return [
    ...optionsOf({ rows: TAKE_CENSUS_ROWS }, TAKE_CENSUS_OPTIONS, values).wrong,
    ...wrong('leasesNamespace', leasesNamespace, named ? objectNameProblem(leasesNamespace) : undefined),
    ...wrong('allNamespaces', undefined, named && allNamespaces ? 'cannot be used with --namespace' : undefined),
    ...wrong('leasesKind', undefined, leasesKind && leaderless ? 'cannot be used with --leaderless' : undefined),
    ...wrong(
      'observe',
      observe,
      watch && observe > 0 ? 'cannot be used with --watch, which judges by change' : undefined,
    ),
  ];
}
