/**
 * Metrics of publishers: whether the lease of this host is ours, for how long, and what became of its renewals.
 */
import type { Registry } from 'prom-client';
import type { PublisherEvent } from '../identity/publisher-events.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import type { PublisherView } from './lease-observers.ts';
import { LATENCY_BUCKETS, LEASES, meter } from './metrics.ts';

/** To be called once for a registry. @returns makes the observer of one publisher */
export function publisherMetrics(
  registry: Registry,
  clock: Clock,
): (publisher: () => PublisherView) => Observe<PublisherEvent> {
  const { counter, gauges, histogram } = meter(registry);
  const publishers: (() => PublisherView)[] = [];
  const labelsOf = ({ options }: PublisherView): Record<string, string> => ({
    lease_namespace: options.namespace,
    product: options.labelValue,
  });
  const gauge = (name: string, help: string, of: (publisher: PublisherView) => number | undefined) =>
    gauges(name, help, LEASES, function* () {
      for (const publisher of publishers) {
        const view = publisher();
        const value = of(view);
        if (value !== undefined) yield [labelsOf(view), value] as const;
      }
    });
  gauge('leasekeeper_lease_held', '1 while the lease of this host is ours', ({ status }) =>
    Number(status.phase === 'holding'),
  );
  gauge('leasekeeper_lease_superseded', '1 while a newer process with this hostname holds the lease', ({ status }) =>
    Number(status.phase === 'superseded'),
  );
  gauge(
    'leasekeeper_lease_expiry_seconds',
    'Time left until the lease of this host expires unless it is renewed; negative once it has. Missing while it is not ours',
    ({ status: { phase, renewedAt }, options }) =>
      phase === 'holding' && renewedAt !== undefined
        ? options.leaseDurationSeconds - (clock.monotonic() - renewedAt) / 1000
        : undefined,
  );
  gauge(
    'leasekeeper_lease_duration_seconds',
    'Duration that the lease of this host is published with',
    ({ options }) => options.leaseDurationSeconds,
  );
  gauge(
    'leasekeeper_lease_twins',
    'Other identity leases that carry this hostname',
    ({ status }) => status.twins.length,
  );
  const renewals = counter('leasekeeper_lease_renewals_total', 'Renewals that the API server acknowledged', ...LEASES);
  const latency = histogram(
    'leasekeeper_lease_renewal_duration_seconds',
    'Time from sending a renewal to its answer',
    LATENCY_BUCKETS,
    ...LEASES,
  );
  const failures = counter(
    'leasekeeper_lease_failures_total',
    'Requests of the publisher that failed, by what was asked and the reason',
    ...LEASES,
    'operation',
    'reason',
  );
  const claims = counter('leasekeeper_lease_claims_total', 'Claims of the lease, by how', ...LEASES, 'how');
  const superseded = counter(
    'leasekeeper_lease_superseded_total',
    'Times that a newer process took the lease over',
    ...LEASES,
  );
  const second = counter(
    'leasekeeper_lease_second_writer_total',
    'Writes by another process with our holder identity',
    ...LEASES,
  );
  return (publisher) => {
    publishers.push(publisher);
    let known: Record<string, string> | undefined;
    /** Once it is there: its observer is made before it. */
    const begin = (): Record<string, string> => {
      const labels = labelsOf(publisher());
      for (const each of [renewals, superseded, second]) each.inc(labels, 0);
      latency.zero(labels);
      return labels;
    };
    return (event) => {
      const labels = (known ??= begin());
      switch (event.type) {
        case 'renewed':
          renewals.inc(labels);
          latency.observe(labels, event.latencyMs / 1000);
          return;
        case 'failed':
          failures.inc({ ...labels, operation: event.operation, reason: event.error.code });
          return;
        case 'claimed':
          claims.inc({ ...labels, how: event.how });
          return;
        case 'superseded':
          superseded.inc(labels);
          return;
        case 'secondWriter':
          second.inc(labels);
          return;
        default:
          return;
      }
    };
  };
}
