/**
 * A virtual node: makes a Node object, says once that it is ready, and keeps its heartbeat, as a kubelet does.
 * `node virtual-node.ts NAME`, until SIGTERM; then the Node is deleted.
 */
import { Heartbeat, connect, createNodesApi, createSystemClock, isStoreError } from 'leasekeeper';

const [, , name = ''] = process.argv;
const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
const clock = createSystemClock();
const random = Math.random;
const api = await connect({ clock, random });
const { store, transport } = api;

const node = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name, labels: { type: 'virtual' } },
  // Nothing is scheduled here by accident.
  spec: { taints: [{ key: 'example.com/virtual', effect: 'NoSchedule' }] },
};
try {
  await transport.request({ method: 'POST', what: `create node ${name}`, path: '/api/v1/nodes', body: node });
} catch (error) {
  // It is there from an earlier start: its heartbeat is taken over.
  if (!isStoreError(error) || error.code !== 'AlreadyExists') throw error;
}

const now = new Date().toISOString().replace(/\.\d+/, '');
const ready = { type: 'Ready', status: 'True', reason: 'VirtualNodeReady', message: 'ready' };
await transport.request({
  method: 'PATCH',
  what: `say that node ${name} is ready`,
  path: `${path}/status`,
  contentType: 'application/merge-patch+json',
  body: { status: { conditions: [{ ...ready, lastHeartbeatTime: now, lastTransitionTime: now }] } },
});

const heartbeat = new Heartbeat({
  store,
  nodes: createNodesApi({ transport, clock, random, names: [name] }),
  clock,
  random,
  // Short, so that there is something to see; a kubelet's are 10 and 40 seconds, which are the defaults.
  renewIntervalMs: 1_000,
  leaseDurationSeconds: 4,
  observe: (event) => {
    if (event.type === 'claimed') console.log(`${name}: the heartbeat is ${event.how}`);
    if (event.type === 'failed') console.log(`${name}: ${event.error.message}`);
  },
});
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
process.once('SIGINT', () => stop.abort());
await heartbeat.run(stop.signal);
await transport.request({ method: 'DELETE', what: `delete node ${name}`, path });
await api.close();
console.log(`${name}: the Node is deleted`);
