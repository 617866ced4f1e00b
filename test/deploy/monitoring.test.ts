/**
 * Alerts and dashboard ask for nothing that /metrics does not have: names, labels and the values of labels are compared
 * with what the program's own registries say once everything that is counted has happened.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
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
import { switchMetrics } from '../../src/observe/switch-metrics.ts';
import type { PassOutcome, PassResult } from '../../src/sweep/sweep-events.ts';
import { alerts, ruleGroups } from '../../scripts/docs/alerts.ts';
import { lease } from '../census/support.ts';
import { scratch } from '../e2e/support.ts';
import { World } from '../http/support.ts';
import { asks } from './promql.ts';
import { text } from './support.ts';

const ERROR = new LeaseStoreError('Unavailable', { message: '' });
/** Every one: the compiler sees to it. */
const OUTCOMES = Object.keys({ completed: 0, void: 0, stopped: 0, aborted: 0 } satisfies Record<PassOutcome, 0>);
const OPERATIONS = Object.keys({
  ...{ get: 0, create: 0, takeOver: 0, renew: 0, delete: 0, watch: 0 },
} satisfies Record<PublisherOperation, 0>);
const COUNTS = { Ready: 1, NotReady: 0, Unknown: 1, Pending: 1 } satisfies Record<Availability, number>;
/** What Prometheus or anyone who sets it up adds, by what is scraped; `le` is of every histogram. */
const TARGET = ['cluster', 'namespace', 'pod', 'instance', 'job', 'service', 'container', 'le'];

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
    answeredAt: () => 0,
    certificateExpiresAt: () => 0,
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
  sweep({ type: 'tickSkipped' } as Parameters<typeof sweep>[0]);
  const election = electionMetrics(registry)({ namespace: 'n', name: 'job' }, () => 0);
  election({ type: 'stopped', reason: 'deadline' } as Parameters<typeof election>[0]);
  const refs = { namespace: 'n', name: 'job' };
  switchMetrics(registry, () => [{ ...refs, leaderlessMs: 1, lastSwitch: undefined }]);
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
  const known = parse(await registry.metrics());
  const recorded = ruleGroups().flatMap(({ rules }) => rules.flatMap((rule) => ('record' in rule ? [rule] : [])));
  return new Map([...known, ...recorded.map(({ record, labels }) => [record, new Set(Object.keys(labels))] as const)]);
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

const RULES = ruleGroups();

const C = 'cluster="west"';
const OF = 'lease_namespace="kube-system",product="kube-apiserver"';
const P = `${C},namespace="n",pod="p",instance="i"`;
const sweeps = (outcome: string): string => `leasekeeper_sweep_passes_total{${P},${OF},outcome="${outcome}"}`;
const LEADERLESS = `leasekeeper_election_leaderless_seconds{${P},lease_namespace="n",name="job"}`;
const CHANGES = `leasekeeper_election_transitions_total{${P},lease_namespace="n",name="job"}`;
const LEADS = `leasekeeper_election_time_left_seconds{${P},lease_namespace="n",name="job"}`;

/** Ninety minutes in which all is well: values of series in promtool's words. */
const WELL: Readonly<Record<string, string>> = {
  [`leasekeeper_instances{${C},${OF},state="live"}`]: '3x90',
  [`leasekeeper_instances{${C},${OF},state="stale"}`]: '0x90',
  [`leasekeeper_census_known{${P},${OF}}`]: '1x90',
  [`leasekeeper_api_answer_age_seconds{${P}}`]: '3x90',
  [`leasekeeper_lease_superseded{${P},${OF}}`]: '0x90',
  [`leasekeeper_lease_expiry_seconds{${P},${OF}}`]: '3595x90',
  [`leasekeeper_lease_duration_seconds{${P},${OF}}`]: '3600x90',
  [`leasekeeper_lease_renewals_total{${P},${OF}}`]: '0+6x90',
  // A failure now and then, each mended.
  [`leasekeeper_lease_failures_total{${P},${OF},operation="renew",reason="Timeout"}`]: '0+1x90',
  [`leasekeeper_client_certificate_expiration_seconds{${P}}`]: '2592000-60x90',
  [`leasekeeper_clock_distance_seconds{${P}}`]: '-1x90',
  [sweeps('completed')]: '0+0.2x90',
  [sweeps('void')]: '0+0.05x90',
  [`leasekeeper_sweep_leases_total{${P},${OF},result="failed"}`]: '0x90',
  [LEADS]: '9x90',
  [LEADS.replace('pod="p",instance="i"', 'pod="q",instance="j"')]: '0x90',
  [`leasekeeper_heartbeat_nodes{${P}}`]: '5x90',
  [`leasekeeper_heartbeat_nodes_synced{${P}}`]: '1x90',
  [`leasekeeper_heartbeat_overdue_seconds{${P}}`]: '0x90',
  [`leasekeeper_nodes{${P},status="Unknown"}`]: '0x90',
  // A crash now and then, and one rollout of three pods.
  [LEADERLESS]: '0x20 3 0x20 0x48',
  [CHANGES]: '0x20 1x20 2 3 4x46',
};

