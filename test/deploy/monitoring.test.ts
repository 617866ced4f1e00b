/**
 * Alerts and dashboard ask for nothing that /metrics does not have: names, labels and the values of labels are compared
 * with what the program's own registries say once everything that is counted has happened.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { stringify } from 'yaml';
import type { Availability } from '../../src/availability/decide.ts';
import { defaultFeatureGates } from '../../src/features/gates.ts';
import type { PublisherOperation } from '../../src/identity/publisher-events.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { censusMetrics } from '../../src/observe/census-metrics.ts';
import { electionMetrics } from '../../src/observe/election-metrics.ts';
import { availabilityMetrics, heartbeatMetrics } from '../../src/observe/heartbeat-metrics.ts';
import { processRegistry } from '../../src/observe/metrics.ts';
import { publisherMetrics } from '../../src/observe/publisher-metrics.ts';
import { sweepMetrics } from '../../src/observe/sweep-metrics.ts';
import type { PassOutcome, PassResult } from '../../src/sweep/sweep-events.ts';
import { lease } from '../census/support.ts';
import { scratch } from '../e2e/support.ts';
import { World } from '../http/support.ts';
import { asks } from './promql.ts';
import { documents, text } from './support.ts';

const ERROR = new LeaseStoreError('Unavailable', { message: '' });
/** Every one: the compiler sees to it. */
const OUTCOMES = Object.keys({ completed: 0, void: 0, stopped: 0, aborted: 0 } satisfies Record<PassOutcome, 0>);
const OPERATIONS = Object.keys({
  ...{ get: 0, create: 0, takeOver: 0, renew: 0, delete: 0, watch: 0 },
} satisfies Record<PublisherOperation, 0>);
const COUNTS = { Ready: 1, NotReady: 0, Unknown: 1, Pending: 1 } satisfies Record<Availability, number>;
/** What Prometheus adds, by what is scraped; `le` is of every histogram. */
const TARGET = ['namespace', 'pod', 'instance', 'job', 'service', 'container', 'le'];

/** Labels and their values, as `label` and `label=value`, by the name of the series. */
type Known = ReadonlyMap<string, ReadonlySet<string>>;

function parse(exposition: string): Known {
  const known = new Map<string, Set<string>>();
  for (const line of exposition.split('\n')) {
    const typed = /^# TYPE (\S+) (\S+)$/.exec(line);
    if (typed) known.set(typed[1]!, known.get(typed[1]!) ?? new Set());
    const sample = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line);
    if (!sample) continue;
    const labels = known.get(sample[1]!) ?? new Set();
    for (const [, label, value] of (sample[2] ?? '').matchAll(/(\w+)="([^"]*)"/g))
      labels.add(label!).add(`${label}=${value}`);
    known.set(sample[1]!, labels);
  }
  return known;
}

