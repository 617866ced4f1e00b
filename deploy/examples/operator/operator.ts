/**
 * An operator of which all replicas work: each handles the Nodes of its share, by client-node's informer.
 * `node operator.ts NAME`, until SIGTERM.
 */
import { createHash } from 'node:crypto';
import { CoreV1Api, KubeConfig, makeInformer } from '@kubernetes/client-node';
import type { V1Node } from '@kubernetes/client-node';
import { openLeases } from 'leasekeeper';
import type { ShardTerm } from 'leasekeeper';

const SLOTS = 16;
const [, , id = ''] = process.argv;
const kubeConfig = new KubeConfig();
kubeConfig.loadFromDefault();
const leases = await openLeases({ kubeConfig });
const api = kubeConfig.makeApiClient(CoreV1Api);

/** Which share an object is in: the same for every replica. */
const slotOf = ({ metadata }: V1Node): number =>
  createHash('sha256')
    .update(metadata?.uid ?? '')
    .digest()
    .readUInt32BE() % SLOTS;

const mine = new Map<number, ShardTerm>();
const informer = makeInformer(kubeConfig, '/api/v1/nodes', () => api.listNode());
const handle = (node: V1Node): void => {
  // 0 as soon as the share may be another's.
  if (!mine.get(slotOf(node))?.remainingMs) return;
  console.log(`${id} handles ${node.metadata?.name}`);
};
informer.on('add', handle);
informer.on('update', handle);
// An informer of client-node ends at its first error.
informer.on('error', () => setTimeout(() => void informer.start(), 1_000));

const shards = leases.shards(
  'operator',
  SLOTS,
  async (term) => {
    const slot = Number(term.key);
    mine.set(slot, term);
    // What came while the slot was another's.
    for (const node of informer.list()) if (slotOf(node) === slot) handle(node);
    await new Promise<void>((resolve) => term.signal.addEventListener('abort', () => resolve(), { once: true }));
    mine.delete(slot);
  },
  { id },
);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort());
await informer.start();
await shards.run(stop.signal);
await informer.stop();
await leases.close();
