import assert from 'node:assert/strict';
import { test } from 'node:test';
import { another } from './world.ts';

const [a, b, c, down] = [true, true, true, false].map((running) => ({ running })) as [One, One, One, One];
type One = { readonly running: boolean };

test('another contender is one that runs, each of them sometimes, and never the same', () => {
  const drawn = [0, 0.49, 0.5, 0.99].map((chance) => another([a, down, b, c], b, () => chance));
  assert.deepEqual(drawn, [a, a, c, c]);
});

test('where no other runs it is the same, running or not', () => {
  assert.equal(
    another([a, down], a, () => 0),
    a,
  );
  assert.equal(
    another([down, { running: false }], down, () => 0),
    down,
  );
});
