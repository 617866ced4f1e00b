import assert from 'node:assert/strict';
import { test } from 'node:test';
import { main } from '../../src/commands/main.ts';
import { COMMANDS } from '../../src/commands/commands.ts';
import { LOG_OPTIONS } from '../../src/config/shared-flags.ts';
import { settable } from '../../src/config/sources.ts';
import type { OptionSpec } from '../../src/config/option-spec.ts';

test('no command has a flag twice', () => {
  for (const { name, options } of COMMANDS) {
    const flags = Object.values({ ...options, ...LOG_OPTIONS }).flatMap(({ flag, short }: OptionSpec) =>
      short ? [flag, short] : [flag],
    );
    assert.deepEqual(flags, [...new Set(flags)], name);
  }
});

test('one key means one thing: in a shared file every command must read it alike', () => {
  const seen = new Map<string, { name: string; kind: string; choices: string }>();
  for (const { name, options } of COMMANDS) {
    for (const [key, { kind, choices }] of Object.entries(settable(options, 'environment'))) {
      const mine = { name, kind, choices: String(choices) };
      const theirs = seen.get(key) ?? mine;
      assert.deepEqual(
        [mine.kind, mine.choices],
        [theirs.kind, theirs.choices],
        `${key} of ${name} and ${theirs.name}`,
      );
      seen.set(key, theirs);
    }
  }
});

test('config has every option that a file may set', () => {
  const config = COMMANDS.find(({ name }) => name === 'config')!.options;
  for (const { name, options } of COMMANDS) {
    for (const key of Object.keys(settable(options, 'file'))) assert.ok(key in config, `${key} of ${name}`);
  }
});

test('a window of nothing is refused: it would call every server dead', async () => {
  for (const args of [['count', '--live'], ['get'], ['get', '--watch']]) {
    let errors = '';
    const io = { env: {}, terminal: false, out: () => {}, err: (text: string) => void (errors += text) };
    assert.equal(await main([...args, '--fresh-for=0s'], io), 2);
    assert.match(errors, /--fresh-for "0s": must be at least 1s/);
  }
});