/** Everything that /metrics of any command can say. */
async function metricsOfAll(world: World): Promise<Known> {
  const { clock } = world;
  const version = '1';
  const status = {
    phase: 'holding',
    namespace: 'n',
    lease: 'l',
    holder: 'h',
    renewedAt: 0,
    failures: 0,
    twins: [],
  } as const;
  const registry = processRegistry({
    clock,
    version,
    clockDistanceMs: () => 0,
    gates: () => defaultFeatureGates.metrics(),
  });
  const observeCensus = censusMetrics(registry)(
    { namespace: 'n', labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver' },
    () => world.census.snapshot(),
  );
  const publisher = publisherMetrics(
    registry,
    clock,
  )(() => ({
    status: { ...status, heldBy: undefined, lastError: undefined },
    options: { namespace: 'n', labelValue: 'p', leaseDurationSeconds: 1 },
  }));
  const sweep = sweepMetrics(registry)();
  observeCensus({ type: 'lost', error: ERROR });
  for (const operation of OPERATIONS) {
    const event = {
      type: 'failed',
      operation: operation as PublisherOperation,
      error: ERROR,
      attempt: 1,
      retryInMs: 1,
    };
    publisher(event as Parameters<typeof publisher>[0]);
  }
  publisher({ type: 'claimed', how: 'created' } as Parameters<typeof publisher>[0]);
  for (const outcome of OUTCOMES) {
    const result = { outcome, tookMs: 1, deleted: 0, changed: 0, gone: 0, failed: 0, left: 0, dryRun: false };
    sweep({ type: 'passFinished', result: result as unknown as PassResult });
  }
  const election = electionMetrics(registry)({ namespace: 'n', name: 'job' }, () => 0);
  election({ type: 'stopped', reason: 'deadline' } as Parameters<typeof election>[0]);
  const beat = {
    ...{ nodes: 1, held: 1, failing: 0, backlog: 0, inFlight: 0, overdueMs: 0, writtenAt: 0, nodesSynced: true },
  };
  const heartbeat = heartbeatMetrics(registry, () => beat);
  heartbeat({ type: 'failed', operation: 'renew', error: ERROR } as unknown as Parameters<typeof heartbeat>[0]);
  availabilityMetrics(registry, () => ({
    known: true,
    synced: true,
    graceMs: 1,
    startupGraceMs: 1,
    freshnessMs: 0,
    counts: COUNTS,
  }));
  return parse(await registry.metrics());
}

function unknownIn(expression: string, known: Known): string[] {
  const { metrics, grouping } = asks(expression);
  const problems: string[] = [];
  const labels = new Set(TARGET);
  for (const { metric, labels: asked } of metrics) {
    const has = known.get(metric);
    if (!has) problems.push(`no metric ${metric}`);
    for (const label of has ?? []) labels.add(label);
    for (const label of asked)
      if (has && !has.has(label) && !TARGET.includes(label.split('=')[0]!)) problems.push(`${metric} has no ${label}`);
  }
  for (const label of grouping) if (!labels.has(label)) problems.push(`no label ${label}`);
  return metrics.length === 0 ? [...problems, 'no metric at all'] : problems;
}

interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}
const RULES = documents('overlays/monitoring/rules.yaml')[0]!['spec'] as { groups: { name: string; rules: Alert[] }[] };

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
const DASHBOARD = JSON.parse(text('overlays/monitoring/dashboard.json')) as { uid: string; panels: Panel[] };

async function allKnown(t: { after(hook: () => Promise<void>): void }): Promise<Known> {
  const world = new World();
  t.after(() => world.close());
  await world.list(lease({ hostname: 'a' }));
  await world.clock.advance(1_000);
  return metricsOfAll(world);
}

