/** Rounds of a contest: one scenario after another happens to it, in an order of chance, and after each it must be well again. */
import { LEASE_MS, now } from './world.ts';
import type { Contender, World } from './world.ts';
import type { Scenario } from './scenarios.ts';

/** From the end of all faults until all is well: an expiry, a race, and a start of what was killed, on a busy machine. */
export const RECOVERY_MS = 5 * LEASE_MS + 15_000;

/** One thing that is contended for, in a world of its own. */
export interface Contest {
  readonly world: World;
  readonly scenarios: readonly Scenario[];
  /** One contender to disturb above all, once all is well again; undefined: it is not within this time. */
  ready(withinMs: number): Promise<Contender | undefined>;
  /** Everything that was wrong so far, and how often a sink refused somebody who had stood still. */
  judge(): { readonly problems: readonly string[]; readonly refused: number };
  /** What happened, in lines. */
  summary(): readonly string[];
  /** What is wrong when no more is to come. */
  last?(): Promise<readonly string[]>;
}

export interface Settings {
  readonly contenders: number;
  readonly random: () => number;
}

interface Row {
  readonly name: string;
  rounds: number;
  problems: number;
  /** Milliseconds from the end of all faults until all was well. */
  readonly recoveries: number[];
  refused: number;
}

/** What became of a contest. */
export interface Played {
  readonly rounds: number;
  readonly problems: number;
  readonly summary: readonly string[];
}

export async function playRounds(
  contest: Contest,
  { forMs, only, verbose, random }: { forMs: number; only: string; verbose: boolean; random: () => number },
): Promise<Played> {
  const { world } = contest;
  const chosen = contest.scenarios.filter(({ name }) => name.includes(only));
  const rows = new Map<string, Row>();
  for (const { name, skip } of chosen) {
    const reason = skip?.();
    if (reason === undefined) rows.set(name, { name, rounds: 0, problems: 0, recoveries: [], refused: 0 });
    else console.log(`left out: ${name}: ${reason}`);
  }
  const playable = chosen.filter(({ name }) => rows.has(name));
  if (playable.length === 0) throw new Error(`no scenario has ${JSON.stringify(only)} in its name`);
  const problems: string[] = [];
  const reported = new Set<string>();
  let refused = 0;
  const until = now() + forMs;
  /** All of them before any comes again. */
  let order: (typeof playable)[number][] = [];
  while (now() < until) {
    if (order.length === 0)
      order = playable
        .map((one) => ({ one, at: random() }))
        .sort((a, b) => a.at - b.at)
        .map(({ one }) => one);
    const scenario = order.pop()!;
    const row = rows.get(scenario.name)!;
    const one = await contest.ready(RECOVERY_MS);
    if (!one) {
      problems.push(`before ${scenario.name}: not well`);
      row.problems++;
      break;
    }
    const began = now();
    world.note(`${scenario.name}: ${one.id}`);
    await scenario.play(world, one);
    await world.heal();
    world.note('healed');
    const healed = now();
    const next = await contest.ready(RECOVERY_MS);
    world.note(next ? 'well' : 'not well');
    const verdict = contest.judge();
    const fresh = verdict.problems.filter((problem) => !reported.has(problem));
    for (const problem of fresh) reported.add(problem);
    const found = [...fresh, ...(next ? [] : [`not well ${RECOVERY_MS} ms after its end`])];
    problems.push(...found.map((problem) => `${scenario.name}: ${problem}`));
    row.rounds++;
    row.problems += found.length;
    row.recoveries.push(now() - healed);
    row.refused += verdict.refused - refused;
    refused = verdict.refused;
    if (verbose || found.length > 0) {
      console.log(`${scenario.name}: ${Math.round(healed - began)} ms, ${found.join('; ') || 'fine'}`);
    }
    if (found.length > 0) for (const { id, log } of world.contenders) console.log(`--- ${id}\n${log.slice(-4_000)}`);
  }
  const late = (await contest.last?.()) ?? [];
  problems.push(...late);
  const width = Math.max(...[...rows.keys()].map((name) => name.length));
  console.log(`\n${'scenario'.padEnd(width)}  rounds  problems  refused  longest until well`);
  for (const { name, rounds, problems: count, recoveries, refused: no } of rows.values()) {
    const longest = recoveries.length === 0 ? '' : `${(Math.max(...recoveries) / 1000).toFixed(1)} s`;
    const cells = [String(rounds).padStart(6), String(count).padStart(8), String(no).padStart(7), longest];
    console.log(`${name.padEnd(width)}  ${cells.join('  ')}`);
  }
  const rounds = [...rows.values()].reduce((sum, row) => sum + row.rounds, 0);
  const summary = contest.summary();
  for (const line of summary) console.log(line);
  console.log(`${rounds} rounds, ${problems.length} problems`);
  for (const problem of problems) console.log(`  ${problem}`);
  return { rounds, problems: problems.length, summary };
}

/** Median and worst of milliseconds, as text. */
export function spread(figures: readonly number[]): string {
  const sorted = figures.toSorted((a, b) => a - b);
  if (sorted.length === 0) return 'none';
  return `${sorted.length} times, median ${Math.round(sorted[sorted.length >> 1]!)} ms, worst ${Math.round(sorted.at(-1)!)} ms`;
}
