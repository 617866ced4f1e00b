import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NOBODY_ELSE, headStart, lostRace, sawSuccession } from '../../src/election/crowd.ts';
import type { Crowd } from '../../src/election/crowd.ts';
import { chance } from '../simulation/chance.ts';

const crowdOf = (contenders: number): Crowd => ({ contenders, refusalMs: 0 });

test('who knows of nobody else does not wait', () =>
  assert.equal(
    headStart(NOBODY_ELSE, () => 0.999),
    0,
  ));

/** For so many candidates of that belief: how long the first waits, and how many have gone a while later. */
function race(candidates: number, contenders: number, whileMs: number, random: () => number) {
  const waits = Array.from({ length: candidates }, () => headStart(crowdOf(contenders), random)).sort((a, b) => a - b);
  const first = waits[0]!;
  return { first, writes: waits.filter((ms) => ms <= first + whileMs).length };
}
const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[numbers.length >> 1]!;

test('of a crowd that is known a few go, and the first goes soon', () => {
  const random = chance(1);
  for (const candidates of [3, 30, 300, 1_000]) {
    const races = Array.from({ length: 200 }, () => race(candidates, candidates, 100, random));
    assert(median(races.map(({ writes }) => writes)) <= 10, `${candidates}`);
    assert(median(races.map(({ first }) => first)) <= 50, `${candidates}`);
  }
});

test('a belief that is far too high costs a second at the most, two where the server is slow', () => {
  assert(headStart(crowdOf(2_048), () => 0.999999) < 1_100);
  assert(headStart({ contenders: 2_048, refusalMs: 500 }, () => 0.999999) < 2_100);
});

test('where the news of who won comes late, few have gone until then all the same', () => {
  const random = chance(2);
  const waits = Array.from({ length: 1_000 }, () => headStart({ contenders: 500, refusalMs: 300 }, random));
  const first = Math.min(...waits);
  assert(waits.filter((ms) => ms <= first + 300).length <= 30);
});

test('a lost race raises the belief, one that took long to be lost more so; up to a bound', () => {
  assert.equal(lostRace(NOBODY_ELSE, 3).contenders, 4);
  assert.equal(lostRace(NOBODY_ELSE, 300).contenders, 300);
  assert.equal(lostRace(NOBODY_ELSE, 9_000).contenders, 500);
  let crowd = NOBODY_ELSE;
  for (let i = 0; i < 20; i++) crowd = lostRace(crowd, 3);
  assert.equal(crowd.contenders, 2_048);
});

test('a slow succession lowers it, down to nobody else; one in time does not', () => {
  assert.equal(sawSuccession(crowdOf(64), 20).contenders, 64);
  assert.equal(sawSuccession(crowdOf(64), 120).contenders, 32);
  assert.equal(sawSuccession(crowdOf(64), 10_000).contenders, 16);
  assert.equal(sawSuccession(crowdOf(1.5), 10_000).contenders, 1);
  // Where refusals take long, so does everything.
  assert.equal(sawSuccession({ contenders: 64, refusalMs: 100 }, 400).contenders, 64);
});
