/**
 * Metrics of the elections that a process follows without taking part: how long nobody leads, how long a switch takes, how
 * often one comes.
 *
 * Guarantees: at most 500 elections have series of their own, those that nobody leads first; what follows a deleted lease
 * goes with it. Leases of any other kind have none.
 */
import type { Registry } from 'prom-client';
import type { CensusEvent } from '../census/census-events.ts';
import type { ElectionStanding } from '../census/elections.ts';
import type { Observe } from '../runtime/observer.ts';
import { meter } from './metrics.ts';

const MAX_SERIES = 500;
const LABELS = ['lease_namespace', 'name'] as const;
/** Seconds: a release takes milliseconds, a crash client-go's 15 s and up to 4.4 more. */
const SWITCH_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 17.5, 20, 30, 60, 300];

/**
 * To be called once for a registry.
 * @param standings how the elections stand; undefined: that is not known
 */
export function switchMetrics(
  registry: Registry,
  standings: () => readonly ElectionStanding[] | undefined,
): Observe<CensusEvent> {
  const { histogram, gauge, gauges, counters } = meter(registry);
  const transitions = new Map<string, { readonly labels: Record<(typeof LABELS)[number], string>; count: number }>();
  const keyOf = ({ namespace, name }: { namespace: string; name: string }): string => `${namespace}/${name}`;
  const switches = histogram(
    'leasekeeper_election_switch_seconds',
    'From the last sign of a leader, a renewal or its release, to the first of the next; how: released, expired, or taken (neither was seen)',
    SWITCH_BUCKETS,
    'how',
  );
  for (const how of ['released', 'expired', 'taken']) switches.zero({ how });
  gauge('leasekeeper_election_leases', 'Elections that are followed. Missing while unknown', () => standings()?.length);
  gauges(
    'leasekeeper_election_leaderless_seconds',
    `Time for which nobody has led; 0 while somebody leads. Of ${MAX_SERIES} elections at the most. Missing while unknown`,
    LABELS,
    function* () {
      for (const { namespace, name, leaderlessMs } of shown(standings() ?? []))
        yield [{ lease_namespace: namespace, name }, leaderlessMs / 1000] as const;
    },
  );
  counters(
    'leasekeeper_election_transitions_total',
    `Terms that were seen to begin after another, or after nobody led. Of ${MAX_SERIES} elections at the most`,
    LABELS,
    function* () {
      const all = standings();
      if (all) {
        const there = new Set(all.map(keyOf));
        for (const key of transitions.keys()) if (!there.has(key)) transitions.delete(key);
        for (const { namespace, name } of all) add(namespace, name, 0);
      }
      for (const { labels, count } of transitions.values()) yield [labels, count] as const;
    },
  );
  const add = (namespace: string, name: string, by: number): void => {
    const key = keyOf({ namespace, name });
    const known = transitions.get(key);
    if (known) known.count += by;
    else if (transitions.size < MAX_SERIES)
      transitions.set(key, { labels: { lease_namespace: namespace, name }, count: by });
  };
  return (event) => {
    if (event.type !== 'switched') return;
    switches.observe({ how: event.how }, event.switchMs / 1000);
    add(event.namespace, event.name, 1);
  };
}

function shown(all: readonly ElectionStanding[]): readonly ElectionStanding[] {
  if (all.length <= MAX_SERIES) return all;
  return [...all].sort((a, b) => b.leaderlessMs - a.leaderlessMs).slice(0, MAX_SERIES);
}
