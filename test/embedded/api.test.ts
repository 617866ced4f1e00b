import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { fromProtobuf } from '../../src/embedded/objects/protobuf.ts';
import type { User } from '../../src/embedded/token-auth.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { LEASES, TestApi, lease } from './support.ts';
import type { Json } from './support.ts';

const ONE = `${LEASES}/a`;
const setUp = (): { api: TestApi; made: Json } => {
  const api = new TestApi({ clock: new ManualClock() });
  return { api, made: api.call('POST', LEASES, lease('a', { renewTime: '2026-01-02T03:04:05.123456Z' })).body };
};

test('a lease through its life', () => {
  const { api, made } = setUp();
  assert.equal(made['metadata'].creationTimestamp, '2026-01-01T00:00:00Z');
  assert.deepEqual(api.get(ONE).body, made);
  const put = api.call('PUT', ONE, { ...made, spec: { ...made['spec'], leaseTransitions: 1 } });
  assert.deepEqual([put.status, put.body['metadata'].uid], [200, made['metadata'].uid]);
  assert.equal(api.call('PUT', ONE, { ...made, spec: {} }).status, 409);
  const gone = api.call('DELETE', ONE);
  assert.deepEqual(gone.body['details'], {
    name: 'a',
    group: 'coordination.k8s.io',
    kind: 'leases',
    uid: made['metadata'].uid,
  });
  assert.equal(api.get(ONE).body['reason'], 'NotFound');
});

test('PUT: what makes it create, conflict or be refused', () => {
  const { api, made } = setUp();
  const { uid, resourceVersion } = made['metadata'] as Record<string, string>;
  const other = '11111111-2222-3333-4444-555555555555';
  const table: [string, Json, number, string?][] = [
    ['a', {}, 422, 'Invalid'],
    ['a', { resourceVersion: '0' }, 422, 'Invalid'],
    ['a', { resourceVersion: '999' }, 409, 'Conflict'],
    ['a', { resourceVersion, uid: other }, 409, 'Conflict'],
    ['b', { resourceVersion, uid }, 409, 'Conflict'],
    ['b', { resourceVersion }, 201],
    ['a', { resourceVersion, uid }, 200],
    ['a', { name: 'z', resourceVersion }, 400, 'BadRequest'],
    ['a', { namespace: 'default', resourceVersion }, 400, 'BadRequest'],
    ['a', { name: '' }, 400, 'BadRequest'],
  ];
  for (const [name, metadata, status, reason] of table) {
    const answer = api.call('PUT', `${LEASES}/${name}`, lease(name, {}, metadata));
    assert.deepEqual([answer.status, answer.body['reason']], [status, reason], `${name} ${JSON.stringify(metadata)}`);
  }
});

