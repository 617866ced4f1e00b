/** What names say: `npm test` leaves out what is slow by its name alone, and a file of src/ is known by its name. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const cwd = fileURLToPath(new URL('../..', import.meta.url));
const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));

/** The patterns of files that a script gives to node's test runner. */
const patterns = (script: string): string[] =>
  [...script.matchAll(/"([^"]*\*[^"]*)"/g)].map(([, pattern = '']) => pattern);

test('every test is run by test:all; npm test leaves out the slow ones, and no other', () => {
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.test.ts'], { cwd })
    .toString()
    .split('\n')
    .filter((file) => file !== '')
    .sort();
  const quick = globSync(patterns(scripts.test), { cwd }).sort();
  const slow = globSync(patterns(scripts['test:all']), { cwd });
  assert.deepEqual(
    quick,
    files.filter((file) => !file.endsWith('.slow.test.ts')),
  );
  assert.deepEqual([...quick, ...slow].sort(), files);
  assert.match(scripts['test:all'], /^npm test -- /);
});

test('what needs a real API server or client-go has a slow name', () => {
  const named = globSync(patterns(scripts.test), { cwd })
    // This one names them too.
    .filter((file) => file !== 'test/project/file-names.test.ts')
    .filter((file) => /\bstartRealApi\b|\bGO_PEER\b/.test(readFileSync(`${cwd}/${file}`, 'utf8')));
  assert.deepEqual(named, []);
});

test('no two files of src/ have one name, but for decide.ts beside each service', () => {
  const files = globSync('src/**/*.ts', { cwd });
  const names = files.map((file) => basename(file)).filter((name) => name !== 'decide.ts');
  assert.deepEqual(names.toSorted(), [...new Set(names)].toSorted());
});
