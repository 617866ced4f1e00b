/**
 * Exploration: in nearly all scenarios every single thing that may go otherwise, and of every two what so many runs cover. The
 * same schedules in every run, however long they take: about a minute on two cores. `npm run explore` takes more time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exploreAll } from './hunt.ts';
import { huntTasks } from './reach.ts';
import { SCENARIOS } from './scenarios.ts';
import { scheduleText } from './scene.ts';

/** Of each scenario: about as many as there are schedules with one deviation in the largest. */
const RUNS = 1_800;
test('no promise is broken, whatever goes otherwise once', { timeout: 1_800_000 }, async (t) => {
  const bounds = { deviations: 2, runs: RUNS, ms: Number.MAX_SAFE_INTEGER };
  const answers = await exploreAll(SCENARIOS.map(({ name }) => ({ scenario: name, bounds })));
  for (const { scenario, runs, complete, found } of answers) {
    t.diagnostic(`${scenario}: ${runs} runs, complete up to ${complete}`);
    const replay = found && `--scenario '${scenario}' --replay '${scheduleText(found.schedule)}'`;
    assert.equal(found, undefined, `${found?.rule}: ${found?.message}\nnpm run explore -- ${replay}`);
    assert.ok(runs >= RUNS || complete === bounds.deviations, `${scenario}: ${runs} runs`);
  }
});

test('a request to step down: each rule of it is missed when it is gone', { timeout: 900_000 }, async () => {
  const tasks = huntTasks({ deviations: 1, ms: 0, atLeast: 1 }, 'step down:');
  assert.ok(tasks.length > 0);
  await exploreAll(tasks, ({ mutant }, { found }) => assert.ok(found, mutant.rule));
});

/** A rule of shards, and the scenario that shows soonest what is wrong without it. */
const NAIVE = [
  ["shards: a silent member's Lease is taken before its keys", 'heard late'],
  ['shards: a member is silent for its whole duration', 'old views'],
  ['shards: a term that does not match is waited for', 'shards'],
  ['shards: a key that is not there is waited for', 'by hand'],
  ['shards: an empty holder beside its mark proves nothing', 'by hand'],
  ['shards: a key is drained before it is released', 'shards'],
] as const;

test('each naive design of shards is found by itself', { timeout: 900_000 }, async () => {
  const bounds = { deviations: 1, runs: RUNS, ms: 800_000 };
  const tasks = NAIVE.flatMap(([rule, name]) => huntTasks(bounds, rule).filter(({ scenario }) => scenario === name));
  assert.equal(tasks.length, NAIVE.length);
  const answers = await exploreAll(tasks);
  for (const [i, { found }] of answers.entries()) assert.ok(found, NAIVE[i]![0]);
});
