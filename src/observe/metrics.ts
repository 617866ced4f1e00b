/**
 * Metrics for Prometheus: the registry of a process, and how each capability's metrics are made.
 *
 * Guarantees of all of them: labels hold words of this program (states, codes, gates) and names that the user gave, never
 * a holder, a hostname or a message from elsewhere, so their number is bounded; a number that is not known is missing,
 * never 0. Gauges are read when they are asked for. Names and units follow Kubernetes: seconds, `_total`.
 * prom-client is loaded with this file, which nothing imports before metrics are wanted.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { GateMetric } from '../features/gates.ts';
import type { Clock } from '../runtime/clock.ts';

export type { Registry } from 'prom-client';

/** Seconds: a renewal on one machine takes 2 ms, and times out at 5 s by default. */
export const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Which leases a metric counts: `namespace` is what Prometheus calls that of its target. */
export const LEASES = ['lease_namespace', 'product'] as const;

type Labels = Readonly<Record<string, string>>;

/** @param labelSelector `key=value`: the value is the product */
export const leasesOf = (namespace: string, labelSelector = ''): Labels => ({
  lease_namespace: namespace,
  product: labelSelector.slice(labelSelector.lastIndexOf('=') + 1),
});

/** What makes metrics on a registry. */
interface Meter {
  readonly counter: (name: string, help: string, ...labelNames: readonly string[]) => Counter;
  readonly histogram: (
    name: string,
    help: string,
    buckets: readonly number[],
    ...labelNames: readonly string[]
  ) => Histogram;
  /** @param read one value; undefined: missing */
  readonly gauge: (name: string, help: string, read: () => number | undefined) => void;
  /** @param read how much each has counted, by its labels */
  readonly counters: Meter['gauges'];
  /** @param read values by their labels */
  readonly gauges: (
    name: string,
    help: string,
    labelNames: readonly string[],
    read: () => Iterable<readonly [Labels, number]>,
  ) => void;
}

export function meter(registry: Registry): Meter {
  const registers = [registry];
  return {
    counter: (name, help, ...labelNames) => new Counter({ name, help, labelNames, registers }),
    histogram: (name, help, buckets, ...labelNames) =>
      new Histogram({ name, help, buckets: [...buckets], labelNames, registers }),
    gauge(name, help, read) {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          const value = read();
          // Without labels reset() would set it to 0.
          if (value === undefined) this.remove();
          else this.set(value);
        },
      });
    },
    counters(name, help, labelNames, read) {
      new Counter({
        name,
        help,
        registers,
        labelNames: [...labelNames],
        collect() {
          this.reset();
          for (const [labels, value] of read()) this.inc(labels, value);
        },
      });
    },
    gauges(name, help, labelNames, read) {
      new Gauge({
        name,
        help,
        labelNames: [...labelNames],
        registers,
        collect() {
          this.reset();
          for (const [labels, value] of read()) this.set(labels, value);
        },
      });
    },
  };
}

export interface ProcessMetrics {
  readonly clock: Clock;
  /** Of the program. */
  readonly version: string;
  /** Milliseconds that our clock is ahead of the API server's; undefined while that is not known. */
  readonly clockDistanceMs?: (() => number | undefined) | undefined;
  /** Monotonic milliseconds of the API server's last answer, but for errors of the server; undefined before the first. */
  readonly answeredAt?: (() => number | undefined) | undefined;
  /** Milliseconds since the epoch at which the client certificate expires; undefined without one. */
  readonly certificateExpiresAt?: (() => number | undefined) | undefined;
  readonly gates?: (() => readonly GateMetric[]) | undefined;
}

/** A registry with what every process shows; what Prometheus' client libraries have in common under their names. */
export function processRegistry(options: ProcessMetrics): Registry {
  const { clock, version, clockDistanceMs, answeredAt, certificateExpiresAt, gates } = options;
  const registry = new Registry();
  const registers = [registry];
  const { gauge, gauges } = meter(registry);
  gauges(
    'leasekeeper_build_info',
    'Version of the program and of Node.js; always 1',
    ['version', 'node_version'],
    () => [[{ version, node_version: process.versions.node }, 1]],
  );
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Total user and system CPU time spent in seconds.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', () => process.memoryUsage.rss());
  const started = clock.wallMicros() / 1e6 - process.uptime();
  gauge('process_start_time_seconds', 'Start time of the process since unix epoch in seconds.', () => started);
  if (clockDistanceMs) {
    gauge(
      'leasekeeper_clock_distance_seconds',
      "How far this machine's clock is ahead of the API server's, at the least, as of the last answer. Missing while unknown",
      () => seconds(clockDistanceMs()),
    );
  }
  if (answeredAt) {
    gauge(
      'leasekeeper_api_answer_age_seconds',
      'Time since the API server last answered; a refusal counts, an error of the server does not. Missing before the first answer',
      () => {
        const at = answeredAt();
        return at === undefined ? undefined : (clock.monotonic() - at) / 1000;
      },
    );
  }
  if (certificateExpiresAt) {
    gauge(
      'leasekeeper_client_certificate_expiration_seconds',
      'Time until the client certificate for the API server expires; negative once it has. Missing without one',
      () => {
        const expiresAt = certificateExpiresAt();
        return expiresAt === undefined ? undefined : (expiresAt - clock.wallMicros() / 1000) / 1000;
      },
    );
  }
  if (gates) {
    gauges(
      'kubernetes_feature_enabled',
      'This metric records the data about the stage and enablement of a k8s feature.',
      ['name', 'stage'],
      () => gates().map(({ name, stage, enabled }) => [{ name, stage }, Number(enabled)]),
    );
  }
  return registry;
}

export const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1000);
