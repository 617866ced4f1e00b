/**
 * A minute of exploration: every single thing that may go otherwise in each scenario, and of every two what the time allows.
 * `npm run explore` takes more time.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exploreAll } from './hunt.ts';
import { SCENARIOS } from './scenarios.ts';
import { scheduleText } from './scene.ts';

test('no promise is broken, whatever goes otherwise once', { timeout: 900_000 }, async (t) => {
  const bounds = { deviations: 2, ms: 18_000, atLeast: 1 };
  const answers = await exploreAll(SCENARIOS.map(({ name }) => ({ scenario: name, bounds })));
  for (const { scenario, runs, complete, found } of answers) {
    t.diagnostic(`${scenario}: ${runs} runs, complete up to ${complete}`);
    const replay = found && `--scenario ${scenario} --replay '${scheduleText(found.schedule)}'`;
    assert.equal(found, undefined, `${found?.rule}: ${found?.message}\nnpm run explore -- ${replay}`);
    assert.ok(complete >= 1, scenario);
  }
});
