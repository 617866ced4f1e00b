/**
 * Metrics of heartbeats, and of who watches them.
 *
 * Guarantees: the labels hold words of this program alone, never a node's name, so that ten thousand nodes make no more
 * series than one; a number that is not known is missing, never 0.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { HeartbeatEvent, HeartbeatStatus } from '../heartbeat/heartbeat-events.ts';
import type { AvailabilityEvent, AvailabilityStatus } from '../availability/node-monitor.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { LATENCY_BUCKETS, gauge } from './metrics.ts';
import { processMetrics } from './process-metrics.ts';

/** Seconds: a timer's own lateness is some milliseconds, a tenth of the interval is told in the log, 40 s is the end. */
const LATENESS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40];

export interface HeartbeatMetrics<Event> {
  readonly observe: Observe<Event>;
  /** The media type of `text`. */
  readonly contentType: string;
  text(): Promise<string>;
}

interface MetricsFrame {
  readonly clock: Clock;
  readonly version: string;
}

function newRegistry({ clock, version }: MetricsFrame): Registry {
  const registry = new Registry();
  new Gauge({
    name: 'leasekeeper_build_info',
    help: 'Version of the program and of Node.js; always 1',
    labelNames: ['version', 'node_version'],
    registers: [registry],
  }).set({ version, node_version: process.versions.node }, 1);
  processMetrics(registry, clock);
  return registry;
}

export function createHeartbeatMetrics(
  frame: MetricsFrame & { readonly status: () => HeartbeatStatus },
): HeartbeatMetrics<HeartbeatEvent> {
  const registry = newRegistry(frame);
  const registers = [registry];
  const counter = (name: string, help: string, ...labelNames: string[]): Counter =>
    new Counter({ name: `leasekeeper_heartbeat_${name}`, help, labelNames, registers });
  const read = (name: string, help: string, of: (status: HeartbeatStatus) => number): void =>
    gauge(registry, `leasekeeper_heartbeat_${name}`, help, () => of(frame.status()));
  read('nodes', 'Nodes whose heartbeats are kept', (s) => s.nodes);
  read('nodes_held', 'Nodes that have a lease which this process wrote', (s) => s.held);
  read('nodes_failing', 'Nodes whose last request failed', (s) => s.failing);
  read('nodes_synced', '1 while the Nodes can be followed', (s) => Number(s.nodesSynced));
  read('backlog', 'Nodes that are due and wait for their turn', (s) => s.backlog);
  read('requests_in_flight', 'Nodes whose renewal is under way', (s) => s.inFlight);
  read(
    'overdue_seconds',
    'Time for which the node that waits longest has been due, failing ones too; 0: none is',
    (s) => s.overdueMs / 1000,
  );
  const renewals = counter('renewals_total', 'Renewals that the API server acknowledged');
  const latency = new Histogram({
    name: 'leasekeeper_heartbeat_renewal_duration_seconds',
    help: 'Time from sending a renewal to its answer',
    buckets: LATENCY_BUCKETS,
    registers,
  });
  const lateness = new Histogram({
    name: 'leasekeeper_heartbeat_renewal_lateness_seconds',
    help: 'Time from when a renewal was due until it was sent',
    buckets: LATENESS_BUCKETS,
    registers,
  });
  const conflicts = counter('conflicts_mended_total', 'Refused writes that were mended within the same renewal');
  const disturbances = counter('disturbances_total', 'Heartbeats found written by somebody else, by how', 'kind');
  const claims = counter('claims_total', 'First writes for a node, by how', 'how');
  const failures = counter(
    'failures_total',
    'Requests that failed, by what was asked and the reason',
    'operation',
    'reason',
  );
  const losses = counter('nodes_watch_losses_total', 'Times that the Nodes could no longer be followed', 'reason');
  return {
    observe(event) {
      switch (event.type) {
        case 'renewed':
          renewals.inc();
          latency.observe(event.latencyMs / 1000);
          lateness.observe(event.lateMs / 1000);
          if (event.conflicts > 0) conflicts.inc(event.conflicts);
          return;
        case 'claimed':
          claims.inc({ how: event.how });
          if (event.conflicts > 0) conflicts.inc(event.conflicts);
          return;
        case 'disturbed':
          disturbances.inc({ kind: event.by.kind });
          return;
        case 'failed':
          failures.inc({ operation: event.operation, reason: event.error.code });
          return;
        case 'nodesLost':
          losses.inc({ reason: event.error.code });
          return;
        default:
          return;
      }
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}

export function createAvailabilityMetrics(
  frame: MetricsFrame & { readonly status: () => AvailabilityStatus },
): HeartbeatMetrics<AvailabilityEvent> {
  const registry = newRegistry(frame);
  const registers = [registry];
  const { status } = frame;
  new Gauge({
    name: 'leasekeeper_nodes',
    help: 'Nodes by status: Ready, Unknown, or Pending (not looked at for long enough). Missing while unknown',
    labelNames: ['status'],
    registers,
    collect() {
      this.reset();
      const { known, counts } = status();
      if (known) for (const [name, n] of Object.entries(counts)) this.set({ status: name }, n);
    },
  });
  gauge(registry, 'leasekeeper_nodes_known', '1 while it is known which nodes are Ready', () => Number(status().known));
  gauge(registry, 'leasekeeper_nodes_synced', '1 while both watches are believed to tell everything', () =>
    Number(status().synced),
  );
  gauge(registry, 'leasekeeper_nodes_age_seconds', 'Time since the watches last proved that nothing was missed', () => {
    const { freshnessMs } = status();
    return freshnessMs === undefined ? undefined : freshnessMs / 1000;
  });
  const changes = new Counter({
    name: 'leasekeeper_nodes_changes_total',
    help: 'Nodes whose status became another, by the new one',
    labelNames: ['to'],
    registers,
  });
  const losses = new Counter({
    name: 'leasekeeper_nodes_watch_losses_total',
    help: 'Times that a watch was lost, by what it watched and the reason',
    labelNames: ['of', 'reason'],
    registers,
  });
  return {
    observe(event) {
      if (event.type === 'changed' && event.from !== undefined) changes.inc({ to: event.node.status });
      else if (event.type === 'lost') losses.inc({ of: event.of, reason: event.error.code });
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}
