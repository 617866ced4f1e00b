/**
 * docs/metrics.md: every metric of every endpoint, from the registries that the program itself makes. What registers a
 * metric is listened to while they are made, so that nothing here repeats a name or a help text.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { censusMetrics } from '../../src/observe/census-metrics.ts';
import { electionMetrics } from '../../src/observe/election-metrics.ts';
import { availabilityMetrics, heartbeatMetrics } from '../../src/observe/heartbeat-metrics.ts';
import { processRegistry } from '../../src/observe/metrics.ts';
import type { ProcessMetrics } from '../../src/observe/metrics.ts';
import { publisherMetrics } from '../../src/observe/publisher-metrics.ts';
import { recipeMetrics } from '../../src/observe/recipe-metrics.ts';
import { sweepMetrics } from '../../src/observe/sweep-metrics.ts';
import { switchMetrics } from '../../src/observe/switch-metrics.ts';
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
  const common = registered(() => processRegistry({ clock, version }));
  const beyond = (more: Partial<ProcessMetrics>): Described[] =>
    registered(() => processRegistry({ clock, version, ...more })).filter(
      ({ name }) => !common.some((other) => other.name === name),
    );
  const of = (make: (registry: Registry) => unknown): Described[] => registered(() => make(new Registry()));
  const result = { outcome: 'completed', dryRun: true, tookMs: 0 } as PassResult;
  return [
    ['Every process', 'On every `/metrics`.', common],
    ['Clock', 'On every `/metrics`.', beyond({ clockDistanceMs: unasked })],
    ["The API server's answers", 'On every `/metrics`.', beyond({ answeredAt: unasked })],
    ['Client certificate', 'On every `/metrics`.', beyond({ certificateExpiresAt: unasked })],
    ['Feature gates', 'Of `publish`, `serve`, `sweep` and `elect`.', beyond({ gates: unasked })],
    ['Publisher', 'Of `publish`: the lease of this host.', of((registry) => publisherMetrics(registry, clock))],
    [
      'Census',
      'Of `publish` and `serve`: how many servers there are. A number that is not known is missing, never 0.',
      of(censusMetrics),
    ],
    [
      'Elections of a cluster',
      'Of `serve --all-namespaces`: elections that it follows without taking part.',
      of((registry) => switchMetrics(registry, unasked)),
    ],
    [
      'Sweeper',
      'Of `sweep`, and of `publish --sweep`, from the first pass on.',
      of((registry) => sweepMetrics(registry)()({ type: 'passFinished', result })),
    ],
    ['Election', 'Of `elect`. The labels `lease_namespace` and `name` are the lease.', of(electionMetrics)],
    [
      'Recipes',
      'Of `shard`, and of locks, `once`, crons, semaphores, members and shards of the library: `recipe` says which.',
      of(recipeMetrics),
    ],
    [
      'Heartbeats',
      'Of `heartbeat`. No series is of one node alone: ten thousand make no more of them than one.',
      of((registry) => heartbeatMetrics(registry, unasked)),
    ],
    ['Nodes', 'Of `nodes --http-address`.', of((registry) => availabilityMetrics(registry, unasked))],
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
    'What `/metrics` shows Prometheus, where `--http-address` gives it an address. Labels hold words of the program (states, ' +
      'reasons, gates) and names that the user gave: `lease_namespace` and `product` (the value of the identity label) say ' +
      'which leases are counted, `name` which lease is contended for. They never hold a holder, a hostname or a message from ' +
      'elsewhere, so their number is bounded. Times are in seconds.',
    ...sections().flatMap(([heading, intro, metrics]) => [`## ${heading}`, intro, metrics.map(line).join('\n')]),
  ].join('\n\n');
}
