import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { newLease, withChanges } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { recordOf, sameRecord, silence } from '../../src/lease/record.ts';

const at = (ms: number): MicroTime => MicroTime.fromEpochMs(1_767_000_000_000 + ms);
const lease = newLease(
  { name: 'x', namespace: 'n', uid: 'u', resourceVersion: '1' },
  { holderIdentity: 'a', leaseDurationSeconds: 15, renewTime: at(0), acquireTime: at(0), leaseTransitions: 0 },
);
const version = (change: Partial<Lease['metadata']>): Lease => ({
  ...lease,
  metadata: { ...lease.metadata, ...change },
});

describe('a record', () => {
  for (const [what, changed] of [
    ['another holder', withChanges(lease, { spec: { holderIdentity: 'b' } })],
    ['a release', withChanges(lease, { spec: { holderIdentity: '' } })],
    ['another duration', withChanges(lease, { spec: { leaseDurationSeconds: 16 } })],
    ['one transition more', withChanges(lease, { spec: { leaseTransitions: 1 } })],
    ['a microsecond later', withChanges(lease, { spec: { renewTime: at(0.001) } })],
    ['an earlier renewTime', withChanges(lease, { spec: { renewTime: at(-1e9) } })],
    ['no renewTime', withChanges(lease, { spec: { renewTime: undefined } })],
    ['another acquireTime', withChanges(lease, { spec: { acquireTime: at(1) } })],
    ['another object', version({ uid: 'v' })],
  ] as const) {
    it(`${what}: renewed`, () => assert.equal(sameRecord(recordOf(lease), recordOf(changed)), false));
  }

  for (const [what, changed] of [
    ['a new version', version({ resourceVersion: '2' })],
    ['a label', withChanges(lease, { labels: { a: 'b' } })],
    ['an annotation', withChanges(lease, { annotations: { a: 'b' } })],
    ['a finalizer', version({ finalizers: ['a/b'], deletionTimestamp: at(5) })],
  ] as const) {
    it(`${what}: not renewed`, () => assert.equal(sameRecord(recordOf(lease), recordOf(changed)), true));
  }

  it('an empty holder and none are the same', () => {
    const empty = withChanges(lease, { spec: { holderIdentity: '' } });
    const none = withChanges(lease, { spec: { holderIdentity: undefined } });
    assert.ok(sameRecord(recordOf(empty), recordOf(none)));
  });

  it('silence counts from the first observation of a record, however often it is looked at', () => {
    const seen = silence(undefined, lease, 1_000);
    const annotated = silence(seen, version({ annotations: { a: 'b' }, resourceVersion: '2' }), 9_000);
    assert.deepEqual([seen.since, annotated.since], [1_000, 1_000]);
    assert.equal(silence(seen, withChanges(lease, { spec: { renewTime: at(1) } }), 9_000).since, 9_000);
  });
});
