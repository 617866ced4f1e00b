/**
 * Nodes and their availability in every form that `nodes` prints.
 */
import type { AvailabilitySnapshot } from '../../availability/node-monitor.ts';
import type { NodeAvailability } from '../../availability/node-register.ts';
import type { MicroTime } from '../../lease/micro-time.ts';
import { humanDuration, secondsText } from './human-duration.ts';
import { printAnswer } from './printer.ts';
import type { OutputFormat, PrintOptions, Printed, Shape } from './printer.ts';
import type { Column } from './text-table.ts';
import { printable } from './text-width.ts';

const COLOURS = { Ready: '32', NotReady: '31', Unknown: '31', Pending: '35' } as const;

/** @param now the API server's clock, for AGE; asked for at each print */
export function nodeShape(now: () => MicroTime | undefined, output: OutputFormat): Shape<NodeAvailability> {
  const columns: Column<NodeAvailability>[] = [
    { header: 'NAME', cell: (n) => n.name },
    { header: 'STATUS', cell: (n) => n.status, colour: (n) => COLOURS[n.status] },
    { header: 'RENEWED', cell: (n) => (n.hasLease ? humanDuration(n.renewedAgoMs) : undefined) },
    { header: 'AGE', cell: (n) => humanDuration(n.creationTimestamp && now()?.since(n.creationTimestamp)) },
  ];
  if (output === 'wide') {
    columns.push(
      { header: 'HOLDER', cell: (n) => n.holder, max: 128 },
      { header: 'DURATION', cell: (n) => secondsText(n.leaseDurationSeconds) },
      { header: 'RENEWTIME', cell: (n) => n.renewTime?.toString() },
      { header: 'UID', cell: (n) => n.uid },
    );
  }
  return { columns, nameLine: ({ name }) => `node/${printable(name)}\n`, document: nodeDocument };
}

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

function nodesDocument({ graceMs, startupGraceMs, counts, nodes }: AvailabilitySnapshot): Record<string, unknown> {
  return {
    apiVersion: 'leasekeeper.dev/v1alpha1',
    kind: 'NodeAvailability',
    clock: 'observed',
    graceSeconds: graceMs / 1000,
    startupGraceSeconds: startupGraceMs / 1000,
    counts: { ready: counts.Ready, notReady: counts.NotReady, unknown: counts.Unknown, pending: counts.Pending },
    items: nodes.map(nodeDocument),
  };
}

export const printNodes = (snapshot: AvailabilitySnapshot, options: PrintOptions): Promise<Printed> =>
  printAnswer(
    nodeShape(() => snapshot.serverNow, options.output),
    options,
    { rows: snapshot.nodes, document: () => nodesDocument(snapshot), nothing: 'No resources found' },
  );
