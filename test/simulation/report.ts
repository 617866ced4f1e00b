/** What a simulation has to tell, for people and for programs. */
import { FAULT_KINDS } from './chaos.ts';
import type { Caught } from './pool.ts';
import { replayOf, shrink } from './shrink.ts';
import type { Tally } from './tally.ts';

export const hours = (tally: Tally): number => Math.round(tally.simulatedMs / 360_000) / 10;

/** The plain figures, one a line. */
export function figures(tally: Tally): string {
  const seen = Object.entries(tally.seen).map(([what, count]) => `${what} ${count}`);
  const faults = FAULT_KINDS.map((kind) => `  ${kind.padEnd(24)} ${tally.faults[kind] ?? 0}`);
  const injected = Object.values(tally.faults).reduce((sum, count) => sum + count, 0);
  return [
    `${tally.seeds} seeds, ${hours(tally)} simulated hours, ${tally.events} events; ${seen.join(', ')}`,
    `${injected} faults injected:`,
    ...faults,
    `${tally.failures.length} violations`,
  ].join('\n');
}

/** The first failing seeds, the very first made small. */
export async function failures(tally: Tally): Promise<string> {
  const lines = tally.failures
    .slice(0, 20)
    .map(({ seed, worlds, rule, message }) => `seed ${seed} of ${worlds}: ${rule}: ${message.slice(0, 300)}`);
  const [first] = tally.failures;
  if (!first) return '';
  const { without, outcome, runs } = await shrink(first.seed, first.rule, first.worlds);
  lines.push(
    '',
    `The first, made small in ${runs} runs; replay: npm run simulate -- ${replayOf(first.seed, without, first.worlds)} --verbose`,
    ...outcome.log.slice(-60),
    `${outcome.violation?.rule}: ${outcome.violation?.message}`,
  );
  return lines.join('\n');
}

export function mutantLine({ mutant, caughtAfter, by }: Caught): string {
  const after = caughtAfter === undefined ? 'NOT CAUGHT' : `${caughtAfter} seeds`;
  return `${mutant.rule.padEnd(72)} ${after.padStart(10)}  ${by}`;
}

/** What `--json` writes. */
export function asJson(tally: Tally, caught: readonly Caught[]): object {
  return {
    seeds: tally.seeds,
    simulatedHours: hours(tally),
    violations: tally.failures.length,
    faults: tally.faults,
    seen: tally.seen,
    mutants: caught.map(({ mutant, caughtAfter, by }) => ({ rule: mutant.rule, caughtAfter: caughtAfter ?? null, by })),
  };
}
