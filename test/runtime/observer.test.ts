import assert from 'node:assert/strict';
import { it } from 'node:test';
import { observers } from '../../src/runtime/observer.ts';

it('tells every listener, in order', () => {
  const seen: string[] = [];
  observers<string>(
    (event) => seen.push(`a ${event}`),
    (event) => seen.push(`b ${event}`),
  )('x');
  assert.deepEqual(seen, ['a x', 'b x']);
});
