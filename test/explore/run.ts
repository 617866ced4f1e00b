/**
 * `npm run explore`: every way in which one or two things go otherwise in small scenarios, for ten seconds each.
 *
 * `-- --scenario NAME` explores one, `--seconds N` for so long each, `--deviations N` with so many things at the most.
 * `--mutants` takes safety rules out, one at a time, until one scenario misses it, and says after how many runs that did;
 * `--mutants=TEXT` those whose names contain the text. `--replay '12 lose, 30 crash a1'` tells the story of one schedule. `--json FILE` writes the figures.
 *
 * Exits with 1 after a violation, or when a rule within reach is not missed.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { runOnce } from './explore.ts';
import type { Explored } from './explore.ts';
import { exploreAll, hunt } from './hunt.ts';
import { huntTasks, outOfReach } from './reach.ts';
import { SCENARIOS } from './scenarios.ts';
import { parseSchedule, scheduleText } from './scene.ts';

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: '' },
    seconds: { type: 'string', default: '10' },
    deviations: { type: 'string', default: '2' },
    mutants: { type: 'string' },
    replay: { type: 'string' },
    json: { type: 'string' },
  },
  allowNegative: true,
});

const chosen = SCENARIOS.filter(({ name }) => values.scenario === '' || name === values.scenario);
const bounds = { deviations: Number(values.deviations), ms: Number(values.seconds) * 1_000 };

function tell({ scenario, runs, same, complete, ms, found }: Explored): void {
  const all = complete < 0 ? 'nothing complete' : `complete up to ${complete} deviations`;
  console.log(`${scenario}: ${runs} runs, ${same} of them like another, ${all}, ${(ms / 1000).toFixed(1)} s`);
  if (!found) return;
  process.exitCode = 1;
  console.log(found.story.join('\n'));
  console.log(`\n${found.rule}: ${found.message}`);
  console.log(`replay: npm run explore -- --scenario '${scenario}' --replay '${scheduleText(found.schedule)}'`);
  console.log(`as a test: ['${scenario}', '${scheduleText(found.schedule)}'], // in test/explore/replays.test.ts`);
}

async function replay(text: string): Promise<void> {
  const [scenario] = chosen;
  if (chosen.length !== 1 || !scenario) throw new Error('--replay needs --scenario');
  const { story, failure, missed } = await runOnce(scenario, parseSchedule(text));
  console.log(story.join('\n'));
  if (missed.length > 0) console.log(`not possible any more: ${scheduleText(missed)}`);
  console.log(failure ? `${failure.rule}: ${failure.message}` : 'no violation');
  if (failure) process.exitCode = 1;
}

if (values.replay !== undefined) await replay(values.replay);
else if (values.mutants !== undefined) {
  const tasks = huntTasks(bounds, values.mutants).filter(({ scenario }) =>
    chosen.some(({ name }) => name === scenario),
  );
  const missed = new Map<string, string>();
  await hunt(tasks, ({ mutant, scenario }, { found, runs }) => {
    const how = `${scheduleText(found.schedule)}: ${found.rule}`;
    console.log(`${mutant.rule.padEnd(72)} ${scenario.padEnd(12)} ${String(runs).padStart(6)} runs  ${how}`);
    missed.set(mutant.rule, found.rule);
  });
  const all = new Set(tasks.map(({ mutant }) => mutant.rule));
  const left = [...all].filter((rule) => !missed.has(rule));
  console.log(`${missed.size} of ${all.size} rules within reach are missed when they are gone`);
  if (left.length > 0) {
    console.log(`not: ${left.join('; ')}`);
    process.exitCode = 1;
  }
  if (values.json !== undefined) {
    const rules = [...all].map((rule) => ({ rule, by: missed.get(rule) ?? null }));
    const outside = [...outOfReach()].map(([reason, out]) => ({ reason, rules: out }));
    await writeFile(values.json, `${JSON.stringify({ rules, outside }, null, 2)}\n`);
  }
} else {
  const answers = await exploreAll(
    chosen.map(({ name }) => ({ scenario: name, bounds })),
    (_, explored) => tell(explored),
  );
  const figures = answers.map(({ scenario, runs, same, steps, complete, ms, found }) => {
    return { scenario, runs, same, steps, complete, seconds: Math.round(ms / 1000), violation: found?.rule ?? null };
  });
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ scenarios: figures }, null, 2)}\n`);
}
