/**
 * `npm run simulate`: 10,000 seeds of the services' worlds and as many of the recipes', then every safety rule taken out once.
 *
 * `-- --seeds N` runs N seeds, `--from N` begins with another than 1, `--no-mutants` leaves the rules in, `--no-seeds` takes
 * them out only, `--worlds services` or `recipes` runs one kind of worlds only, `--mutants TEXT` takes out rules that contain
 * the text, `--json FILE` writes the figures. `-- --seed N` replays one seed, with `--recipes` one of the recipes' worlds; `--verbose` with its whole history. Parts
 * can be left out of it, as a failing seed that was made small says: `--phases`, `--without-slots`, `--without-happenings`,
 * `--without-faults`.
 *
 * Exits with 1 after a violation, or when a rule is not missed.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import type { FaultKind } from './chaos.ts';
import { MUTANTS } from './mutants.ts';
import { hunt, runSeeds } from './pool.ts';
import type { Caught } from './pool.ts';
import { asJson, failures, figures, hours, mutantLine } from './report.ts';
import { simulate } from './simulate.ts';
import { addTally, emptyTally } from './tally.ts';
import { ScriptProgress } from '../support/script-progress.ts';

/** The standard number of seeds: what `npm test` runs, and within which each rule must be missed. */
export const STANDARD_SEEDS = 1_000;

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    recipes: { type: 'boolean', default: false },
    worlds: { type: 'string', default: 'all' },
    mutants: { type: 'string', default: '' },
    seeds: { type: 'string', default: '10000' },
    from: { type: 'string', default: '1' },
    verbose: { type: 'boolean', default: false },
    'no-mutants': { type: 'boolean', default: false },
    'no-seeds': { type: 'boolean', default: false },
    json: { type: 'string' },
    phases: { type: 'string' },
    'without-slots': { type: 'string', default: '' },
    'without-happenings': { type: 'string', default: '' },
    'without-faults': { type: 'string', default: '' },
  },
});

async function replay(seed: number): Promise<void> {
  const list = (text: string): string[] => text.split(',').filter((item) => item !== '');
  const without = {
    phases: values.phases === undefined ? Infinity : Number(values.phases),
    slots: new Set(list(values['without-slots'])),
    happenings: new Set(list(values['without-happenings']).map(Number)),
    faults: new Set(list(values['without-faults']) as FaultKind[]),
  };
  const { log, violation, digest, plan, simulatedMs } = await simulate(
    seed,
    without,
    values.verbose ? 1e7 : 40,
    values.recipes ? 'recipes' : 'services',
  );
  if (values.verbose) {
    for (const slot of plan.slots) console.log(JSON.stringify(slot));
    for (const happening of plan.phases.flatMap(({ happenings }) => happenings)) console.log(JSON.stringify(happening));
  }
  if (values.verbose || violation) console.log(log.join('\n'));
  console.log(`seed ${seed}, ${plan.theme}, ${Math.round(simulatedMs / 1000)} s, history ${digest}`);
  console.log(violation ? `${violation.rule}: ${violation.message}` : 'no violation');
  if (violation) process.exitCode = 1;
}

async function everything(): Promise<void> {
  const from = Number(values.from);
  const seeds = Number(values.seeds);
  const began = performance.now();
  const tally = emptyTally();
  using progress = new ScriptProgress();
  for (const worlds of ['services', 'recipes'] as const) {
    if (values['no-seeds'] || (values.worlds !== 'all' && values.worlds !== worlds)) continue;
    let printed = 0;
    progress.begin(`${worlds}: seeds`);
    const part = await runSeeds(from, from + seeds - 1, worlds, (sum) => {
      progress.at(`${worlds}: seeds`, sum.seeds, seeds);
      if (sum.seeds < printed + 500) return;
      printed = sum.seeds;
      console.log(`${worlds}: ${sum.seeds} seeds, ${hours(sum)} simulated hours, ${sum.failures.length} violations`);
    });
    addTally(tally, part);
  }
  if (!values['no-seeds']) console.log(`\n${figures(tally)} in ${Math.round((performance.now() - began) / 1000)} s`);
  if (tally.failures.length > 0) {
    console.log(await failures(tally));
    process.exitCode = 1;
  }
  let caught: Caught[] = [];
  if (!values['no-mutants']) {
    console.log(
      `\nSafety rules taken out, one at a time: missed after how many of ${STANDARD_SEEDS} seeds, and by what rule`,
    );
    const chosen = MUTANTS.filter(
      ({ rule, worlds = 'services' }) =>
        rule.includes(values.mutants) && (values.worlds === 'all' || values.worlds === worlds),
    );
    progress.begin(`rules taken out: ${chosen.length}`);
    let hunted = 0;
    caught = await hunt(chosen, STANDARD_SEEDS, (one) => {
      console.log(mutantLine(one));
      progress.at('rules taken out', ++hunted, chosen.length);
    });
    const missed = caught.filter(({ caughtAfter }) => caughtAfter === undefined);
    console.log(`${caught.length - missed.length} of ${caught.length} rules are missed when they are gone`);
    if (missed.length > 0) process.exitCode = 1;
  }
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(asJson(tally, caught), null, 2)}\n`);
}

if (values.seed !== undefined) await replay(Number(values.seed));
else await everything();
