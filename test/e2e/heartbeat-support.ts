/** A node's heartbeats as a process keeps them, for the tests against either server. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { Program } from '../support/process.ts';
import { startProgram } from '../support/process.ts';
import { AT_ONCE_MS, SIX_DIGITS, until } from './support.ts';
import type { Seen } from './support.ts';

export const NODES = '/api/v1/nodes';
export const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';

export interface World {
  readonly at: Seen;
  readonly kubeconfig: string;
}
export interface NodeLease {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Record<string, unknown>;
  readonly spec: { readonly renewTime: string };
}

/** A Node whose kubelet said once that it is ready, or not. */
export async function makeNode({ at }: World, name: string, labels = {}, ready = 'True'): Promise<string> {
  const conditions = [{ type: 'Ready', status: ready, reason: 'KubeletReady', message: '' }];
  const node = { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, status: { conditions } };
  const { status, json } = await at.call('POST', NODES, node);
  assert.equal(status, 201, JSON.stringify(json));
  return (json as { metadata: { uid: string } }).metadata.uid;
}
export const dropNode = ({ at }: World, name: string): Promise<unknown> => at.call('DELETE', `${NODES}/${name}`);

export async function lease({ at }: World, name: string): Promise<NodeLease | undefined> {
  const { status, json } = await at.call('GET', `${LEASES}/${name}`);
  return status === 200 ? (json as NodeLease) : undefined;
}
export const ownedBy = (world: World, name: string, uid: string): Promise<NodeLease> =>
  until(`a heartbeat of ${name} owned by ${uid}`, async () => {
    const found = await lease(world, name);
    const [owner] = (found?.metadata['ownerReferences'] ?? []) as { uid: string }[];
    return owner?.uid === uid && found;
  });

export const heartbeat = (t: TestContext, { kubeconfig }: World, ...args: readonly string[]): Program =>
  startProgram(['heartbeat', '--kubeconfig', kubeconfig, ...args], { t });

/** Where a program that was given port 0 serves. */
export async function urlOf(program: Program): Promise<string> {
  const line = await program.waitForLine(/http:\/\/127\.0\.0\.1:\d+/, { from: 'stderr' });
  return / url="?(http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1] ?? line;
}
export async function ask(url: string): Promise<{ status: number; body: string }> {
  const answer = await fetch(url);
  return { status: answer.status, body: await answer.text() };
}

/** The whole object as kubelet makes it, but for what only the server can say. */
export function assertKubelets({ apiVersion, kind, metadata, spec }: NodeLease, name: string, uid: string): void {
  const { uid: _uid, resourceVersion, creationTimestamp, managedFields: _, ...rest } = metadata;
  assert.ok(resourceVersion && creationTimestamp);
  const { renewTime, ...fixed } = spec;
  assert.match(renewTime, SIX_DIGITS);
  assert.deepEqual(
    { apiVersion, kind, metadata: rest, spec: fixed },
    {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name,
        namespace: 'kube-node-lease',
        ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid }],
      },
      spec: { holderIdentity: name, leaseDurationSeconds: 40 },
    },
  );
}

export async function story(t: TestContext, world: World): Promise<void> {
  const uid = await makeNode(world, 'virtual-1');
  const program = heartbeat(t, world, '--node', 'virtual-1', '--renew-interval', '500ms');
  const first = await ownedBy(world, 'virtual-1', uid);
  assertKubelets(first, 'virtual-1', uid);
  await until('a renewal', async () => {
    const now = await lease(world, 'virtual-1');
    return now?.spec.renewTime !== first.spec.renewTime;
  });

  await dropNode(world, 'virtual-1');
  await program.waitForLine(/the Node is gone/, { from: 'stderr' });
  const left = await lease(world, 'virtual-1');
  await new Promise((resolve) => setTimeout(resolve, 1_200));
  assert.equal((await lease(world, 'virtual-1'))?.spec.renewTime, left?.spec.renewTime, 'not renewed any more');

  const again = await makeNode(world, 'virtual-1');
  assert.notEqual(again, uid);
  assertKubelets(await ownedBy(world, 'virtual-1', again), 'virtual-1', again);

  program.signal('SIGTERM');
  const { code, sinceSignalMs } = await program.exitWithin(120_000);
  assert.equal(code, 0, program.output());
  assert.ok((sinceSignalMs ?? Infinity) < AT_ONCE_MS);
  assert.ok(await lease(world, 'virtual-1'), 'the lease stays');
}
