/** What /metrics of `heartbeat` and `nodes` says, as events come. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import type { AvailabilityStatus } from '../../src/availability/node-monitor.ts';
import type { NodeAvailability } from '../../src/availability/node-register.ts';
import { availabilityMetrics, heartbeatMetrics } from '../../src/observe/heartbeat-metrics.ts';
import { observers } from '../../src/runtime/observer.ts';
import { fleet, many } from '../heartbeat/world.ts';
import { storeError } from '../support/memory-api.ts';
import { samples } from './samples.ts';

test('heartbeats: renewals, lateness, failures by reason, conflicts mended, nodes kept; no name of a node', async () => {
  const f = await fleet({ names: many(10) });
  const registry = new Registry();
  const observe = heartbeatMetrics(registry, () => f.heartbeat.status);
  const push = f.events.push.bind(f.events);
  f.events.push = (...events) => {
    for (const event of events) observers(observe, (e) => void push(e))(event);
    return f.events.length;
  };
  await f.clock.advance(10_000);
  f.store.edit({ namespace: 'kube-node-lease', name: 'node-00003' }, () => ({ spec: { holderIdentity: 'impostor' } }));
  await f.clock.advance(10_000);
  const calm = await samples(registry);
  const of = (name: string, from = calm): number | undefined => from[`leasekeeper_heartbeat_${name}`];
  assert.equal(of('nodes'), 10);
  assert.equal(of('nodes_held'), 10);
  assert.equal(of('nodes_synced'), 1);
  assert.equal(of('overdue_seconds'), 0);
  assert.equal(of('renewals_total'), f.of('renewed').length);
  assert.equal(of('renewal_duration_seconds_count'), f.of('renewed').length);
  assert.equal(of('renewal_lateness_seconds_bucket{le="0.025"}'), f.of('renewed').length, 'none late');
  assert.equal(of('conflicts_mended_total'), 1);
  assert.equal(of('disturbances_total{kind="otherHolder"}'), 1);
  f.store.faults = () => ({ fail: 'Unavailable' });
  await f.clock.advance(15_000);
  const gone = await samples(registry);
  assert.equal(of('nodes_failing', gone), 10);
  assert.ok((of('overdue_seconds', gone) ?? 0) > 5);
  assert.equal(of('failures_total{operation="update",reason="Unavailable"}', gone), f.of('failed').length);
  f.store.faults = undefined;
  await f.clock.advance(10_000);
  const back = await samples(registry);
  assert.ok(
    (of('renewal_lateness_seconds_bucket{le="5"}', back) ?? 0) < (of('renewals_total', back) ?? 0),
    'late ones',
  );
  assert.equal(of('overdue_seconds', back), 0);
  assert.doesNotMatch(await registry.metrics(), /node-0|impostor/);
  await f.stop();
});

test('nodes by status: missing while unknown, never 0', async () => {
  let status: AvailabilityStatus = {
    known: false,
    reason: 'NotSynced',
    synced: false,
    graceMs: 50_000,
    startupGraceMs: 60_000,
    counts: { Ready: 0, NotReady: 0, Unknown: 0, Pending: 0 },
  };
  const registry = new Registry();
  const observe = availabilityMetrics(registry, () => status);
  const never = await samples(registry);
  assert.ok(!Object.keys(never).some((name) => /^leasekeeper_nodes(\{|_age)/.test(name)));
  assert.equal(never['leasekeeper_nodes_known'], 0);
  status = {
    ...status,
    known: true,
    synced: true,
    freshnessMs: 2_000,
    counts: { Ready: 3, NotReady: 0, Unknown: 1, Pending: 0 },
  };
  const node: NodeAvailability = { name: 'node-x', uid: 'u', status: 'Unknown', hasLease: true };
  observe({ type: 'changed', node: { ...node, status: 'Pending' } });
  observe({ type: 'changed', node, from: 'Ready' });
  observe({ type: 'lost', of: 'leases', error: storeError('Unavailable', 'words with node-x in them') });
  const now = await samples(registry);
  assert.equal(now['leasekeeper_nodes{status="Ready"}'], 3);
  assert.equal(now['leasekeeper_nodes{status="Pending"}'], 0);
  assert.equal(now['leasekeeper_nodes_age_seconds'], 2);
  assert.equal(now['leasekeeper_nodes_changes_total{to="Unknown"}'], 1);
  assert.equal(now['leasekeeper_nodes_changes_total{to="Pending"}'], undefined, 'it appeared, and changed nothing');
  assert.equal(now['leasekeeper_nodes_watch_losses_total{of="leases",reason="Unavailable"}'], 1);
  assert.doesNotMatch(await registry.metrics(), /node-x/);
});
