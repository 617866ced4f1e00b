/** The check of words that are gone finds them, and README stays short. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { goneWords } from '../../scripts/check-words.ts';
import { read } from './markdown.ts';

test('a word that is gone is found, with what stands in its place', () => {
  const texts = [
    { where: 'a.md:1', text: 'Whoever leads is told.' },
    { where: 'b.md:2', text: 'The toldest of them: rewished.' },
    { where: 'c.ts:3', text: 'if (isTold(error)) return LONGEST_WISH_MS;' },
  ];
  assert.deepEqual(goneWords(texts), [
    'a.md:1: "told": reported',
    'a.md:1: "Whoever": anyone who',
    'c.ts:3: "Told": reported',
    'c.ts:3: "WISH": desired',
  ]);
});

test('README is shorter than 220 lines and 16 kB', () => {
  const text = read('README.md');
  assert.ok(text.split('\n').length <= 220, String(text.split('\n').length));
  assert.ok(Buffer.byteLength(text) <= 16_000, String(Buffer.byteLength(text)));
});
