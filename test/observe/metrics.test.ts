/** What /metrics says, as the services' events come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultFeatureGates } from '../../src/features/gates.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { createMetrics } from '../../src/observe/metrics.ts';
import type { Metrics } from '../../src/observe/metrics.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import type { PassResult } from '../../src/sweep/sweep-events.ts';
import { lease } from '../census/support.ts';
import { World } from '../http/support.ts';

const error = (code: 'Unavailable' | 'Forbidden'): LeaseStoreError =>
  new LeaseStoreError(code, { message: 'words of a server, with a holder-x in them' });

/** Samples by name and labels. */
async function samples(metrics: Metrics): Promise<Record<string, number>> {
  const lines = (await metrics.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => [line.replace(/ \S+$/, ''), Number(line.split(' ').at(-1))]));
}

const publisher = {
  status: {
    phase: 'holding',
    namespace: 'kube-system',
    lease: 'l',
    holder: 'h',
    heldBy: undefined,
    renewedAt: 0,
    failures: 0,
    lastError: undefined,
    twins: ['other'],
  },
  leaseDurationMs: 60_000,
} as const;

test('instances by state; missing while unknown, never 0', async (t) => {
  const w = new World();
  t.after(() => w.close());
  const metrics = createMetrics({ clock: w.clock, version: '1', census: () => w.census.snapshot() });
  const never = await samples(metrics);
  assert.ok(
    !Object.keys(never).some((name) => /^leasekeeper_(instances|leases|census_age)/.test(name)),
    'nothing known',
  );
  assert.equal(never['leasekeeper_census_known'], 0);
  await w.list(lease({ hostname: 'a' }), lease({ hostname: 'b', renewedAgoMs: 60_000 }));
  await w.clock.advance(3_000);
  const now = await samples(metrics);
  assert.equal(now['leasekeeper_instances{state="live"}'], 1);
  assert.equal(now['leasekeeper_instances{state="stale"}'], 1);
  assert.equal(now['leasekeeper_leases{state="expired"}'], 0);
  assert.equal(now['leasekeeper_census_age_seconds'], 3);
  metrics.census({ type: 'lost', error: error('Unavailable') });
  await w.tell({ type: 'lost', error: error('Unavailable') });
  await w.clock.advance(40_000);
  const old = await samples(metrics);
  assert.equal(old['leasekeeper_instances{state="live"}'], undefined);
  assert.equal(old['leasekeeper_census_known'], 0);
  assert.equal(old['leasekeeper_census_age_seconds'], 43);
  assert.equal(old['leasekeeper_census_watch_losses_total{reason="Unavailable"}'], 1);
});

test('the publisher: renewals, failures by reason, latency, time left, twins', async () => {
  const clock = new ManualClock();
  let view: Parameters<typeof createMetrics>[0]['publisher'] = () => publisher;
  const metrics = createMetrics({ clock, version: '1', publisher: () => view?.() });
  metrics.publisher({ type: 'claimed', how: 'takenOver', lease: lease({ holder: 'holder-x' }), from: 'holder-x' });
  metrics.publisher({ type: 'renewed', lease: lease(), latencyMs: 3 });
  metrics.publisher({ type: 'renewed', lease: lease(), latencyMs: 30 });
  for (const code of ['Forbidden', 'Unavailable', 'Unavailable'] as const) {
    metrics.publisher({ type: 'failed', operation: 'renew', error: error(code), attempt: 1, retryInMs: 1 });
  }
  metrics.publisher({ type: 'superseded', lease: lease() });
  metrics.publisher({ type: 'secondWriter', lease: lease() });
  await clock.advance(10_000);
  const now = await samples(metrics);
  assert.equal(now['leasekeeper_lease_renewals_total'], 2);
  assert.equal(now['leasekeeper_lease_renewal_duration_seconds_bucket{le="0.005"}'], 1);
  assert.equal(now['leasekeeper_lease_renewal_duration_seconds_sum'], 0.033);
  assert.equal(now['leasekeeper_lease_failures_total{operation="renew",reason="Unavailable"}'], 2);
  assert.equal(now['leasekeeper_lease_failures_total{operation="renew",reason="Forbidden"}'], 1);
  assert.equal(now['leasekeeper_lease_claims_total{how="takenOver"}'], 1);
  assert.equal(now['leasekeeper_lease_superseded_total'], 1);
  assert.equal(now['leasekeeper_lease_second_writer_total'], 1);
  assert.equal(now['leasekeeper_lease_expiry_seconds'], 50);
  assert.equal(now['leasekeeper_lease_held'], 1);
  assert.equal(now['leasekeeper_lease_twins'], 1);
  view = () => ({ ...publisher, status: { ...publisher.status, phase: 'superseded' } });
  const superseded = await samples(metrics);
  assert.equal(superseded['leasekeeper_lease_superseded'], 1);
  assert.equal(superseded['leasekeeper_lease_held'], 0);
  assert.equal(superseded['leasekeeper_lease_expiry_seconds'], undefined, 'not ours: missing, not 0');
  assert.ok(!(await metrics.text()).includes('holder-x'), 'no text of others');
});

test('the sweeper: only where one runs', async () => {
  const metrics = createMetrics({ clock: new ManualClock(), version: '1' });
  assert.ok(!(await metrics.text()).includes('leasekeeper_sweep'));
  const result = {
    outcome: 'completed',
    dryRun: false,
    deleted: 3,
    changed: 1,
    gone: 0,
    failed: 0,
    left: 0,
    tookMs: 30_100,
  };
  metrics.sweep({ type: 'passFinished', result: result as PassResult });
  metrics.sweep({ type: 'passFinished', result: { ...result, outcome: 'void', because: 'listFailed' } as PassResult });
  const now = await samples(metrics);
  assert.equal(now['leasekeeper_sweep_passes_total{outcome="void",reason="listFailed"}'], 1);
  assert.equal(now['leasekeeper_sweep_leases_total{result="deleted"}'], 6);
  assert.equal(now['leasekeeper_sweep_duration_seconds_count'], 2);
});

test('the distance of the clock, as the answers tell it; missing before one does', async () => {
  let distance: number | undefined;
  const metrics = createMetrics({ clock: new ManualClock(), version: '1', clockDistanceMs: () => distance });
  assert.equal((await samples(metrics))['leasekeeper_clock_distance_seconds'], undefined);
  distance = -1_500;
  assert.equal((await samples(metrics))['leasekeeper_clock_distance_seconds'], -1.5);
});

test('gates, build and process', async () => {
  const gates = defaultFeatureGates.with('APIServerIdentity=false');
  const metrics = createMetrics({ clock: new ManualClock(), version: '1.2.3', gates: () => gates.metrics() });
  const now = await samples(metrics);
  assert.equal(now['kubernetes_feature_enabled{name="APIServerIdentity",stage="BETA"}'], 0);
  assert.equal(now[`leasekeeper_build_info{version="1.2.3",node_version="${process.versions.node}"}`], 1);
  assert.ok(now['process_resident_memory_bytes']! > 1e6);
  assert.ok(now['process_cpu_seconds_total']! > 0);
  assert.match(await metrics.text(), /# TYPE process_cpu_seconds_total counter/);
});
