import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFlat } from './flat.ts';

const room = { share: 0.01, more: 1 };

test('flat is what stays where it was once it is warm, whatever single samples say', () => {
  const warm = [10, 40, 70, ...Array.from({ length: 27 }, (_, i) => 100 + (i % 3))];
  assert.ok(isFlat(warm, room).flat);
  assert.ok(
    isFlat(
      warm.map((value, i) => (i % 9 === 8 ? value * 5 : value)),
      room,
    ).flat,
  );
});

test('slow growth is none', () => {
  assert.ok(
    !isFlat(
      Array.from({ length: 30 }, (_, i) => 100 + i),
      room,
    ).flat,
  );
});

test('too few samples prove nothing', () => {
  assert.ok(!isFlat([1, 1, 1], room).flat);
});
