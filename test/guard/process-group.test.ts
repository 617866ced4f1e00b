import assert from 'node:assert/strict';
import { test } from 'node:test';
import { groupGone } from '../../src/guard/process-group.ts';

/** What a system tells: whether the group exists, and its members at the first look and the next. */
function look(exists: boolean, ...looks: string[]): { gone: boolean; signals: unknown[] } {
  const signals: unknown[] = [];
  const gone = groupGone(42, {
    signalGroup(pgid, signal) {
      assert.equal(pgid, 42);
      if (signal !== 0) signals.push(signal);
      return exists;
    },
    processes: () => [
      { state: 'R', parent: 1, group: 7 },
      ...[...(looks.shift() ?? assert.fail('looked once too often'))].map((state) => ({ state, parent: 1, group: 42 })),
    ],
  });
  return { gone, signals };
}

test('whether a group is gone, by table', () => {
  const frozen = ['SIGSTOP', 'SIGCONT'];
  assert.deepEqual(look(false), { gone: true, signals: [] });
  assert.deepEqual(look(true, 'S'), { gone: false, signals: [] });
  assert.deepEqual(look(true, 'ZS'), { gone: false, signals: [] });
  // It forks and ends faster than it is looked through.
  assert.deepEqual(look(true, ''), { gone: false, signals: [] });
  assert.deepEqual(look(true, 'ZX', 'ZX'), { gone: true, signals: frozen });
  assert.deepEqual(look(true, 'Z', 'ZT'), { gone: false, signals: frozen });
  assert.deepEqual(look(true, 'Z', ''), { gone: false, signals: frozen });
});
