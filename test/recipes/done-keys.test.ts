/** The record of keys that succeeded: nothing is dropped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_DONE_BYTES, keyProblem, parseDone, withDone } from '../../src/recipes/done-keys.ts';

test('keys are added and read again; a text that is no record is not taken for an empty one', () => {
  const one = withDone(new Set(), 'v1') as string;
  const two = withDone(parseDone(one) as ReadonlySet<string>, 'v2') as string;
  assert.deepEqual([...(parseDone(two) ?? [])], ['v1', 'v2']);
  assert.deepEqual(parseDone(undefined), new Set());
  for (const text of ['x', '{}', '[1]', 'null']) assert.equal(parseDone(text), undefined, text);
});

test('at the bound a key is refused, none is forgotten', () => {
  let text: string | undefined;
  let count = 0;
  for (let next: string | undefined = '[]'; next !== undefined; count++) {
    text = next;
    next = withDone(parseDone(text) as ReadonlySet<string>, `release-2026.11.${count}-${'x'.repeat(200)}`);
  }
  assert.ok(count > 500 && Buffer.byteLength(text as string) <= MAX_DONE_BYTES, String(count));
  assert.equal(parseDone(text)?.size, count - 1);
});

test('keys have rules', () => {
  assert.equal(keyProblem('v1.2.3+build 5'), undefined);
  assert.match(keyProblem('') ?? '', /empty/);
  assert.match(keyProblem('x'.repeat(254)) ?? '', /253/);
  assert.match(keyProblem('a\nb') ?? '', /control/);
});
