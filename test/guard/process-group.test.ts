import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupGone } from '../../src/guard/process-group.ts';

/** What a system says: whether the group exists, and its members at the first reading and the next. */
function judged(exists: boolean, ...readings: string[]): { gone: boolean; signals: unknown[] } {
  const signals: unknown[] = [];
  const gone = groupGone(42, {
    signalGroup(pgid, signal) {
      assert.equal(pgid, 42);
      if (signal !== 0) signals.push(signal);
      return exists;
    },
    processes: () => [
      { state: 'R', parent: 1, group: 7 },
      ...[...(readings.shift() ?? assert.fail('read once too often'))].map((state) => ({
        state,
        parent: 1,
        group: 42,
      })),
    ],
  });
  return { gone, signals };
}

test('whether a group is gone, by table', () => {
  const frozen = ['SIGSTOP', 'SIGCONT'];
  assert.deepEqual(judged(false), { gone: true, signals: [] });
  assert.deepEqual(judged(true, 'S'), { gone: false, signals: [] });
  assert.deepEqual(judged(true, 'ZS'), { gone: false, signals: [] });
  // It forks and ends faster than it is looked through.
  assert.deepEqual(judged(true, ''), { gone: false, signals: [] });
  assert.deepEqual(judged(true, 'ZX', 'ZX'), { gone: true, signals: frozen });
  assert.deepEqual(judged(true, 'Z', 'ZT'), { gone: false, signals: frozen });
  assert.deepEqual(judged(true, 'Z', ''), { gone: false, signals: frozen });
});
