/** Upstream's lease controller, as kubelet runs it: by `leasekeeper heartbeat`. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { realApiSkip } from '../support/real-api.ts';
import type { Program } from '../support/process.ts';
import { SIX_DIGITS, until } from '../e2e/support.ts';
import type { LeaseJson } from '../e2e/support.ts';
import { heartbeat, makeNode } from '../e2e/heartbeat-support.ts';
import { ago, leaseAt, makeLease, pathOf, startServer, throughProxy } from './support.ts';
import type { Server } from './support.ts';

const UNIT = 'staging/src/k8s.io/component-helpers/apimachinery/lease/controller_test.go';
const E2E = 'test/e2e/common/node/node_lease.go';
const NAMESPACE = 'kube-node-lease';

describe('lease controller', { skip: realApiSkip(), concurrency: 4 }, () => {
  let server: Server;
  before(async () => void (server = await startServer()));
  after(() => server?.api.stop());

  const beat = (t: TestContext, ...nodes: string[]): Program => beatTo(t, server.kubeconfig, ...nodes);
  const beatTo = (t: TestContext, kubeconfig: string, ...nodes: string[]): Program =>
    heartbeat(t, { at: server.at, kubeconfig }, ...nodes.flatMap((node) => ['--node', node]), '--renew-interval=500ms');
  const lease = (node: string): Promise<LeaseJson | undefined> => leaseAt(server, NAMESPACE, node);
  const renewal = (node: string, since?: string): Promise<LeaseJson> =>
    until(`a renewal of ${node}`, async () => {
      const now = await lease(node);
      return now?.spec.renewTime !== since && now;
    });
  const owners = (of: LeaseJson): unknown => (of.metadata as { ownerReferences?: unknown }).ownerReferences;
  const owner = (name: string, uid: string): unknown => [{ apiVersion: 'v1', kind: 'Node', name, uid }];
  /** A Lease as another kubelet left it. */
  const left = async (name: string, ownerReferences: unknown): Promise<LeaseJson> => {
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: ago(10) };
    const made = await makeLease(server, { name, namespace: NAMESPACE, spec });
    const { json } = await server.at.call('PATCH', pathOf(NAMESPACE, name), { metadata: { ownerReferences } });
    return { ...made, ...(json as LeaseJson) };
  };

  test(`${UNIT} TestNewNodeLease, TestUpdateUsingLatestLease: no lease is made before its Node is there`, async (t) => {
    await makeNode(server, 'there');
    beat(t, 'there', 'not-yet');
    const first = await renewal('there');
    await renewal('there', (await renewal('there', first.spec.renewTime)).spec.renewTime);
    assert.equal(await lease('not-yet'), undefined);
    const uid = await makeNode(server, 'not-yet');
    assert.deepEqual(owners(await renewal('not-yet')), owner('not-yet', uid));
  });

  test(`${UNIT} TestNewNodeLease; ${E2E} "should have OwnerReferences set": a new lease names its holder, duration and time, and its Node as the one owner`, async (t) => {
    const uid = await makeNode(server, 'new');
    beat(t, 'new');
    const made = await renewal('new');
    const { renewTime, ...rest } = made.spec;
    assert.deepEqual(rest, { holderIdentity: 'new', leaseDurationSeconds: 40 });
    assert.match(renewTime!, SIX_DIGITS);
    assert.deepEqual(owners(made), owner('new', uid));
  });

  test(`${E2E} "the kubelet should create and update a lease in the kube-node-lease namespace": its renewTime grows, the object stays`, async (t) => {
    await makeNode(server, 'growing');
    beat(t, 'growing');
    let last = await renewal('growing');
    for (let i = 0; i < 3; i++) {
      const next = await renewal('growing', last.spec.renewTime);
      assert.ok(next.spec.renewTime! > last.spec.renewTime!);
      assert.equal(next.metadata.uid, last.metadata.uid);
      last = next;
    }
  });

  test(`${UNIT} TestNewNodeLease: a lease found without an owner is renewed, and gets it`, async (t) => {
    const uid = await makeNode(server, 'ownerless');
    const before = await left('ownerless', null);
    beat(t, 'ownerless');
    const renewed = await renewal('ownerless', before.spec.renewTime);
    assert.deepEqual([renewed.metadata.uid, owners(renewed)], [before.metadata.uid, owner('ownerless', uid)]);
  });

  test(`${UNIT} TestNewNodeLease, TestUpdateUsingLatestLease: a lease found with its owner is renewed, and keeps it`, async (t) => {
    const uid = await makeNode(server, 'owned');
    const before = await left('owned', owner('owned', uid));
    beat(t, 'owned');
    const renewed = await renewal('owned', before.spec.renewTime);
    assert.deepEqual([renewed.metadata.uid, owners(renewed)], [before.metadata.uid, owner('owned', uid)]);
  });

  test(`${UNIT} TestRetryUpdateNodeLease: after an update that another writer’s made conflict it looks, and renews`, async (t) => {
    await makeNode(server, 'contended');
    const program = beat(t, 'contended');
    await renewal('contended');
    for (let i = 0; i < 3; i++) {
      const patch = { metadata: { annotations: { 'example.com/round': String(i) } } };
      const { json } = await server.at.call('PATCH', pathOf(NAMESPACE, 'contended'), patch);
      const now = await renewal('contended', (json as LeaseJson).spec.renewTime);
      assert.equal(now.metadata.annotations?.['example.com/round'], String(i), 'the other’s write stands');
    }
    assert.ok(program.running, program.output());
  });

  test(`${UNIT} TestRetryUpdateNodeLease: while updates fail there is no renewal, and the process stays; then it renews`, async (t) => {
    await makeNode(server, 'cut-off');
    const { proxy, kubeconfig } = await throughProxy(t, server);
    const program = beatTo(t, kubeconfig, 'cut-off');
    await renewal('cut-off');
    const failed = (): number => proxy.log.filter(({ method, spoiled }) => method === 'PUT' && spoiled).length;
    const restore = proxy.rule({ method: 'PUT', fault: { answer: { status: 504, body: 'Gateway Timeout' } } });
    await until('updates that fail', () => failed() > 0);
    const stuck = await lease('cut-off');
    const before = failed();
    await until('more of them', () => failed() >= before + 3);
    assert.equal((await lease('cut-off'))?.spec.renewTime, stuck?.spec.renewTime);
    restore();
    await renewal('cut-off', stuck?.spec.renewTime);
    assert.ok(program.running, program.output());
  });

  test(`${UNIT} TestUpdateUsingLatestLease: a lease that is gone is made again, with its owner`, async (t) => {
    const uid = await makeNode(server, 'deleted');
    beat(t, 'deleted');
    const before = await renewal('deleted');
    await server.at.call('DELETE', pathOf(NAMESPACE, 'deleted'));
    const again = await until('another lease', async () => {
      const now = await lease('deleted');
      return now && now.metadata.uid !== before.metadata.uid && now;
    });
    assert.deepEqual(owners(again), owner('deleted', uid));
  });
});