test('what is refused, and how it is said', () => {
  const { api } = setUp();
  const spec = (s: Json): Json => lease('n', s);
  const table: [string, string, unknown, number, string | undefined][] = [
    ['POST', LEASES, lease('a'), 409, 'AlreadyExists'],
    ['POST', LEASES, spec({ leaseDurationSeconds: 0 }), 422, 'Invalid'],
    ['POST', LEASES, spec({ leaseTransitions: -1 }), 422, 'Invalid'],
    ['POST', LEASES, spec({ leaseDurationSeconds: 1.5 }), 400, 'BadRequest'],
    ['POST', LEASES, spec({ leaseDurationSeconds: 2 ** 31 }), 400, 'BadRequest'],
    ['POST', LEASES, spec({ renewTime: '2026-01-02T03:04:05.123Z' }), 400, 'BadRequest'],
    ['POST', LEASES, spec({ holderIdentity: 5 }), 400, 'BadRequest'],
    ['POST', LEASES, lease('n', {}, { labels: { a: 'h'.repeat(64) } }), 422, 'Invalid'],
    ['POST', LEASES, lease('n', {}, { resourceVersion: '5' }), 500, undefined],
    ['POST', LEASES, lease('n', {}, { namespace: 'default' }), 400, 'BadRequest'],
    ['POST', LEASES, { ...lease('n'), kind: 'Pod' }, 400, 'BadRequest'],
    ['POST', LEASES, '{"kind":', 400, 'BadRequest'],
    ['POST', LEASES, '[]', 400, 'BadRequest'],
    [
      'POST',
      LEASES,
      `{"metadata":{"name":"n","ownerReferences":${'['.repeat(5000)}${']'.repeat(5000)}}}`,
      400,
      'BadRequest',
    ],
    ['POST', `${LEASES}?dryRun=Yes`, lease('n'), 422, 'Invalid'],
    ['POST', `${LEASES}?fieldValidation=Strict`, spec({ nope: 1 }), 400, 'BadRequest'],
    ['POST', LEASES.replace('kube-system', 'nowhere'), { metadata: { name: 'n' } }, 404, 'NotFound'],
    ['PUT', LEASES, lease('a'), 405, 'MethodNotAllowed'],
    ['HEAD', LEASES, undefined, 405, 'MethodNotAllowed'],
    ['POST', `${LEASES}/`, lease('n'), 405, 'MethodNotAllowed'],
    ['POST', '/apis/coordination.k8s.io/v1/leases', lease('n'), 405, 'MethodNotAllowed'],
    ['GET', `${LEASES}?labelSelector=a%3D%3D%3Db`, undefined, 400, 'BadRequest'],
    ['GET', `${LEASES}?fieldSelector=spec.x%3D1`, undefined, 400, 'BadRequest'],
    ['GET', `${LEASES}?continue=garbage`, undefined, 400, 'BadRequest'],
    ['GET', `${LEASES}?limit=x`, undefined, 400, 'BadRequest'],
    ['GET', `${LEASES}?resourceVersion=x`, undefined, 400, 'BadRequest'],
    ['GET', `${LEASES}?resourceVersionMatch=Exact`, undefined, 422, 'Invalid'],
    ['GET', `${LEASES}?resourceVersion=999999`, undefined, 504, 'Timeout'],
    ['GET', `${LEASES}?watch=1&resourceVersion=x`, undefined, 500, undefined],
    ['GET', `${LEASES}/%zz`, undefined, 400, 'BadRequest'],
    ['GET', `${LEASES.replace('leases', 'leeches')}`, undefined, 404, 'NotFound'],
    ['DELETE', '/api/v1/namespaces/kube-system', undefined, 403, 'Forbidden'],
  ];
  for (const [method, url, body, status, reason] of table) {
    const answer = api.call(method, url, body);
    assert.deepEqual(
      [answer.status, answer.body['reason']],
      [status, reason],
      `${method} ${url} ${JSON.stringify(body)?.slice(0, 90)}`,
    );
    assert.equal(answer.body['kind'], 'Status');
  }
  assert.equal(api.call('POST', LEASES, 'x', { 'content-type': 'text/plain' }).status, 415);
  const { apiVersion, kind } = lease('n');
  for (const metadata of [undefined, {}, { name: null }, { generateName: 'n' }]) {
    const applied = { apiVersion, kind, metadata };
    assert.equal(api.patch(`${LEASES}/n?fieldManager=t`, 'apply-patch+yaml', applied).status, 400, 'without a name');
  }
  assert.equal(api.get(LEASES, { accept: 'text/csv' }).status, 406);
  assert.deepEqual(
    api.get(LEASES).body['items'].map((l: Json) => l['metadata'].name),
    ['a'],
    'nothing was stored',
  );
});

test('unknown fields are dropped, with a warning; those behind a closed gate without', () => {
  const { api } = setUp();
  const answer = api.call('POST', LEASES, lease('n', { nope: 1, strategy: 'OldestEmulationVersion' }));
  assert.deepEqual(Object.keys(answer.body['spec']), ['holderIdentity', 'leaseDurationSeconds']);
  assert.equal(answer.headers['warning'], '299 - "unknown field \\"spec.nope\\""');
});

test('DELETE carries its preconditions', () => {
  const { api, made } = setUp();
  const { uid, resourceVersion } = made['metadata'] as Record<string, string>;
  const remove = (preconditions: Json): number => api.call('DELETE', ONE, { preconditions }).status;
  assert.equal(remove({ uid: 'other' }), 409);
  assert.equal(remove({ uid, resourceVersion: '1' }), 409);
  assert.equal(remove({ uid, resourceVersion }), 200);
  assert.equal(remove({ uid }), 404);
  assert.equal(api.call('POST', LEASES, lease('a')).status, 201);
  assert.equal(api.call('DELETE', ONE, { kind: '', apiVersion: '' }).status, 200, 'empty is as not given');
});

test('patches of every type, and their conflicts', () => {
  const { api, made } = setUp();
  const { resourceVersion } = made['metadata'] as Record<string, string>;
  assert.equal(api.patch(ONE, 'merge-patch+json', { spec: { holderIdentity: 'm' } }).body['spec'].holderIdentity, 'm');
  assert.equal(
    api.patch(ONE, 'strategic-merge-patch+json', { metadata: { labels: { a: 'b' } } }).body['metadata'].labels.a,
    'b',
  );
  assert.equal(
    api.patch(ONE, 'json-patch+json', [{ op: 'remove', path: '/spec/renewTime' }]).body['spec'].renewTime,
    undefined,
  );
  assert.equal(api.patch(ONE, 'merge-patch+json', { metadata: { resourceVersion } }).status, 409);
  assert.equal(api.patch(ONE, 'merge-patch+json', { spec: { leaseDurationSeconds: 0 } }).status, 422);
  assert.equal(api.patch(ONE, 'merge-patch+json', []).status, 400);
  assert.equal(
    api.patch(ONE, 'json-patch+json', [{ op: 'test', path: '/spec/holderIdentity', value: 'q' }]).status,
    422,
  );
  assert.equal(api.patch(ONE, 'json', {}).status, 415);
  assert.equal(api.patch(`${LEASES}/none`, 'merge-patch+json', {}).status, 404);
  assert.equal(api.apply(`${LEASES}/s`, 't', { metadata: { name: 's' }, spec: { holderIdentity: 's' } }).status, 201);
  assert.equal(
    api.apply(`${LEASES}/s`, 't', { spec: { holderIdentity: 's' } }).status,
    200,
    'what is there has its name',
  );
});

