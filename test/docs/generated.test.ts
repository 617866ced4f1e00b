/**
 * The references in docs/ are as they would be made now, and leave nothing out that the program has.
 */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stalePages } from '../../scripts/docs.ts';
import { EXIT } from '../../src/commands/command.ts';
import { COMMANDS } from '../../src/commands/commands.ts';
import { LOG_OPTIONS } from '../../src/config/shared-flags.ts';
import { variableName } from '../../src/config/sources.ts';
import type { OptionSpec } from '../../src/config/option-spec.ts';
import { markdownFiles, read } from './markdown.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = (name: string): Promise<string> => readFile(join(root, 'docs', name), 'utf8');

test('none is stale: npm run docs makes them again', async () => {
  assert.deepEqual(await stalePages(), []);
});

test('every command, option, flag and variable is in configuration.md', async () => {
  const text = await page('configuration.md');
  for (const { name, options } of COMMANDS) {
    assert.match(text, new RegExp(`^### leasekeeper ${name}$`, 'm'));
    const table: Record<string, OptionSpec> = { ...options, ...LOG_OPTIONS };
    for (const [key, { flag, weakest }] of Object.entries(table)) {
      assert.match(text, new RegExp(`^#### ${key}$`, 'm'), `${name}: ${key}`);
      assert.match(text, new RegExp(`\`${flag}[\`, ]`), `${name}: ${flag}`);
      if (weakest !== 'flag') assert.ok(text.includes(`\`${variableName(key)}\``), `${name}: ${variableName(key)}`);
    }
  }
});

test('every metric that the source names is in metrics.md', async () => {
  const text = await page('metrics.md');
  const observe = join(root, 'src/observe');
  const names = new Set<string>();
  for (const file of await readdir(observe))
    for (const [, name = ''] of (await readFile(join(observe, file), 'utf8')).matchAll(
      /'((?:leasekeeper|leader_election|kubernetes|process)_[a-z0-9_]+)'/g,
    ))
      names.add(name);
  const script = await readFile(join(root, 'scripts/docs/metrics.ts'), 'utf8');
  for (const file of await readdir(observe))
    for (const [, make = ''] of (await readFile(join(observe, file), 'utf8')).matchAll(
      /export function (create\w*Metrics)\b/g,
    ))
      assert.ok(
        script.includes(`${make}(`),
        `${file}: ${make} makes metrics that scripts/docs/metrics.ts does not ask for`,
      );
  assert.ok(names.size > 20, 'the names are found');
  for (const name of names) assert.ok(text.includes(`**\`${name}\`**`), name);
});

test('every metric that a document names is in metrics.md', async () => {
  const text = await page('metrics.md');
  const named = markdownFiles().flatMap((file) =>
    [...read(file).matchAll(/\b(?:leasekeeper|leader_election)(?:_[a-z0-9]+)+\b/g)].map(
      ([name]) => [file, name] as const,
    ),
  );
  assert.ok(named.length > 20);
  // A histogram's own series have its name and more.
  const known = (name: string): boolean => text.includes(`**\`${name.replace(/_(bucket|sum|count)$/, '')}\`**`);
  assert.deepEqual(
    named.filter(([, name]) => !known(name)),
    [],
  );
});

test('every exit code is in docs/commands.md', () => {
  for (const code of Object.values(EXIT)) assert.match(read('docs/commands.md'), new RegExp(`^\\| ${code} +\\| `, 'm'));
});
