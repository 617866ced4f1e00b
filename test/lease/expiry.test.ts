import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expiredAt, publishedExpiry, UNTIMED_LEASE_LIFE_MS } from '../../src/lease/expiry.ts';
import type { Lease, LeaseSpec } from '../../src/lease/lease.ts';
import { newLease, parseLease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';

const T = Date.UTC(2026, 0, 1);
const at = (ms: number): MicroTime => MicroTime.fromEpochMs(T + ms);
const lease = (spec: LeaseSpec, creationTimestamp?: MicroTime): Lease =>
  newLease({ name: 'x', namespace: 'n', uid: 'u', resourceVersion: '1', creationTimestamp }, spec);

describe('expiredAt', () => {
  const timed = { renewTime: at(0), leaseDurationSeconds: 10 };
  const hour = UNTIMED_LEASE_LIFE_MS;
  const table: [string, Lease, number, number, boolean][] = [
    ['before its end', lease(timed), 9_999, 0, false],
    ['at its end', lease(timed), 10_000, 0, false],
    ['a microsecond later', lease(timed), 10_000.001, 0, true],
    ['within the grace', lease(timed), 12_000, 2_000, false],
    ['after the grace', lease(timed), 12_000.001, 2_000, true],
    ['renewed in the future', lease({ ...timed, renewTime: at(3_600_000) }), 0, 0, false],
    ['long gone', lease({ ...timed, renewTime: MicroTime.parse('0001-01-01T00:00:00Z') }), 0, 0, true],
    ['the greatest duration', lease({ ...timed, leaseDurationSeconds: 2 ** 31 - 1 }), 60 * 365 * 86_400_000, 0, false],
    [
      'an end beyond year 9999',
      lease({ ...timed, renewTime: MicroTime.parse('9999-12-31T23:59:59Z') }),
      1e12,
      0,
      false,
    ],
    ['empty holder expires as any other', lease({ ...timed, holderIdentity: '' }), 10_001, 0, true],
    ['no renewTime, an hour old', lease({ leaseDurationSeconds: 10 }, at(0)), hour, 0, false],
    ['no renewTime, older', lease({ leaseDurationSeconds: 10 }, at(0)), hour + 1, 0, true],
    ['no duration, an hour old', lease({ renewTime: at(0) }, at(0)), hour, 0, false],
    ['no duration, older', lease({ renewTime: at(0) }, at(0)), hour + 1, 0, true],
    ['no duration, older, within the grace', lease({ renewTime: at(0) }, at(0)), hour + 1, 5, false],
    ['nothing known at all', lease({}), 1e12, 0, false],
  ];
  for (const [what, subject, now, graceMs, expired] of table) {
    it(`${what}: ${expired}`, () => assert.equal(expiredAt(subject, at(now), graceMs), expired));
  }

  it('treats a duration that cannot be one as none', () => {
    const metadata = { name: 'x', creationTimestamp: at(0).toString() };
    const odd = parseLease({ metadata, spec: { renewTime: at(0).toString(), leaseDurationSeconds: -5 } });
    assert.equal(publishedExpiry(odd)?.equals(at(UNTIMED_LEASE_LIFE_MS)), true);
  });
});