test('pages show the version of the first, and tell how to go on when it is gone', () => {
  const { api } = setUp();
  api.call('POST', LEASES, lease('b'));
  api.call('POST', LEASES, lease('c'));
  const names = (list: Json): string[] => list['items'].map((l: Json) => l['metadata'].name as string);
  const first = api.get(`${LEASES}?limit=1`).body;
  assert.deepEqual([names(first), first['metadata'].remainingItemCount], [['a'], 2]);
  api.call('DELETE', `${LEASES}/b`);
  api.call('POST', LEASES, lease('bb'));
  const next = `${LEASES}?limit=9&continue=`;
  const second = api.get(next + first['metadata'].continue).body;
  assert.deepEqual(names(second), ['b', 'c']);
  assert.equal(second['metadata'].resourceVersion, first['metadata'].resourceVersion);
  api.api.store.compact();
  const late = api.get(next + first['metadata'].continue);
  assert.deepEqual([late.status, late.body['reason']], [410, 'Expired']);
  assert.deepEqual(names(api.get(next + late.body['metadata'].continue).body), ['bb', 'c']);
  assert.equal(api.get(`${LEASES}?limit=1&resourceVersion=0`).body['items'].length, 3, 'version 0 is not paged');
});

test('a namespace that is ending refuses new leases and takes renewals; then its content goes, and it when nothing holds it', async () => {
  const clock = new ManualClock();
  const api = new TestApi({ clock });
  api.call('POST', '/api/v1/namespaces', { metadata: { name: 'foo' } });
  const leases = LEASES.replace('kube-system', 'foo');
  const held = { metadata: { name: 'held', finalizers: ['x.io/y'] } };
  const free = api.call('POST', leases, { metadata: { name: 'free' } }).body;
  api.call('POST', leases, held);
  const left = (): string[] => api.get(leases).body['items'].map((l: Json) => l['metadata'].name as string);
  assert.equal(api.call('DELETE', '/api/v1/namespaces/foo').body['status'].phase, 'Terminating');
  assert.equal(api.call('DELETE', '/api/v1/namespaces/foo').status, 200, 'again');
  const refusals = [
    api.call('POST', leases, { metadata: { name: 'new' } }),
    api.call('PUT', `${leases}/new`, { metadata: { name: 'new' } }),
    api.apply(`${leases}/new`, 'm', { metadata: { name: 'new' } }),
  ];
  for (const { status, body } of refusals) {
    assert.equal(status, 403);
    assert.deepEqual(body['details'].causes, [
      { reason: 'NamespaceTerminating', message: 'namespace foo is being terminated', field: 'metadata.namespace' },
    ]);
  }
  assert.equal(api.call('PUT', `${leases}/free`, { ...free, spec: { leaseTransitions: 1 } }).status, 200);
  assert.deepEqual(left(), ['free', 'held']);
  await clock.advance(5_000);
  assert.deepEqual(left(), ['held']);
  api.patch(`${leases}/held`, 'merge-patch+json', { metadata: { finalizers: null } });
  assert.equal(api.get('/api/v1/namespaces/foo').status, 404);
  assert.equal(api.call('POST', leases, held).status, 404);
});

test('a namespace that was made again under its old name is left alone', async () => {
  const clock = new ManualClock();
  const api = new TestApi({ clock });
  const foo = { metadata: { name: 'foo' } };
  api.call('POST', '/api/v1/namespaces', foo);
  api.call('DELETE', '/api/v1/namespaces/foo');
  assert.equal(api.call('PUT', '/api/v1/namespaces/foo/finalize', { ...foo, spec: { finalizers: [] } }).status, 200);
  api.call('POST', '/api/v1/namespaces', foo);
  await clock.advance(5_000);
  assert.equal(api.get('/api/v1/namespaces/foo').body['status'].phase, 'Active');
});

