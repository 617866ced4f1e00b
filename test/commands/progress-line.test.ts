/** What long commands show on a terminal meanwhile. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressLine } from '../../src/commands/progress-line.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

function world(errTerminal: boolean) {
  const clock = new ManualClock();
  const written: string[] = [];
  const io = {
    ...{ env: {}, terminal: false, errTerminal },
    out: (text: string) => void written.push(`out ${text}`),
    err: (text: string) => void written.push(text),
  };
  return { clock, written, line: new ProgressLine(io, clock) };
}
const CLEAR = '\r\x1b[K';

test('what is going on and how long still; it goes before anything else is written, and at the end', async () => {
  const { clock, written, line } = world(true);
  line.show('looking again', clock.monotonic() + 3_000);
  await clock.advance(1_000);
  assert.deepEqual([...new Set(written)], [`${CLEAR}looking again, 3 s left`, `${CLEAR}looking again, 2 s left`]);
  written.length = 0;
  line.io.out('found\n');
  line.io.err('a warning\n');
  assert.deepEqual(written, [CLEAR, 'out found\n', 'a warning\n']);
  let n = 0;
  line.show(() => `${n} deleted`);
  n = 7;
  await clock.advance(500);
  assert.equal(written.at(-1), `${CLEAR}7 deleted`);
  line[Symbol.dispose]();
  assert.equal(written.at(-1), CLEAR);
  written.length = 0;
  await clock.advance(10_000);
  assert.deepEqual(written, [], 'no timer is left');
});

test('a line is never so long that it breaks', () => {
  const { written, line } = world(true);
  line.show('x'.repeat(500));
  assert.equal(written.at(-1)!.length - CLEAR.length, 79);
  line[Symbol.dispose]();
});

test('nothing where stderr is no terminal', async () => {
  const { clock, written, line } = world(false);
  line.show('looking again', 3_000);
  await clock.advance(5_000);
  line.io.out('found\n');
  line[Symbol.dispose]();
  assert.deepEqual(written, ['out found\n']);
});
