/**
 * `npm run contend -- --minutes N --what election,publishers,recipes,shards`: contenders as real processes against a real API
 * server (KUBEBUILDER_ASSETS), each behind a proxy; the rows of scenarios.ts happen to them, one after another. Each writes every
 * 20 ms what it does; what they wrote is judged afterwards. client-go is among those who want a leadership (GO_PEER).
 *
 * `--minutes N` (default 10) for each of what is named (default: all), `--contenders N`, `--seed N`, `--only TEXT` for rows whose
 * name has it, `--verbose`, `--json FILE` for the figures. Prints a table for each. Exits with 1 when two held one thing, a token fell, or something did not
 * become well in time.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { realApiSkip } from '../support/real-api.ts';
import { chance } from '../simulation/chance.ts';
import { contendForLeadership } from './elections.ts';
import { publishAndSweep } from './publishers.ts';
import { contendByRecipes } from './recipes.ts';
import { playRounds } from './rounds.ts';
import type { Contest, Played, Settings } from './rounds.ts';
import { shareKeys } from './shards.ts';
import { ScriptProgress } from '../support/script-progress.ts';

const CONTESTS: Readonly<Record<string, (settings: Settings) => Promise<Contest>>> = {
  election: contendForLeadership,
  publishers: publishAndSweep,
  recipes: contendByRecipes,
  shards: shareKeys,
};

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    what: { type: 'string', default: Object.keys(CONTESTS).join(',') },
    contenders: { type: 'string', default: '0' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const skip = realApiSkip();
if (skip) {
  console.error(skip);
  process.exit(1);
}
const played: (Played & { what: string })[] = [];
for (const what of values.what.split(',')) {
  const begin = CONTESTS[what];
  if (!begin) throw new Error(`${JSON.stringify(what)} is none of ${Object.keys(CONTESTS).join(', ')}`);
  const random = chance(Number(values.seed));
  const contest = await begin({ contenders: Number(values.contenders), random });
  console.log(`\n${what}: ${contest.world.contenders.length} contenders, seed ${values.seed}`);
  using progress = new ScriptProgress();
  try {
    const forMs = Number(values.minutes) * 60_000;
    progress.begin(what, forMs);
    const became = await playRounds(contest, { forMs, only: values.only, verbose: values.verbose, random });
    played.push({ what, ...became });
  } finally {
    await contest.world.stop();
  }
}
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(played, null, 2)}\n`);
process.exit(played.some(({ problems }) => problems > 0) ? 1 : 0);