test('a deletion in the foreground, or one that orphans, is marked first and gone a moment later', async () => {
  const clock = new ManualClock();
  const api = new TestApi({ clock });
  for (const [query, finalizer] of [
    ['propagationPolicy=Foreground', 'foregroundDeletion'],
    ['orphanDependents=true', 'orphan'],
  ] as const) {
    api.call('POST', LEASES, lease('a'));
    const marked = api.call('DELETE', `${ONE}?${query}`).body;
    assert.deepEqual(marked['metadata'].finalizers, [finalizer]);
    assert.equal(api.get(ONE).status, 200);
    await clock.advance(100);
    assert.equal(api.get(ONE).status, 404);
  }
});

test('options of a DELETE are those of its body; where it has one, its query counts for nothing', () => {
  const { api } = setUp();
  for (const query of ['gracePeriodSeconds=x', 'dryRun=Nope', 'propagationPolicy=Nope', 'dryRun=All'])
    assert.notEqual(api.call('DELETE', `${ONE}?${query}`).status, 404);
  assert.equal(api.call('DELETE', ONE, { preconditions: { uid: '' } }).status, 409);
  assert.equal(api.get(ONE).status, 200);
  assert.equal(api.call('DELETE', `${ONE}?dryRun=All`, { kind: 'DeleteOptions' }).status, 200);
  assert.equal(api.get(ONE).status, 404);
});

test('strict validation refuses what is unknown or given twice; else both are warnings', () => {
  const { api } = setUp();
  const body =
    '{"metadata":{"name":"n","ownerReferences":[{"uid":"1","uid":"2","x":1}]},"spec":{"holderIdentity":"a","holderIdentity":"b"}}';
  const duplicates = ['duplicate field "metadata.ownerReferences[0].uid"', 'duplicate field "spec.holderIdentity"'];
  const strict = api.call('POST', `${LEASES}?dryRun=All&fieldValidation=Strict`, body);
  assert.equal(strict.status, 400);
  for (const field of [...duplicates, 'unknown field "metadata.ownerReferences[0].x"'])
    assert.ok((strict.body['message'] as string).includes(field), field);
  const patched = api.call('PATCH', `${ONE}?fieldValidation=Strict`, '{"spec":{"nope":1}}', {
    'content-type': 'application/merge-patch+json',
  });
  assert.deepEqual([patched.status, patched.body['details'].causes[0].field], [422, 'patch']);
  const warned = api.call('PATCH', ONE, '{"spec":{"holderIdentity":"a","holderIdentity":"b","nope":1}}', {
    'content-type': 'application/merge-patch+json',
  });
  assert.deepEqual([warned.status, warned.body['spec'].holderIdentity], [200, 'b']);
  assert.equal(
    warned.headers['warning'],
    '299 - "duplicate field \\"spec.holderIdentity\\"", 299 - "unknown field \\"spec.nope\\""',
  );
});

test('a whole number that is written as Go reads none is refused', () => {
  const { api } = setUp();
  for (const [value, status] of [
    ['5', 201],
    ['5.0', 400],
    ['1e1', 400],
    ['"5"', 400],
  ] as const) {
    const body = `{"metadata":{"name":"n"},"spec":{"leaseDurationSeconds":${value}}}`;
    assert.equal(api.call('POST', `${LEASES}?dryRun=All`, body).status, status, value);
  }
});

test('nodes: status is written through its subresource alone; events are one thing in two groups', () => {
  const { api } = setUp();
  const node = '/api/v1/nodes/n';
  api.call('POST', '/api/v1/nodes', {
    metadata: { name: 'n' },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  });
  api.patch(node, 'merge-patch+json', { spec: { unschedulable: true }, status: { conditions: [] } });
  assert.equal(api.get(node).body['status'].conditions.length, 1);
  api.patch(`${node}/status`, 'strategic-merge-patch+json', {
    spec: { unschedulable: false },
    status: { conditions: [{ type: 'Ready', status: 'Unknown' }] },
  });
  assert.deepEqual(
    [api.get(node).body['spec'], api.get(node).body['status']],
    [{ unschedulable: true }, { conditions: [{ type: 'Ready', status: 'Unknown' }] }],
  );
  const events = '/namespaces/default/events';
  const made = api.call('POST', `/api/v1${events}`, {
    metadata: { name: 'e' },
    involvedObject: { namespace: 'default', kind: 'Lease' },
    reason: 'R',
    message: 'M',
    count: 1,
  });
  assert.equal(made.status, 201);
  const shown = api.get(`/apis/events.k8s.io/v1${events}/e`).body;
  assert.deepEqual([shown['note'], shown['regarding'].kind, shown['deprecatedCount']], ['M', 'Lease', 1]);
  assert.deepEqual([made.body['lastTimestamp'], made.body['source']], [null, {}], 'what Kubernetes always shows');
  const back = api.patch(`/apis/events.k8s.io/v1${events}/e`, 'merge-patch+json', { metadata: { labels: { a: 'b' } } });
  assert.equal(back.status, 200);
  assert.deepEqual(api.get(`/api/v1${events}/e`).body['metadata'].labels, { a: 'b' });
  const changed = api.patch(`/apis/events.k8s.io/v1${events}/e`, 'merge-patch+json', { note: 'N' });
  assert.equal(changed.status, 422, 'what happened does not change');
});

