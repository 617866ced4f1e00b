import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { newLease } from '../../src/lease/lease.ts';
import type { Lease, LeaseSpec } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { LOST_POST_MS, OwnWrites } from '../../src/lease/own-writes.ts';
import type { OwnWrite } from '../../src/lease/own-writes.ts';

const NOW = 1_767_000_000_000_000;
const t = (micros: number): MicroTime => MicroTime.fromEpochMicros(NOW + micros);
const lease = (spec: LeaseSpec, version = '7', uid = 'u1'): Lease =>
  newLease({ name: 'x', namespace: 'n', uid, resourceVersion: version }, spec);
const times = (writes: readonly OwnWrite[]): number[] => writes.map((w) => w.renewTime.epochMicros - NOW);

/** Writes at 0, acknowledged in version 7, and then at 5: without an answer. */
function lostAfterAcknowledged(base: Lease | undefined) {
  const writes = new OwnWrites();
  writes.stored(writes.sending(t(0), 0, undefined, {}), lease({ renewTime: t(0) }));
  const lost = writes.sending(t(5), 0, base, {});
  writes.answerLost(lost);
  return { writes, lost };
}

describe('own writes', () => {
  it('never gives the same time twice while it may be found again, or the time of the record below', () => {
    const writes = new OwnWrites();
    assert.ok(writes.time(NOW).equals(t(0)));
    writes.sending(t(0), 0, undefined, {});
    writes.sending(t(1), 0, undefined, {});
    assert.ok(writes.time(NOW).equals(t(2)));
    assert.ok(writes.time(NOW, t(2)).equals(t(3)));
  });

  it('knows its acknowledged write and those without an answer again, and no other', () => {
    const { writes, lost } = lostAfterAcknowledged(lease({}));
    assert.equal(writes.find(lease({ renewTime: t(0) })), writes.acknowledged);
    assert.equal(writes.find(lease({ renewTime: t(5) })), lost);
    assert.equal(writes.find(lease({ renewTime: t(1) })), undefined);
  });

  it('waits for a lost PUT only while the version that it was made from stands', () => {
    for (const [seen, open] of [
      [lease({}), [5]],
      [lease({}, '8'), []],
      [lease({}, '7', 'u2'), []],
      [undefined, []],
    ] as const) {
      const { writes } = lostAfterAcknowledged(lease({}));
      writes.observed(seen, 1);
      assert.deepEqual(times(writes.lost), open);
    }
  });

  it('waits for a lost POST until the server has given it up, unless it made this very lease', () => {
    for (const [seen, nowMs, open] of [
      [undefined, LOST_POST_MS, [5]],
      [undefined, LOST_POST_MS + 1, []],
      // Refused now, not when the name is free again.
      [lease({}, '8'), 1, [5]],
      [lease({ acquireTime: t(5), renewTime: t(9) }, '9'), 1, []],
    ] as const) {
      const { writes } = lostAfterAcknowledged(undefined);
      writes.observed(seen, nowMs);
      assert.deepEqual(times(writes.lost), open);
    }
  });

  it('what a read shows as stored is no longer waited for once it is taken for the last write', () => {
    const { writes, lost } = lostAfterAcknowledged(undefined);
    const seen = lease({ acquireTime: t(5), renewTime: t(5) }, '9');
    writes.observed(seen, 1);
    assert.equal(writes.find(seen), lost);
    writes.stored(lost, seen);
    assert.deepEqual([times(writes.all), times(writes.lost)], [[5], []]);
  });

  it('a read that finds the last write again leaves the PUT made from it open', () => {
    const { writes } = lostAfterAcknowledged(lease({}));
    writes.stored(writes.acknowledged!, lease({ renewTime: t(0) }));
    assert.deepEqual(times(writes.lost), [5]);
  });

  it('a refused write is forgotten, the oldest of more than 64 without an answer too, the acknowledged one never', () => {
    const { writes } = lostAfterAcknowledged(lease({}));
    writes.refused(writes.sending(t(6), 0, lease({}), {}));
    assert.deepEqual(times(writes.all), [0, 5]);
    for (let i = 10; i < 80; i++) writes.answerLost(writes.sending(t(i), 0, lease({}), {}));
    assert.equal(writes.all.length, 65);
    assert.deepEqual(times(writes.all).slice(0, 2), [0, 16]);
  });
});
