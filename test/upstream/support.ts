/**
 * What the tests of upstream's own assertions share. They drive the program's commands, and look at the API server alone.
 *
 * A test is named after where upstream asserts something, and after what. The API server is the one that KUBEBUILDER_ASSETS
 * names: a full kube-apiserver, or a reduced one, which has no controllers of its own. What only a full one can show is
 * skipped by name on the other.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { HttpProxy } from '../support/http-proxy.ts';
import { startHttpProxy } from '../support/http-proxy.ts';
import type { Program } from '../support/process.ts';
import { startRealApi } from '../support/real-api.ts';
import type { RealApi, RealApiOptions } from '../support/real-api.ts';
import { seenReal } from '../e2e/support.ts';
import type { LeaseJson, Seen } from '../e2e/support.ts';

/** Why a test is skipped on a reduced API server. */
export const REDUCED = 'this API server is a reduced one (it serves no pods): it has no controllers of its own';

/** The label of identity leases, and what it says of a kube-apiserver. */
export const IDENTITY = { 'apiserver.kubernetes.io/identity': 'kube-apiserver' };

export interface Server {
  readonly api: RealApi;
  readonly at: Seen;
  readonly kubeconfig: string;
  /** It serves pods. */
  readonly full: boolean;
}

export async function startServer(options: RealApiOptions = {}): Promise<Server> {
  const api = await startRealApi(options);
  const { resources } = await api.json<{ resources: { name: string }[] }>('GET', '/api/v1');
  const full = resources.some(({ name }) => name === 'pods');
  return { api, at: seenReal(api), kubeconfig: await api.kubeconfig(), full };
}

/** A way to the server that logs what one program asks of it, and can lose it. */
export async function throughProxy(t: TestContext, { api }: Server): Promise<{ proxy: HttpProxy; kubeconfig: string }> {
  const proxy = await startHttpProxy(api.url, await api.tls());
  t.after(() => proxy.close());
  return { proxy, kubeconfig: await api.kubeconfig({ server: proxy.url }) };
}

/** A time that lies so many seconds back, with six digits, as a Lease has it. */
export const ago = (seconds: number): string =>
  new Date(Date.now() - seconds * 1_000).toISOString().replace(/Z$/, '000Z');

export interface Sketch {
  readonly name: string;
  /** Default kube-system. */
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly spec?: LeaseJson['spec'];
}

export const pathOf = (namespace: string, name = ''): string =>
  `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases${name && `/${name}`}`;

const objectOf = ({ name, namespace = 'kube-system', labels = {}, spec = {} }: Sketch): object => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name, namespace, labels },
  spec,
});

export async function makeLease({ at }: Server, sketch: Sketch): Promise<LeaseJson> {
  const { status, json } = await at.call('POST', pathOf(sketch.namespace ?? 'kube-system'), objectOf(sketch));
  assert.equal(status, 201, JSON.stringify(json));
  return json as LeaseJson;
}

/** Writes a Lease into etcd, past the server: only so can its creation lie hours back. */
export async function plantLease({ api }: Server, sketch: Sketch, createdAgoSeconds: number): Promise<void> {
  const object = objectOf(sketch) as { metadata: object };
  const creationTimestamp = `${ago(createdAgoSeconds).slice(0, 19)}Z`;
  const metadata = { ...object.metadata, uid: crypto.randomUUID(), creationTimestamp };
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const key = base64(`/registry/leases/${sketch.namespace ?? 'kube-system'}/${sketch.name}`);
  const value = base64(JSON.stringify({ ...object, metadata }));
  const answer = await fetch(`${api.etcdUrl}/v3/kv/put`, { method: 'POST', body: JSON.stringify({ key, value }) });
  assert.ok(answer.ok, await answer.text());
}

export async function leaseAt({ at }: Server, namespace: string, name: string): Promise<LeaseJson | undefined> {
  const { status, json } = await at.call('GET', pathOf(namespace, name));
  return status === 200 ? (json as LeaseJson) : undefined;
}

export async function leasesOf({ at }: Server, namespace: string, selector = ''): Promise<readonly LeaseJson[]> {
  const { status, json } = await at.call('GET', `${pathOf(namespace)}?labelSelector=${encodeURIComponent(selector)}`);
  assert.equal(status, 200, JSON.stringify(json));
  return (json as { items: LeaseJson[] }).items;
}

/** SIGTERM, and its end. */
export async function stop(program: Program): Promise<void> {
  program.signal('SIGTERM');
  assert.equal((await program.exitWithin(60_000)).code, 0, program.output());
}

/** Where a program that was given port 0 serves, from its log. */
export const urlIn = (line: string): string => / url="?(http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1] ?? line;