test('tables and metadata alone, as kubectl asks for them', () => {
  const { api } = setUp();
  const table = api.get(LEASES, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' }).body;
  assert.deepEqual(
    table['columnDefinitions'].map((c: Json) => c['name']),
    ['Name', 'Holder', 'Age'],
  );
  assert.deepEqual(table['rows'][0].cells, ['a', 'a_1', '0s']);
  const partial = (url: string, form: string): Json =>
    api.get(url, { accept: `application/json;as=PartialObjectMetadata${form};v=v1;g=meta.k8s.io` }).body;
  assert.deepEqual(Object.keys(partial(ONE, '')), ['kind', 'apiVersion', 'metadata']);
  assert.equal(partial(LEASES, 'List')['items'][0].kind, 'PartialObjectMetadata');
  assert.deepEqual([partial(ONE, 'List')['code'], partial(LEASES, '')['code']], [406, 406]);
});

test('as protobuf: an answer says what its JSON says, refusals and events of a watch too', () => {
  const { api } = setUp();
  const accept = 'application/vnd.kubernetes.protobuf,application/json';
  const bytes = (url: string): Buffer => {
    const answer = api.api.handle({ method: 'GET', url, headers: { accept }, body: '' });
    assert.equal(answer.contentType, 'application/vnd.kubernetes.protobuf', url);
    return answer.bytes!;
  };
  api.patch(ONE, 'merge-patch+json', {
    metadata: { labels: { a: 'b' }, finalizers: ['x.io/y'], ownerReferences: [{ ...OWNER, controller: false }] },
    spec: { leaseTransitions: 3 },
  });
  api.call('POST', '/api/v1/namespaces/default/events', { metadata: { name: 'e' }, type: 'Normal', count: 2 });
  for (const url of [ONE, LEASES, `${LEASES}/none`, '/api/v1/namespaces', '/api/v1/namespaces/default/events/e'])
    assert.deepEqual(withoutZero(fromProtobuf(bytes(url))), withoutZero(api.get(url).body), url);
  const { contentType, watch } = api.api.handle({
    method: 'GET',
    url: `${LEASES}?watch=1`,
    headers: { accept },
    body: '',
  });
  assert.equal(contentType, 'application/vnd.kubernetes.protobuf;stream=watch');
  const frames: Uint8Array[] = [];
  watch?.start({ write: (chunk) => void frames.push(chunk), end: () => undefined });
  watch?.stop();
  const [frame = Buffer.alloc(0)] = frames.map((chunk) => Buffer.from(chunk));
  assert.equal(frame.readUInt32BE(), frame.length - 4);
  const object = fromProtobuf(frame.subarray(frame.indexOf('k8s\0')));
  assert.deepEqual(withoutZero(object), withoutZero(api.get(ONE).body));
  assert.equal(api.get('/api/v1/nodes', { accept: 'application/vnd.kubernetes.protobuf' }).status, 406);
});

const OWNER = { apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' };
/** Protobuf has no nulls, and none of the texts that Kubernetes shows although they are empty. */
const withoutZero = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (_key, v: unknown) => (v === null || v === '' ? undefined : v)));

test('tokens: 401 for who is unknown, 403 in Kubernetes words for what is not allowed', () => {
  const tokens = new Map<string, User>([['good', { user: 'u', allow: ({ verb }) => verb !== 'update' }]]);
  const api = new TestApi({ tokens });
  const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
  assert.deepEqual(
    [api.get(LEASES).status, api.get(LEASES, as('bad')).status, api.get('/readyz').status],
    [401, 401, 200],
  );
  assert.equal(api.get(LEASES, as('good')).status, 200);
  const refused = api.call('PUT', `${LEASES}/x`, lease('x'), as('good'));
  assert.equal(refused.status, 403);
  assert.equal(
    refused.body['message'],
    'leases.coordination.k8s.io "x" is forbidden: User "u" cannot update resource "leases" in API group "coordination.k8s.io" in the namespace "kube-system"',
  );
  tokens.delete('good');
  assert.equal(api.get(LEASES, as('good')).status, 401, 'tokens may change while it runs');
  tokens.set('good', { user: 'u', allow: ({ name }) => name === 'a' });
  const selecting = (selector: string): number => api.get(`${LEASES}?fieldSelector=${selector}`, as('good')).status;
  assert.deepEqual([selecting('metadata.name%3Da'), selecting('metadata.name%3Db'), selecting('')], [200, 403, 403]);
});

