/**
 * Twenty heartbeats under a fault: all are renewed again within their bound, and never in a burst.
 */
import assert from 'node:assert/strict';
import type { HeartbeatEvent } from '../../src/heartbeat/heartbeat-events.ts';
import { Heartbeat } from '../../src/heartbeat/heartbeats.ts';
import { createNodesApi } from '../../src/kube/node-api.ts';
import type { LeaseStore } from '../../src/lease/store.ts';
import { until } from '../e2e/support.ts';
import type { Capability, World } from './world.ts';
import { PACE, SLACK_MS, STEADY_MS, TIMEOUT_MS } from './world.ts';

const NODES = 20;
const INTERVAL_MS = 1_500 * PACE;
/** What src/heartbeat/pace.ts promises: 2.5 times the ordinary rate or 50 a second, and ten at once. */
const RATE_PER_MS = Math.max(50 / 1_000, (2.5 * NODES) / INTERVAL_MS);
const AT_ONCE = 10;
/** A window in which all nodes at once would show. */
const WINDOW_MS = 100;

interface NodeLease {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly spec: { readonly renewTime: string };
}

export async function heartbeatsUnder(world: World): Promise<Capability> {
  const { api, clock, namespace } = world;
  const names = Array.from({ length: NODES }, (_, i) => `${namespace}-${i}`);
  for (const name of names) await api.json('POST', '/api/v1/nodes', { metadata: { name } });
  const connection = await world.through();
  const sent: { at: number; name: string }[] = [];
  const events: HeartbeatEvent[] = [];
  const send = (name: string): void => void sent.push({ at: clock.monotonic(), name });
  const { store } = connection;
  const watched: Pick<LeaseStore, 'get' | 'create' | 'update'> = {
    get: (ref, call) => (send(ref.name), store.get(ref, call)),
    create: (lease, call) => (send(lease.metadata.name), store.create(lease, call)),
    update: (lease, call) => (send(lease.metadata.name), store.update(lease, call)),
  };
  const heartbeat = new Heartbeat({
    store: watched,
    nodes: createNodesApi({ transport: connection.transport, clock, random: Math.random, names }),
    clock,
    random: Math.random,
    namespace,
    renewIntervalMs: INTERVAL_MS,
    requestTimeoutMs: 2 * TIMEOUT_MS,
    concurrency: 8,
    observe: (event) => void events.push(event),
  });
  world.runs(heartbeat.run(world.signal));
  const leases = async (): Promise<Map<string, NodeLease>> => {
    const { items } = await api.json<{ items: NodeLease[] }>(
      'GET',
      `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
    );
    return new Map(items.filter((i) => names.includes(i.metadata.name)).map((i) => [i.metadata.name, i]));
  };
  let before = new Map<string, NodeLease>();
  return {
    name: 'heartbeats',
    ready: async () => {
      await until('all heartbeats', () => heartbeat.status.held === NODES && heartbeat.status.failing === 0, STEADY_MS);
      before = await leases();
      sent.length = 0;
    },
    recovered: async (healedAt) => {
      const atHeal = await leases();
      // An attempt that hangs, the longest wait, and all of them at the rate that is allowed.
      const bound = 2 * TIMEOUT_MS + INTERVAL_MS + (2 * NODES) / RATE_PER_MS + SLACK_MS;
      const left = healedAt + bound - clock.monotonic();
      const after = await until(
        `all heartbeats to be renewed within ${bound} ms; ${JSON.stringify(heartbeat.status)} ${JSON.stringify(events.slice(-2))}`,
        async () => {
          const now = await leases();
          const again = names.every((name) => now.get(name)?.spec.renewTime !== atHeal.get(name)?.spec.renewTime);
          return again && heartbeat.status.failing === 0 && now;
        },
        left,
      );
      for (const name of names) {
        assert.equal(
          after.get(name)?.metadata.uid,
          before.get(name)?.metadata.uid,
          `the lease of ${name} was recreated`,
        );
      }
      // A renewal whose answer was lost takes a conflict, a read and another write: by node, they are one.
      const most = Math.max(
        ...sent.map(
          ({ at }) => new Set(sent.filter((s) => s.at >= at && s.at <= at + WINDOW_MS).map((s) => s.name)).size,
        ),
      );
      const allowed = Math.ceil(AT_ONCE + RATE_PER_MS * WINDOW_MS) + 1;
      assert.ok(most <= allowed, `${most} nodes renewed within ${WINDOW_MS} ms, where ${allowed} are allowed`);
    },
  };
}