/** What becomes of that when there is a cause. */
const CAUSES: readonly (readonly [alert: string, changes: Readonly<Record<string, string>>])[] = [
  ['', {}],
  // Renewed every 10 s of 30.
  [
    '',
    {
      [`leasekeeper_lease_expiry_seconds{${P},${OF}}`]: `${'21 29 25 '.repeat(30)}`,
      [`leasekeeper_lease_duration_seconds{${P},${OF}}`]: '30x90',
    },
  ],
  ['LeasekeeperInstanceStale', { [`leasekeeper_instances{${C},${OF},state="stale"}`]: '1x90' }],
  ['LeasekeeperInstancesBelowExpected', { [`leasekeeper_instances{${C},${OF},state="live"}`]: '2x90' }],
  // The API server is away, or answers with errors of its own.
  [
    'LeasekeeperCensusUnknown',
    { [`leasekeeper_census_known{${P},${OF}}`]: '0x90', [`leasekeeper_api_answer_age_seconds{${P}}`]: '0+60x90' },
  ],
  ['LeasekeeperCensusRefused', { [`leasekeeper_census_known{${P},${OF}}`]: '0x90' }],
  ['LeasekeeperSuperseded', { [`leasekeeper_lease_superseded{${P},${OF}}`]: '1x90' }],
  ['LeasekeeperRenewalsFailing', { [`leasekeeper_lease_renewals_total{${P},${OF}}`]: '7x90' }],
  ['LeasekeeperLeaseExpiring', { [`leasekeeper_lease_expiry_seconds{${P},${OF}}`]: '1000x90' }],
  ['LeasekeeperSecondWriter', { [`leasekeeper_lease_second_writer_total{${P},${OF}}`]: '0+1x90' }],
  ['LeasekeeperCertificateExpires', { [`leasekeeper_client_certificate_expiration_seconds{${P}}`]: '600000-60x90' }],
  ['LeasekeeperClockApart', { [`leasekeeper_clock_distance_seconds{${P}}`]: '-90x90' }],
  ['LeasekeeperSweepersGone', { [sweeps('completed')]: '0+0.2x40 _x50', [sweeps('void')]: '0+0.05x40 _x50' }],
  ['LeasekeeperSweepFailing', { [sweeps('completed')]: '5x90' }],
  ['LeasekeeperDeletionsFailing', { [`leasekeeper_sweep_leases_total{${P},${OF},result="failed"}`]: '0+1x90' }],
  // Somebody leads that is not scraped, as one that follows all leases sees.
  ['', { [LEADS]: '0x90' }],
  ['LeasekeeperNobodyLeads', { [LEADS]: '0x90', [LEADERLESS]: '_x90' }],
  ['LeasekeeperHeartbeatsLate', { [`leasekeeper_heartbeat_overdue_seconds{${P}}`]: '25x90' }],
  ['LeasekeeperHeartbeatsGone', { [`leasekeeper_heartbeat_nodes{${P}}`]: '5x40 _x50' }],
  ['LeasekeeperNodesNotFollowed', { [`leasekeeper_heartbeat_nodes_synced{${P}}`]: '0x90' }],
  ['LeasekeeperNodeUnknown', { [`leasekeeper_nodes{${P},status="Unknown"}`]: '1x90' }],
  ['LeasekeeperElectionLeaderless', { [LEADERLESS]: '0x30 0+60x60' }],
  ['LeasekeeperLeadersChangeOften', { [CHANGES]: '0+0.5x90' }],
];
/** Where one cause is another alert's too. */
const ALSO: Readonly<Record<string, string>> = { LeasekeeperCensusRefused: 'LeasekeeperCensusUnknown' };

