/**
 * The manifests of deploy/ on a real API server: whatever it serves of their kinds takes them as they are, strictly; and
 * the admission policy refuses strangers, where the server has such policies. Kinds that a server does not have are checked
 * by their published schemas: see test/deploy.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { leaseName } from '../../src/lease/names.ts';
import { DEPLOY, allObjects, documents } from '../deploy/support.ts';
import type { Manifest } from '../deploy/support.ts';
import { runProgram } from '../support/process.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { LABEL, LEASES, kubectlSkip, until } from './support.ts';

/** The collection of an object's kind; undefined: the server has none. */
async function collection(api: RealApi, { apiVersion, kind, metadata }: Manifest): Promise<string | undefined> {
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const { status, text } = await api.request('GET', base);
  if (status !== 200) return undefined;
  const { resources } = JSON.parse(text) as { resources: { name: string; kind: string }[] };
  const found = resources.find((resource) => resource.kind === kind && !resource.name.includes('/'));
  const namespace = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
  return found && `${base}${namespace}/${found.name}`;
}

describe('the manifests of deploy/ on a real API server', { skip: realApiSkip() }, () => {
  it('are taken as they are', async (t) => {
    const api = await startRealApi();
    t.after(() => api.stop());
    const taken: string[] = [];
    const unknown = new Set<string>();
    // Anyone who has the Prometheus operator has its namespace.
    await api.createNamespace('monitoring');
    const rank = ({ kind }: Manifest): number => (kind === 'Namespace' ? 0 : 1);
    for (const object of allObjects().toSorted((a, b) => rank(a) - rank(b))) {
      const path = await collection(api, object);
      const what = `${object.kind} ${object.metadata.name}`;
      if (path === undefined) {
        unknown.add(object.kind);
        continue;
      }
      const headers = { 'content-type': 'application/apply-patch+yaml' };
      const at = `${path}/${object.metadata.name}?fieldManager=kubectl&fieldValidation=Strict`;
      for (const dryRun of ['&dryRun=All', '']) {
        const { status, text, headers: answered } = await api.request('PATCH', `${at}${dryRun}`, object, { headers });
        assert.ok(status === 200 || status === 201, `${what}: ${status} ${text}`);
        assert.equal(answered['warning'], undefined, what);
      }
      taken.push(what);
    }
    for (const kind of ['Namespace leasekeeper', 'Role leasekeeper-sweep', 'ClusterRoleBinding leasekeeper-heartbeat'])
      assert.ok(taken.includes(kind), kind);
    t.diagnostic(
      `${taken.length} objects taken; kinds that this server does not have: ${[...unknown].sort().join(', ')}`,
    );
  });

  it('kubectl apply takes what rbac prints, and an overlay', { skip: kubectlSkip() }, async (t) => {
    const api = await startRealApi();
    t.after(() => api.stop());
    const kubeconfig = await api.kubeconfig();
    const { stdout: printed, code } = await runProgram(['rbac']);
    assert.equal(code, 0);
    const apply = (input: string, ...args: readonly string[]): readonly string[] => {
      const run = spawnSync('kubectl', ['--kubeconfig', kubeconfig, 'apply', ...args], { encoding: 'utf8', input });
      assert.deepEqual([run.status, run.stderr], [0, ''], run.stdout);
      return run.stdout.trim().split('\n');
    };
    const created = apply(printed, '-f', '-');
    assert.equal(created.length, 10);
    for (const line of created) assert.match(line, /^(cluster)?role(binding)?\..* created$/);
    assert.ok(apply(printed, '-f', '-').every((line) => line.endsWith(' unchanged')));
    assert.equal(apply('', '-k', join(DEPLOY, 'overlays/sidecar')).length, 2);
  });

  it('the admission policy lets only API servers and leasekeeper write identity leases', async (t) => {
    const api = await startRealApi();
    t.after(() => api.stop());
    const [policy, binding] = documents('overlays/admission/policy.yaml');
    const policies = await collection(api, policy!);
    if (policies === undefined) return t.skip('this server has no ValidatingAdmissionPolicies');
    await api.json('POST', policies, policy);
    await api.json('POST', (await collection(api, binding!))!, binding);
    const as = async (user: string, method: string, path: string, body?: unknown): Promise<number> =>
      (
        await api.request(method, path, body, {
          headers: { 'impersonate-user': user, 'impersonate-group': 'system:masters' },
        })
      ).status;
    const named = (name: string, labels = {}): object => ({
      metadata: { name, labels },
      spec: { holderIdentity: 'x' },
    });
    const identity = { [LABEL]: 'kube-apiserver' };
    // A policy takes a moment to be in force.
    await until(
      'the policy',
      async () => (await as('stranger', 'POST', `${LEASES}?dryRun=All`, named('x', identity))) === 403,
    );
    const publisher = 'system:serviceaccount:leasekeeper:leasekeeper-publish';
    const sweeper = 'system:serviceaccount:leasekeeper:leasekeeper-sweep';
    const name = leaseName('a');
    assert.equal(await as('stranger', 'POST', LEASES, named(name)), 403, 'a name of theirs without the label');
    assert.equal(await as('stranger', 'POST', LEASES, named('another')), 201, 'every other lease');
    assert.equal(await as(sweeper, 'POST', LEASES, named(name, identity)), 403);
    assert.equal(await as(publisher, 'POST', LEASES, named(name, identity)), 201);
    assert.equal(await as('stranger', 'DELETE', `${LEASES}/${name}`), 403);
    assert.equal(await as(sweeper, 'DELETE', `${LEASES}/${name}`), 200);
    for (const user of ['system:apiserver', 'leasekeeper-sidecar', publisher]) {
      assert.equal(await as(user, 'POST', LEASES, named(name, identity)), 201, user);
      assert.equal(await as(user, 'DELETE', `${LEASES}/${name}`), 200, user);
    }
  });
});
