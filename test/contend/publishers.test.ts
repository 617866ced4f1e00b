import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judgeWrites } from './publishers.ts';
import type { Write } from './publishers.ts';

const write = (at: number, holder: string, more: Partial<Write> = {}): Write => ({
  verb: 'update',
  name: 'n',
  hostname: 'h',
  holder,
  renewTime: at,
  durationMs: 8_000,
  received: at,
  answered: at,
  ...more,
});

test('what is deleted has expired, and was silent for its duration less what clocks were wrong', () => {
  const deleted = (at: number): Write => write(at, '', { verb: 'delete' });
  assert.deepEqual(judgeWrites([write(0, 'a'), deleted(8_000)]), { problems: [], hands: 0, deletions: 1 });
  assert.match(judgeWrites([write(0, 'a'), deleted(7_900)]).problems.join(), /100 ms before it expired/);
  // Its clock was behind by 3 s, and by 6.
  assert.deepEqual(judgeWrites([write(0, 'a', { renewTime: -3_000 }), deleted(5_000)]).problems, []);
  assert.match(judgeWrites([write(0, 'a', { renewTime: -6_000 }), deleted(2_000)]).problems.join(), /after 2000 ms of/);
});

test('hands change when a process starts, and after silence', () => {
  const first = [write(0, 'a'), write(1_000, 'b'), write(2_000, 'b')];
  assert.deepEqual(judgeWrites(first), { problems: [], hands: 0, deletions: 0 });
  assert.deepEqual(judgeWrites([...first, write(7_100, 'a')]), { problems: [], hands: 1, deletions: 0 });
  assert.match(judgeWrites([...first, write(6_000, 'a')]).problems.join(), /went back to a after 4000 ms/);
});
