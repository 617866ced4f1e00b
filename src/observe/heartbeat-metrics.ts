/**
 * Metrics of heartbeats, and of who watches them.
 *
 * Guarantees: no label is a node's name, so that ten thousand nodes make no more series than one.
 */
import type { Registry } from 'prom-client';
import type { HeartbeatEvent, HeartbeatStatus } from '../heartbeat/heartbeat-events.ts';
import type { AvailabilityEvent, AvailabilityStatus } from '../availability/node-monitor.ts';
import type { Observe } from '../runtime/observer.ts';
import { LATENCY_BUCKETS, meter, seconds } from './metrics.ts';

/** Seconds: a timer's own lateness is some milliseconds, a tenth of the interval is a line in the log, 40 s is the end. */
const LATENESS_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40];

/** To be called once for a registry. */
export function heartbeatMetrics(registry: Registry, status: () => HeartbeatStatus): Observe<HeartbeatEvent> {
  const { gauge, histogram, ...make } = meter(registry);
  const counter = (name: string, help: string, ...labelNames: readonly string[]) =>
    make.counter(`leasekeeper_heartbeat_${name}`, help, ...labelNames);
  const read = (name: string, help: string, of: (status: HeartbeatStatus) => number): void =>
    gauge(`leasekeeper_heartbeat_${name}`, help, () => of(status()));
  read('nodes', 'Nodes whose heartbeats are kept', (s) => s.nodes);
  read('nodes_held', 'Nodes that have a lease which this process wrote', (s) => s.held);
  read('nodes_failing', 'Nodes whose last request failed', (s) => s.failing);
  read('nodes_synced', '1 while the Nodes can be followed', (s) => Number(s.nodesSynced));
  read('backlog', 'Nodes whose renewal is due and waits for its turn', (s) => s.backlog);
  read('requests_in_flight', 'Nodes whose renewal is under way', (s) => s.inFlight);
  read(
    'overdue_seconds',
    'Time for which the node that waits longest has been due, failing ones too; 0: none is',
    (s) => s.overdueMs / 1000,
  );
  const renewals = counter('renewals_total', 'Renewals that the API server acknowledged');
  const latency = histogram(
    'leasekeeper_heartbeat_renewal_duration_seconds',
    'Time from sending a renewal to its answer',
    LATENCY_BUCKETS,
  );
  const lateness = histogram(
    'leasekeeper_heartbeat_renewal_lateness_seconds',
    'Time from when a renewal was due until it was sent',
    LATENESS_BUCKETS,
  );
  const conflicts = counter(
    'conflicts_mended_total',
    'Writes refused by a conflict that succeeded within the same renewal',
  );
  const disturbances = counter('disturbances_total', 'Heartbeats found written by somebody else, by how', 'kind');
  const claims = counter('claims_total', 'First writes for a node, by how', 'how');
  const failures = counter(
    'failures_total',
    'Requests that failed, by what was asked and the reason',
    'operation',
    'reason',
  );
  const losses = counter('nodes_watch_losses_total', 'Times that the Nodes could no longer be followed', 'reason');
  return (event) => {
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
  };
}

/** To be called once for a registry. */
export function availabilityMetrics(registry: Registry, status: () => AvailabilityStatus): Observe<AvailabilityEvent> {
  const { counter, gauge, gauges } = meter(registry);
  gauges(
    'leasekeeper_nodes',
    'Nodes by status: Ready, NotReady, Unknown, or Pending (not looked at for long enough). Missing while unknown',
    ['status'],
    function* () {
      const { known, counts } = status();
      if (known) for (const [name, n] of Object.entries(counts)) yield [{ status: name }, n] as const;
    },
  );
  gauge('leasekeeper_nodes_known', '1 while it is known which nodes are Ready', () => Number(status().known));
  gauge('leasekeeper_nodes_synced', '1 while both watches are believed to miss nothing', () => Number(status().synced));
  gauge('leasekeeper_nodes_age_seconds', 'Time since the watches last proved that nothing was missed', () =>
    seconds(status().freshnessMs),
  );
  const changes = counter('leasekeeper_nodes_changes_total', "Changes of a Node's status, by the new status", 'to');
  const losses = counter(
    'leasekeeper_nodes_watch_losses_total',
    'Times that a watch was lost, by what it watched and the reason',
    'of',
    'reason',
  );
  return (event) => {
    if (event.type === 'changed' && event.from !== undefined) changes.inc({ to: event.node.status });
    else if (event.type === 'lost') losses.inc({ of: event.of, reason: event.error.code });
  };
}
