import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { LEASES, TestApi, lease } from './support.ts';
import type { Answer, Json } from './support.ts';

const ONE = `${LEASES}/a`;
let clock: ManualClock;
let api: TestApi;
beforeEach(() => {
  clock = new ManualClock();
  api = new TestApi({ clock });
});

const apply = (manager: string, spec: Json, query = '', metadata: Json = {}): Answer =>
  api.apply(ONE, manager, { metadata: { name: 'a', ...metadata }, spec }, query);
const patch = (manager: string, body: Json): Answer =>
  api.call('PATCH', `${ONE}?fieldManager=${manager}`, body, { 'content-type': 'application/merge-patch+json' });
/** Whose the fields are: `manager operation: fields`, and when they were set. */
const owners = ({ body }: Answer): string[] =>
  ((body['metadata'].managedFields ?? []) as Json[]).map((entry) => {
    const at = (entry['time'] as string).slice(14, 19);
    return `${entry['manager']} ${entry['operation']} ${at} ${JSON.stringify(entry['fieldsV1']).replaceAll(':{}', '')}`;
  });

test('an update owns what it changes, from then on', async () => {
  const made = api.call('POST', LEASES, lease('a', {}, { labels: { x: 'y' } }), { 'user-agent': 'maker/1.2 (linux)' });
  assert.deepEqual(owners(made), [
    'maker Update 00:00 {"f:metadata":{"f:labels":{".","f:x"}},"f:spec":{"f:holderIdentity","f:leaseDurationSeconds"}}',
  ]);
  await clock.advance(61_000);
  assert.deepEqual(owners(patch('other', { spec: { holderIdentity: 'b' }, metadata: { labels: { x: null } } })), [
    'maker Update 00:00 {"f:spec":{"f:leaseDurationSeconds"}}',
    'other Update 01:01 {"f:spec":{"f:holderIdentity"}}',
  ]);
  const same = patch('third', { spec: { holderIdentity: 'b' } });
  assert.equal(same.body['metadata'].resourceVersion, api.get(ONE).body['metadata'].resourceVersion);
  assert.equal(owners(same).length, 2, 'what changes nothing owns nothing');
});

test('a renewal sets the time of its entry, and leaves the others alone', async () => {
  apply('labels', {}, '', { labels: { x: 'y' } });
  let { body } = patch('holder', { spec: { renewTime: '2026-01-01T00:00:00.000000Z' } });
  await clock.advance(10_000);
  const renewed = { ...body, spec: { renewTime: '2026-01-01T00:00:10.000000Z' } };
  ({ body } = api.call('PUT', `${ONE}?fieldManager=holder`, renewed));
  assert.deepEqual(owners({ status: 200, body, headers: {} }), [
    'labels Apply 00:00 {"f:metadata":{"f:labels":{"f:x"}},"f:spec"}',
    'holder Update 00:10 {"f:spec":{"f:renewTime"}}',
  ]);
});

test('an apply conflicts with those who own what it would change: all fields are named, by owner', () => {
  apply('one', { holderIdentity: 'a', leaseDurationSeconds: 5 });
  patch('two', { spec: { leaseTransitions: 1 } });
  const clash = apply('three', { holderIdentity: 'b', leaseDurationSeconds: 5, leaseTransitions: 2 });
  assert.deepEqual([clash.status, clash.body['reason']], [409, 'Conflict']);
  assert.deepEqual(clash.body['details'].causes, [
    { reason: 'FieldManagerConflict', message: 'conflict with "one"', field: '.spec.holderIdentity' },
    {
      reason: 'FieldManagerConflict',
      message: 'conflict with "two" using coordination.k8s.io/v1',
      field: '.spec.leaseTransitions',
    },
  ]);
  assert.equal(api.get(ONE).body['spec'].holderIdentity, 'a');
  const forced = apply('three', { holderIdentity: 'b', leaseTransitions: 2 }, '&force=true');
  assert.deepEqual(forced.body['spec'], { holderIdentity: 'b', leaseDurationSeconds: 5, leaseTransitions: 2 });
  assert.equal(
    apply('three', { holderIdentity: 'c', leaseTransitions: 2 }).status,
    200,
    'the fields are his alone now',
  );
});

