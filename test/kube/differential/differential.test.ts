/**
 * What kubectl reaches, leasekeeper reaches, and where kubectl refuses, it refuses, but for what docs/reach.md names: every
 * situation beside what kubectl made of it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { DIFFERENCES } from './differences.ts';
import { askUs } from './ours.ts';
import type { Outcome } from './outcome.ts';
import { situations } from './situations.ts';
import type { Situation } from './situations.ts';
import { startWorld } from './world.ts';
import type { World } from './world.ts';

const text = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const recorded = (JSON.parse(text('kubectl.json')) as { outcomes: Record<string, Outcome> }).outcomes;
const expected = new Map(DIFFERENCES.flatMap(({ reason, ids }) => ids.map((id) => [id, reason])));

let world: World;
let dir: string;
let all: Situation[];
const ours: Record<string, Outcome & { words?: string }> = {};

before(async () => {
  world = await startWorld();
  dir = mkdtempSync(join(tmpdir(), 'leasekeeper-reach-'));
  all = situations(world);
  for (const situation of all) {
    let words: string | undefined;
    const outcome = await askUs(situation, world, join(dir, 's'), (said) => (words = said));
    ours[situation.id] = { ...outcome, ...(words !== undefined && { words }) };
  }
});
after(() => {
  world.close();
  rmSync(dir, { recursive: true, force: true });
});

test('every situation has a name of its own, and kubectl was asked', () => {
  const ids = all.map(({ id }) => id);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.length >= 250, String(ids.length));
  // A machine without IPv6 has fewer.
  assert.deepEqual(
    ids.filter((id) => !recorded[id]),
    [],
  );
  assert.deepEqual(
    Object.keys(recorded).filter((id) => !ids.includes(id) && !id.includes('IPv6')),
    [],
  );
});

test('success, sense of error and what the server saw are those of kubectl, but for the differences that are listed', () => {
  const differ: string[] = [];
  const equal: string[] = [];
  for (const { id } of all) {
    const { words, ...outcome } = ours[id]!;
    const same = JSON.stringify(outcome) === JSON.stringify(recorded[id]);
    if (same && expected.has(id)) equal.push(id);
    if (!same && !expected.has(id)) {
      differ.push(
        `${id}\n  kubectl: ${JSON.stringify(recorded[id])}\n  ours:    ${JSON.stringify(outcome)} ${words ?? ''}`,
      );
    }
  }
  assert.deepEqual(differ, []);
  assert.deepEqual(equal, [], 'these do not differ any more');
});

test('each difference has its reason in the documentation', () => {
  const page = text('../../../docs/reach.md').replace(/\s+/g, ' ');
  for (const { reason } of DIFFERENCES) assert.ok(page.includes(reason), reason);
});

test('without TLS nothing is sent that proves who we are, and no plugin is started', () => {
  let count = 0;
  for (const [id, { seen, started }] of Object.entries(ours)) {
    if (!seen.some((entry) => entry.includes('"server":"plain"'))) continue;
    count++;
    assert.doesNotMatch(seen.join('\n'), /"(authorization|impersonation)"/, id);
    assert.equal(started, undefined, id);
  }
  assert.ok(count > 50, String(count));
});

test('no error holds a credential', () => {
  for (const [id, { words = '' }] of Object.entries(ours)) {
    assert.doesNotMatch(words, /abcdef|of-file|of-plugin|inline|me:pw|:no@|p%40w/, id);
  }
});
