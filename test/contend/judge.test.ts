import assert from 'node:assert/strict';
import { test } from 'node:test';
import { judge, readSteps } from './judge.ts';
import type { Step } from './judge.ts';

/** A command that steps every 20 ms from one instant to another. */
function command(who: string, token: number, pid: number, from: number, to: number): Step[] {
  return Array.from({ length: Math.floor((to - from) / 20) + 1 }, (_, i) => ({ who, token, pid, at: from + i * 20 }));
}

test('commands one after another, with growing tokens', () => {
  const steps = [...command('b', 9, 2, 1_500, 3_000), ...command('a', 5, 1, 0, 1_000)];
  assert.deepEqual(judge(steps, []), { problems: [], terms: 2, refused: 0, gaps: [500] });
});

test('two at once, a token that fell, one that came back', () => {
  const overlap = judge([...command('a', 5, 1, 0, 1_000), ...command('b', 9, 2, 960, 2_000)], []);
  assert.match(overlap.problems.join(), /two at once: a \(token 5, from 0 on\) and b .* for 40 ms/);
  assert.match(overlap.problems.join(), /a stepped with token 5 after 9/);
  const fell = judge([...command('a', 5, 1, 0, 1_000), ...command('b', 5, 2, 1_500, 2_000)], []);
  assert.match(fell.problems.join(), /tokens: b \(token 5, .*\) came after a/);
});

test('who was frozen is judged by the sink, for a while after it went on', () => {
  const a = [...command('a', 5, 1, 0, 1_000), ...command('a', 5, 1, 8_000, 8_100)];
  const steps = [...a, ...command('b', 9, 2, 5_000, 9_000)];
  const frozen = [{ who: 'a', from: 1_000, to: 8_000 }];
  assert.deepEqual(judge(steps, frozen), { problems: [], terms: 2, refused: 6, gaps: [4_000] });
  assert.notDeepEqual(judge(steps, []).problems, []);
  const late = command('a', 5, 1, 12_000, 12_100);
  assert.notDeepEqual(judge([...steps, ...late], frozen).problems, []);
});

test('tokens from before and after a server was set back are not compared', () => {
  const steps = [...command('a', 50, 1, 0, 1_000), ...command('b', 9, 2, 5_000, 6_000)];
  assert.deepEqual(judge(steps, [], [3_000]).problems, []);
  assert.deepEqual(judge(steps, [], [500]).problems, [], 'one that began before goes on with its token');
  assert.notDeepEqual(judge(steps, []).problems, []);
});

test('a file that is written to just now is read up to its last whole line', () => {
  assert.deepEqual(readSteps('a', 'a_1 5 7 12.5\na_1 5 7 3'), [{ who: 'a', token: 5, pid: 7, at: 12.5 }]);
});
