/**
 * Metrics for Prometheus: what the services' events add up to, and gauges that are read when they are asked for.
 *
 * Guarantees: the labels hold words of this program alone (states, codes, gates), never a name, a holder or a message from
 * a lease, so their number is bounded; a number that is not known is missing, never 0. Names and units follow
 * Kubernetes: seconds, `_total`.
 * prom-client is loaded with this file, which nothing imports before metrics are wanted.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { CensusEvent, CensusSnapshot } from '../census/census-events.ts';
import { LEASE_STATES } from '../census/judge.ts';
import type { GateMetric } from '../features/gates.ts';
import type { PublisherEvent, PublisherStatus } from '../identity/publisher-events.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import type { SweepEvent } from '../sweep/sweep-events.ts';
import { processMetrics } from './process-metrics.ts';

/** Seconds: a renewal on one machine takes 2 ms, and times out at 5 s by default. */
export const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
/** Seconds: a pass waits 30 s by default. */
const PASS_BUCKETS = [0.1, 0.5, 1, 5, 10, 30, 31, 35, 45, 60, 120, 300, 600];

export interface MetricsOptions {
  readonly clock: Clock;
  readonly version: string;
  /** Milliseconds that our clock is ahead of the API server's; undefined while that is not known. */
  readonly clockDistanceMs?: (() => number | undefined) | undefined;
  readonly census?: (() => CensusSnapshot) | undefined;
  readonly gates?: (() => readonly GateMetric[]) | undefined;
  /** The publisher, while there is one. `leaseDurationMs` as it is in force. */
  readonly publisher?:
    (() => { readonly status: PublisherStatus; readonly leaseDurationMs: number } | undefined) | undefined;
}

export interface Metrics {
  readonly census: Observe<CensusEvent>;
  readonly publisher: Observe<PublisherEvent>;
  readonly sweep: Observe<SweepEvent>;
  /** The media type of `text`. */
  readonly contentType: string;
  text(): Promise<string>;
}

export function createMetrics(options: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: 'leasekeeper_build_info',
    help: 'Version of the program and of Node.js; always 1',
    labelNames: ['version', 'node_version'],
    registers,
  }).set({ version: options.version, node_version: process.versions.node }, 1);
  processMetrics(registry, options.clock);
  const { clockDistanceMs, gates } = options;
  if (clockDistanceMs) {
    gauge(
      registry,
      'leasekeeper_clock_distance_seconds',
      "How far this machine's clock is ahead of the API server's, at the least, as of the last answer. Missing while unknown",
      () => seconds(clockDistanceMs()),
    );
  }
  if (gates) {
    new Gauge({
      name: 'kubernetes_feature_enabled',
      help: 'This metric records the data about the stage and enablement of a k8s feature.',
      labelNames: ['name', 'stage'],
      registers,
      collect() {
        for (const { name, stage, enabled } of gates()) this.set({ name, stage }, Number(enabled));
      },
    });
  }
  return {
    census: censusMetrics(registry, options),
    publisher: publisherMetrics(registry, options),
    sweep: sweepMetrics(registry),
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}

function censusMetrics(registry: Registry, { census }: MetricsOptions): Observe<CensusEvent> {
  if (!census) return () => {};
  const registers = [registry];
  new Gauge({
    name: 'leasekeeper_instances',
    help: 'Instances by the best state of their leases; live + stale is how many there are. Missing while unknown',
    labelNames: ['state'],
    registers,
    collect() {
      this.reset();
      const { known, ...snapshot } = census();
      if (!known || !('answer' in snapshot)) return;
      const { live, stale, expired, released } = snapshot.answer.counts;
      for (const [state, n] of Object.entries({ live, stale, expired, released })) this.set({ state }, n);
    },
  });
  new Gauge({
    name: 'leasekeeper_leases',
    help: 'Leases by state. Missing while unknown',
    labelNames: ['state'],
    registers,
    collect() {
      this.reset();
      const snapshot = census();
      if (snapshot.known) for (const state of LEASE_STATES) this.set({ state }, snapshot.answer.leaseCounts[state]);
    },
  });
  gauge(registry, 'leasekeeper_census_known', '1 while the numbers of instances are known', () =>
    Number(census().known),
  );
  gauge(registry, 'leasekeeper_census_synced', '1 while the watch is believed to tell everything', () =>
    Number(census().synced),
  );
  gauge(registry, 'leasekeeper_census_age_seconds', 'Time since the watch last proved that nothing was missed', () => {
    const { freshnessMs } = census();
    return freshnessMs === undefined ? undefined : freshnessMs / 1000;
  });
  const restarts = new Counter({
    name: 'leasekeeper_census_watch_restarts_total',
    help: 'Watches replaced because they told nothing for too long',
    registers,
  });
  const losses = new Counter({
    name: 'leasekeeper_census_watch_losses_total',
    help: 'Times that the watch was lost, by reason',
    labelNames: ['reason'],
    registers,
  });
  return (event) => {
    if (event.type === 'restarted') restarts.inc();
    else if (event.type === 'lost') losses.inc({ reason: event.error.code });
  };
}

