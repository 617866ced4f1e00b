/**
 * `npm run contend -- --minutes N`: contenders for one lease as real processes against a real API server (KUBEBUILDER_ASSETS),
 * client-go among them (GO_PEER), each behind a proxy; the rows of scenarios.ts happen to them, one after another. Each command
 * writes every 20 ms; what they wrote is judged afterwards.
 *
 * `--minutes N` (default 10), `--contenders N` (default 3), `--seed N`, `--only TEXT` for rows whose name has it, `--verbose`.
 * Prints a table. Exits with 1 when two ran at once, a token fell, or nobody led again in time.
 */
import { parseArgs } from 'node:util';
import { realApiSkip } from '../support/real-api.ts';
import { chance } from '../simulation/chance.ts';
import { judge } from './judge.ts';
import { SCENARIOS } from './scenarios.ts';
import { LEASE_MS, World, now } from './world.ts';

/** From the end of all faults until somebody leads: an expiry, a race, and a start of what was killed, on a busy machine. */
const RECOVERY_MS = 5 * LEASE_MS + 15_000;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    contenders: { type: 'string', default: '3' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    only: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
  },
});

interface Row {
  readonly name: string;
  rounds: number;
  problems: number;
  /** Milliseconds without a command, the longest of each round. */
  readonly gaps: number[];
  refused: number;
}

const skip = realApiSkip();
if (skip) {
  console.error(skip);
  process.exit(1);
}
const chosen = SCENARIOS.filter(({ name }) => name.includes(values.only));
const rows = new Map<string, Row>();
for (const { name, skip: why } of chosen) {
  const reason = why?.();
  if (reason === undefined) rows.set(name, { name, rounds: 0, problems: 0, gaps: [], refused: 0 });
  else console.log(`left out: ${name}: ${reason}`);
}
const playable = chosen.filter(({ name }) => rows.has(name));
if (playable.length === 0) throw new Error(`no scenario has ${JSON.stringify(values.only)} in its name`);

console.log(`seed ${values.seed}; ${values.contenders} contenders, ${playable.length} scenarios`);
const random = chance(Number(values.seed));
const world = await World.start(Number(values.contenders), random);
const until = now() + Number(values.minutes) * 60_000;
const problems: string[] = [];
const reported = new Set<string>();
/** Rounds in an order of chance, all of them before any comes again. */
let order: (typeof playable)[number][] = [];
try {
  while (now() < until) {
    if (order.length === 0)
      order = playable
        .map((one) => ({ one, at: random() }))
        .sort((a, b) => a.at - b.at)
        .map(({ one }) => one);
    const scenario = order.pop()!;
    const row = rows.get(scenario.name)!;
    const leader = await world.awaitLeader(RECOVERY_MS);
    if (!leader) {
      problems.push(`before ${scenario.name}: nobody leads`);
      row.problems++;
      break;
    }
    const began = now();
    world.note(`${scenario.name}: ${leader.id} leads`);
    await scenario.play(world, leader);
    await world.heal();
    world.note('healed');
    const healed = now();
    const next = await world.awaitLeader(RECOVERY_MS);
    world.note(`${next?.id ?? 'nobody'} leads`);
    const starved = next ? [] : [`${scenario.name}: nobody leads ${RECOVERY_MS} ms after its end`];
    const { steps } = world;
    const verdict = judge(steps, world.frozen, world.epochs);
    const found = [
      ...verdict.problems.filter((one) => !reported.has(one)).map((one) => `${scenario.name}: ${one}`),
      ...starved,
    ];
    for (const problem of verdict.problems) reported.add(problem);
    problems.push(...found);
    row.rounds++;
    row.problems += found.length;
    const times = [began, ...steps.map(({ at }) => at).filter((at) => at > began), ...(next ? [] : [now()])].sort(
      (a, b) => a - b,
    );
    row.gaps.push(Math.max(...times.slice(1).map((at, i) => at - times[i]!), 0));
    row.refused += verdict.refused - [...rows.values()].reduce((sum, { refused }) => sum + refused, 0);
    if (values.verbose || found.length > 0) {
      console.log(
        `${scenario.name}: ${Math.round(now() - began)} ms, ${found.join('; ') || 'fine'}, healed at ${Math.round(healed)}`,
      );
    }
    if (found.length > 0) for (const { id, log } of world.contenders) console.log(`--- ${id}\n${log.slice(-4_000)}`);
  }
  const { terms } = judge(world.steps, world.frozen, world.epochs);
  const width = Math.max(...[...rows.keys()].map((name) => name.length));
  console.log(`\n${'scenario'.padEnd(width)}  rounds  problems  refused  longest without a leader`);
  for (const { name, rounds, problems: count, gaps, refused } of rows.values()) {
    const longest = gaps.length === 0 ? '' : `${(Math.max(...gaps) / 1000).toFixed(1)} s`;
    console.log(
      `${name.padEnd(width)}  ${String(rounds).padStart(6)}  ${String(count).padStart(8)}  ${String(refused).padStart(7)}  ${longest}`,
    );
  }
  const rounds = [...rows.values()].reduce((sum, row) => sum + row.rounds, 0);
  console.log(
    `\n${rounds} rounds, ${terms} terms, ${world.steps.length} steps; ${problems.length} problems (seed ${values.seed})`,
  );
  for (const problem of problems) console.log(`  ${problem}`);
} finally {
  await world.stop();
}
process.exit(problems.length > 0 ? 1 : 0);
