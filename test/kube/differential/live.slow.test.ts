/** The same beside the kubectl of this machine, where there is one of 1.30 or later ($KUBECTL, else that of the PATH). */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { DIFFERENCES } from './differences.ts';
import { askKubectl, kubectlVersion } from './kubectl.ts';
import { askUs } from './ours.ts';
import { situations } from './situations.ts';
import { startWorld } from './world.ts';

const version = kubectlVersion();

test('success and what the server saw are those of the kubectl of this machine', async (t) => {
  if (version === undefined) return t.skip('no kubectl of 1.30 or later that is no dispatcher ($KUBECTL names one)');
  const world = await startWorld();
  const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-live-'));
  t.after(() => {
    world.close();
    rmSync(dir, { recursive: true, force: true });
  });
  const listed = new Set(DIFFERENCES.flatMap(({ ids }) => ids));
  const differ: string[] = [];
  for (const situation of situations(world)) {
    if (listed.has(situation.id)) continue;
    const theirs = await askKubectl(situation, world, join(dir, 's'));
    const ours = await askUs(situation, world, join(dir, 's'));
    // Another version has other words: only that it fails must be the same.
    const seen = (outcome: typeof ours): string =>
      JSON.stringify([outcome.sense === 'ok', outcome.seen, outcome.started]);
    if (seen(ours) !== seen(theirs)) differ.push(`${situation.id}: kubectl ${seen(theirs)}, ours ${seen(ours)}`);
  }
  assert.deepEqual(differ, [], `kubectl ${version}`);
});