function publisherMetrics(registry: Registry, { publisher, clock }: MetricsOptions): Observe<PublisherEvent> {
  if (!publisher) return () => {};
  const registers = [registry];
  const counter = (name: string, help: string, ...labelNames: string[]): Counter =>
    new Counter({ name, help, labelNames, registers });
  gauge(registry, 'leasekeeper_lease_held', '1 while the lease of this host is ours', () =>
    Number(publisher()?.status.phase === 'holding'),
  );
  gauge(registry, 'leasekeeper_lease_superseded', '1 while a newer process with this hostname holds the lease', () =>
    Number(publisher()?.status.phase === 'superseded'),
  );
  gauge(
    registry,
    'leasekeeper_lease_expiry_seconds',
    'Time left until the lease of this host expires unless it is renewed; negative once it has. Missing while it is not ours',
    () => {
      const now = publisher();
      if (now?.status.phase !== 'holding' || now.status.renewedAt === undefined) return undefined;
      return (now.status.renewedAt + now.leaseDurationMs - clock.monotonic()) / 1000;
    },
  );
  gauge(
    registry,
    'leasekeeper_lease_twins',
    'Other identity leases that carry this hostname',
    () => publisher()?.status.twins.length,
  );
  const renewals = counter('leasekeeper_lease_renewals_total', 'Renewals that the API server acknowledged');
  const latency = new Histogram({
    name: 'leasekeeper_lease_renewal_duration_seconds',
    help: 'Time from sending a renewal to its answer',
    buckets: LATENCY_BUCKETS,
    registers,
  });
  const failures = counter(
    'leasekeeper_lease_failures_total',
    'Requests of the publisher that failed, by what was asked and the reason',
    'operation',
    'reason',
  );
  const claims = counter('leasekeeper_lease_claims_total', 'Claims of the lease, by how', 'how');
  const superseded = counter('leasekeeper_lease_superseded_total', 'Times that a newer process took the lease over');
  const second = counter('leasekeeper_lease_second_writer_total', 'Writes by another process with our holder identity');
  return (event) => {
    switch (event.type) {
      case 'renewed':
        renewals.inc();
        latency.observe(event.latencyMs / 1000);
        return;
      case 'failed':
        failures.inc({ operation: event.operation, reason: event.error.code });
        return;
      case 'claimed':
        claims.inc({ how: event.how });
        return;
      case 'superseded':
        superseded.inc();
        return;
      case 'secondWriter':
        second.inc();
        return;
      default:
        return;
    }
  };
}

function sweepMetrics(registry: Registry): Observe<SweepEvent> {
  // Made with the first pass: a process that does not sweep shows none of them.
  let made: ReturnType<typeof sweepCollectors> | undefined;
  return (event) => {
    made ??= sweepCollectors(registry);
    switch (event.type) {
      case 'passFinished': {
        const { outcome, because, tookMs, deleted, changed, gone, failed, left, dryRun } = event.result;
        made.passes.inc({ outcome, reason: because ?? '' });
        made.duration.observe(tookMs / 1000);
        if (dryRun) return;
        for (const [result, n] of Object.entries({ deleted, changed, gone, failed, left }))
          made.leases.inc({ result }, n);
        return;
      }
      case 'tickSkipped':
        made.skipped.inc();
        return;
      default:
        return;
    }
  };
}

function sweepCollectors(registry: Registry) {
  const registers = [registry];
  return {
    passes: new Counter({
      name: 'leasekeeper_sweep_passes_total',
      help: 'Passes of the sweeper, by outcome and the reason for it',
      labelNames: ['outcome', 'reason'],
      registers,
    }),
    duration: new Histogram({
      name: 'leasekeeper_sweep_duration_seconds',
      help: 'Time that a pass took, its wait between the two looks included',
      buckets: PASS_BUCKETS,
      registers,
    }),
    leases: new Counter({
      name: 'leasekeeper_sweep_leases_total',
      help: 'Expired leases by what became of their deletion',
      labelNames: ['result'],
      registers,
    }),
    skipped: new Counter({
      name: 'leasekeeper_sweep_ticks_skipped_total',
      help: 'Ticks of the schedule dropped because a pass was running',
      registers,
    }),
  };
}

const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);

/** A gauge that is read when it is asked for, and missing where there is nothing to tell. */
export function gauge(registry: Registry, name: string, help: string, read: () => number | undefined): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      const value = read();
      // Without labels reset() would set it to 0.
      if (value === undefined) this.remove();
      else this.set(value);
    },
  });
}
