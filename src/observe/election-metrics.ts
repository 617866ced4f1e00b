/**
 * Metrics of electors: client-go's two under their names, and ours. The label `name` is the lease's.
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

/**
 * To be called once for a registry.
 * @returns makes the observer of one elector; `remainingMs`: how long its term still lasts, 0: it does not lead
 */
export function electionMetrics(
  registry: Registry,
): (lease: LeaseRef, remainingMs: () => number) => Observe<ElectionEvent> {
  const { counter, gauges } = meter(registry);
  const electors = new Map<string, () => number>();
  const transitions = new Map<string, number>();
  const byName = <T>(name: string, help: string, values: ReadonlyMap<string, T>, of: (value: T) => number) =>
    gauges(name, help, ['name'], function* () {
      for (const [lease, value] of values) yield [{ name: lease }, of(value)] as const;
    });
  byName(
    'leader_election_master_status',
    `Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. ${CLIENT_GO}`,
    electors,
    (remainingMs) => Number(remainingMs() > 0),
  );
  const slowPath = counter(
    'leader_election_slowpath_total',
    `Total number of slow path exercised in renewing leader leases. ${CLIENT_GO}`,
    'name',
  );
  byName(
    'leasekeeper_election_time_left_seconds',
    'Time until leadership ends unless the lease is renewed; 0 while not leading',
    electors,
    (remainingMs) => remainingMs() / 1000,
  );
  byName(
    'leasekeeper_election_transitions',
    'leaseTransitions of the lease, as last seen. Missing until it was',
    transitions,
    (n) => n,
  );
  const terms = counter('leasekeeper_election_terms_total', 'Terms that this process has begun', 'name');
  const ended = counter(
    'leasekeeper_election_terms_ended_total',
    'Terms of this process that have ended, by reason',
    'name',
    'reason',
  );
  const failures = counter(
    'leasekeeper_election_request_failures_total',
    'Requests about the lease that failed, by operation and code',
    'name',
    'operation',
    'code',
  );
  return ({ name }, remainingMs) => {
    electors.set(name, remainingMs);
    for (const each of [slowPath, terms]) each.inc({ name }, 0);
    return (event) => {
      switch (event.type) {
        case 'leaderObserved':
          if (event.leader !== undefined) transitions.set(name, event.transitions);
          return;
        case 'leading':
          transitions.set(name, event.transitions);
          terms.inc({ name });
          return;
        case 'stopped':
          ended.inc({ name, reason: event.reason });
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
    };
  };
}
