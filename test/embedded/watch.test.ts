import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { LEASES, TestApi, lease } from './support.ts';

const setUp = (): { clock: ManualClock; api: TestApi } => {
  const clock = new ManualClock();
  return { clock, api: new TestApi({ clock, random: () => 0 }) };
};
const version = (api: TestApi): string => api.get(LEASES).body['metadata'].resourceVersion as string;

test('from a version: what was missed, then what happens; nothing is left behind when it stops', () => {
  const { clock, api } = setUp();
  const from = version(api);
  api.call('POST', LEASES, lease('a'));
  const watch = api.watch(`${LEASES}?watch=1&resourceVersion=${from}`);
  api.patch(`${LEASES}/a`, 'merge-patch+json', { spec: { leaseTransitions: 1 } });
  api.call('DELETE', `${LEASES}/a`);
  assert.deepEqual(watch.received(), ['ADDED a', 'MODIFIED a', 'DELETED a']);
  const versions = watch.events.map((e) => Number(e['object'].metadata.resourceVersion));
  assert.deepEqual(
    versions,
    [...versions].sort((a, b) => a - b),
    'a deletion has a version of its own',
  );
  assert.equal(new Set(versions).size, 3);
  watch.stop();
  assert.equal(clock.pending, 0);
  assert.equal(api.api.store.collection('leases').watchers, 0);
});

test('without a version, and at version 0, it begins with what exists', () => {
  const { api } = setUp();
  api.call('POST', LEASES, lease('a'));
  for (const query of ['', '&resourceVersion=0', '&resourceVersion=']) {
    assert.deepEqual(api.watch(`${LEASES}?watch=true${query}`).received(), ['ADDED a'], query);
  }
});

test('a selector turns changes of labels into ADDED and DELETED', () => {
  const { api } = setUp();
  api.call('POST', LEASES, lease('a'));
  const watch = api.watch(`${LEASES}?watch=1&labelSelector=x%3Dy&resourceVersion=${version(api)}`);
  api.patch(`${LEASES}/a`, 'merge-patch+json', { metadata: { labels: { x: 'y' } } });
  api.patch(`${LEASES}/a`, 'merge-patch+json', { spec: { leaseTransitions: 2 } });
  const gone = api.patch(`${LEASES}/a`, 'merge-patch+json', { metadata: { labels: null } });
  api.call('DELETE', `${LEASES}/a`);
  assert.deepEqual(watch.received(), ['ADDED a', 'MODIFIED a', 'DELETED a']);
  const last = watch.events[2]?.['object'];
  assert.deepEqual(last.metadata.labels, { x: 'y' }, 'as it was last seen');
  assert.equal(last.metadata.resourceVersion, gone.body['metadata'].resourceVersion, 'at the version of the change');
});

test('one object, by field selector or by the older path; other namespaces stay out', () => {
  const { api } = setUp();
  const watches = [
    api.watch(`${LEASES}?watch=1&fieldSelector=metadata.name%3Da`),
    api.watch(`${LEASES.replace('/v1/', '/v1/watch/')}/a`),
  ];
  api.call('POST', LEASES, lease('a'));
  api.call('POST', LEASES, lease('aa'));
  api.call('POST', LEASES.replace('kube-system', 'default'), lease('a', {}, { namespace: 'default' }));
  for (const watch of watches) assert.deepEqual(watch.received(), ['ADDED a']);
});

