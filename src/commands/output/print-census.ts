/**
 * A census in every form that `get` prints.
 *
 * Guarantees: `json` and `yaml` hold the whole census, with numbers that are null where they are not known; their
 * `items` are the leases as they were read, each with a `status` of ours, so that what reads `kubectl get -o json` reads
 * them. `name` prints what kubectl prints. An empty answer is no error, and is told as kubectl tells it.
 */
import type { Census, CensusLease } from '../../census/census.ts';
import type { LeaseState } from '../../census/judge.ts';
import type { Lease } from '../../lease/lease.ts';
import { leaseToJson, newLease } from '../../lease/lease.ts';
import type { MicroTime } from '../../lease/micro-time.ts';
import { humanDuration } from './human-duration.ts';
import type { Column, TableOptions } from './text-table.ts';
import { Table } from './text-table.ts';
import { escapeQuoted, needsQuotes, printable } from './text-width.ts';

export type OutputFormat = 'table' | 'wide' | 'json' | 'yaml' | 'name';
/** What `--output` takes; without it, `table`. */
export const OUTPUT_FORMATS: readonly OutputFormat[] = ['wide', 'json', 'yaml', 'name'];

export interface Printed {
  readonly stdout: string;
  readonly stderr: string;
}

export interface PrintOptions extends TableOptions {
  readonly output: OutputFormat;
  /** Named when nothing was found; empty for all of them, which also gives the table a column NAMESPACE. */
  readonly namespace: string;
}

/** Prints a census. */
export async function printCensus(census: Census, options: PrintOptions): Promise<Printed> {
  const { output, namespace } = options;
  switch (output) {
    case 'json':
      return { stdout: toJson(censusDocument(census)), stderr: '' };
    case 'yaml':
      return { stdout: await toYaml(censusDocument(census)), stderr: '' };
    case 'name':
      return { stdout: census.leases.map(nameLine).join(''), stderr: '' };
    case 'table':
    case 'wide': {
      const stdout = leaseTable(() => census.asOf, options).print(census.leases);
      if (stdout !== '') return { stdout, stderr: '' };
      const where = namespace === '' ? '' : ` in ${printable(namespace)} namespace.`;
      return { stdout: '', stderr: `No resources found${where}\n` };
    }
  }
}

/** As kubectl names an object: `lease.coordination.k8s.io/NAME`. */
export const nameLine = ({ name }: Pick<CensusLease, 'name'>): string =>
  `lease.coordination.k8s.io/${printable(name)}\n`;

const COLOURS: Readonly<Record<LeaseState, string>> = {
  live: '32',
  unknown: '35',
  stale: '33',
  expired: '31',
  released: '2',
};

/** A lease, or one that is gone, as it was. */
export type Row = CensusLease & { readonly deleted?: boolean };

/**
 * The table of leases, for one print or many.
 * @param asOf the moment from which AGE is counted, asked for at each print
 */
export function leaseTable(
  asOf: () => MicroTime | undefined,
  options: Pick<PrintOptions, 'output' | 'namespace'> & TableOptions,
): Table<Row> {
  const ago = (time: MicroTime | undefined): string => humanDuration(time && asOf()?.since(time));
  const columns: Column<Row>[] = [
    { header: 'NAME', cell: (l) => l.name },
    { header: 'HOSTNAME', cell: (l) => l.hostname, max: 128 },
    { header: 'STATE', cell: stateCell, colour: (l) => COLOURS[l.state] },
    { header: 'HOLDER', cell: (l) => l.holder, max: 128 },
    { header: 'RENEWED', cell: (l) => (l.renewTime || l.acquireTime ? humanDuration(l.renewedAgoMs) : undefined) },
    { header: 'AGE', cell: (l) => ago(l.creationTimestamp) },
  ];
  if (options.namespace === '') columns.unshift({ header: 'NAMESPACE', cell: (l) => l.namespace });
  if (options.output === 'wide') {
    const seconds = (n: number | undefined): string | undefined => (n === undefined ? undefined : `${n}s`);
    columns.push(
      { header: 'DURATION', cell: (l) => seconds(l.leaseDurationSeconds) },
      { header: 'TRANSITIONS', cell: (l) => l.leaseTransitions?.toString() },
      { header: 'ACQUIRED', cell: (l) => l.acquireTime && ago(l.acquireTime) },
      { header: 'UID', cell: (l) => l.uid },
    );
  }
  return new Table(columns, options);
}

const stateCell = ({ state, terminating, deleted }: Row): string =>
  deleted ? 'Deleted' : `${state[0]?.toUpperCase()}${state.slice(1)}${terminating ? ',Terminating' : ''}`;

/** The machine-readable census. Numbers are null where they are not known; times are RFC 3339, spans seconds. */
export function censusDocument(census: Census): Record<string, unknown> {
  const { counts, clock, asOf } = census;
  return {
    apiVersion: 'leasekeeper.dev/v1alpha1',
    kind: 'Census',
    asOf: asOf?.toString() ?? null,
    clock,
    freshForSeconds: census.freshForMs / 1000,
    freshnessSeconds: seconds(census.freshnessMs),
    counts: {
      instances: counts?.instances ?? null,
      live: counts?.live ?? null,
      stale: counts?.stale ?? null,
      expired: counts?.expired ?? null,
      released: counts?.released ?? null,
    },
    leases: census.leaseCounts,
    instances: census.instances.map(({ hostname, name, state, leases }) => ({
      name,
      hostname: hostname ?? null,
      state,
      leases: leases.map((lease) => lease.name),
    })),
    items: census.leases.map(leaseDocument),
  };
}

/** A lease as an API server prints it, and what the census made of it. */
export function leaseDocument(lease: Row): Record<string, unknown> {
  const { state, hostname, renewedAgoMs } = lease;
  return {
    ...leaseToJson(lease.source ?? rebuilt(lease)),
    status: {
      state,
      hostname: hostname ?? null,
      renewedSecondsAgo: renewedAgoMs === undefined ? null : seconds(renewedAgoMs),
      ...(lease.deleted ? { deleted: true } : {}),
    },
  };
}

const seconds = (ms: number): number => Math.round(ms) / 1000;

/** From a summary: without labels, annotations and whatever else a census does not show. */
function rebuilt(lease: CensusLease): Lease {
  const { namespace, name, uid, creationTimestamp } = lease;
  const { holder, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions } = lease;
  return newLease(
    { namespace, name, uid, creationTimestamp },
    { holderIdentity: holder ?? '', leaseDurationSeconds, acquireTime, renewTime, leaseTransitions },
  );
}

/** kubectl's indent. */
export function toJson(document: unknown): string {
  return `${escapeQuoted(JSON.stringify(document, null, 4))}\n`;
}

/** One YAML document; readers of YAML 1.1, as Kubernetes' own, read the same strings in it. */
export async function toYaml(document: unknown): Promise<string> {
  const { Document, Scalar, visit } = await import('yaml');
  const yaml = new Document(document, { aliasDuplicateObjects: false, compat: 'yaml-1.1' });
  visit(yaml, {
    Scalar(_key, node) {
      if (typeof node.value === 'string' && needsQuotes(node.value)) node.type = Scalar.QUOTE_DOUBLE;
    },
  });
  return escapeQuoted(yaml.toString({ lineWidth: 0 }));
}
