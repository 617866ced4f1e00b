/** Bodies with a value of a wrong type at each place, above all objects that JavaScript cannot turn into text. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { loadYaml } from '../../src/embedded/objects/object-body.ts';
import { LEASES, TestApi, lease } from './support.ts';
import type { Json } from './support.ts';

before(() => loadYaml());

const ONE = `${LEASES}/one`;
const TIME = '2026-01-02T03:04:05.123456Z';
const HOSTILE: readonly unknown[] = [
  { toString: '' },
  { toString: 1, valueOf: 2 },
  { toJSON: 1 },
  { __proto__: null, constructor: null },
  {},
  [],
  [{ toString: '' }],
  5,
  true,
  null,
  '',
];

/** The value with each place of it, itself too, replaced by each of these. */
function* replaced(value: unknown, by: readonly unknown[]): Generator<unknown> {
  yield* by;
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    for (const other of replaced(inner, by)) {
      if (Array.isArray(value)) yield value.map((item: unknown, i) => (String(i) === key ? other : item));
      else yield { ...value, [key]: other };
    }
  }
}

const WHOLE = lease(
  'one',
  { acquireTime: TIME, renewTime: TIME, leaseTransitions: 1 },
  {
    generateName: 'o',
    labels: { a: 'b' },
    annotations: { c: 'd' },
    finalizers: ['x/y'],
    ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u', controller: true }],
    managedFields: [
      {
        manager: 'm',
        operation: 'Update',
        apiVersion: 'coordination.k8s.io/v1',
        time: '2026-01-02T03:04:05Z',
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:spec': { 'f:holderIdentity': {} } },
      },
    ],
  },
);
const { managedFields: _none, ...metadata } = WHOLE['metadata'] as Json;
const EVENT = {
  apiVersion: 'v1',
  kind: 'Event',
  metadata: { name: 'e', namespace: 'kube-system' },
  involvedObject: { kind: 'Node', name: 'n', namespace: 'kube-system' },
  source: { component: 'c', host: 'h' },
  reason: 'r',
  message: 'm',
  type: 'Normal',
  count: 1,
  eventTime: TIME,
  action: 'a',
  reportingComponent: 'c',
  reportingInstance: 'i',
  series: { count: 2, lastObservedTime: TIME },
};
const NODE = {
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'n' },
  spec: { unschedulable: true, taints: [{ key: 'k', effect: 'NoSchedule' }] },
  status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion: 'v1' } },
};

const ENTRIES: readonly (readonly [name: string, method: string, url: string, type: string, body: unknown])[] = [
  ['create', 'POST', LEASES, 'json', WHOLE],
  ['create an Event', 'POST', '/api/v1/namespaces/kube-system/events', 'json', EVENT],
  ['create a Node', 'POST', '/api/v1/nodes', 'json', NODE],
  ['update', 'PUT', ONE, 'json', WHOLE],
  ['delete', 'DELETE', ONE, 'json', { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid: 'u' } }],
  ['delete many', 'DELETE', LEASES, 'json', { propagationPolicy: 'Orphan', dryRun: ['All'], gracePeriodSeconds: 1 }],
  ['merge patch', 'PATCH', ONE, 'merge-patch+json', WHOLE],
  ['strategic merge patch', 'PATCH', ONE, 'strategic-merge-patch+json', WHOLE],
  [
    'strategic merge patch with directives',
    'PATCH',
    ONE,
    'strategic-merge-patch+json',
    {
      $patch: 'replace',
      metadata: {
        $retainKeys: ['name'],
        ownerReferences: [{ $patch: 'delete', uid: 'u' }],
        '$setElementOrder/ownerReferences': [{ uid: 'u' }],
        '$deleteFromPrimitiveList/finalizers': ['x/y'],
      },
    },
  ],
  [
    'JSON patch',
    'PATCH',
    ONE,
    'json-patch+json',
    [
      { op: 'replace', path: '/spec/holderIdentity', value: 'h' },
      { op: 'copy', path: '/x', from: '/spec' },
      { op: 'test', path: '/metadata/name', value: 'one' },
    ],
  ],
  ['apply', 'PATCH', `${ONE}?fieldManager=f`, 'apply-patch+yaml', { ...WHOLE, metadata }],
  ['forced apply', 'PATCH', `${ONE}?fieldManager=f&force=true`, 'apply-patch+yaml', WHOLE],
];

for (const [name, method, url, type, body] of ENTRIES) {
  test(`${name}: no value of a wrong type is an error of the server's own`, () => {
    let sent = 0;
    for (const accept of ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf']) {
      for (const wrong of replaced(body, HOSTILE)) {
        const api = new TestApi();
        api.call('POST', LEASES, lease('one'));
        const text = JSON.stringify(wrong);
        const answer = api.api.handle({
          method,
          url,
          headers: { 'content-type': `application/${type}`, accept },
          body: text,
        });
        assert.doesNotMatch(answer.body, /Internal error occurred/, text);
        assert.equal(api.get(LEASES).status, 200);
        sent++;
      }
    }
    assert.ok(sent > 100, String(sent));
  });
}

test('what is no text where the kind, the version or an operation belongs is refused as Kubernetes refuses it', () => {
  const noText = (field: string): string =>
    `json: cannot unmarshal object into Go struct field ${field} of type string`;
  const version = `couldn't get version/kind; json parse error: `;
  const asked = `Lease in version "v1" cannot be handled as a Lease: ${version}`;
  const hostile = { toString: '' };
  const table: [string, string, string, unknown, number, string][] = [
    // The first of them was found by fuzzing.
    [
      'PATCH',
      `${ONE}?fieldManager=f&force=true`,
      'apply-patch+yaml',
      { apiVersion: hostile, kind: {}, metadata: { name: 'one' }, spec: { holderIdentity: 'h' } },
      400,
      'invalid object type: /, Kind=',
    ],
    ['PATCH', `${ONE}?fieldManager=f`, 'apply-patch+yaml', lease('one'), 409, ''],
    ['POST', LEASES, 'json', { ...lease('two'), kind: hostile }, 400, asked + noText('.kind')],
    ['PUT', ONE, 'json', { ...lease('one'), apiVersion: hostile }, 400, asked + noText('.apiVersion')],
    ['DELETE', ONE, 'json', { kind: hostile }, 400, version + noText('.kind')],
    ['DELETE', ONE, 'json', { kind: 'DeleteOptions', apiVersion: hostile }, 400, version + noText('.apiVersion')],
    ['DELETE', ONE, 'json', { kind: 'Pod' }, 400, 'no kind "Pod" is registered for version "v1"'],
    [
      'PATCH',
      ONE,
      'json-patch+json',
      [{ op: hostile, path: '/spec' }],
      400,
      `error decoding patch: ${noText('jsonPatchOp.op')}`,
    ],
    [
      'PATCH',
      ONE,
      'json-patch+json',
      [{ op: 'remove', path: hostile }],
      400,
      `error decoding patch: ${noText('jsonPatchOp.path')}`,
    ],
  ];
  for (const [method, url, type, body, status, message] of table) {
    const api = new TestApi();
    api.call('POST', LEASES, lease('one', { holderIdentity: 'someone' }));
    const { status: code, body: answer } = api.call(method, url, body, { 'content-type': `application/${type}` });
    assert.equal(code, status, JSON.stringify(body));
    if (message !== '') assert.equal(answer['message'], message);
  }
});
