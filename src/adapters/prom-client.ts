/**
 * `leasekeeper/prom-client`: what the command line measures, on a registry of yours.
 *
 * Guarantees: the names, help texts and labels of docs/metrics.md; labels hold words of this program and names that you
 * gave, so their number is bounded; gauges are read at each scrape. Metrics of a kind are registered when its first
 * observer is made. Does not register metrics of the process: prom-client's own `collectDefaultMetrics` does.
 */
import type { Registry } from 'prom-client';
import { censusMetrics } from '../observe/census-metrics.ts';
import { electionMetrics } from '../observe/election-metrics.ts';
import { availabilityMetrics, heartbeatMetrics } from '../observe/heartbeat-metrics.ts';
import type { LeaseObservers } from '../observe/lease-observers.ts';
import { publisherMetrics } from '../observe/publisher-metrics.ts';
import { recipeMetrics } from '../observe/recipe-metrics.ts';
import { sweepMetrics } from '../observe/sweep-metrics.ts';
import { createSystemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';

export type { LeaseObservers } from '../observe/lease-observers.ts';

/**
 * Observers that measure. To be called once for a registry. Censuses, sweepers and publishers are distinguished by namespace and product, electors by
 * the lease's name, recipes by kind, namespace and name; of the heartbeats and the monitors of a process the last one is shown.
 * @param registry for instance prom-client's own `register`
 * @param options `clock`: default the machine's
 * @example
 * const metrics = leaseMetrics(register);
 * const elector = new LeaderElector({ …, observe: metrics.election(lease, () => elector) });
 */
export function leaseMetrics(
  registry: Registry,
  { clock = createSystemClock() }: { clock?: Clock } = {},
): LeaseObservers {
  const publisher = once(() => publisherMetrics(registry, clock));
  const election = once(() => electionMetrics(registry));
  const census = once(() => censusMetrics(registry));
  const sweep = once(() => sweepMetrics(registry));
  const recipe = once(() => recipeMetrics(registry));
  return {
    publisher: (of) => publisher()(of),
    election: (lease, elector) => election()(lease, () => elector().term?.remainingMs ?? 0),
    census: (query, of) => census()(query, () => of().snapshot()),
    sweep: () => sweep()(),
    heartbeat: last((status) => heartbeatMetrics(registry, status)),
    availability: last((status) => availabilityMetrics(registry, status)),
    recipe: (kind, lease) => recipe()(kind, lease),
  };
}

function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}

/** Metrics that show one thing, the last that was given. */
function last<Status, Event>(
  make: (status: () => Status) => Observe<Event>,
): (of: () => { readonly status: Status }) => Observe<Event> {
  let shown: () => { readonly status: Status };
  const metrics = once(() => make(() => shown().status));
  return (of) => {
    shown = of;
    return metrics();
  };
}
