import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { parseLease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { isStoreError } from '../../src/lease/store.ts';
import type { LeaseEvent, LeaseStore } from '../../src/lease/store.ts';
import { createLeaseApi } from '../../src/kube/lease-api.ts';
import { connect } from '../../src/kube/connection.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { fixture, fixtureText, json, leaseJson, startServer, statusBody, tempDir, transportTo } from './support.ts';
import type { Handler, TestServer } from './support.ts';

const ref = { namespace: 'ns', name: 'a' };
const lease = parseLease(
  leaseJson('a', '7', { holderIdentity: 'h', renewTime: '2026-01-02T03:04:05.123456Z', odd: 1 }),
);

async function storeTo(t: TestContext, handler: Handler): Promise<{ server: TestServer; store: LeaseStore }> {
  const server = await startServer(t, handler);
  const clock = createSystemClock();
  return { server, store: createLeaseApi({ transport: transportTo(t, server.url), clock, random: Math.random }) };
}

test('get, create, update, delete: method, path, body, answer', async (t) => {
  const { server, store } = await storeTo(t, ({ method }, response) =>
    json(
      response,
      method === 'POST' ? 201 : 200,
      method === 'DELETE' ? { kind: 'Status', status: 'Success' } : leaseJson('a', '8'),
    ),
  );
  assert.equal((await store.get(ref)).metadata.resourceVersion, '8');
  assert.equal((await store.create(lease)).metadata.resourceVersion, '8');
  assert.equal((await store.update(lease)).metadata.resourceVersion, '8');
  assert.equal(await store.delete(ref, lease.metadata), undefined);
  const base = '/apis/coordination.k8s.io/v1/namespaces/ns/leases';
  assert.deepEqual(
    server.seen.map(({ method, url }) => `${method} ${url}`),
    [`GET ${base}/a`, `POST ${base}`, `PUT ${base}/a`, `DELETE ${base}/a`],
  );
  assert.deepEqual(JSON.parse(server.seen[2]?.body ?? ''), {
    ...leaseJson('a', '7', { holderIdentity: 'h', renewTime: '2026-01-02T03:04:05.123456Z', odd: 1 }),
  });
  assert.deepEqual(JSON.parse(server.seen[3]?.body ?? ''), {
    kind: 'DeleteOptions',
    apiVersion: 'v1',
    preconditions: { uid: 'uid-a', resourceVersion: '7' },
  });
  assert.equal(server.sockets.length, 1);
});

test('what would overwrite, or hit more than one lease, is never sent', async (t) => {
  const { server, store } = await storeTo(t, (_, response) => json(response, 200, {}));
  const without = (field: string) => ({ ...lease, metadata: { ...lease.metadata, [field]: '' } });
  await assert.rejects(store.update(without('uid')), TypeError);
  await assert.rejects(store.update(without('resourceVersion')), TypeError);
  await assert.rejects(store.delete(ref, { uid: '', resourceVersion: '1' }), TypeError);
  await assert.rejects(store.delete(ref, { uid: 'u', resourceVersion: '' }), TypeError);
  await assert.rejects(store.delete({ namespace: 'ns', name: '' }, lease.metadata), TypeError);
  await assert.rejects(store.delete({ namespace: 'ns', name: '..' }, lease.metadata), TypeError);
  await assert.rejects(store.get({ namespace: '', name: 'a' }), TypeError);
  await assert.rejects(store.create(without('namespace')), TypeError);
  assert.equal(server.seen.length, 0);
});

test('a name cannot leave its place in the path', async (t) => {
  const { server, store } = await storeTo(t, (_, response) => json(response, 200, leaseJson('a')));
  await assert.rejects(store.get({ namespace: 'n/s', name: 'a/../b?c#d' }), /another lease, ns\/a/);
  assert.equal(server.seen[0]?.url, '/apis/coordination.k8s.io/v1/namespaces/n%2Fs/leases/a%2F..%2Fb%3Fc%23d');
});

test("errors name the call and carry the server's words", async (t) => {
  const { store } = await storeTo(t, ({ method }, response) =>
    method === 'POST'
      ? json(response, 404, statusBody(404, 'NotFound', 'namespaces "ns" not found', { kind: 'namespaces' }))
      : json(response, 409, statusBody(409, 'Conflict', 'the object has been modified')),
  );
  await assert.rejects(
    store.create(lease),
    (e) => isStoreError(e, 'NamespaceNotFound') && /create lease ns\/a.*namespaces "ns" not found/.test(e.message),
  );
  await assert.rejects(
    store.update(lease),
    (e) => isStoreError(e, 'Conflict') && /update lease ns\/a.*has been modified/.test(e.message),
  );
});

test("list: one page, consistent, with selectors, limit, continue and the server's clock", async (t) => {
  const { server, store } = await storeTo(t, (_, response) =>
    json(
      response,
      200,
      {
        kind: 'LeaseList',
        metadata: { resourceVersion: '9', continue: 'more' },
        items: [leaseJson('a'), { metadata: { name: 'b', namespace: 'ns' }, spec: { renewTime: 3 } }],
      },
      { date: 'Fri, 02 Jan 2026 03:04:05 GMT' },
    ),
  );
  const page = await store.list({
    namespace: 'ns',
    labelSelector: 'a=b,c in (d)',
    fieldSelector: 'metadata.name=x',
    limit: 5,
    continue: 'x+/=',
  });
  assert.deepEqual(
    page.leases.map((l) => l.metadata.name),
    ['a', 'b'],
  );
  assert.equal(page.resourceVersion, '9');
  assert.equal(page.continue, 'more');
  assert.ok(page.serverDate?.equals(MicroTime.parse('2026-01-02T03:04:05Z')));
  const url = new URL(server.seen[0]?.url ?? '', server.url);
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    labelSelector: 'a=b,c in (d)',
    fieldSelector: 'metadata.name=x',
    limit: '5',
    continue: 'x+/=',
  });
  await store.list({ namespace: 'ns' });
  assert.equal(server.seen[1]?.url, '/apis/coordination.k8s.io/v1/namespaces/ns/leases');
});

