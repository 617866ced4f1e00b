/**
 * The lint rules that the design rests on fail where they should, and only there.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';

const cwd = fileURLToPath(new URL('../..', import.meta.url));
/** Without types, so that files need not exist. */
const untyped = new ESLint({
  cwd,
  overrideConfig: [
    tseslint.configs.disableTypeChecked as ESLint.ConfigData,
    { files: ['**/*.ts'], languageOptions: { parserOptions: { projectService: false } } } as ESLint.ConfigData,
  ] as never,
});
const typed = new ESLint({ cwd });

async function report(eslint: ESLint, text: string, filePath: string): Promise<string[]> {
  const [result] = await eslint.lintText(text, { filePath });
  return (result?.messages ?? []).map(({ ruleId, message }) => ruleId ?? message);
}

const AMBIENT: [string, string][] = [
  ['export const t = Date.now();', 'no-restricted-properties'],
  ['export const { now } = Date;', 'no-restricted-properties'],
  ['export const t = new Date();', 'no-restricted-syntax'],
  ['export const t = Date();', 'no-restricted-syntax'],
  ['setTimeout(() => undefined, 1);', 'no-restricted-globals'],
  ['globalThis.setTimeout(() => undefined, 1);', 'no-restricted-properties'],
  ['setInterval(() => undefined, 1);', 'no-restricted-globals'],
  [`import { setTimeout } from 'node:timers/promises'; await setTimeout(1);`, 'no-restricted-imports'],
  ['export const s = AbortSignal.timeout(1);', 'no-restricted-properties'],
  ['export const r = Math.random();', 'no-restricted-properties'],
  ['export const t = process.hrtime();', 'no-restricted-properties'],
  [`import { performance } from 'node:perf_hooks'; export const t = performance;`, 'no-restricted-imports'],
];

test('services take time and random numbers from outside', async () => {
  for (const [text, rule] of AMBIENT) {
    for (const file of [
      'src/lease/x.ts',
      'src/election/x.ts',
      'src/kube/deep/x.ts',
      'src/runtime/loop.ts',
      'src/x.ts',
    ]) {
      assert.ok((await report(untyped, text, file)).includes(rule), `${file}: ${text}`);
    }
    for (const file of ['src/commands/x.ts', 'src/embedded/x.ts', 'src/runtime/clock.ts', 'src/testing.ts']) {
      assert.deepEqual(await report(untyped, text, file), [], `${file}: ${text}`);
    }
  }
  assert.deepEqual(await report(untyped, 'export const t = new Date(0);', 'src/lease/x.ts'), []);
});

test('only the entry ends the process', async () => {
  const exits = ['process.exit(1);', `import { exit } from 'node:process'; exit(1);`];
  for (const text of exits) {
    for (const file of ['src/commands/x.ts', 'src/embedded/x.ts', 'src/election/x.ts', 'src/testing.ts']) {
      assert.equal((await report(untyped, text, file)).length, 1, `${file}: ${text}`);
    }
    assert.deepEqual(await report(untyped, text, 'src/cli.ts'), []);
  }
});

test('promises are awaited', async () => {
  // The type-aware rules need a file that is part of the project.
  const file = 'src/version.ts';
  const wait = 'const wait = async (): Promise<void> => {};\n';
  assert.deepEqual(await report(typed, `${wait}wait();`, file), ['@typescript-eslint/no-floating-promises']);
  assert.deepEqual(await report(typed, `${wait}[1].forEach(wait);`, file), ['@typescript-eslint/no-misused-promises']);
  assert.deepEqual(await report(typed, `await 1;`, file), ['@typescript-eslint/await-thenable']);
  assert.deepEqual(await report(typed, `${wait}await wait();`, file), []);
});
