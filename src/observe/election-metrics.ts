/**
 * An elector's metrics: client-go's two under their names, and ours.
 *
 * Guarantees: `leader_election_master_status` is 0 from the instant at which the term ends, whether or not anybody has
 * noticed; the labels hold the lease's name, which the user gave, and words of this program.
 */
import { Counter, Gauge, Registry } from 'prom-client';
import type { ElectionEvent } from '../election/election-events.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { processMetrics } from './process-metrics.ts';

export interface ElectionMetricsOptions {
  readonly clock: Clock;
  readonly version: string;
  /** Of the lease. */
  readonly name: string;
  /** Milliseconds that the term still lasts; 0: not leading. */
  readonly remainingMs: () => number;
}

export interface ElectionMetrics {
  readonly observe: Observe<ElectionEvent>;
  /** The media type of `text`. */
  readonly contentType: string;
  text(): Promise<string>;
}

export function createElectionMetrics({ clock, version, name, remainingMs }: ElectionMetricsOptions): ElectionMetrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: 'leasekeeper_build_info',
    help: 'Version of the program and of Node.js; always 1',
    labelNames: ['version', 'node_version'],
    registers,
  }).set({ version, node_version: process.versions.node }, 1);
  processMetrics(registry, clock);
  new Gauge({
    name: 'leader_election_master_status',
    help: "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease. Please make sure to group by name.",
    labelNames: ['name'],
    registers,
    collect() {
      this.set({ name }, Number(remainingMs() > 0));
    },
  });
  const slowPath = new Counter({
    name: 'leader_election_slowpath_total',
    help: "Total number of slow path exercised in renewing leader leases. 'name' is the string used to identify the lease. Please make sure to group by name.",
    labelNames: ['name'],
    registers,
  });
  slowPath.inc({ name }, 0);
  new Gauge({
    name: 'leasekeeper_election_time_left_seconds',
    help: 'Time until leadership ends unless the lease is renewed; 0 while not leading',
    labelNames: ['name'],
    registers,
    collect() {
      this.set({ name }, remainingMs() / 1000);
    },
  });
  const transitions = new Gauge({
    name: 'leasekeeper_election_transitions',
    help: 'leaseTransitions of the lease, as last seen. Missing until it was',
    labelNames: ['name'],
    registers,
  });
  const terms = new Counter({
    name: 'leasekeeper_election_terms_total',
    help: 'Terms that this process has begun',
    labelNames: ['name'],
    registers,
  });
  terms.inc({ name }, 0);
  const losses = new Counter({
    name: 'leasekeeper_election_terms_ended_total',
    help: 'Terms of this process that have ended, by reason',
    labelNames: ['name', 'reason'],
    registers,
  });
  const failures = new Counter({
    name: 'leasekeeper_election_request_failures_total',
    help: 'Requests about the lease that failed, by operation and code',
    labelNames: ['name', 'operation', 'code'],
    registers,
  });
  return {
    observe(event) {
      switch (event.type) {
        case 'leaderObserved':
          if (event.leader !== undefined) transitions.set({ name }, event.transitions);
          return;
        case 'leading':
          transitions.set({ name }, event.fencingToken);
          terms.inc({ name });
          return;
        case 'stopped':
          losses.inc({ name, reason: event.reason });
          return;
        case 'slowPath':
          slowPath.inc({ name });
          return;
        case 'failed':
          failures.inc({ name, operation: event.operation, code: event.error.code });
          return;
        default:
          return;
      }
    },
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}
