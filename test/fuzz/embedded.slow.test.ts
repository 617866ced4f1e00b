/** Fuzzing the embedded API server: bodies of every kind, patches, selectors, queries, media types, discovery of none. */
import assert from 'node:assert/strict';
import { before } from 'node:test';
import fc from '../support/fast-check.ts';
import { ApiError } from '../../src/embedded/status-errors.ts';
import { loadYaml } from '../../src/embedded/objects/object-body.ts';
import { fromProtobuf } from '../../src/embedded/objects/protobuf.ts';
import { SelectorError, parseFieldSelector, parseLabelSelector } from '../../src/embedded/store/selectors.ts';
import type { Json } from '../embedded/support.ts';
import { LEASES, TestApi, lease } from '../embedded/support.ts';
import { parseLease } from '../../src/lease/lease.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { matcher } from '../support/selectors.ts';
import { fuzz, nearly, onlyThrows, texts } from './fuzz.ts';

before(() => loadYaml());

const ONE = `${LEASES}/one`;
const TIME = '2026-01-02T03:04:05.123456Z';
const WHOLE = lease(
  'one',
  { acquireTime: TIME, renewTime: TIME, leaseTransitions: 1 },
  {
    labels: { a: 'b' },
    annotations: { c: 'd' },
    finalizers: ['x/y'],
    ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' }],
  },
);
const json = (value: unknown): string => onlyThrows(RangeError, () => JSON.stringify(value)) ?? '';

interface Sent {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly type: string;
  readonly accept?: string;
}

/** A whole life of an object, with one request that is odd: an answer that a Kubernetes client understands, and a server that goes on. */
function answersWell({ method, url, body, type, accept = '' }: Sent): void {
  const api = new TestApi();
  assert.equal(api.call('POST', LEASES, lease('one')).status, 201);
  const { status, body: answer } = api.call(method, url, body, { 'content-type': type, accept });
  assert.ok(status >= 200 && status < 600, String(status));
  if (status >= 400 && answer['kind'] === 'Status') assert.equal(answer['code'], status);
  // Kubernetes answers 500 to some bodies, in words of its own; anything else would be a bug here.
  if (status === 500) assert.doesNotMatch(json(answer), /Internal error occurred/);
  const { status: after, body: list } = api.get(LEASES);
  assert.equal(after, 200);
  for (const item of list['items'] as Json[]) parseLease(item);
}

const methods = fc.constantFrom('POST', 'PUT', 'DELETE');
const urlOf = (method: string): string => (method === 'POST' ? LEASES : ONE);

fuzz(
  'embedded: JSON bodies',
  fc.record({ method: methods, body: fc.oneof(nearly(WHOLE).map(json), texts([json(WHOLE)])) }),
  ({ method, body }) => {
    answersWell({ method, url: urlOf(method), body, type: 'application/json' });
  },
  { runs: 800 },
);

const PATCHES = {
  'application/merge-patch+json': nearly({ metadata: { labels: { a: null } }, spec: { holderIdentity: 'h' } }),
  'application/strategic-merge-patch+json': nearly({
    metadata: { ownerReferences: [{ $patch: 'delete', uid: 'u' }], $retainKeys: ['name'] },
  }),
  'application/json-patch+json': nearly([
    { op: 'replace', path: '/spec/holderIdentity', value: 'h' },
    { op: 'test', path: '/metadata/name', value: 'one' },
    { op: 'move', from: '/spec', path: '/x' },
  ]),
  'application/apply-patch+yaml': nearly({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'one' },
    spec: { holderIdentity: 'h' },
  }),
};
for (const [type, patch] of Object.entries(PATCHES)) {
  fuzz(
    `embedded: ${type}`,
    fc.oneof(
      patch.map(json),
      texts(['{"spec":{"holderIdentity":"h"}}', 'spec: {holderIdentity: h}\n'], ['&a', '*a', '<<: ', '- ']),
    ),
    (body) => {
      // The YAML parser takes its time over what is long and wrong.
      if (type.endsWith('yaml') && body.length > 8_000) return;
      answersWell({ method: 'PATCH', url: `${ONE}?fieldManager=fuzz&force=true`, body, type });
    },
    { boundMs: 1_000 },
  );
}

const QUERIES = [
  'limit=1&continue=abc',
  'labelSelector=a%3Db',
  'fieldSelector=metadata.name%3Done',
  'resourceVersion=5&resourceVersionMatch=Exact',
  'watch=true&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan',
  'dryRun=All&fieldValidation=Strict',
  'propagationPolicy=Orphan&gracePeriodSeconds=-1',
];
fuzz(
  'embedded: paths and queries',
  fc.record({
    path: texts([LEASES, ONE, '/apis', '/api/v1/nodes/a/status', '/apis/coordination.k8s.io/v1/leases']),
    query: texts(QUERIES, ['&', '=', '%', '%00', '&limit=-1']),
    method: fc.constantFrom('GET', 'DELETE', 'POST'),
  }),
  ({ path, query, method }) => {
    answersWell({ method, url: `/${path.replace(/^\/+/, '')}?${query}`, body: '', type: '' });
  },
  { runs: 800 },
);

