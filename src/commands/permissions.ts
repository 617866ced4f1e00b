/**
 * What each command may do at the API, and why: the one table from which `rbac` prints Roles and deploy/ has its own.
 *
 * Guarantees: with these permissions a command does all that it promises, and none of them can be taken away without a
 * loss that it tells (but the one for Events, which are best effort). They are those of the options as they are given:
 * after a change of options the table is asked anew.
 */
import { hostname } from 'node:os';
import { readChecked } from '../config/bindings.ts';
import type { Rules } from '../config/bindings.ts';
import { ELECT_TABLE, electSettings } from '../config/elect-flags.ts';
import { HEARTBEAT_TABLE, NODES_TABLE, heartbeatSettings, nodesSettings } from '../config/heartbeat-flags.ts';
import type { Given, OptionValues, Problem, Table } from '../config/option-spec.ts';
import { PUBLISH_TABLE, publishSettings } from '../config/publish-flags.ts';
import type { Permitted } from '../config/rbac-flags.ts';
import { API_OPTIONS, GET_TABLE, LEASE_OPTIONS, queryRules } from '../config/shared-flags.ts';
import { SWEEP_TABLE, sweepSettings } from '../config/sweep-flags.ts';
import type { FeatureGates, GateName } from '../features/gates.ts';
import { KILL_MARGIN_MS } from '../guard/guard.ts';
import { leaseName } from '../lease/names.ts';
import { publishRules } from './publish-rules.ts';

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'delete';
export type Resource = 'leases' | 'nodes' | 'events';

export interface Grant {
  readonly resource: Resource;
  readonly verbs: readonly Verb[];
  /** Undefined: of the whole cluster. */
  readonly namespace?: string | undefined;
  /** Only these objects. Never for create, list and watch without a field selector: the API cannot check it there. */
  readonly names?: readonly string[] | undefined;
  /** One line: what it is for. */
  readonly why: string;
}

/** The grants, and what is wrong with the options. */
export type Grants = (given: Given) => Promise<{ grants: readonly Grant[]; problems: readonly Problem[] }>;

const row =
  <T extends Table>(
    table: T,
    rules: Rules<T>,
    grantsOf: (values: OptionValues<T>, given: Given) => readonly Grant[],
  ): Grants =>
  async (given) => {
    const { values, problems } = await readChecked(table, given, rules);
    return { grants: problems.length > 0 ? [] : grantsOf(values, given), problems };
  };

const events = (namespace: string, gates: FeatureGates<GateName>): Grant[] =>
  gates.enabled('LeaseEvents')
    ? [{ resource: 'events', verbs: ['create'], namespace, why: 'Events about the leases; everything works without' }]
    : [];

const leasesOf = (namespace: string, verbs: readonly Verb[], why: string, names?: readonly string[]): Grant => ({
  resource: 'leases',
  verbs,
  namespace,
  names,
  why,
});

/** A field selector names one object, and then `resourceNames` holds for list and watch as well. */
const nodesOf = (names: readonly string[] | undefined): Grant => ({
  resource: 'nodes',
  verbs: ['list', 'watch'],
  names: names?.length === 1 ? names : undefined,
  why: 'which Nodes there are, and their uids',
});

const READ_TABLE = { ...LEASE_OPTIONS, ...API_OPTIONS };

export const PERMISSIONS: Readonly<Record<Permitted, Grants>> = {
  publish: row(PUBLISH_TABLE, publishRules, (values, given) => {
    const {
      namespace,
      hostname: host,
      nameFormat,
      namePrefix,
      shutdownPolicy,
    } = publishSettings(values, hostname()).identity;
    // A Role is printed for other hosts than this one: only a name that was given says which lease it will be.
    const own = values.hostname === undefined ? undefined : [leaseName(host, nameFormat, namePrefix)];
    const leaves = shutdownPolicy === 'delete' || (shutdownPolicy === 'auto' && values.serverHealthUrl !== undefined);
    const grants: Grant[] = [
      leasesOf(namespace, ['create'], 'claims the lease where there is none'),
      leasesOf(namespace, ['get', 'update'], 'takes it over, and renews it', own),
      leasesOf(namespace, ['list', 'watch'], 'notices at once who deletes it or publishes the same hostname'),
    ];
    if (values.sweep) {
      const verbs: Verb[] = values.sweepDryRun ? ['list'] : ['list', 'delete'];
      grants.push(leasesOf(namespace, verbs, 'sweeps what has expired'));
    }
    if (leaves) grants.push(leasesOf(namespace, ['delete'], 'gives the lease up at the end', own));
    else if (given.options['config'] !== undefined)
      grants.push(leasesOf(namespace, ['delete'], 'gives the lease up when the file switches it off', own));
    return [...grants, ...events(namespace, values.featureGates)];
  }),
  sweep: row(
    SWEEP_TABLE,
    (values) => sweepSettings(values).wrong,
    ({ namespace, sweepDryRun }) => [
      leasesOf(namespace, ['list'], 'looks, twice in a pass'),
      ...(sweepDryRun ? [] : [leasesOf(namespace, ['delete'], 'deletes what was expired both times')]),
    ],
  ),
  get: row(GET_TABLE, queryRules, ({ namespace, watch }) => [
    leasesOf(namespace, ['list'], 'lists the leases'),
    ...(watch ? [leasesOf(namespace, ['watch'], 'follows what changes')] : []),
  ]),
  count: row(READ_TABLE, queryRules, ({ namespace }) => [leasesOf(namespace, ['list'], 'lists the leases')]),
  serve: row(READ_TABLE, queryRules, ({ namespace }) => [
    leasesOf(namespace, ['list', 'watch'], 'keeps count by one list and one watch'),
  ]),
  elect: row(
    ELECT_TABLE,
    (values) => electSettings(values, hostname(), KILL_MARGIN_MS).wrong,
    (values) => {
      const { namespace, name } = electSettings(values, hostname(), KILL_MARGIN_MS).lease;
      return [
        leasesOf(namespace, ['create'], 'makes the lease where there is none'),
        // Without list a watch begins with what there is: see kube/list-watch.ts.
        leasesOf(
          namespace,
          ['get', 'watch', 'update'],
          'stands by, leads and renews; add list before Kubernetes 1.32 and in 1.33',
          [name],
        ),
        ...events(namespace, values.featureGates),
      ];
    },
  ),
  heartbeat: row(
    HEARTBEAT_TABLE,
    (values) => heartbeatSettings(values).wrong,
    ({ heartbeatNamespace: namespace, node }) => [
      leasesOf(namespace, ['create'], 'makes the lease of a new Node'),
      leasesOf(namespace, ['get', 'update'], 'renews it', node),
      nodesOf(node),
    ],
  ),
  nodes: row(
    NODES_TABLE,
    (values) => nodesSettings(values).wrong,
    ({ heartbeatNamespace, node }) => [
      leasesOf(heartbeatNamespace, ['list', 'watch'], 'sees the heartbeats'),
      nodesOf(node),
    ],
  ),
};
