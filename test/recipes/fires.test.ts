/** Which fire may be claimed: at most once whatever clocks say. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { MAX_FIRES_BYTES, decideClaim, firesText, parseFires } from '../../src/recipes/fires.ts';
import type { Fires } from '../../src/recipes/fires.ts';

const at = (seconds: number): MicroTime => MicroTime.fromEpochMs(Date.UTC(2026, 0, 1) + seconds * 1000);
const NONE: Fires = { horizon: undefined, claimed: [] };
const SKEW = 60_000;
const fire = (seconds: number, nonce = 'a', job = 'job') => ({ job, time: at(seconds), nonce });
const reason = (record: Fires, seconds: number, now: number, nonce = 'b'): string => {
  const verdict = decideClaim(record, fire(seconds, nonce), at(now), SKEW);
  return verdict.do === 'refuse' ? verdict.reason : verdict.do;
};

test('a fire is claimed once; its own claim is recognised; another job of the same moment is another fire', () => {
  const first = decideClaim(NONE, fire(100), at(100), SKEW);
  assert.equal(first.do, 'write');
  const record = first.do === 'write' ? first.fires : NONE;
  assert.equal(reason(record, 100, 100), 'claimed');
  assert.equal(reason(record, 100, 100, 'a'), 'run');
  assert.equal(decideClaim(record, fire(100, 'b', 'other'), at(100), SKEW).do, 'write');
});

test('what lies ahead of the server by more than the skew, or behind by more than twice, is refused', () => {
  assert.equal(reason(NONE, 161, 100), 'write', 'the Date is cut off: up to a second more');
  assert.equal(reason(NONE, 162, 100), 'ahead');
  assert.equal(reason(NONE, 100, 220), 'write');
  assert.equal(reason(NONE, 100, 221), 'old');
  assert.equal(reason(NONE, 100 + 10 * 365 * 86_400, 100), 'ahead', 'a clock ten years ahead claims nothing');
});

test('what was forgotten stays refused, also when another server has an earlier clock', () => {
  const record = { horizon: at(0), claimed: [fire(100)] };
  const later = decideClaim(record, fire(400, 'c'), at(400), SKEW);
  assert.ok(later.do === 'write');
  assert.deepEqual(
    later.fires.claimed.map(({ nonce }) => nonce),
    ['c'],
  );
  assert.equal(reason(later.fires, 100, 90), 'old');
});

test('the record is bounded: what does not fit is refused, and nothing is dropped for it', () => {
  const claimed = Array.from({ length: 3000 }, (_, i) => fire(100, `nonce-${i}`, `a-job-with-a-name-${i}`));
  assert.ok(firesText({ horizon: undefined, claimed }).length > MAX_FIRES_BYTES);
  assert.equal(reason({ horizon: undefined, claimed }, 100, 100), 'full');
});

test('texts of others are read with care', () => {
  for (const text of [
    'x',
    '[]',
    '{}',
    '{"claimed":[1]}',
    '{"claimed":[["a","b","c"]]}',
    '{"horizon":"x","claimed":[]}',
    'null',
  ]) {
    assert.equal(parseFires(text), undefined, text);
  }
  assert.deepEqual(parseFires(undefined), NONE);
  const record = { horizon: at(5), claimed: [fire(100)] };
  assert.equal(firesText(parseFires(firesText(record)) as Fires), firesText(record));
});

test('in any order of claims, clocks of servers and clocks of replicas, no fire is claimed twice', () => {
  const step = fc.record({ seconds: fc.nat(600), date: fc.nat(600) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let record = NONE;
      const won = new Set<string>();
      for (const [i, { seconds, date }] of steps.entries()) {
        const verdict = decideClaim(record, fire(seconds - (seconds % 20), `n${i}`), at(date), SKEW);
        if (verdict.do !== 'write') continue;
        const key = String(seconds - (seconds % 20));
        assert.ok(!won.has(key), key);
        won.add(key);
        record = parseFires(firesText(verdict.fires)) as Fires;
      }
    }),
  );
});
