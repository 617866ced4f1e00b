/**
 * A minute of exploration: in nearly all scenarios every single thing that may go otherwise, and of every two what so many runs cover.
 * A slow machine ends it earlier, and covers less: that is said, and breaks nothing. `npm run explore` takes more time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PARALLEL } from '../simulation/pool.ts';
import { exploreAll } from './hunt.ts';
import { huntTasks } from './reach.ts';
import { SCENARIOS } from './scenarios.ts';
import { scheduleText } from './scene.ts';

/** Of each scenario: about as many as there are schedules with one deviation in the largest. */
const RUNS = 1_800;
/** Of all scenarios. */
const MS = 90_000;

test('no promise is broken, whatever goes otherwise once', { timeout: 900_000 }, async (t) => {
  const bounds = { deviations: 2, runs: RUNS, ms: MS / Math.ceil(SCENARIOS.length / PARALLEL) };
  const answers = await exploreAll(SCENARIOS.map(({ name }) => ({ scenario: name, bounds })));
  for (const { scenario, runs, complete, found } of answers) {
    t.diagnostic(`${scenario}: ${runs} runs, complete up to ${complete}`);
    const replay = found && `--scenario ${scenario} --replay '${scheduleText(found.schedule)}'`;
    assert.equal(found, undefined, `${found?.rule}: ${found?.message}\nnpm run explore -- ${replay}`);
    assert.ok(runs > 0, scenario);
  }
});

test('a request to step down: each rule of it is missed when it is gone', { timeout: 900_000 }, async () => {
  const tasks = huntTasks({ deviations: 1, ms: 0, atLeast: 1 }, 'step down:');
  assert.ok(tasks.length > 0);
  await exploreAll(tasks, ({ mutant }, { found }) => assert.ok(found, mutant.rule));
});
