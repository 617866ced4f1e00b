/**
 * A virtual node: makes a Node object, says once that it is ready, and keeps its heartbeat, as a kubelet does.
 * `node virtual-node.ts NAME`, until SIGTERM; then the Node is deleted.
 */
import { ApiException, CoreV1Api, KubeConfig, PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { openLeases } from 'leasekeeper';

const [, , name = ''] = process.argv;
const kubeConfig = new KubeConfig();
kubeConfig.loadFromDefault();
const api = kubeConfig.makeApiClient(CoreV1Api);
const leases = await openLeases({ kubeConfig });

// Nothing is scheduled here by accident.
const spec = { taints: [{ key: 'example.com/virtual', effect: 'NoSchedule' }] };
try {
  await api.createNode({ body: { metadata: { name, labels: { type: 'virtual' } }, spec } });
} catch (error) {
  // It is there from an earlier start: its heartbeat is taken over.
  if (!(error instanceof ApiException && error.code === 409)) throw error;
}

const now = new Date().toISOString().replace(/\.\d+/, '');
const ready = { type: 'Ready', status: 'True', reason: 'VirtualNodeReady', message: 'ready' };
const status = { conditions: [{ ...ready, lastHeartbeatTime: now, lastTransitionTime: now }] };
const mergePatch = setHeaderOptions('Content-Type', PatchStrategy.MergePatch);
await api.patchNodeStatus({ name, body: { status } }, mergePatch);

const heartbeat = leases.heartbeat([name], {
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
await api.deleteNode({ name });
await leases.close();
console.log(`${name}: the Node is deleted`);