fuzz(
  'embedded: Accept and Content-Type',
  fc.record({
    accept: texts(['application/json;as=Table;g=meta.k8s.io;v=v1,application/json', '*/*', 'application/json;q=0.9']),
    type: texts(['application/json; charset=utf-8', 'application/yaml', 'application/vnd.kubernetes.protobuf']),
  }),
  ({ accept, type }) => {
    answersWell({ method: 'GET', url: LEASES, body: '', type: '', accept });
    answersWell({ method: 'PUT', url: ONE, body: json(WHOLE), type, accept });
  },
);

/** A message of Kubernetes' protobuf, written by hand: fields with their wire types. */
const field = (number: number, content: Buffer): Buffer =>
  Buffer.concat([Buffer.from([(number << 3) | 2, content.length]), content]);
const text = (number: number, value: string): Buffer => field(number, Buffer.from(value));
const META = Buffer.concat([
  text(1, 'one'),
  text(3, 'kube-system'),
  field(11, Buffer.concat([text(1, 'a'), text(2, 'b')])),
  text(14, 'x/y'),
]);
const SPEC = Buffer.concat([
  text(1, 'h'),
  Buffer.from([2 << 3, 60]),
  field(3, Buffer.from([8, 1, 16, 200, 1])),
  Buffer.from([5 << 3, 7]),
]);
const RAW = Buffer.concat([field(1, META), field(2, SPEC)]);
const PROTOBUF = Buffer.concat([
  Buffer.from('k8s\0'),
  field(1, Buffer.concat([text(1, 'coordination.k8s.io/v1'), text(2, 'Lease')])),
  field(2, RAW),
]);

fuzz(
  'embedded: protobuf bodies',
  fc.oneof(
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.concat([PROTOBUF.subarray(0, 4), bytes])),
    fc
      .array(fc.tuple(fc.nat(PROTOBUF.length - 1), fc.oneof(fc.nat(255), fc.constantFrom(0x80, 0xff, 0))), {
        maxLength: 4,
      })
      .map((edits) => {
        const bytes = Buffer.from(PROTOBUF);
        for (const [at, value] of edits) bytes[at] = value;
        return bytes;
      }),
    fc.nat(PROTOBUF.length).map((length) => PROTOBUF.subarray(0, length)),
  ),
  (bytes) => {
    const decoded = onlyThrows(ApiError, () => fromProtobuf(bytes));
    if (decoded === undefined) return;
    answersWell({ method: 'PUT', url: ONE, body: json(decoded), type: 'application/json' });
    if (bytes.equals(PROTOBUF)) assert.equal((decoded['spec'] as Json)['leaseDurationSeconds'], 60);
  },
  { runs: 2_000 },
);

const LABELS = [{}, { a: 'b' }, { a: '', c: 'd' }, { 'x/y': 'b', a: 'c' }];
fuzz(
  'label selectors',
  texts(
    ['a=b,c!=d', 'a in (b,c),!x/y', 'x/y notin (b)', 'a==b', 'a', ' a = b , c '],
    ['in', 'notin', '(', ')', '!', '>', '<', '5'],
  ),
  (selector) => {
    const mine = onlyThrows(SelectorError, () => ({ matches: parseLabelSelector(selector) }));
    // It takes the square of the length, too.
    if (selector.length > 1_000) return;
    const other = onlyThrows(LeaseStoreError, () => matcher({ namespace: '', labelSelector: selector }));
    // The other one was written apart, and reads less: numbers and odd spaces it refuses.
    if (!mine || !other || /[<>]/.test(selector)) return;
    for (const labels of LABELS) {
      const one = parseLease({ metadata: { name: 'one', labels } });
      assert.equal(
        mine.matches?.(labels) ?? true,
        other(one),
        `${JSON.stringify(selector)} on ${JSON.stringify(labels)}`,
      );
    }
  },
  { runs: 2_000 },
);

fuzz(
  'field selectors',
  texts(['metadata.name=one', 'metadata.name!=one,metadata.namespace==kube-system', 'metadata.name=a\\,b']),
  (selector) => {
    const fields = ['metadata.name', 'metadata.namespace'];
    const parsed = onlyThrows(SelectorError, () => parseFieldSelector(selector, fields));
    for (const requirement of parsed ?? []) assert.ok(fields.includes(requirement.field));
  },
  { runs: 1_000 },
);
