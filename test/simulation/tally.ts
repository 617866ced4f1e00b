/** Sums over seeds. */
import type { FaultKind } from './chaos.ts';
import type { Outcome, Worlds } from './simulate.ts';

/** What one or several seeds came to. */
export interface Tally {
  seeds: number;
  simulatedMs: number;
  events: number;
  faults: Partial<Record<FaultKind, number>>;
  seen: Partial<Record<keyof Outcome['seen'], number>>;
  failures: { readonly seed: number; readonly worlds: Worlds; readonly rule: string; readonly message: string }[];
}

export const emptyTally = (): Tally => ({ seeds: 0, simulatedMs: 0, events: 0, faults: {}, seen: {}, failures: [] });

export function addOutcome(tally: Tally, outcome: Outcome): void {
  tally.seeds++;
  tally.simulatedMs += outcome.simulatedMs;
  tally.events += outcome.events;
  for (const [kind, count] of outcome.faults) tally.faults[kind] = (tally.faults[kind] ?? 0) + count;
  for (const [what, count] of Object.entries(outcome.seen) as [keyof Outcome['seen'], number][]) {
    tally.seen[what] = (tally.seen[what] ?? 0) + count;
  }
  if (outcome.violation) tally.failures.push({ seed: outcome.seed, worlds: outcome.worlds, ...outcome.violation });
}

export function addTally(sum: Tally, part: Tally): void {
  sum.seeds += part.seeds;
  sum.simulatedMs += part.simulatedMs;
  sum.events += part.events;
  for (const kind of Object.keys(part.faults) as FaultKind[])
    sum.faults[kind] = (sum.faults[kind] ?? 0) + part.faults[kind]!;
  for (const what of Object.keys(part.seen) as (keyof Outcome['seen'])[]) {
    sum.seen[what] = (sum.seen[what] ?? 0) + part.seen[what]!;
  }
  sum.failures.push(...part.failures);
}