test('metrics count requests under the names of kube-apiserver', () => {
  const { api, made } = setUp();
  api.call('PUT', ONE, made);
  api.call('PUT', ONE, made);
  api.watch(`${LEASES}?watch=1`);
  const { text } = api.get('/metrics').body as { text: string };
  assert.match(text, /^apiserver_request_total\{code="200",[^}]*resource="leases",[^}]*verb="PUT",version="v1"\} 2$/m);
  assert.match(text, /^apiserver_request_total\{[^}]*verb="WATCH"[^}]*\} 1$/m);
  assert.match(text, /^apiserver_storage_objects\{resource="leases.coordination.k8s.io"\} 1$/m);
});

test('property: whatever comes, the answer is one, and refusals are Statuses', () => {
  const api = new TestApi();
  const segment = fc.oneof(
    fc.constantFrom(
      'apis',
      'api',
      'v1',
      'coordination.k8s.io',
      'namespaces',
      'kube-system',
      'leases',
      'watch',
      'status',
      '%2e',
      '',
    ),
    fc.string({ maxLength: 5 }),
  );
  const query = fc.constantFrom(
    '',
    '?watch=1&timeoutSeconds=x',
    '?limit=-1',
    '?labelSelector=%28',
    '?continue=e30',
    '?%',
    '?dryRun=All',
  );
  const body = fc.oneof(
    fc.json(),
    fc.string(),
    fc.record({ metadata: fc.jsonValue(), spec: fc.jsonValue() }).map((v) => JSON.stringify(v)),
  );
  const type = fc.constantFrom(
    'application/json',
    'application/merge-patch+json',
    'application/json-patch+json',
    'application/apply-patch+yaml',
    'application/strategic-merge-patch+json',
    '',
  );
  fc.assert(
    fc.property(
      fc.constantFrom('GET', 'PUT', 'POST', 'PATCH', 'DELETE', 'X'),
      fc.array(segment),
      query,
      body,
      type,
      fc.boolean(),
      (method, parts, q, text, contentType, known) => {
        const url = known ? `${ONE}${q}` : `/${parts.join('/')}${q}`;
        const {
          status,
          contentType: answered,
          body: answer,
        } = api.api.handle({ method, url, headers: { 'content-type': contentType }, body: text });
        assert.ok(status >= 200 && status < 600);
        if (status >= 400 && answered === 'application/json')
          assert.equal((JSON.parse(answer) as Json)['code'], status);
        // 500 is kept for two refusals that Kubernetes words so; anything else here would be a bug.
        if (status === 500) assert.match(answer, /resourceVersion should not be set|ParseUint/);
      },
    ),
    { numRuns: 500 },
  );
});

test('paths: a slash too many, an escape, a name that no object can have, a version that is not served', () => {
  const { api } = setUp();
  const v1 = '/apis/coordination.k8s.io/v1';
  const nothing = 'the server could not find the requested resource';
  const rows: [string, number, string?][] = [
    [`${LEASES}/`, 400],
    ['/api/v1/nodes/', 400],
    [`${v1}/leases/`, 404, nothing],
    [`${ONE}/`, 404, nothing],
    [`${v1}/`, 404, nothing],
    ['/apis/coordination.k8s.io/', 404, nothing],
    [`${v1}beta1`, 404, nothing],
    [`${v1}beta1/leases`, 404, nothing],
    ['/api/v2', 404, nothing],
    ['/version/', 404],
    ['/readyz/', 404],
    [`${LEASES}/a%2Fb`, 404, nothing],
    [`${v1}/namespaces/a%2Fb/leases`, 404, nothing],
    [`${LEASES}/..`, 400],
    [`${LEASES}/%2e`, 400],
    [`${LEASES}/a%252Fb`, 400],
    [`${LEASES}/%zz`, 400],
    [`${LEASES}/a%5Cb`, 404, 'leases.coordination.k8s.io "a\\\\b" not found'],
    ['/%61pis/coordination.k8s.io/v1', 200],
    [`${LEASES.replace('leases', '%6Ceases')}/%61`, 200],
  ];
  for (const [path, status, message] of rows) {
    const answer = api.get(path);
    assert.equal(answer.status, status, path);
    if (message !== undefined) assert.equal(answer.body['message'], message, path);
  }
});

test('methods: discovery is read with GET alone, health with any', () => {
  const { api } = setUp();
  for (const path of ['/version', '/api', '/apis', '/apis/coordination.k8s.io', '/apis/coordination.k8s.io/v1']) {
    for (const method of ['PUT', 'DELETE', 'HEAD', 'OPTIONS']) {
      assert.equal(api.call(method, path).body['reason'], 'MethodNotAllowed', `${method} ${path}`);
    }
  }
  for (const path of ['/livez', '/readyz/ping', '/healthz/etcd']) assert.equal(api.call('POST', path).status, 200);
});