test('what an applier leaves out goes, unless another owns it too', () => {
  apply('one', { holderIdentity: 'a', leaseDurationSeconds: 5 }, '', { finalizers: ['x.io/1', 'x.io/2'] });
  assert.equal(apply('two', { leaseDurationSeconds: 5 }, '', { finalizers: ['x.io/3', 'x.io/2'] }).status, 200);
  const left = apply('one', {}, '', { finalizers: [] }).body;
  assert.deepEqual([left['spec'], left['metadata'].finalizers], [{ leaseDurationSeconds: 5 }, ['x.io/3', 'x.io/2']]);
  assert.deepEqual(apply('two', {}).body['spec'], {});
});

test('an apply that changes nothing is no change; its order of a list is', () => {
  const owner = (uid: string): Json => ({ apiVersion: 'v1', kind: 'Node', name: uid, uid });
  const first = apply('one', {}, '', { ownerReferences: [owner('1'), owner('2')] }).body;
  const again = apply('one', {}, '', { ownerReferences: [owner('1'), owner('2')] }).body;
  assert.equal(again['metadata'].resourceVersion, first['metadata'].resourceVersion);
  const turned = apply('one', {}, '', { ownerReferences: [owner('3'), owner('2'), owner('1')] }).body;
  assert.deepEqual(
    turned['metadata'].ownerReferences.map((o: Json) => o['uid']),
    ['3', '2', '1'],
  );
});

test('what cannot be applied, and how that is said', () => {
  const table: [number, Json, string?][] = [
    [500, { spec: { nope: 1 } }],
    [500, { spec: { holderIdentity: 5 } }],
    [500, { spec: { renewTime: '2026-01-01T00:00:00Z' } }],
    [500, { metadata: { name: 'a', finalizers: ['x.io/1', 'x.io/1'] } }],
    [422, { spec: { leaseDurationSeconds: 0 } }],
    [400, { kind: 'Node' }],
    [400, { metadata: { name: 'a', managedFields: [] } }],
    [400, { metadata: { name: 'other' } }],
  ];
  for (const [status, config] of table)
    assert.equal(api.apply(ONE, 'm', { metadata: { name: 'a' }, ...config }).status, status, JSON.stringify(config));
  assert.equal(api.patch(ONE, 'apply-patch+yaml', lease('a')).status, 422, 'without a field manager');
  assert.equal(patch('x'.repeat(129), {}).status, 422);
  assert.equal(api.get(ONE).status, 404, 'nothing was made of it');
});

test('cleared managed fields stay away until the first apply, which finds everything owned', () => {
  api.call('POST', LEASES, lease('a'));
  assert.deepEqual(owners(patch('x', { metadata: { managedFields: [{}] } })), []);
  assert.deepEqual(owners(patch('x', { spec: { leaseTransitions: 1 } })), []);
  const clash = apply('y', { leaseTransitions: 2 });
  assert.match(clash.body['message'] as string, /conflict with "before-first-apply" using/);
});

test('more updaters than ten become one', () => {
  api.call('POST', `${LEASES}?fieldManager=m0`, lease('a'));
  for (let i = 1; i < 15; i++) patch(`m${i}`, { metadata: { labels: { [`l${i}`]: 'x' } } });
  const names = owners(api.get(ONE)).map((owner) => owner.split(' ')[0]);
  assert.equal(names.length, 10);
  assert.ok(names.includes('ancient-changes'));
});

test("kubectl's server-side apply takes over what its client-side apply set, unless somebody changed it", () => {
  const key = 'kubectl.kubernetes.io/last-applied-configuration';
  const config = { metadata: { name: 'a' }, spec: { holderIdentity: 'h', leaseDurationSeconds: 30 } };
  const last = JSON.stringify({ apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', ...config });
  const made = lease('a', config.spec, { annotations: { [key]: last } });
  api.call('POST', `${LEASES}?fieldManager=kubectl-client-side-apply`, made);
  const wanted = { ...config, spec: { ...config.spec, leaseDurationSeconds: 31 } };
  assert.equal(api.apply(ONE, 'another', wanted).status, 409);
  const applied = api.apply(ONE, 'kubectl', wanted);
  assert.deepEqual([applied.status, applied.body['spec'].leaseDurationSeconds], [200, 31]);
  const kept = applied.body['metadata'].annotations[key] as string;
  assert.equal(
    kept,
    '{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"a"},"spec":{"holderIdentity":"h","leaseDurationSeconds":31}}\n',
  );
  api.patch(`${LEASES}/a?fieldManager=other`, 'merge-patch+json', { spec: { leaseDurationSeconds: 40 } });
  assert.equal(api.apply(ONE, 'kubectl', wanted).status, 409, 'what another changed since is not taken');
});
