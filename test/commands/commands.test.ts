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

test('help fits a terminal: the options of every command are wrapped', async () => {
  const columns = (process.stdout.isTTY && process.stdout.columns) || 80;
  for (const name of ['', ...COMMANDS.map((spec) => spec.name)]) {
    let help = '';
    const io = { env: {}, terminal: false, out: (text: string) => void (help += text), err: () => {} };
    assert.equal(await main([name, '--help'].filter(Boolean), io), 0);
    const wide = help.split('\n').filter((line) => /^ {2,}(-|  {20})/.test(line) && line.length > columns);
    assert.deepEqual(wide, [], name);
  }
});

async function errorsOf(args: readonly string[]): Promise<{ code: number; errors: string }> {
  let errors = '';
  const io = { env: {}, terminal: false, out: () => {}, err: (text: string) => void (errors += text) };
  return { code: await main(args, io), errors };
}

test('a request timeout that nothing can use is wrong usage, whatever the command', async () => {
  const needed: Readonly<Record<string, readonly string[]>> = {
    'step-down': ['x'],
    release: ['h'],
    elect: ['--lease=x', '--', 'true'],
    lock: ['--lease=x', '--', 'true'],
    once: ['--lease=x', '--key=k', '--', 'true'],
    shard: ['--ring=x', '--slots=2', '--', 'true'],
    members: ['x'],
    shards: ['x'],
    heartbeat: ['--node=n'],
  };
  const talking = COMMANDS.filter(({ options }) => 'requestTimeout' in options);
  assert.ok(talking.length > 15);
  for (const { name } of talking) {
    for (const value of ['0s', '1000h']) {
      const { code, errors } = await errorsOf([name, `--request-timeout=${value}`, ...(needed[name] ?? [])]);
      const rule = `leasekeeper: --request-timeout "${value}": must be greater than 0 and at most 596h31m23.647s\n`;
      assert.deepEqual([code, errors], [2, rule], name);
    }
  }
});

test('config takes what publish takes: only a sweep is compared with the renew interval', async () => {
  assert.deepEqual(await errorsOf(['config', '--renew-interval=1m']), { code: 0, errors: '' });
  const { code, errors } = await errorsOf(['config', '--renew-interval=1m', '--sweep']);
  assert.equal(code, 2);
  assert.match(errors, /--sweep-confirm-after "30s": must be at least 3 renew intervals \(3m\)/);
});

test('a window of nothing is refused: it would call every server dead', async () => {
  for (const args of [['count', '--live'], ['get'], ['get', '--watch']]) {
    const { code, errors } = await errorsOf([...args, '--fresh-for=0s']);
    assert.equal(code, 2);
    assert.match(errors, /--fresh-for "0s": must be at least 1s/);
  }
});