test('answers that are none', async (t) => {
  let answer: unknown;
  const { store } = await storeTo(t, (_, response) => json(response, 200, answer));
  for (answer of [null, 3, [], {}, { kind: 'Pod', metadata: { name: 'a' } }, { metadata: {} }]) {
    await assert.rejects(store.get(ref), (e) => isStoreError(e, 'BadAnswer') && !e.mayHaveCommitted);
    await assert.rejects(store.update(lease), (e) => isStoreError(e, 'BadAnswer') && e.mayHaveCommitted);
  }
  const list = (items: unknown, metadata: unknown = { resourceVersion: '1' }): object => ({ metadata, items });
  for (answer of [null, [], {}, list('x'), list([], {}), list([], null), list([leaseJson('a'), {}])]) {
    await assert.rejects(store.list({ namespace: 'ns' }), (e) => isStoreError(e, 'BadAnswer'));
  }
  answer = list(null);
  assert.deepEqual((await store.list({ namespace: 'ns' })).leases, []);
});

test('connect: from a kubeconfig to a watch and back to nothing', { timeout: 120_000 }, async (t) => {
  const server = await startServer(
    t,
    ({ url }, response) => {
      if (!url.includes('watch=true'))
        return json(response, 200, { metadata: { resourceVersion: '5' }, items: [leaseJson('a', '4')] });
      response.writeHead(200);
      const text = `${JSON.stringify({ type: 'MODIFIED', object: leaseJson('ä', '6') })}\n`;
      const bytes = Buffer.from(text);
      const cut = bytes.indexOf(0xa4);
      response.write(bytes.subarray(0, cut));
      return void setImmediate(() => response.write(bytes.subarray(cut)));
    },
    { cert: fixtureText('server.crt'), key: fixtureText('server.test-only.key') },
  );
  const kubeconfig = `${tempDir(t, {
    config: JSON.stringify({
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u', namespace: 'ns' } }],
      clusters: [{ name: 'c', cluster: { server: server.url, 'certificate-authority': fixture('ca.crt') } }],
      users: [{ name: 'u', user: { token: 'abc' } }],
    }),
  })}/config`;
  const connection = await connect({ kubeconfig, clock: createSystemClock(), random: Math.random });
  assert.deepEqual([connection.server, connection.namespace, connection.context], [server.url, 'ns', 'x']);
  const controller = new AbortController();
  const events: LeaseEvent[] = [];
  for await (const event of connection.store.watch({ namespace: 'ns', labelSelector: 'a=b' }, controller.signal)) {
    events.push(event);
    if (events.length === 2) controller.abort();
  }
  assert.deepEqual(
    events.map((e) => e.type),
    ['list', 'modified'],
  );
  assert.equal(events[1]?.type === 'modified' && events[1].lease.metadata.name, 'ä');
  const query = Object.fromEntries(new URL(server.seen[1]?.url ?? '', server.url).searchParams);
  assert.match(query['timeoutSeconds'] ?? '', /^[345]\d\d$/);
  delete query['timeoutSeconds'];
  assert.deepEqual(query, { labelSelector: 'a=b', watch: 'true', allowWatchBookmarks: 'true', resourceVersion: '5' });
  assert.equal(server.seen[0]?.headers.authorization, 'Bearer abc');
  assert.match(server.seen[0]?.headers['user-agent'] ?? '', /^leasekeeper\/\d+\.\d+\.\d+/);
  await connection.close();
  assert.equal(connection.transport.connections, 0);
});

test('an error names the namespace, or says that it is all of them', async (t) => {
  const { store } = await storeTo(t, (_, response) => json(response, 500, statusBody(500, 'InternalError', 'no')));
  await assert.rejects(store.list({ namespace: '' }), /list leases of all namespaces: /);
  await assert.rejects(store.list({ namespace: 'ns' }), /list leases of ns: /);
});
