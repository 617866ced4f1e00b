/**
 * Records in kubectl.json what kubectl makes of each situation: `node test/kube/differential/record.ts`, with the kubectl that
 * $KUBECTL names, or that of the PATH. It must be 1.30 or later.
 */
import { writeFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askKubectl, kubectlVersion } from './kubectl.ts';
import type { Outcome } from './outcome.ts';
import { situations } from './situations.ts';
import { startWorld } from './world.ts';

const version = kubectlVersion();
if (version === undefined) throw new Error('no kubectl of 1.30 or later: name one in KUBECTL');
const world = await startWorld();
const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-kubectl-'));
const outcomes: Record<string, Outcome> = {};
for (const situation of situations(world)) outcomes[situation.id] = await askKubectl(situation, world, join(dir, 's'));
rmSync(dir, { recursive: true });
world.close();
const lines = Object.entries(outcomes).map(([id, outcome]) => `    ${JSON.stringify(id)}: ${JSON.stringify(outcome)}`);
const file = new URL('kubectl.json', import.meta.url);
writeFileSync(file, `{\n  "kubectl": ${JSON.stringify(version)},\n  "outcomes": {\n${lines.join(',\n')}\n  }\n}\n`);
process.stdout.write(`${lines.length} situations, kubectl ${version}\n`);
