/** Makes a failing seed small: leaves out whatever it still fails without. */
import type { FaultKind } from './chaos.ts';
import { drawPlan } from './plan.ts';
import { NOTHING, simulate } from './simulate.ts';
import type { Outcome, Without, Worlds } from './simulate.ts';
import { drawRecipePlan } from './recipe-plan.ts';

/** Runs that are worth a smaller history. */
const MAX_RUNS = 250;

export interface Shrunk {
  readonly without: Without;
  readonly outcome: Outcome;
  readonly runs: number;
}

/** @param rule the rule that it broke: it goes on breaking the same one */
export async function shrink(seed: number, rule: string, worlds: Worlds = 'services'): Promise<Shrunk> {
  let without = NOTHING;
  let outcome = await simulate(seed, without, 60, worlds);
  let runs = 1;
  const tryWithout = async (more: Partial<Without>): Promise<boolean> => {
    if (runs >= MAX_RUNS) return false;
    runs++;
    const less = { ...without, ...more };
    const next = await simulate(seed, less, 60, worlds);
    if (next.violation?.rule !== rule) return false;
    [without, outcome] = [less, next];
    return true;
  };
  const plan = worlds === 'recipes' ? drawRecipePlan(seed) : drawPlan(seed);
  if (plan.phases.length > 1) await tryWithout({ phases: 1 });
  for (const { name } of plan.slots) await tryWithout({ slots: new Set([...without.slots, name]) });
  const all = plan.phases.slice(0, without.phases).flatMap((phase) => phase.happenings.map(({ index }) => index));
  for (let size = Math.ceil(all.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let i = 0; i < all.length; i += size) {
      const chunk = all.slice(i, i + size).filter((index) => !without.happenings.has(index));
      if (chunk.length > 0) await tryWithout({ happenings: new Set([...without.happenings, ...chunk]) });
    }
  }
  for (const kind of [...outcome.faults.keys()])
    await tryWithout({ faults: new Set<FaultKind>([...without.faults, kind]) });
  return { without, outcome, runs };
}

/** The arguments that replay it. */
export function replayOf(
  seed: number,
  { phases, slots, happenings, faults }: Without,
  worlds: Worlds = 'services',
): string {
  const list = (name: string, items: Iterable<string | number>): string => {
    const text = [...items].join(',');
    return text === '' ? '' : ` --without-${name} '${text}'`;
  };
  const most = phases === Infinity ? '' : ` --phases ${phases}`;
  const where = worlds === 'recipes' ? ' --recipes' : '';
  return `--seed ${seed}${where}${most}${list('slots', slots)}${list('happenings', happenings)}${list('faults', faults)}`;
}
