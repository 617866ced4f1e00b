/** The Kubernetes objects in the documents: a real API server takes each of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { schemaProblems } from '../deploy/schema.ts';
import type { Manifest } from '../deploy/support.ts';
import { blocks, markdownFiles } from './markdown.ts';

/** Where a real API server takes them. */
const PATHS: Readonly<Record<string, string>> = {
  Role: '/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles',
  RoleBinding: '/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings',
  ConfigMap: '/api/v1/namespaces/default/configmaps',
  Lease: '/apis/coordination.k8s.io/v1/namespaces/default/leases',
  Pod: '/api/v1/namespaces/default/pods',
};

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
}

/** But for our own configuration, and for what kubeadm reads from a file: no API server knows it, and kubeadm is not here. */
const objects = markdownFiles()
  .flatMap((file) => blocks(file).blocks)
  .filter(({ language }) => language === 'yaml')
  .flatMap(({ file, line, text }) =>
    parseAllDocuments(text).map((document) => ({
      where: `${file}:${line}`,
      object: document.toJS() as KubernetesObject,
    })),
  )
  .filter(({ object }) => !/^(leasekeeper\.dev|kubeadm\.k8s\.io)\//.test(object.apiVersion));

test('every Kubernetes object is of a kind that is known here', () => {
  assert.deepEqual(
    objects.filter(({ object }) => !(object.kind in PATHS)).map(({ where }) => where),
    [],
  );
});

test('each has fields and types that Kubernetes knows', () => {
  for (const { where, object } of objects) assert.deepEqual(schemaProblems(object as Manifest), [], where);
});

const skip = objects.length === 0 ? 'there is none' : realApiSkip();
test('a real API server takes every Kubernetes object', { skip, timeout: 600_000 }, async (t) => {
  const api = await startRealApi();
  t.after(() => api.stop());
  let taken = 0;
  for (const { where, object } of objects) {
    const path = `${PATHS[object.kind]}?dryRun=All&fieldValidation=Strict`;
    const { status, text } = await api.request('POST', path, object, {
      headers: { 'content-type': 'application/json' },
    });
    // A reduced server serves no Pods; its answer names no object then.
    if (status === 404 && /"details":\{\}/.test(text)) t.diagnostic(`${where}: this server serves no ${object.kind}`);
    else {
      assert.equal(status, 201, `${where}: ${text}`);
      taken += 1;
    }
  }
  if (taken === 0) t.skip('this server serves none of their kinds');
});