test('bookmarks every minute and at the timeout, only where wanted', async () => {
  const { clock, api } = setUp();
  const plain = api.watch(`${LEASES}?watch=1&timeoutSeconds=150&resourceVersion=${version(api)}`);
  const marked = api.watch(
    `${LEASES}?watch=1&timeoutSeconds=150&allowWatchBookmarks=true&labelSelector=no&resourceVersion=${version(api)}`,
  );
  await clock.advance(60_000);
  api.call('POST', LEASES, lease('a'));
  await clock.advance(89_999);
  assert.equal(marked.ended, false);
  api.call('POST', '/apis/coordination.k8s.io/v1/namespaces/default/leases', { metadata: { name: 'b' } });
  await clock.advance(1);
  assert.deepEqual([plain.ended, marked.ended], [true, true]);
  assert.deepEqual(plain.received(), ['ADDED a']);
  assert.deepEqual(
    marked.events.map((e) => e['type']),
    ['BOOKMARK', 'BOOKMARK', 'BOOKMARK'],
  );
  const [first = 0, ...later] = marked.events.map((e) => Number(e['object'].metadata.resourceVersion));
  assert.deepEqual(later, [first + 1, first + 2], 'it tells versions of what does not match, too');
  assert.equal(clock.pending, 0);
});

test('at the timeout a client that knows the newest version gets no bookmark', async () => {
  const { clock, api } = setUp();
  const known = api.watch(
    `${LEASES}?watch=1&timeoutSeconds=2&allowWatchBookmarks=true&resourceVersion=${version(api)}`,
  );
  api.call('POST', LEASES, lease('a'));
  await clock.advance(2_000);
  assert.deepEqual([known.received(), known.ended], [['ADDED a'], true]);
});

test('a watch without a timeout of its own ends after half an hour to an hour', async () => {
  const { clock, api } = setUp();
  const watch = api.watch(`${LEASES}?watch=1`);
  await clock.advance(1_800_000 - 1);
  assert.equal(watch.ended, false);
  await clock.advance(1);
  assert.equal(watch.ended, true);
});

test('initial events end in a bookmark that says so', () => {
  const { api } = setUp();
  api.call('POST', LEASES, lease('a'));
  const watch = api.watch(
    `${LEASES}?watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan`,
  );
  assert.deepEqual(
    watch.events.map((e) => e['type']),
    ['ADDED', 'BOOKMARK'],
  );
  assert.deepEqual(watch.events[1]?.['object'].metadata.annotations, { 'k8s.io/initial-events-end': 'true' });
});

test('who names no version and wants bookmarks gets that of the initial events, too', () => {
  const { api } = setUp();
  api.call('POST', LEASES, lease('a'));
  for (const query of ['', '&resourceVersion=0']) {
    const watch = api.watch(`${LEASES}?watch=1&allowWatchBookmarks=true${query}`);
    const [added, bookmark] = watch.events;
    assert.deepEqual([added?.['type'], bookmark?.['type']], ['ADDED', 'BOOKMARK']);
    assert.deepEqual(bookmark?.['object'].metadata.annotations, { 'k8s.io/initial-events-end': 'true' });
  }
  assert.equal(api.get(`${LEASES}?watch=1&continue=abc`).status, 422);
});

test('a version that was compacted away: one ERROR event with a 410 Status, then the end', () => {
  const { clock, api } = setUp();
  const old = version(api);
  api.api.store.compact();
  const watch = api.watch(`${LEASES}?watch=1&resourceVersion=${old}`);
  assert.equal(watch.events.length, 1);
  assert.equal(watch.events[0]?.['type'], 'ERROR');
  assert.deepEqual([watch.events[0]?.['object'].code, watch.events[0]?.['object'].reason], [410, 'Expired']);
  assert.deepEqual([watch.ended, clock.pending], [true, 0]);
});

test('a version from the future: silent until it comes', () => {
  const { api } = setUp();
  const watch = api.watch(`${LEASES}?watch=1&resourceVersion=${Number(version(api)) + 1}`);
  api.call('POST', LEASES, lease('a'));
  api.call('POST', LEASES, lease('b'));
  assert.deepEqual(watch.received(), ['ADDED b']);
});

test('as tables: columns come with the first event only', () => {
  const { api } = setUp();
  api.call('POST', LEASES, lease('a'));
  const watch = api.watch(`${LEASES}?watch=1`, { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' });
  api.call('POST', LEASES, lease('b'));
  assert.deepEqual(
    watch.events.map((e) => [e['object'].rows[0].cells[0], e['object'].columnDefinitions !== null]),
    [
      ['a', true],
      ['b', false],
    ],
  );
});
