/** A renewal's way through the transport: requests of others, however many, however slow, do not delay it. */
import assert from 'node:assert/strict';
import type http from 'node:http';
import { test } from 'node:test';
import { LeaderElector } from '../../src/election/elector.ts';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { Heartbeat } from '../../src/heartbeat/heartbeats.ts';
import { Publisher } from '../../src/identity/publisher.ts';
import { createLeaseApi } from '../../src/kube/lease-api.ts';
import { newLease, parseLease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { HOSTNAME_LABEL, IDENTITY_LABEL } from '../../src/lease/names.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { Sweeper } from '../../src/sweep/sweeper.ts';
import { FakeNodes } from '../heartbeat/world.ts';
import { json, leaseJson, startServer, transportTo, until } from './support.ts';

const T = { timeout: 120_000 };
const lease = parseLease(leaseJson('x'));

for (const [name, hangs, count] of [
  ['64 deletions that hang', 'DELETE', 64],
  ['1,000 reads that hang', 'GET', 1000],
] as const) {
  test(`${name} delay no urgent call by more than a connection and a round trip`, T, async (t) => {
    const server = await startServer(t, ({ method }, response) => {
      if (method !== hangs) json(response, 200, leaseJson('x'));
    });
    const clock = new ManualClock();
    const transport = transportTo(t, server.url, { clock });
    const store = createLeaseApi({ transport, clock, random: Math.random });
    const ref = { namespace: 'ns', name: 'x' };
    const others = Array.from({ length: count }, () =>
      hangs === 'DELETE' ? store.delete(ref, { uid: 'u', resourceVersion: '1' }) : store.get(ref),
    );
    for (const other of others) other.catch(() => undefined);
    await until(() => server.seen.length === 64);

    await store.update(lease, { urgent: true });
    await store.update(lease, { urgent: true });
    assert.equal(server.seen.length, 66, 'each is sent at once');
    assert.equal(server.sockets.length, 65, 'over one connection of their own');
    // As many urgent ones at a time as there may be others.
    await Promise.all(Array.from({ length: 64 }, () => store.update(lease, { urgent: true })));
    assert.ok(server.sockets.length <= 128, String(server.sockets.length));

    // One that is not urgent waits until the hanging ones are given up.
    const ordinary = store.update(lease);
    assert.equal(server.seen.length, 130);
    await clock.advance(10_000);
    await ordinary.catch(() => undefined);
    await store.update(lease, { urgent: true });
  });
}

test('urgent calls alone take no more connections than others, and leave them to others', T, async (t) => {
  const waiting: http.ServerResponse[] = [];
  const server = await startServer(t, (_, response) => void waiting.push(response));
  const transport = transportTo(t, server.url, { maxConnections: 2 });
  const put = { method: 'PUT', what: 'put', path: '/', body: {} } as const;
  const calls = Array.from({ length: 5 }, () => transport.request({ ...put, urgent: true }));
  for (let answered = 0; answered < 5; answered++) {
    await until(() => waiting.length > 0);
    const response = waiting.shift();
    if (response) json(response, 200, {});
  }
  await Promise.all(calls);
  server.handler = (_, response) => json(response, 200, {});
  await Promise.all([transport.request(put), transport.request(put)]);
  assert.equal(server.sockets.length, 2);
});

test('a publisher beside a sweeper whose deletions all hang renews each time that it is due', T, async (t) => {
  const server = await startEmbeddedServer();
  t.after(() => server.close());
  const clock = new ManualClock(Date.now());
  const transport = transportTo(t, server.url, { clock });
  const store = createLeaseApi({ transport, clock, random: Math.random });
  const renewTime = MicroTime.fromEpochMs(Date.now() - 7_200_000);
  const spec = { holderIdentity: 'gone', leaseDurationSeconds: 3600, renewTime };
  for (let i = 0; i < 100; i++) {
    const labels = { [IDENTITY_LABEL]: 'kube-apiserver', [HOSTNAME_LABEL]: `gone-${i}` };
    await store.create(newLease({ namespace: 'kube-system', name: `gone-${i}`, labels }, spec));
  }
  const hanging = server.faults.add({ match: { method: 'DELETE' }, fault: { type: 'hang' } });
  const stop = new AbortController();
  const common = { store, clock, random: () => 0 };
  const publisher = new Publisher({ ...common, hostname: 'here', holder: 'me' });
  const publishing = publisher.run(stop.signal);
  await until(() => publisher.status.phase === 'holding');
  const sweeper = new Sweeper({ ...common, confirmAfterMs: 0, requestTimeoutMs: 3_600_000 });
  const sweeping = sweeper.sweepOnce(stop.signal);
  await until(() => hanging.hits === 64);
  for (let renewals = 1; renewals <= 3; renewals++) {
    await clock.advance(10_000);
    await until(() => server.requests.count({ method: 'PUT' }) === renewals);
  }
  assert.equal(hanging.hits, 64, 'no deletion was answered or given up meanwhile');
  stop.abort();
  await Promise.all([publishing, sweeping]);
});

test('a leader beside a hundred heartbeats that all hang renews each time that it is due', T, async (t) => {
  const server = await startEmbeddedServer();
  t.after(() => server.close());
  const clock = new ManualClock(Date.now());
  const transport = transportTo(t, server.url, { clock });
  const store = createLeaseApi({ transport, clock, random: Math.random });
  const hanging = server.faults.add({ match: { namespace: 'kube-node-lease' }, fault: { type: 'hang' } });
  const stop = new AbortController();
  const names = Array.from({ length: 100 }, (_, i) => `node-${i}`);
  const common = { store, clock, random: () => 0 };
  const heartbeat = new Heartbeat({
    ...common,
    nodes: new FakeNodes(...names),
    renewIntervalMs: 3_600_000,
    requestTimeoutMs: 3_599_000,
    leaseDurationSeconds: 14_400,
  });
  const beating = heartbeat.run(stop.signal);
  while (heartbeat.status.backlog === 0) await clock.advance(36_000);
  await until(() => hanging.hits === heartbeat.status.inFlight);
  const elector = new LeaderElector({
    ...common,
    lease: { namespace: 'default', name: 'led' },
    id: 'us',
    uuid: '1',
    work: ({ signal }) => new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true })),
  });
  const electing = elector.run(stop.signal);
  await until(() => elector.term !== undefined);
  for (let renewals = 1; renewals <= 3; renewals++) {
    await clock.advance(2_000);
    await until(() => server.requests.count({ method: 'PUT', namespace: 'default' }) === renewals);
  }
  stop.abort();
  await clock.advance(3_600_000);
  await Promise.all([beating, electing]);
});
