/** What recipes cost stays within its budgets, where it can be counted. Times and memory are `npm run bench`'s. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { median } from '../bench/measure.ts';
import { handOvers } from './measures.ts';

test('fifty waiters of a lock: five writes a hand-over, at the median of twenty', async () => {
  const writes = await handOvers(50, 20);
  assert.equal(writes.length, 20);
  assert.ok((median(writes) ?? Infinity) <= 5, writes.join(' '));
});
