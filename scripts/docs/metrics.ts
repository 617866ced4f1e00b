/**
 * docs/metrics.md: every metric of every endpoint, from the registries that the program itself makes. What registers a
 * metric is listened to while they are made, so that nothing here repeats a name or a help text.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { createElectionMetrics } from '../../src/observe/election-metrics.ts';
import { createAvailabilityMetrics, createHeartbeatMetrics } from '../../src/observe/heartbeat-metrics.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import type { Metrics } from '../../src/observe/metrics.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import type { PassResult } from '../../src/sweep/sweep-events.ts';

interface Described {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

/** What prom-client keeps of a metric. */
interface Registered {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
}

/** The metrics that are registered while this runs. */
function registered(make: () => void): Described[] {
  const found: Described[] = [];
  const prototype = Registry.prototype as unknown as { registerMetric(metric: Registered): void };
  const original = prototype.registerMetric;
  prototype.registerMetric = function (metric) {
    const type = [Counter, Gauge, Histogram].find((kind) => metric instanceof kind)?.name.toLowerCase() ?? 'metric';
    found.push({ name: metric.name, type, help: metric.help, labels: metric.labelNames ?? [] });
    original.call(this, metric);
  };
  try {
    make();
  } finally {
    prototype.registerMetric = original;
  }
  return found;
}

const version = '0.0.0';
/** Registries ask for values only when they are read. */
const unasked = (): never => {
  throw new Error('nobody reads these');
};

/** What each part of the program adds to the metrics of its process. */
function sections(): [heading: string, intro: string, metrics: Described[]][] {
  const clock = new ManualClock();
  const common = registered(() => createMetrics({ clock, version }));
  const beyond = (make: () => void, less: readonly Described[] = common): Described[] =>
    registered(make).filter(({ name }) => !less.some((other) => other.name === name));
  const swept = (metrics: Metrics): void => {
    const result = { outcome: 'completed', dryRun: true, tookMs: 0 } as PassResult;
    metrics.sweep({ type: 'passFinished', result });
  };
  return [
    ['Every process', 'On every `/metrics`.', common],
    ['Feature gates', 'Of `publish` and `serve`.', beyond(() => createMetrics({ clock, version, gates: unasked }))],
    [
      'Publisher',
      'Of `publish`: the lease of this host.',
      beyond(() => createMetrics({ clock, version, publisher: unasked })),
    ],
    [
      'Census',
      'Of `publish` and `serve`: how many servers there are. A number that is not known is missing, never 0.',
      beyond(() => createMetrics({ clock, version, census: unasked })),
    ],
    [
      'Clock',
      'Of `publish`, `sweep` and `serve`.',
      beyond(() => createMetrics({ clock, version, clockDistanceMs: unasked })),
    ],
    [
      'Sweeper',
      'Of `sweep`, and of `publish --sweep`, from the first pass on.',
      beyond(() => swept(createMetrics({ clock, version }))),
    ],
    [
      'Election',
      'Of `elect`. The label `name` is the lease.',
      beyond(() => createElectionMetrics({ clock, version, name: 'name', remainingMs: () => 0 })),
    ],
    [
      'Heartbeats',
      'Of `heartbeat`. No series is of one node alone: ten thousand make no more of them than one.',
      beyond(() => createHeartbeatMetrics({ clock, version, status: unasked })),
    ],
    [
      'Nodes',
      'Of `nodes --http-address`.',
      beyond(() => createAvailabilityMetrics({ clock, version, status: unasked })),
    ],
  ];
}

export function metricsPage(): string {
  const line = ({ name, type, help, labels }: Described): string => {
    const by = labels.length === 0 ? '' : `, by ${labels.map((label) => `\`${label}\``).join(', ')}`;
    return `- **\`${name}\`** (${type}${by}): ${help.replace(/\.$/, '')}.`;
  };
  return [
    '<!-- Made by `npm run docs`; do not edit. -->',
    '# Metrics',
    'What `/metrics` tells Prometheus, where `--http-address` gives it an address. Labels hold words of the program (states, ' +
      'reasons, gates) and, for elections, the name of the lease that the user gave; never a holder, a hostname or a message ' +
      'from elsewhere, so their number is bounded. Times are in seconds.',
    ...sections().flatMap(([heading, intro, metrics]) => [`## ${heading}`, intro, metrics.map(line).join('\n')]),
  ].join('\n\n');
}
