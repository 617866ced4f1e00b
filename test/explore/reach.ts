/** Which safety rules the exploration would miss, where, and which are out of its reach, and why. */
import { MUTANTS } from '../simulation/mutants.ts';
import type { Mutant } from '../simulation/mutation.ts';
import type { Bounds } from './explore.ts';

const SCENARIOS_OF: Readonly<Record<string, readonly string[]>> = {
  publisher: ['publishers', 'rivals'],
  election: ['election', 'late release'],
  lock: ['lock'],
  once: ['once'],
  semaphore: ['semaphore'],
  shards: ['shards', 'old views'],
};

/** Rules whose harm no scenario can show, by their names or what their names begin with; and why. */
export const OUT_OF_REACH: Readonly<Record<string, string>> = {
  'sweeper:': 'no sweeper takes part: its rules need more leases and longer times than a bounded search can try',
  'heartbeat:': 'no Nodes take part',
  'nodes:': 'no Nodes take part',
  'census:': 'no census takes part',
  'freshness:': 'no census takes part',
  'clock:': "clocks are the scenario's own: they know no suspend",
  'cron:': 'a claim is one write that is compared: the simulation tries it with all clocks',
};

export const reasonOutOfReach = ({ rule }: Mutant): string | undefined =>
  OUT_OF_REACH[rule] ?? OUT_OF_REACH[Object.keys(OUT_OF_REACH).find((start) => rule.startsWith(start)) ?? ''];

/** Tasks for each rule within reach: one for each scenario that may show it. @param text what its name contains */
export function huntTasks(bounds: Bounds, text = ''): { scenario: string; bounds: Bounds; mutant: Mutant }[] {
  return MUTANTS.filter((mutant) => mutant.rule.includes(text) && reasonOutOfReach(mutant) === undefined).flatMap(
    (mutant) => (SCENARIOS_OF[mutant.rule.split(':')[0]!] ?? []).map((scenario) => ({ scenario, bounds, mutant })),
  );
}
