import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reuse } from '../../src/http/answer.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

test('what takes long to make is given again for twenty times as long; what is cheap is always new', async () => {
  const clock = new ManualClock();
  let made = 0;
  let costMs = 0;
  const ask = reuse(clock, () => {
    clock.jump(costMs);
    return ++made;
  });
  assert.deepEqual([ask(), ask()], [1, 2]);
  costMs = 30;
  // From its beginning: 30 ms of work, then 570 ms in which it is given again.
  assert.deepEqual([ask(), ask()], [3, 3]);
  await clock.advance(569);
  assert.equal(ask(), 3);
  await clock.advance(1);
  assert.equal(ask(), 4);
});
