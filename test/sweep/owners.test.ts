/** Heartbeats whose Node is gone, and no other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeEvent, NodeSource } from '../../src/lease/node-source.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { World } from './world.ts';

const NAMESPACE = 'kube-node-lease';

/** Nodes by name, as they are when they are listed. */
function nodesOf(names: () => readonly string[] | LeaseStoreError | undefined): NodeSource & { open: number } {
  const source = {
    open: 0,
    async *watch(signal: AbortSignal): AsyncIterable<NodeEvent> {
      source.open++;
      try {
        const now = names();
        if (now instanceof LeaseStoreError) yield { type: 'lost', error: now };
        else if (now) yield { type: 'list', nodes: now.map((name) => ({ name, uid: `uid-${name}` })) };
        if (!signal.aborted)
          await new Promise<void>((r) => signal.addEventListener('abort', () => r(), { once: true }));
      } finally {
        source.open--;
      }
    },
  };
  return source;
}

function setup(names: () => readonly string[] | LeaseStoreError | undefined = () => ['there', 'not-ready']) {
  const world = new World();
  const nodes = nodesOf(names);
  for (const [name, age] of [
    ['there', 1],
    ['not-ready', 5_000],
    ['gone', 5_000],
    ['gone-just-now', 1],
  ] as const)
    world.put(name, { age, duration: 40 }, { namespace: NAMESPACE, labels: {} });
  const pass = (more: object = {}) =>
    world.pass({ namespace: NAMESPACE, labelSelector: '!leasekeeper.dev/kind', nodes, ...more });
  return { world, nodes, pass };
}

test('what has no Node in both looks goes, expired or not; a Node that is not ready keeps its lease', async () => {
  const { world, nodes, pass } = setup();
  const { outcome, kept, deleted } = await pass();
  assert.deepEqual([outcome, deleted, kept.owned], ['completed', 2, 2]);
  assert.deepEqual(world.deletions().sort(), ['gone', 'gone-just-now']);
  assert.equal(world.of('deleted')[0]?.lease.ownerGone, true);
  assert.equal(nodes.open, 0);
  assert.equal(world.clock.pending, 0);
});

test('a Node that comes back, a kubelet that renews, and a lease that is new stay', async () => {
  let looks = 0;
  const { world, pass } = setup(() => (++looks === 1 ? ['there', 'not-ready'] : ['there', 'not-ready', 'gone']));
  world.clock.schedule(10_000, () => {
    world.store.edit({ namespace: NAMESPACE, name: 'gone-just-now' }, () => ({ spec: { renewTime: world.now } }));
    world.put('new', { age: 1, duration: 40 }, { namespace: NAMESPACE, labels: {} });
  });
  const { kept } = await pass();
  assert.deepEqual(world.deletions(), []);
  assert.deepEqual([kept.owned, kept.changed], [4, 1]);
});

test('other namespaces and other kinds stay', async () => {
  const { world, pass } = setup();
  world.put('elsewhere', { age: 5_000, duration: 40 });
  world.put('lock', { age: 5_000, duration: 40 }, { namespace: NAMESPACE, labels: { 'leasekeeper.dev/kind': 'lock' } });
  await pass();
  assert.deepEqual(world.deletions().sort(), ['gone', 'gone-just-now']);
});

test('whatever the selector finds, what is no heartbeat stays', async () => {
  const { world, pass } = setup();
  const labels = { 'leasekeeper.dev/kind': 'shard' };
  world.put('ring-k-0', { age: 5_000, duration: 40 }, { namespace: NAMESPACE, labels });
  world.put(
    'future',
    { age: 5_000, duration: 40 },
    { namespace: NAMESPACE, labels: { 'leasekeeper.dev/kind': 'new' } },
  );
  const { kept } = await pass({ labelSelector: '!other' });
  assert.deepEqual([world.deletions().sort(), kept.election], [['gone', 'gone-just-now'], 2]);
  // Identity leases, one of them of a server that is about to come back.
  world.put('server', { age: 60, duration: 3_600 });
  await world.pass({ nodes: nodesOf(() => ['there']) });
  await world.pass({ namespace: 'kube-system', labelSelector: '!other', nodes: nodesOf(() => ['there']) });
  assert.ok(!world.deletions().includes('server'));
});

test('no Node at all, Nodes that cannot be listed, or not in time: nothing goes', async () => {
  const none = setup(() => []);
  assert.equal((await none.pass()).because, 'noNodes');
  assert.deepEqual(none.world.deletions(), []);
  assert.equal((await none.pass({ allowAll: true })).deleted, 4);
  for (const answer of [new LeaseStoreError('Forbidden', { message: 'no' }), undefined]) {
    const blind = setup(() => answer);
    const result = await blind.pass();
    assert.deepEqual(
      [result.outcome, result.because, result.error?.code],
      ['void', 'listFailed', answer ? 'Forbidden' : 'Timeout'],
    );
    assert.deepEqual(blind.world.deletions(), []);
    assert.equal(blind.nodes.open, 0);
  }
});
