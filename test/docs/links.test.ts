/**
 * Links inside the project lead somewhere: to a file or folder that is there, and to a heading that it has.
 */
import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { test } from 'node:test';
import { anchors, links, markdownFiles, read, root } from './markdown.ts';

/** What is wrong with the links of a text that stands in this file. */
function broken(file: string, text: string): string[] {
  return links(text).flatMap(({ target, line }) => {
    if (/^[a-z][a-z+.-]*:/i.test(target)) return [];
    const [path = '', anchor] = target.split('#') as [string, string?];
    const at = path === '' ? file : normalize(join(dirname(file), decodeURI(path)));
    const where = `${file}:${line}: ${target}`;
    if (!existsSync(join(root, at))) return [`${where}: there is no ${at}`];
    if (anchor === undefined) return [];
    if (statSync(join(root, at)).isDirectory()) return [`${where}: a folder has no headings`];
    const known = anchors(at === file ? text : read(at));
    return known.has(anchor) ? [] : [`${where}: ${at} has no heading for it`];
  });
}

test('every link inside the project resolves', () => {
  const files = markdownFiles();
  assert.ok(files.includes('README.md'));
  assert.deepEqual(
    files.flatMap((file) => broken(file, read(file))),
    [],
  );
});

test('a link to what is not there is found', () => {
  const text = [
    '# One `word` & two',
    '[good](#one-word--two) [file](CHANGELOG.md) [heading](CHANGELOG.md#changelog) [web](https://example.org/#x)',
    '`[code](nowhere.md)`',
    '[file](nowhere.md) [heading](#nowhere) [other](CHANGELOG.md#nowhere) ![image](none.png)',
    '```',
    '[block](nowhere.md)',
    '```',
    '[reference]: nowhere.md',
  ].join('\n');
  assert.deepEqual(broken('README.md', text), [
    'README.md:4: nowhere.md: there is no nowhere.md',
    'README.md:4: #nowhere: README.md has no heading for it',
    'README.md:4: CHANGELOG.md#nowhere: CHANGELOG.md has no heading for it',
    'README.md:4: none.png: there is no none.png',
    'README.md:8: nowhere.md: there is no nowhere.md',
  ]);
});
