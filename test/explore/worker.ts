/** Explores one scenario in a process of its own, and tells its parent: `node worker.ts SCENARIO DEVIATIONS MILLISECONDS`. */
import { explore } from './explore.ts';
import { SCENARIOS } from './scenarios.ts';

const [name, deviations, ms] = process.argv.slice(2);
const scenario = SCENARIOS.find((one) => one.name === name);
if (!scenario) throw new Error(`no scenario ${name}`);
const explored = await explore(scenario, { deviations: Number(deviations), ms: Number(ms) });
await new Promise<void>((resolve) => process.send?.(explored, () => resolve()));
process.disconnect?.();
