/**
 * Metrics of kept censuses: how many instances and leases there are, by state, and whether that is known.
 */
import type { Registry } from 'prom-client';
import type { CensusEvent, CensusSnapshot } from '../census/census-events.ts';
import { LEASE_STATES } from '../census/judge.ts';
import type { CensusQuery } from '../census/census-query.ts';
import type { Observe } from '../runtime/observer.ts';
import { LEASES, leasesOf, meter, seconds } from './metrics.ts';

/** To be called once for a registry. @returns makes the observer of one census */
export function censusMetrics(
  registry: Registry,
): (query: CensusQuery, snapshot: () => CensusSnapshot) => Observe<CensusEvent> {
  const { counter, gauges } = meter(registry);
  const censuses: { readonly labels: Readonly<Record<string, string>>; readonly snapshot: () => CensusSnapshot }[] = [];
  const byState = (
    name: string,
    help: string,
    of: (snapshot: CensusSnapshot & { known: true }) => Record<string, number>,
  ) =>
    gauges(name, help, [...LEASES, 'state'], function* () {
      for (const { labels, snapshot } of censuses) {
        const now = snapshot();
        if (now.known) for (const state of LEASE_STATES) yield [{ ...labels, state }, of(now)[state] ?? 0] as const;
      }
    });
  const one = (name: string, help: string, of: (snapshot: CensusSnapshot) => number | undefined) =>
    gauges(name, help, LEASES, function* () {
      for (const { labels, snapshot } of censuses) {
        const value = of(snapshot());
        if (value !== undefined) yield [labels, value] as const;
      }
    });
  byState(
    'leasekeeper_instances',
    'Instances by the best state of their leases; live + stale is how many there are. Missing while unknown',
    ({ answer }) => ({ ...answer.counts }),
  );
  byState('leasekeeper_leases', 'Leases by state. Missing while unknown', ({ answer }) => answer.leaseCounts);
  one('leasekeeper_census_known', '1 while the numbers of instances are known', ({ known }) => Number(known));
  one('leasekeeper_census_synced', '1 while the watch is believed to miss nothing', ({ synced }) => Number(synced));
  one('leasekeeper_census_age_seconds', 'Time since the watch last proved that nothing was missed', ({ freshnessMs }) =>
    seconds(freshnessMs),
  );
  const restarts = counter(
    'leasekeeper_census_watch_restarts_total',
    'Watches replaced because they were silent for too long',
    ...LEASES,
  );
  const losses = counter(
    'leasekeeper_census_watch_losses_total',
    'Times that the watch was lost, by reason',
    ...LEASES,
    'reason',
  );
  return ({ namespace, labelSelector, matching = labelSelector }, snapshot) => {
    const labels = leasesOf(namespace, matching);
    censuses.push({ labels, snapshot });
    restarts.inc(labels, 0);
    return (event) => {
      if (event.type === 'restarted') restarts.inc(labels);
      else if (event.type === 'lost') losses.inc({ ...labels, reason: event.error.code });
    };
  };
}
