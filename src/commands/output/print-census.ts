/**
 * A census in every form that `get` prints.
 *
 * Guarantees: `json` and `yaml` hold the whole census, with numbers that are null where they are not known; their
 * `items` are the leases as they were read, each with a `status` of ours, so that what reads `kubectl get -o json` reads
 * them. `name` prints what kubectl prints. An empty answer is no error; a line says what was
 * looked for.
 */
import type { Census, CensusLease } from '../../census/census.ts';
import { queryText } from '../../census/census-query.ts';
import type { CensusQuery } from '../../census/census-query.ts';
import { isHeld } from '../../census/judge.ts';
import type { LeaseState } from '../../census/judge.ts';
import type { Lease } from '../../lease/lease.ts';
import { leaseToJson, newLease } from '../../lease/lease.ts';
import type { MicroTime } from '../../lease/micro-time.ts';
import { humanDuration, secondsText } from './human-duration.ts';
import { printAnswer } from './printer.ts';
import type { PrintOptions, Printed, Shape } from './printer.ts';
import type { Column } from './text-table.ts';
import { middleCut, printable, truncate } from './text-width.ts';

export interface CensusPrintOptions extends PrintOptions {
  /** Named when nothing was found; of every namespace gives the table a column NAMESPACE. */
  readonly query: CensusQuery;
  /** Leases of every kind, each with its kind, in place of identity leases and their hostnames. */
  readonly kinds?: boolean | undefined;
}

/**
 * Prints a census.
 * @param one the lease that was asked for by name: a document of it alone, as kubectl prints it
 */
export function printCensus(census: Census, options: CensusPrintOptions, one?: CensusLease): Promise<Printed> {
  return printAnswer(
    leaseShape(() => census.asOf, options),
    options,
    {
      rows: census.leases,
      document: () => (one ? leaseDocument(one) : options.kinds ? kindsDocument(census) : censusDocument(census)),
      nothing: `No resources found ${printable(queryText(options.query))}`,
    },
  );
}

/** As kubectl names an object: `lease.coordination.k8s.io/NAME`. */
const nameLine = ({ name }: Pick<CensusLease, 'name'>): string => `lease.coordination.k8s.io/${printable(name)}\n`;

const COLOURS: Readonly<Record<LeaseState, string>> = {
  live: '32',
  unknown: '35',
  stale: '33',
  expired: '31',
  released: '2',
};

/** A lease, or one that is gone, as it was. */
export type Row = CensusLease & { readonly deleted?: boolean };

/** @param asOf the moment from which AGE is counted, asked for at each print */
export function leaseShape(
  asOf: () => MicroTime | undefined,
  { output, query, kinds = false }: Pick<CensusPrintOptions, 'output' | 'query' | 'kinds'>,
): Shape<Row> {
  const wide = output === 'wide';
  const ago = (time: MicroTime | undefined): string => humanDuration(time && asOf()?.since(time));
  const columns: Column<Row>[] = [
    { header: 'NAME', cell: (l) => l.name, narrow: wide ? undefined : middleCut },
    kinds
      ? { header: 'KIND', cell: (l) => l.kind }
      : { header: 'HOSTNAME', cell: (l) => l.hostname, max: 128, narrow: wide ? undefined : truncate },
    { header: 'STATE', cell: stateCell, colour: (l) => COLOURS[l.state] },
    {
      header: 'HOLDER',
      cell: (l) => (wide ? l.holder : holderEnd(l.holder)),
      max: 128,
      narrow: wide ? undefined : truncate,
    },
    { header: 'RENEWED', cell: renewedCell },
    ...(kinds ? [transitions] : []),
    { header: 'AGE', cell: (l) => ago(l.creationTimestamp) },
  ];
  if (query.namespace === '')
    columns.unshift({ header: 'NAMESPACE', cell: (l) => l.namespace, narrow: wide ? undefined : truncate });
  if (wide) {
    columns.push(
      { header: 'DURATION', cell: (l) => secondsText(l.leaseDurationSeconds) },
      ...(kinds ? [] : [transitions]),
      { header: 'ACQUIRED', cell: (l) => l.acquireTime && ago(l.acquireTime) },
      { header: 'LABELS', cell: labelsCell, max: 128 },
      { header: 'PAYLOAD', cell: (l) => l.payload, max: 128 },
      { header: 'PEER', cell: (l) => l.source?.metadata.annotations[PEER_ANNOTATION] },
      { header: 'UID', cell: (l) => l.uid },
    );
  }
  return { columns, nameLine, document: (lease) => leaseDocument(lease, kinds) };
}

const transitions: Column<Row> = { header: 'TRANSITIONS', cell: (l) => l.leaseTransitions?.toString() };

/** Where a kube-apiserver that takes part in peer proxying can be reached. */
const PEER_ANNOTATION = 'kubernetes.io/peer-advertise-address';
/** What tells one process from another in a holder: the end of its UUID. */
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-([0-9a-f]{12})$/;
const holderEnd = (holder: string | undefined): string | undefined => {
  const end = holder && UUID.exec(holder)?.[1];
  return end ? `…${end}` : holder;
};

const labelsCell = ({ labels = {} }: Row): string | undefined =>
  Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',') || undefined;

const renewedCell = ({ renewTime, acquireTime, renewedAgoMs, aheadMs }: Row): string | undefined => {
  if (!renewTime && !acquireTime) return undefined;
  return aheadMs !== undefined && (renewedAgoMs ?? -1) < 0
    ? `in ${humanDuration(aheadMs)}`
    : humanDuration(renewedAgoMs);
};

const stateCell = ({ state, terminating, deleted }: Row): string =>
  deleted ? 'Deleted' : `${state[0]?.toUpperCase()}${state.slice(1)}${terminating ? ',Terminating' : ''}`;

/** The machine-readable census. Numbers are null where they are not known; times are RFC 3339, spans seconds. */
function censusDocument(census: Census): Record<string, unknown> {
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
    items: census.leases.map((lease) => leaseDocument(lease)),
  };
}

/** Leases of every kind, and how it is known which of them anybody holds. */
const kindsDocument = ({ clock, asOf, freshnessMs, freshForMs, leases }: Census): Record<string, unknown> => ({
  apiVersion: 'leasekeeper.dev/v1alpha1',
  kind: 'Leases',
  asOf: asOf?.toString() ?? null,
  clock,
  freshForSeconds: freshForMs / 1000,
  freshnessSeconds: seconds(freshnessMs),
  items: leases.map((lease) => leaseDocument(lease, true)),
});

/** A lease as an API server prints it, and what the census made of it. */
function leaseDocument(lease: Row, kinds = false): Record<string, unknown> {
  const { state, kind, hostname, renewedAgoMs, aheadMs } = lease;
  return {
    ...leaseToJson(lease.source ?? rebuilt(lease)),
    status: {
      ...(kinds ? { kind, held: isHeld(state) ?? null } : {}),
      state,
      hostname: hostname ?? null,
      renewedSecondsAgo: renewedAgoMs === undefined ? null : seconds(renewedAgoMs),
      renewTimeAheadSeconds: aheadMs === undefined ? null : seconds(aheadMs),
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
