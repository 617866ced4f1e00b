import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../../support/fast-check.ts';
import { humanDuration } from '../../../src/commands/output/human-duration.ts';

const S = 1_000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;
const Y = 365 * D;

// The cases of k8s.io/apimachinery's own table, and each edge between two of its forms.
const table: [number, string][] = [
  [-2 * S, '<invalid>'],
  [-1_999, '0s'],
  [-1, '0s'],
  [0, '0s'],
  [999, '0s'],
  [1 * S, '1s'],
  [70 * S, '70s'],
  [2 * M - 1, '119s'],
  [2 * M, '2m'],
  [190 * S, '3m10s'],
  [10 * M - 1, '9m59s'],
  [10 * M, '10m'],
  [70 * M, '70m'],
  [3 * H - 1, '179m'],
  [3 * H, '3h'],
  [3 * H + 10 * M, '3h10m'],
  [8 * H - 1, '7h59m'],
  [8 * H, '8h'],
  [47 * H, '47h'],
  [2 * D - 1, '47h'],
  [2 * D, '2d'],
  [3 * D + 12 * H, '3d12h'],
  [3 * D + 59 * M, '3d'],
  [8 * D - 1, '7d23h'],
  [8 * D, '8d'],
  [2 * Y - 1, '729d'],
  [2 * Y, '2y'],
  [2 * Y + D - 1, '2y'],
  [2 * Y + D, '2y1d'],
  [3 * Y + 59 * M, '3y'],
  [8 * Y - 1, '7y364d'],
  [8 * Y, '8y'],
  [9_000 * Y, '9000y'],
];
for (const [ms, text] of table) test(`${ms} ms: ${text}`, () => assert.equal(humanDuration(ms), text));

test('what is not known is said to be', () => {
  assert.equal(humanDuration(undefined), '<unknown>');
  assert.equal(humanDuration(Number.NaN), '<unknown>');
});

test('any span: short, and never longer when read back than it was', () => {
  const units: Record<string, number> = { s: S, m: M, h: H, d: D, y: Y };
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1e15, noNaN: true }), (ms) => {
      const text = humanDuration(ms);
      assert.match(text, /^\d+[smhdy](\d+[smhd])?$/);
      let back = 0;
      for (const [, n, unit] of text.matchAll(/(\d+)([a-z])/g)) back += Number(n) * (units[unit ?? ''] ?? NaN);
      assert.ok(back <= ms && back >= ms * 0.66 - S, `${ms}: ${text}`);
    }),
  );
});
