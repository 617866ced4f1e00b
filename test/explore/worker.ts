/** Explores one scenario in a process of its own, and tells its parent: `node worker.ts SCENARIO BOUNDS`. */
import { explore } from './explore.ts';
import type { Bounds } from './explore.ts';
import { SCENARIOS } from './scenarios.ts';

const [name, bounds = ''] = process.argv.slice(2);
const scenario = SCENARIOS.find((one) => one.name === name);
if (!scenario) throw new Error(`no scenario ${name}`);
const explored = await explore(scenario, JSON.parse(bounds) as Bounds);
await new Promise<void>((resolve) => process.send?.(explored, () => resolve()));
process.disconnect?.();
