/** Flags, variables, keys of the file and defaults are what users have in their scripts: none changes by accident. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { COMMANDS } from '../../src/commands/commands.ts';
import { surface } from './surface.ts';

const recorded = JSON.parse(readFileSync(new URL('./surface-0.1.0.json', import.meta.url), 'utf8')) as {
  options: Record<string, string[]>;
};

test('every option of 0.1.0 is there, with its flag, variable, key and default', () => {
  const now = surface(COMMANDS);
  for (const [command, lines] of Object.entries(recorded.options)) {
    const missing = lines.filter((line) => !now[command]?.includes(line));
    assert.deepEqual(missing, [], command);
  }
});

test('rbac takes every option of the commands that it knows', () => {
  const now = surface(COMMANDS);
  for (const name of Object.keys(now).filter((command) => command.startsWith('rbac '))) {
    const command = now[name.slice('rbac '.length)] ?? [];
    const missing = command.filter((line) => !now[name]?.includes(line));
    assert.deepEqual(missing, [], name);
  }
});
