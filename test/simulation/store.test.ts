/**
 * The simulated store answers as a recorded API server did, as far as a LeaseStore shows: see recorded.ts. CONFORMANCE names
 * the runner that lies beside the recording; without it there is nothing to compare with. The contract suite holds in any case.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { NotCovered, play } from './recorded.ts';
import type { Scenario } from './recorded.ts';

const runner = process.env['CONFORMANCE'];
const directory = runner === undefined ? '' : dirname(resolve(runner));
const skip =
  runner === undefined
    ? 'no recorded answers (CONFORMANCE is not set)'
    : !existsSync(resolve(directory, 'leases.expected.json')) && `no recorded answers in ${directory}`;

test('the simulated store answers as a recorded API server did', { skip }, async (t) => {
  const cases = (await import(pathToFileURL(resolve(directory, 'leases.cases.mjs')).href)) as { default: Scenario[] };
  const expected = JSON.parse(await readFile(resolve(directory, 'leases.expected.json'), 'utf8')) as Record<
    string,
    object[]
  >;
  const differences: string[] = [];
  const agree: string[] = [];
  const notCovered = new Map<string, string[]>();
  for (const scenario of cases.default) {
    try {
      const difference = await play(scenario, expected[scenario.name] ?? []);
      if (difference === undefined) agree.push(scenario.name);
      else differences.push(`${scenario.name}: ${difference}`);
    } catch (error) {
      if (!(error instanceof NotCovered)) throw error;
      notCovered.set(error.message, [...(notCovered.get(error.message) ?? []), scenario.name]);
    }
  }
  t.diagnostic(`${agree.length} of ${cases.default.length} scenarios agree; not covered:`);
  for (const [what, names] of notCovered) t.diagnostic(`${what}: ${names.length} (${names[0]})`);
  assert.deepEqual(differences, []);
  // Fewer than this, and what leases live by is not among them.
  assert.ok(agree.length >= 30, `${agree.length} scenarios agree`);
  const needed = ['update of a deleted lease, uid given', 'update with a stale resourceVersion', 'list in pages'];
  for (const name of needed) assert.ok(agree.includes(name), name);
});
