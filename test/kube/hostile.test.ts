/** Answers that no API server should give: each ends as a LeaseStoreError, and none takes more than its share of memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Exchange, StreamExchange } from '../../src/kube/wire/exchange.ts';
import { createLeaseApi } from '../../src/kube/lease-api.ts';
import { createNodesApi } from '../../src/kube/node-api.ts';
import { LineSplitter, parseWatchLine } from '../../src/kube/watch-stream.ts';
import { parseLease } from '../../src/lease/lease.ts';
import { LeaseStoreError, isStoreError } from '../../src/lease/store.ts';
import type { LeaseStore, LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { json, leaseJson, startServer, transportTo } from './support.ts';
import type { TestServer } from './support.ts';

const T = { timeout: 120_000 };
const ref = { namespace: 'ns', name: 'a' };
const lease = parseLease(leaseJson('a'));
const is =
  (code: LeaseStoreErrorCode, mayHaveCommitted: boolean) =>
  (error: unknown): true => {
    assert.ok(error instanceof LeaseStoreError, String(error));
    assert.deepEqual([error.code, error.mayHaveCommitted], [code, mayHaveCommitted], error.message);
    return true;
  };

async function storeTo(
  t: TestContext,
  answer: () => unknown,
  headers: object = {},
): Promise<{ server: TestServer; store: LeaseStore }> {
  const server = await startServer(t, (_, response) => json(response, 200, answer(), headers));
  const clock = createSystemClock();
  return { server, store: createLeaseApi({ transport: transportTo(t, server.url), clock, random: Math.random }) };
}

test('a Date that no MicroTime can hold is no date, for leases and nodes', T, async (t) => {
  const list = { metadata: { resourceVersion: '1' }, items: [] };
  const { server, store } = await storeTo(t, () => list, { date: 'Sat, 01 Jan 10000 00:00:00 GMT' });
  const page = await store.list({ namespace: 'ns' });
  assert.equal(page.serverDate, undefined);
  const nodes = createNodesApi({
    transport: transportTo(t, server.url),
    clock: createSystemClock(),
    random: Math.random,
  });
  const stop = new AbortController();
  for await (const event of nodes.watch(stop.signal)) {
    assert.deepEqual(event, { type: 'list', nodes: [], serverDate: undefined });
    stop.abort();
  }
});

test('an answer about another lease, or without uid or version, is a BadAnswer', T, async (t) => {
  const good = leaseJson('a') as { metadata: object };
  let metadata: object = {};
  const { store } = await storeTo(t, () => ({ ...good, metadata: { ...good.metadata, ...metadata } }));
  await store.get(ref);
  for (metadata of [{ uid: '' }, { resourceVersion: undefined }, { name: 'b' }, { namespace: 'other' }]) {
    await assert.rejects(store.get(ref), is('BadAnswer', false));
    await assert.rejects(store.create(lease), is('BadAnswer', true));
    await assert.rejects(store.update(lease), is('BadAnswer', true));
  }
});

test('a body that cannot be written as JSON is Invalid, and nothing is sent', T, async (t) => {
  let deep: unknown[] = [];
  for (let i = 0; i < 200_000; i++) deep = [deep];
  const { server, store } = await storeTo(t, () => leaseJson('a'));
  const odd = { ...lease, unknown: { metadata: { deep }, spec: {} } };
  await assert.rejects(store.update(odd), is('Invalid', false));
  await assert.rejects(store.create(odd), is('Invalid', false));
  assert.equal(server.seen.length, 0);
});

test('a deep object in an ERROR event of a watch is an error like others', () => {
  const deep = '['.repeat(200_000) + ']'.repeat(200_000);
  for (const object of [deep, `{"kind":"Status","code":410,"details":${deep}}`, '"text"', 'null']) {
    const line = parseWatchLine(`{"type":"ERROR","object":${object}}`, 'watch leases', parseLease);
    assert.ok(line.kind === 'error');
    assert.ok(isStoreError(line.error, object.includes('410') ? 'Expired' : 'ServerError'));
  }
});

/** Bytes of heap that remain in use after all garbage is gone. */
function heldBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

test('an answer in pieces of one byte takes memory by its bytes, not by its pieces', T, async () => {
  const COUNT = 500_000;
  const one = Buffer.from('x');
  const control = { paused: false, abort() {}, pause() {}, resume() {} } as unknown as Parameters<
    Exchange['onResponseStart']
  >[0];
  const grown = (feed: () => void): number => {
    const before = heldBytes();
    feed();
    return heldBytes() - before;
  };
  let body = '';
  const exchange = new Exchange(COUNT, {
    done: (answer) => (body = answer.body),
    failed: (error) => assert.fail(String(error)),
  });
  exchange.onResponseStart(control, 200, {});
  const stream = new StreamExchange({ done: () => undefined, failed: (error) => assert.fail(String(error)) });
  stream.onResponseStart(control, 200, {});
  const splitter = new LineSplitter();
  const takers = [
    () => exchange.onResponseData(control, one.subarray()),
    () => stream.onResponseData(control, one.subarray()),
    () => splitter.push(one.subarray()),
  ];
  for (const take of takers) {
    const bytes = grown(() => {
      for (let i = 0; i < COUNT; i++) take();
    });
    assert.ok(bytes < 20 * COUNT, `${bytes / COUNT} bytes of heap for one`);
  }
  exchange.onResponseEnd();
  assert.equal(body, 'x'.repeat(COUNT));
  assert.equal(String(await stream.read()), 'x'.repeat(COUNT));
  assert.deepEqual(splitter.push(Buffer.from('y\nz')), [`${'x'.repeat(COUNT)}y`]);
});
