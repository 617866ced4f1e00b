/**
 * Runs seeds in a process of its own, and tells its parent: `node worker.ts FROM STEP TO WORLDS [first]`.
 *
 * With `first` it ends at the first violation.
 */
import { NOTHING, simulate } from './simulate.ts';
import type { Worlds } from './simulate.ts';
import { addOutcome, emptyTally } from './tally.ts';

/** Seeds between two reports. */
const BATCH = 10;

const [from, step, to] = process.argv.slice(2, 5).map(Number) as [number, number, number];
const worlds = process.argv[5] as Worlds;
const untilFirst = process.argv[6] === 'first';
let tally = emptyTally();
const report = async (): Promise<void> => {
  await new Promise<void>((resolve) => process.send?.(tally, () => resolve()));
  tally = emptyTally();
};
for (let seed = from; seed <= to; seed += step) {
  addOutcome(tally, await simulate(seed, NOTHING, 40, worlds));
  if (untilFirst && tally.failures.length > 0) break;
  if (tally.seeds === BATCH) await report();
}
await report();
process.disconnect?.();