describe('monitoring', () => {
  it('alerts ask for metrics and labels that there are', async (t) => {
    const known = await allKnown(t);
    const alerts = RULES.groups.flatMap(({ rules }) => rules);
    assert.ok(alerts.length > 8);
    for (const { alert, expr, labels, annotations } of alerts) {
      assert.deepEqual(unknownIn(expr, known), [], alert);
      assert.match(labels['severity'] ?? '', /^(warning|critical)$/, alert);
      assert.ok(annotations['summary'] && annotations['description'], alert);
    }
    assert.deepEqual(
      alerts.map(({ alert }) => alert),
      [...new Set(alerts.map(({ alert }) => alert))],
    );
  });

  it('panels ask for metrics and labels that there are, and lie beside each other', async (t) => {
    const known = await allKnown(t);
    const cells = new Set<string>();
    for (const { title, type, targets = [], gridPos } of DASHBOARD.panels) {
      for (const { expr, legendFormat } of targets) {
        assert.deepEqual(unknownIn(expr, known), [], title);
        const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
        const has = asks(expr).metrics.flatMap(({ metric }) => [...(known.get(metric) ?? [])]);
        for (const label of shown) assert.ok([...has, ...TARGET].includes(label), `${title}: ${label}`);
      }
      assert.equal(targets.length > 0, type !== 'row', title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(x < 24 && !cells.has(`${x} ${y}`), `${title} lies on another`);
          cells.add(`${x} ${y}`);
        }
    }
    assert.deepEqual(new Set(DASHBOARD.panels.map(({ id }) => id)).size, DASHBOARD.panels.length);
  });

  it('what there is not would be found', async (t) => {
    const known = await allKnown(t);
    const wrong: readonly (readonly [expression: string, problem: string])[] = [
      ['rate(leasekeeper_renewals_total[5m]) > 0', 'no metric leasekeeper_renewals_total'],
      ['leasekeeper_instances{state="dead"}', 'leasekeeper_instances has no state=dead'],
      [
        'leasekeeper_sweep_passes_total{outcome=~"void|broken"}',
        'leasekeeper_sweep_passes_total has no outcome=broken',
      ],
      ['sum by (node) (leasekeeper_lease_held)', 'no label node'],
      ['leasekeeper_lease_held{phase="x"}', 'leasekeeper_lease_held has no phase=x'],
      ['vector(1)', 'no metric at all'],
    ];
    for (const [expression, problem] of wrong) assert.deepEqual(unknownIn(expression, known), [problem]);
    assert.deepEqual(asks('a{b="c"} unless on (d) sum by (e, f) (rate(g[5m]) / 2) > 1e3'), {
      metrics: [
        { metric: 'a', labels: ['b=c'] },
        { metric: 'g', labels: [] },
      ],
      grouping: ['d', 'e', 'f'],
    });
  });

  const noPromtool = spawnSync('promtool', ['--version']).error !== undefined && 'promtool is not installed';
  it('promtool takes the rules', { skip: noPromtool }, async (t) => {
    const file = join(await scratch(t), 'rules.yaml');
    await writeFile(file, stringify(RULES));
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' });
    assert.equal(status, 0, `${stdout}${stderr}`);
  });

  it(
    'promtool: the alerts fire for what they are about, and are silent when all is well',
    { skip: noPromtool },
    async (t) => {
      const dir = await scratch(t);
      await writeFile(join(dir, 'rules.yaml'), stringify(RULES));
      const p = '{namespace="n",pod="p",instance="i"}';
      const well = {
        'leasekeeper_instances{state="live"}': '3x90',
        'leasekeeper_instances{state="stale"}': '0x90',
        leasekeeper_census_known: '1x90',
        [`leasekeeper_lease_superseded${p}`]: '0x90',
        [`leasekeeper_lease_expiry_seconds${p}`]: '3595x90',
        [`leasekeeper_lease_renewals_total${p}`]: '0+6x90',
        // A failure now and then, each mended.
        ['leasekeeper_lease_failures_total{namespace="n",pod="p",instance="i",operation="renew",reason="Timeout"}']:
          '0+1x90',
        'leasekeeper_sweep_passes_total{outcome="completed"}': '0+0.2x90',
        'leasekeeper_sweep_passes_total{outcome="void"}': '0+0.05x90',
        'leasekeeper_sweep_leases_total{result="failed"}': '0x90',
        leasekeeper_clock_distance_seconds: '-1x90',
      };
      const cases: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
        ['', {}],
        ['LeasekeeperInstanceStale', { 'leasekeeper_instances{state="stale"}': '1x90' }],
        ['LeasekeeperInstancesBelowExpected', { 'leasekeeper_instances{state="live"}': '2x90' }],
        ['LeasekeeperCensusUnknown', { leasekeeper_census_known: '0x90' }],
        ['LeasekeeperSuperseded', { [`leasekeeper_lease_superseded${p}`]: '1x90' }],
        ['LeasekeeperRenewalsFailing', { [`leasekeeper_lease_renewals_total${p}`]: '7x90' }],
        ['LeasekeeperLeaseExpiring', { [`leasekeeper_lease_expiry_seconds${p}`]: '1000x90' }],
        ['LeasekeeperSecondWriter', { [`leasekeeper_lease_second_writer_total${p}`]: '0+1x90' }],
        ['LeasekeeperSweepFailing', { 'leasekeeper_sweep_passes_total{outcome="completed"}': '5x90' }],
        ['LeasekeeperDeletionsFailing', { 'leasekeeper_sweep_leases_total{result="failed"}': '0+1x90' }],
        ['LeasekeeperClockApart', { leasekeeper_clock_distance_seconds: '-90x90' }],
        ['LeasekeeperHeartbeatsLate', { leasekeeper_heartbeat_overdue_seconds: '25x90' }],
        ['LeasekeeperHeartbeatsGone', { leasekeeper_heartbeat_nodes: '5x40 _x50' }],
        ['LeasekeeperNodesNotFollowed', { leasekeeper_heartbeat_nodes_synced: '0x90' }],
      ];
      const names = RULES.groups.flatMap(({ rules }) => rules.map(({ alert }) => alert));
      assert.deepEqual(cases.map(([name]) => name).filter(Boolean), names);
      const tests = cases.map(([fires, changes]) => ({
        interval: '1m',
        input_series: Object.entries({ ...well, ...changes }).map(([series, values]) => ({ series, values })),
        // What an alert is called is all that is asked: by a query, as its annotations do not matter here.
        promql_expr_test: [
          {
            expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
            eval_time: '80m',
            exp_samples: fires === '' ? [] : [{ labels: `{alertname="${fires}"}`, value: 1 }],
          },
        ],
      }));
      const file = join(dir, 'tests.yaml');
      await writeFile(file, stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests }));
      const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' });
      assert.equal(status, 0, `${stdout}${stderr}`);
    },
  );
});
