/** More worlds of recipes than `npm test` runs; `npm run simulate` runs ten thousand. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runSeeds } from './pool.ts';
import { failures } from './report.ts';

const [FROM, TO] = [121, 2_000];

test(`seeds ${FROM} to ${TO} of the recipes' worlds: no promise is broken`, { timeout: 600_000 }, async () => {
  const tally = await runSeeds(FROM, TO, 'recipes');
  assert.equal(tally.failures.length, 0, await failures(tally));
});
