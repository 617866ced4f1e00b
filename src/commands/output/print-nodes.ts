/**
 * Nodes and their availability in every form that `nodes` prints.
 */
import type { AvailabilitySnapshot } from '../../availability/node-monitor.ts';
import type { NodeAvailability } from '../../availability/node-register.ts';
import type { MicroTime } from '../../lease/micro-time.ts';
import { toJson, toYaml } from './print-census.ts';
import type { OutputFormat } from './print-census.ts';
import { humanDuration } from './human-duration.ts';
import type { Column, TableOptions } from './text-table.ts';
import { Table } from './text-table.ts';
import { printable } from './text-width.ts';

const COLOURS = { Ready: '32', Unknown: '31', Pending: '35' } as const;

/** @param now the API server's clock, for AGE; asked for at each print */
export function nodesTable(
  output: OutputFormat,
  now: () => MicroTime | undefined,
  options: TableOptions,
): Table<NodeAvailability> {
  const seconds = (n: number | undefined): string | undefined => (n === undefined ? undefined : `${n}s`);
  const columns: Column<NodeAvailability>[] = [
    { header: 'NAME', cell: (n) => n.name },
    { header: 'STATUS', cell: (n) => n.status, colour: (n) => COLOURS[n.status] },
    { header: 'RENEWED', cell: (n) => (n.hasLease ? humanDuration(n.renewedAgoMs) : undefined) },
    { header: 'AGE', cell: (n) => humanDuration(n.creationTimestamp && now()?.since(n.creationTimestamp)) },
  ];
  if (output === 'wide') {
    columns.push(
      { header: 'HOLDER', cell: (n) => n.holder, max: 128 },
      { header: 'DURATION', cell: (n) => seconds(n.leaseDurationSeconds) },
      { header: 'RENEWTIME', cell: (n) => n.renewTime?.toString() },
      { header: 'UID', cell: (n) => n.uid },
    );
  }
  return new Table(columns, options);
}

export const nodeNameLine = ({ name }: NodeAvailability): string => `node/${printable(name)}\n`;

/** Spans are seconds; null: not known. */
export function nodeDocument(node: NodeAvailability): Record<string, unknown> {
  const { name, uid, status, hasLease, holder, renewTime, renewedAgoMs, leaseDurationSeconds } = node;
  return {
    name,
    uid,
    status,
    renewedSecondsAgo: renewedAgoMs === undefined ? null : Math.round(renewedAgoMs) / 1000,
    lease: hasLease
      ? {
          holderIdentity: holder ?? null,
          renewTime: renewTime?.toString() ?? null,
          leaseDurationSeconds: leaseDurationSeconds ?? null,
        }
      : null,
  };
}

export function nodesDocument({ graceMs, counts, nodes }: AvailabilitySnapshot): Record<string, unknown> {
  return {
    apiVersion: 'leasekeeper.dev/v1alpha1',
    kind: 'NodeAvailability',
    clock: 'observed',
    graceSeconds: graceMs / 1000,
    counts: { ready: counts.Ready, unknown: counts.Unknown, pending: counts.Pending },
    items: nodes.map(nodeDocument),
  };
}

export async function printNodes(
  snapshot: AvailabilitySnapshot,
  output: OutputFormat,
  options: TableOptions,
): Promise<{ stdout: string; stderr: string }> {
  switch (output) {
    case 'json':
      return { stdout: toJson(nodesDocument(snapshot)), stderr: '' };
    case 'yaml':
      return { stdout: await toYaml(nodesDocument(snapshot)), stderr: '' };
    case 'name':
      return { stdout: snapshot.nodes.map(nodeNameLine).join(''), stderr: '' };
    default: {
      const stdout = nodesTable(output, () => snapshot.serverNow, options).print(snapshot.nodes);
      return { stdout, stderr: stdout === '' ? 'No resources found\n' : '' };
    }
  }
}
