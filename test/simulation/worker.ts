/**
 * Runs seeds in a process of its own, and tells its parent: `node worker.ts FROM STEP TO [first]`.
 *
 * With `first` it ends at the first violation.
 */
import { simulate } from './simulate.ts';
import { addOutcome, emptyTally } from './tally.ts';

/** Seeds between two reports. */
const BATCH = 10;

const [from, step, to] = process.argv.slice(2, 5).map(Number) as [number, number, number];
const untilFirst = process.argv[5] === 'first';
let tally = emptyTally();
const report = async (): Promise<void> => {
  await new Promise<void>((resolve) => process.send?.(tally, () => resolve()));
  tally = emptyTally();
};
for (let seed = from; seed <= to; seed += step) {
  addOutcome(tally, await simulate(seed));
  if (untilFirst && tally.failures.length > 0) break;
  if (tally.seeds === BATCH) await report();
}
await report();
process.disconnect?.();
