/** What /metrics says, as the services' events come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { defaultFeatureGates } from '../../src/features/gates.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { censusMetrics } from '../../src/observe/census-metrics.ts';
import { electionMetrics } from '../../src/observe/election-metrics.ts';
import { processRegistry } from '../../src/observe/metrics.ts';
import { publisherMetrics } from '../../src/observe/publisher-metrics.ts';
import type { PublisherView } from '../../src/observe/lease-observers.ts';
import { sweepMetrics } from '../../src/observe/sweep-metrics.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import type { PassResult } from '../../src/sweep/sweep-events.ts';
import { lease } from '../census/support.ts';
import { World } from '../http/support.ts';
import { samples } from './samples.ts';

const error = (code: 'Unavailable' | 'Forbidden'): LeaseStoreError =>
  new LeaseStoreError(code, { message: 'words of a server, with a holder-x in them' });

const OURS = 'lease_namespace="kube-system",product="kube-apiserver"';

const publisher: PublisherView = {
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
  options: { namespace: 'kube-system', labelValue: 'kube-apiserver', leaseDurationSeconds: 60 },
};

test('instances by state; missing while unknown, never 0', async (t) => {
  const w = new World();
  t.after(() => w.close());
  const registry = new Registry();
  const query = { namespace: 'kube-system', labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver' };
  const observe = censusMetrics(registry)(query, () => w.census.snapshot());
  const never = await samples(registry);
  assert.ok(
    !Object.keys(never).some((name) => /^leasekeeper_(instances|leases|census_age)/.test(name)),
    'nothing known',
  );
  assert.equal(never[`leasekeeper_census_known{${OURS}}`], 0);
  await w.list(lease({ hostname: 'a' }), lease({ hostname: 'b', renewedAgoMs: 60_000 }));
  await w.clock.advance(3_000);
  const now = await samples(registry);
  assert.equal(now[`leasekeeper_instances{${OURS},state="live"}`], 1);
  assert.equal(now[`leasekeeper_instances{${OURS},state="stale"}`], 1);
  assert.equal(now[`leasekeeper_leases{${OURS},state="expired"}`], 0);
  assert.equal(now[`leasekeeper_census_age_seconds{${OURS}}`], 3);
  observe({ type: 'lost', error: error('Unavailable') });
  await w.tell({ type: 'lost', error: error('Unavailable') });
  await w.clock.advance(40_000);
  const old = await samples(registry);
  assert.equal(old[`leasekeeper_instances{${OURS},state="live"}`], undefined);
  assert.equal(old[`leasekeeper_census_known{${OURS}}`], 0);
  assert.equal(old[`leasekeeper_census_age_seconds{${OURS}}`], 43);
  assert.equal(old[`leasekeeper_census_watch_losses_total{${OURS},reason="Unavailable"}`], 1);
});

test('the publisher: renewals, failures by reason, latency, time left, twins', async () => {
  const clock = new ManualClock();
  let view = publisher;
  const registry = new Registry();
  const observe = publisherMetrics(registry, clock)(() => view);
  observe({ type: 'claimed', how: 'takenOver', lease: lease({ holder: 'holder-x' }), from: 'holder-x' });
  observe({ type: 'renewed', lease: lease(), latencyMs: 3 });
  observe({ type: 'renewed', lease: lease(), latencyMs: 30 });
  for (const code of ['Forbidden', 'Unavailable', 'Unavailable'] as const) {
    observe({ type: 'failed', operation: 'renew', error: error(code), attempt: 1, retryInMs: 1 });
  }
  observe({ type: 'superseded', lease: lease() });
  observe({ type: 'secondWriter', lease: lease() });
  await clock.advance(10_000);
  const now = await samples(registry);
  assert.equal(now[`leasekeeper_lease_renewals_total{${OURS}}`], 2);
  assert.equal(now[`leasekeeper_lease_renewal_duration_seconds_bucket{le="0.005",${OURS}}`], 1);
  assert.equal(now[`leasekeeper_lease_renewal_duration_seconds_sum{${OURS}}`], 0.033);
  assert.equal(now[`leasekeeper_lease_failures_total{${OURS},operation="renew",reason="Unavailable"}`], 2);
  assert.equal(now[`leasekeeper_lease_failures_total{${OURS},operation="renew",reason="Forbidden"}`], 1);
  assert.equal(now[`leasekeeper_lease_claims_total{${OURS},how="takenOver"}`], 1);
  assert.equal(now[`leasekeeper_lease_superseded_total{${OURS}}`], 1);
  assert.equal(now[`leasekeeper_lease_second_writer_total{${OURS}}`], 1);
  assert.equal(now[`leasekeeper_lease_expiry_seconds{${OURS}}`], 50);
  assert.equal(now[`leasekeeper_lease_held{${OURS}}`], 1);
  assert.equal(now[`leasekeeper_lease_twins{${OURS}}`], 1);
  view = { ...publisher, status: { ...publisher.status, phase: 'superseded' } };
  const superseded = await samples(registry);
  assert.equal(superseded[`leasekeeper_lease_superseded{${OURS}}`], 1);
  assert.equal(superseded[`leasekeeper_lease_held{${OURS}}`], 0);
  assert.equal(superseded[`leasekeeper_lease_expiry_seconds{${OURS}}`], undefined, 'not ours: missing, not 0');
  assert.ok(!(await registry.metrics()).includes('holder-x'), 'no text of others');
});

test('the sweeper: only where one runs', async () => {
  const registry = new Registry();
  const observe = sweepMetrics(registry)();
  assert.ok(!(await registry.metrics()).includes('leasekeeper_sweep'));
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
  observe({
    type: 'passStarted',
    namespace: 'kube-system',
    labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver',
    dryRun: false,
  });
  observe({ type: 'passFinished', result: result as PassResult });
  observe({ type: 'passFinished', result: { ...result, outcome: 'void', because: 'listFailed' } as PassResult });
  const now = await samples(registry);
  assert.equal(now[`leasekeeper_sweep_passes_total{${OURS},outcome="void",reason="listFailed"}`], 1);
  assert.equal(now[`leasekeeper_sweep_leases_total{${OURS},result="deleted"}`], 6);
  assert.equal(now[`leasekeeper_sweep_duration_seconds_count{${OURS}}`], 2);
});

test('the distance of the clock, as the answers tell it; missing before one does', async () => {
  let distance: number | undefined;
  const registry = processRegistry({ clock: new ManualClock(), version: '1', clockDistanceMs: () => distance });
  assert.equal((await samples(registry))['leasekeeper_clock_distance_seconds'], undefined);
  distance = -1_500;
  assert.equal((await samples(registry))['leasekeeper_clock_distance_seconds'], -1.5);
});

test('gates, build and process', async () => {
  const gates = defaultFeatureGates.with('APIServerIdentity=false');
  const registry = processRegistry({ clock: new ManualClock(), version: '1.2.3', gates: () => gates.metrics() });
  const now = await samples(registry);
  assert.equal(now['kubernetes_feature_enabled{name="APIServerIdentity",stage="BETA"}'], 0);
  assert.equal(now[`leasekeeper_build_info{version="1.2.3",node_version="${process.versions.node}"}`], 1);
  assert.ok(now['process_resident_memory_bytes']! > 1e6);
  assert.ok(now['process_cpu_seconds_total']! > 0);
  assert.match(await registry.metrics(), /# TYPE process_cpu_seconds_total counter/);
});

test('electors of several leases on one registry; leading ends with the term, seen or not', async () => {
  const registry = new Registry();
  const elector = electionMetrics(registry);
  let left = 1_500;
  const lease = { namespace: 'default', name: 'a' };
  const observe = elector(lease, () => left);
  elector({ namespace: 'default', name: 'b' }, () => 0);
  const base = { lease, holder: 'me' };
  observe({ ...base, type: 'slowPath', fencingToken: 1 });
  observe({ ...base, type: 'stopped', reason: 'deadline', fencingToken: 1 });
  const now = await samples(registry);
  assert.equal(now['leader_election_master_status{lease_namespace="default",name="a"}'], 1);
  assert.equal(now['leader_election_master_status{lease_namespace="default",name="b"}'], 0);
  assert.equal(now['leasekeeper_election_time_left_seconds{lease_namespace="default",name="a"}'], 1.5);
  assert.equal(now['leader_election_slowpath_total{lease_namespace="default",name="a"}'], 1);
  assert.equal(now['leasekeeper_election_terms_total{lease_namespace="default",name="b"}'], 0);
  assert.equal(now['leasekeeper_election_terms_ended_total{lease_namespace="default",name="a",reason="deadline"}'], 1);
  assert.equal(now['leasekeeper_election_transitions{lease_namespace="default",name="a"}'], undefined, 'not seen yet');
  left = 0;
  assert.equal((await samples(registry))['leader_election_master_status{lease_namespace="default",name="a"}'], 0);
});

test('the time until the client certificate expires: missing without one, negative once it has', async () => {
  const clock = new ManualClock();
  let expiresAt: number | undefined;
  const registry = processRegistry({ clock, version: '1', certificateExpiresAt: () => expiresAt });
  const shown = async (): Promise<string | undefined> =>
    /^leasekeeper_client_certificate_expiration_seconds (.*)$/m.exec(await registry.metrics())?.[1];
  assert.equal(await shown(), undefined);
  expiresAt = clock.wallMicros() / 1000 + 60_000;
  assert.equal(await shown(), '60');
  await clock.advance(90_000);
  assert.equal(await shown(), '-30');
});