test('versions are numbers of 64 bits, and 00 is none', () => {
  const { api } = setUp();
  const huge = '99999999999999999999999';
  assert.equal(api.get(`${LEASES}?resourceVersion=${huge}`).status, 400);
  assert.equal(api.get(`${LEASES}?watch=1&resourceVersion=${huge}`).status, 500);
  assert.equal(api.get(`${ONE}?resourceVersion=${huge}`).status, 500);
  const put = (resourceVersion: string): number => api.call('PUT', ONE, lease('a', {}, { resourceVersion })).status;
  assert.deepEqual([put('00'), put(huge), put('12345')], [422, 500, 409]);
  const { resourceVersion } = api.get(ONE).body['metadata'] as Record<string, string>;
  assert.equal(put(`0${resourceVersion}`), 200);
  const post = (name: string, version: string): number =>
    api.call('POST', LEASES, lease(name, {}, { resourceVersion: version })).status;
  assert.deepEqual([post('b', '0'), post('c', 'abc'), post('d', '7')], [201, 201, 500]);
});

test('a page at a version is of exactly that version; numbers and selectors are of 64 bits', () => {
  const { api, made } = setUp();
  const { resourceVersion } = api.call('POST', LEASES, lease('b')).body['metadata'] as Record<string, string>;
  api.call('DELETE', ONE);
  const names = (query: string): string[] =>
    (api.get(`${LEASES}?${query}`).body['items'] as Json[]).map((item) => item['metadata'].name as string);
  assert.deepEqual(names(`limit=5&resourceVersion=${resourceVersion}`), ['a', 'b']);
  assert.deepEqual(names(`limit=5&resourceVersionMatch=NotOlderThan&resourceVersion=${resourceVersion}`), ['b']);
  assert.deepEqual(names(`resourceVersion=${resourceVersion}`), ['b']);
  api.call('POST', LEASES, { ...made, metadata: { name: 'a' } });
  const next = api.get(`${LEASES}?limit=1`).body['metadata'].continue as string;
  assert.deepEqual(names(`limit=1&resourceVersion=0&continue=${next}`), ['b']);
  for (const selector of ['n>99999999999999999999', 'n<-99999999999999999999']) {
    assert.equal(api.get(`${LEASES}?labelSelector=${encodeURIComponent(selector)}`).status, 400, selector);
  }
  assert.equal(api.get(`${LEASES}?limit=-99999999999999999999`).status, 400);
  assert.equal(api.get(`${LEASES}?limit=-9223372036854775808`).status, 200);
  for (const selector of ['=', '!=', '==']) assert.deepEqual(names(`fieldSelector=${selector}`), ['a', 'b'], selector);
});

test('DELETE by its query: preconditions, and a policy that is given but empty', () => {
  const { api, made } = setUp();
  const { uid, resourceVersion } = made['metadata'] as Record<string, string>;
  const remove = (query: string): [number, string] => {
    const { status, body } = api.call('DELETE', `${ONE}?${query}`);
    return [status, body['reason'] as string];
  };
  assert.deepEqual(remove('propagationPolicy='), [422, 'Invalid']);
  assert.deepEqual(remove('resourceVersion=1'), [409, 'Conflict']);
  assert.deepEqual(remove(`uid=x&resourceVersion=${resourceVersion}`), [409, 'Conflict']);
  assert.deepEqual(api.call('DELETE', ONE, { propagationPolicy: '' }).status, 422);
  assert.equal(remove(`uid=${uid}&resourceVersion=${resourceVersion}`)[0], 200);
});

test('what is being deleted gets the finalizer of a later policy', () => {
  const { api } = setUp();
  api.patch(ONE, 'merge-patch+json', { metadata: { finalizers: ['a.b/c'] } });
  const { metadata } = api.call('DELETE', ONE).body;
  const again = api.call('DELETE', `${ONE}?propagationPolicy=Foreground`).body['metadata'] as Json;
  assert.deepEqual(again['finalizers'], ['a.b/c', 'foregroundDeletion']);
  assert.equal(again['deletionTimestamp'], metadata.deletionTimestamp);
  const orphan = api.call('DELETE', `${ONE}?propagationPolicy=Orphan`).body['metadata'] as Json;
  assert.deepEqual(orphan['finalizers'], ['a.b/c', 'orphan'], 'in the place of the one before');
  assert.deepEqual(api.call('DELETE', ONE).body['metadata'].finalizers, ['a.b/c', 'orphan'], 'no policy: as it is');
  const last = api.call('DELETE', ONE, { propagationPolicy: 'Background' }).body['metadata'] as Json;
  assert.deepEqual(last['finalizers'], ['a.b/c']);
});

