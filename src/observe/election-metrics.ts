/**
 * Metrics of electors: client-go's two under their names, and ours. The labels `lease_namespace` and `name` are the lease's.
 *
 * Guarantees: `leader_election_master_status` is 0 from the instant at which the term ends, whether or not anybody has
 * noticed.
 */
import type { Registry } from 'prom-client';
import type { ElectionEvent } from '../election/election-events.ts';
import type { LeaseRef } from '../lease/store.ts';
import type { Observe } from '../runtime/observer.ts';
import { meter } from './metrics.ts';

const CLIENT_GO = "'name' is the string used to identify the lease. Please make sure to group by name.";

const LEASE = ['lease_namespace', 'name'] as const;

interface Elector {
  readonly labels: Readonly<Record<(typeof LEASE)[number], string>>;
  readonly remainingMs: () => number;
  transitions: number | undefined;
}

/**
 * To be called once for a registry.
 * @returns makes the observer of one elector; `remainingMs`: how long its term still lasts, 0: it does not lead
 */
export function electionMetrics(
  registry: Registry,
): (lease: LeaseRef, remainingMs: () => number) => Observe<ElectionEvent> {
  const { counter, gauges } = meter(registry);
  const electors = new Map<string, Elector>();
  const byName = (name: string, help: string, of: (elector: Elector) => number | undefined) =>
    gauges(name, help, LEASE, function* () {
      for (const elector of electors.values()) {
        const value = of(elector);
        if (value !== undefined) yield [elector.labels, value] as const;
      }
    });
  byName(
    'leader_election_master_status',
    `Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. ${CLIENT_GO}`,
    ({ remainingMs }) => Number(remainingMs() > 0),
  );
  const slowPath = counter(
    'leader_election_slowpath_total',
    `Total number of slow path exercised in renewing leader leases. ${CLIENT_GO}`,
    ...LEASE,
  );
  byName(
    'leasekeeper_election_time_left_seconds',
    'Time until leadership ends unless the lease is renewed; 0 while not leading',
    ({ remainingMs }) => remainingMs() / 1000,
  );
  byName(
    'leasekeeper_election_transitions',
    'leaseTransitions of the lease, as last seen. Missing until it was',
    ({ transitions }) => transitions,
  );
  const terms = counter('leasekeeper_election_terms_total', 'Terms that this process has begun', ...LEASE);
  const ended = counter(
    'leasekeeper_election_terms_ended_total',
    'Terms of this process that have ended, by reason',
    ...LEASE,
    'reason',
  );
  const failures = counter(
    'leasekeeper_election_request_failures_total',
    'Requests about the lease that failed, by operation and code',
    ...LEASE,
    'operation',
    'code',
  );
  return ({ namespace, name }, remainingMs) => {
    const labels = { lease_namespace: namespace, name };
    const elector: Elector = { labels, remainingMs, transitions: undefined };
    electors.set(`${namespace}/${name}`, elector);
    for (const each of [slowPath, terms]) each.inc(labels, 0);
    return (event) => {
      switch (event.type) {
        case 'leaderObserved':
          if (event.leader !== undefined) elector.transitions = event.transitions;
          return;
        case 'leading':
          elector.transitions = event.transitions;
          terms.inc(labels);
          return;
        case 'stopped':
          ended.inc({ ...labels, reason: event.reason });
          return;
        case 'slowPath':
          slowPath.inc(labels);
          return;
        case 'failed':
          failures.inc({ ...labels, operation: event.operation, code: event.error.code });
          return;
        default:
          return;
      }
    };
  };
}
