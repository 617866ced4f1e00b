import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockDistance } from '../../src/runtime/clock-distance.ts';

test('the distance of our clock is what the answer proves, no more', () => {
  const at = Date.parse('2026-01-01T00:00:00Z');
  const table: [sent: number, received: number, expected: number][] = [
    [at, at, 0],
    [at + 999, at + 999, 0],
    [at + 1000, at + 1000, 0],
    [at + 1500, at + 1600, 500],
    [at - 5000, at + 5000, 0],
    [at - 5000, at - 3000, -3000],
    [at + 7_200_000, at + 7_200_050, 7_199_000],
  ];
  for (const [sent, received, expected] of table) {
    assert.equal(clockDistance(sent, received, at), expected, `${sent - at}, ${received - at}`);
  }
});