/** A test of promtool's: with these changes just these alerts have fired at any time. */
function seen(name: string, changes: Readonly<Record<string, string>>, fires: readonly string[]) {
  const names = [...fires, ...fires.flatMap((alert) => ALSO[alert] ?? [])];
  return {
    name,
    interval: '1m',
    input_series: Object.entries({ ...WELL, ...changes }).map(([series, values]) => ({ series, values })),
    promql_expr_test: [
      {
        expr: 'group by (alertname) (count_over_time(ALERTS{alertstate="firing"}[80m]))',
        eval_time: '80m',
        exp_samples: names.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 })),
      },
    ],
  };
}

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
    const names = new Set<string>();
    for (const { alert, expr, labels, annotations } of alerts()) {
      assert.deepEqual(unknownIn(expr, known), [], alert);
      assert.match(expr, /by \(cluster\b/, `${alert}: clusters are distinguished`);
      assert.match(labels.severity, /^(warning|critical)$/, alert);
      const { summary, description, runbook } = annotations;
      for (const words of [description, runbook]) assert.match(words, /^[A-Z].*\.$/, alert);
      assert.ok(summary !== '' && !names.has(alert), alert);
      names.add(alert);
    }
    assert.ok(names.size > 12);
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

  /** The rules in a file, and what promtool says of it or of tests beside it. */
  async function promtool(t: TestContext, command: 'check' | 'test', tests: unknown[] = []): Promise<void> {
    const dir = await scratch(t);
    await writeFile(join(dir, 'rules.yaml'), stringify({ groups: RULES }));
    await writeFile(
      join(dir, 'tests.yaml'),
      stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests }),
    );
    const file = join(dir, command === 'check' ? 'rules.yaml' : 'tests.yaml');
    const { status, stdout, stderr } = spawnSync('promtool', [command, 'rules', file], { encoding: 'utf8' });
    assert.equal(status, 0, `${stdout}${stderr}`);
  }

  it('promtool takes the rules', { skip: noPromtool }, (t) => promtool(t, 'check'));

  it('promtool: each alert fires for its cause, and nothing else does', { skip: noPromtool }, (t) =>
    promtool(
      t,
      'test',
      CAUSES.map(([fires, changes]) => seen(`cause of ${fires || 'nothing'}`, changes, fires === '' ? [] : [fires])),
    ),
  );

  it('every alert has a cause in these tests', () => {
    assert.deepEqual(
      CAUSES.map(([name]) => name).filter(Boolean),
      alerts().map(({ alert }) => alert),
    );
  });

  it("promtool: another product's servers do not stand for those of this one", { skip: noPromtool }, (t) => {
    const other = 'lease_namespace="default",product="my-proxy"';
    const dead = {
      [`leasekeeper_instances{${C},${OF},state="live"}`]: '1x90',
      [`leasekeeper_instances{${C},${other},state="live"}`]: '5x90',
      // Another cluster, in which all is well.
      [`leasekeeper_instances{cluster="east",${OF},state="live"}`]: '3x90',
    };
    const labels = '{cluster="west",lease_namespace="kube-system",product="kube-apiserver"}';
    const test = seen('two of three API servers are dead', dead, ['LeasekeeperInstancesBelowExpected']);
    return promtool(t, 'test', [
      {
        ...test,
        promql_expr_test: [
          ...test.promql_expr_test,
          {
            expr: 'sum by (cluster, lease_namespace, product) (ALERTS{alertname="LeasekeeperInstancesBelowExpected",alertstate="firing"})',
            eval_time: '80m',
            exp_samples: [{ labels, value: 1 }],
          },
        ],
      },
    ]);
  });

  it('promtool: nothing fires while all pods are replaced, one after another', { skip: noPromtool }, (t) => {
    const changes: Record<string, string> = {};
    for (const series of Object.keys(WELL))
      if (series.includes('pod=')) changes[series] = `${WELL[series]!.split('x')[0]}x20`;
    // Each pod goes at its minute and is back under another name a minute later, its counters at 0.
    for (const [i, pod] of ['a', 'b', 'c'].entries())
      for (const [suffix, range] of [
        ['1', (value: string) => `${value}x${29 + 4 * i}`],
        ['2', (value: string) => `_x${31 + 4 * i} ${value}x${60 - 4 * i}`],
      ] as const) {
        const P = `${C},namespace="n",pod="${pod}${suffix}",instance="10.0.0.${i}:10270"`;
        changes[`leasekeeper_lease_superseded{${P},${OF}}`] = range('0');
        changes[`leasekeeper_lease_expiry_seconds{${P},${OF}}`] = range('3595');
        changes[`leasekeeper_lease_duration_seconds{${P},${OF}}`] = range('3600');
        changes[`leasekeeper_lease_renewals_total{${P},${OF}}`] = range('0+6');
        // Its start met a pod that was still there.
        changes[`leasekeeper_lease_failures_total{${P},${OF},operation="takeOver",reason="Conflict"}`] = range('1');
        changes[`leasekeeper_lease_second_writer_total{${P},${OF}}`] = range('0');
        changes[`leasekeeper_census_known{${P},${OF}}`] = range('1');
        changes[`leasekeeper_api_answer_age_seconds{${P}}`] = range('3');
        changes[`leasekeeper_sweep_passes_total{${P},${OF},outcome="completed"}`] = range('0+0.2');
        changes[`leasekeeper_sweep_passes_total{${P},${OF},outcome="aborted"}`] = range('0');
        changes[`leasekeeper_election_time_left_seconds{${P},lease_namespace="n",name="job"}`] = range(
          i === 0 ? '9' : '0',
        );
        changes[`leasekeeper_heartbeat_nodes{${P}}`] = range('5');
        changes[`leasekeeper_heartbeat_nodes_synced{${P}}`] = range('1');
        changes[`leasekeeper_heartbeat_overdue_seconds{${P}}`] = range('0');
      }
    // Between two pods of a host its lease is stale for a look, and nobody leads.
    changes[`leasekeeper_instances{${C},${OF},state="stale"}`] = '0x29 1 0x3 1 0x3 1 0x52';
    changes[`leasekeeper_instances{${C},${OF},state="live"}`] = '3x29 2 3x3 2 3x3 2 3x52';
    return promtool(t, 'test', [seen('rolling restart', changes, [])]);
  });
});
