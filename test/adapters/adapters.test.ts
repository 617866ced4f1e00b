/** `leasekeeper/pino` and `leasekeeper/prom-client`: what the command line says, on a logger and a registry of the caller's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import { Registry } from 'prom-client';
import { leaseLog } from '../../src/adapters/pino.ts';
import { leaseMetrics } from '../../src/adapters/prom-client.ts';
import { Publisher } from '../../src/identity/publisher.ts';
import type { HeartbeatStatus } from '../../src/heartbeat/heartbeat-events.ts';
import { observers } from '../../src/runtime/observer.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { samples } from '../observe/samples.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { storeError } from '../support/memory-api.ts';

const status = (nodes: number): HeartbeatStatus => ({
  ...{ nodes, held: 0, failing: 0, backlog: 0, inFlight: 0, overdueMs: 0, writtenAt: undefined, nodesSynced: true },
});

test('a publisher, logged and measured', async () => {
  const clock = new ManualClock();
  const lines: Record<string, unknown>[] = [];
  const logger = pino({ base: null }, { write: (line: string) => lines.push(JSON.parse(line)) });
  const registry = new Registry();
  const publisher: Publisher = new Publisher({
    store: new MemoryStore({ clock }),
    clock,
    random: () => 0,
    hostname: 'master-1',
    holder: 'master-1_uuid',
    observe: observers(
      leaseLog(logger, { clock }).publisher(() => publisher),
      leaseMetrics(registry, { clock }).publisher(() => publisher),
    ),
  });
  const stop = new AbortController();
  const running = publisher.run(stop.signal);
  await settle();
  await clock.advance(25_000);
  const now = await samples(registry);
  const labels = 'lease_namespace="kube-system",product="kube-apiserver"';
  assert.equal(now[`leasekeeper_lease_held{${labels}}`], 1);
  assert.equal(now[`leasekeeper_lease_renewals_total{${labels}}`], 2);
  assert.equal(now[`leasekeeper_lease_expiry_seconds{${labels}}`], 3_595);
  stop.abort();
  await settle();
  await running;
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['created the lease', 'stopped: the lease stays for the next start'],
  );
});

test('any logger will do that is called as pino is', () => {
  const said: unknown[] = [];
  const line = (...words: unknown[]): void => void said.push(words.at(-1));
  const observe = leaseLog({ debug: () => {}, info: line, warn: line, error: line }).census({ namespace: 'n' }, () =>
    assert.fail('nothing is asked'),
  );
  observe({ type: 'lost', error: storeError('Unavailable') });
  observe({ type: 'lost', error: storeError('Unavailable') });
  observe({ type: 'synced', first: false });
  assert.deepEqual(said, ['the census may be old: watching the leases failed', 'the census is up to date again']);
});

test('several of a kind on one registry: apart by their labels, or the last of them', async () => {
  const registry = new Registry();
  const metrics = leaseMetrics(registry);
  const lease = (name: string) => ({ namespace: 'default', name });
  metrics.election(lease('a'), () => ({ term: { remainingMs: 1_000 } }));
  metrics.election(lease('b'), () => ({ term: undefined }));
  for (const nodes of [1, 2]) metrics.heartbeat(() => ({ status: status(nodes) }));
  const now = await samples(registry);
  assert.equal(now['leader_election_master_status{lease_namespace="default",name="a"}'], 1);
  assert.equal(now['leader_election_master_status{lease_namespace="default",name="b"}'], 0);
  assert.equal(now['leasekeeper_heartbeat_nodes'], 2);
  assert.ok(!Object.keys(now).some((name) => /census|_lease_|sweep|process_/.test(name)), 'nothing that is not there');
});