test('a strategic patch that makes no lease: the patch itself is shown, as Go prints it, and what could not be converted', () => {
  const { api } = setUp();
  const rows: [Json, string, string][] = [
    [{ spec: { leaseDurationSeconds: '5' } }, 'map[spec:map[leaseDurationSeconds:5]]', 'unrecognized type: int32'],
    [{ spec: { leaseTransitions: 1.5 } }, 'map[spec:map[leaseTransitions:1.5]]', 'cannot convert float64 to int32'],
    [{ spec: { holderIdentity: 5 } }, 'map[spec:map[holderIdentity:5]]', 'cannot convert int64 to string'],
    [{ spec: 'x' }, 'map[spec:x]', 'cannot restore struct from: string'],
    [{ metadata: { labels: ['x', null] } }, 'map[metadata:map[labels:[x <nil>]]]', 'cannot restore map from slice'],
  ];
  for (const [patch, shown, why] of rows) {
    const { status, body } = api.patch(ONE, 'strategic-merge-patch+json', patch);
    const message = `Invalid value: ${JSON.stringify(shown)}: ${why}`;
    assert.deepEqual([status, body['details'].causes[0].message], [422, message]);
  }
  assert.equal(api.patch(ONE, 'strategic-merge-patch+json', { kind: 'Pod' }).status, 200, 'its kind is not asked for');
});

test('a timeout that is no duration is refused, but not of a watch', () => {
  const { api } = setUp();
  for (const timeout of ['x', '5', '1d', '1s5'])
    assert.equal(api.get(`${LEASES}?timeout=${timeout}`).status, 400, timeout);
  for (const timeout of ['', '0', '1.5h', '-1s', '1m30s'])
    assert.equal(api.get(`${ONE}?timeout=${timeout}`).status, 200);
  assert.equal(api.watch(`${LEASES}?watch=1&timeout=x`).ended, false);
});

test('creating: an empty kind, prefixes of names, managed fields that say nothing, what etcd does not take', () => {
  const { api } = setUp();
  assert.equal(api.call('POST', LEASES, { ...lease('b'), kind: '', apiVersion: '' }).status, 201);
  const causes = (generateName: string): string[] => {
    const { body } = api.call('POST', LEASES, lease('', {}, { generateName }));
    return (body['details']?.causes ?? []).map((cause: Json) => cause['field'] as string);
  };
  assert.deepEqual(causes('Q-'), ['metadata.name']);
  assert.deepEqual(causes('-'), ['metadata.generateName', 'metadata.name']);
  assert.deepEqual(causes('q-'), []);
  const space = api.call('POST', '/api/v1/namespaces', { metadata: { generateName: 'n-' } }).body['metadata'] as Json;
  assert.equal(space['labels']['kubernetes.io/metadata.name'], space['name']);
  for (const [i, managedFields] of [[], [{}], [{ manager: 'x', operation: 'Update' }]].entries()) {
    const { body } = api.call('POST', LEASES, lease(`m${i}`, {}, { managedFields }), { 'user-agent': 'me/1' });
    assert.deepEqual(
      body['metadata'].managedFields.map((entry: Json) => entry['manager']),
      ['me'],
    );
  }
  const big = lease('big', { holderIdentity: 'x'.repeat(2_000_000) });
  assert.equal(api.call('POST', LEASES, big).body['message'], 'etcdserver: request is too large');
  assert.equal(api.call('POST', `${LEASES}?dryRun=All`, big).status, 201);
});

test('what is unknown is not looked at for keys that are there twice', () => {
  const { api } = setUp();
  const body =
    '{"metadata":{"name":"b"},"spec":{"x":1,"x":2,"y":{"z":1,"z":2},"holderIdentity":"1","holderIdentity":"2"}}';
  assert.equal(
    api.call('POST', LEASES, body).headers['warning'],
    ['duplicate field "spec.holderIdentity"', 'unknown field "spec.x"', 'unknown field "spec.y"']
      .map((text) => `299 - ${JSON.stringify(text)}`)
      .join(', '),
  );
});

test('forms that cannot be watched, or that nobody knows', () => {
  const { api } = setUp();
  const table = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
  assert.equal(api.get(`${LEASES}?watch=1&includeObject=Nope`, table).status, 400);
  assert.equal(api.get(ONE, { accept: 'application/json;stream=x' }).status, 406);
  assert.equal(api.get(ONE, { accept: 'application/json;stream=x,application/json' }).status, 200);
});

test('null in a list is what Go makes of it, and refused in words', () => {
  const api = new TestApi();
  const finalizers = api.call('POST', LEASES, lease('a', {}, { finalizers: [null] }));
  assert.equal(finalizers.status, 422, JSON.stringify(finalizers.body));
  assert.match(finalizers.body['message'] as string, /metadata\.finalizers/);
  assert.equal(api.call('POST', LEASES, lease('a', {}, { ownerReferences: [null] })).status, 422);
});
