/** Lines of the log, whatever others have written into the leases that it speaks of. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../support/fast-check.ts';
import { createLog } from '../../src/observe/pino-log.ts';

function write(format: 'text' | 'json', fields: object, text = 'renewed', level = 'info'): string {
  let out = '';
  const log = createLog({ level, format, output: { err: (line) => (out += line) } });
  log.info(fields, text);
  return out;
}

/** What a terminal acts on, or shows in another place than where it stands. */
const STEERS = /[\p{C}\p{Zl}\p{Zp}]/u;
const nasty = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom(
      ...'\u001b\u009b\n\r\u0085\u2028\u2029\u202e\u2066\u200b\ufeff\u007f\ud800"\\= a日😀'.split(''),
    ),
  }),
);

const STEERING = {
  'a line break': 'a\n12:00:00.000 ERROR forged',
  'a carriage return': 'a\r12:00:00.000 ERROR forged',
  'next line (C1)': 'a\u008512:00:00.000 ERROR forged',
  'a line separator': 'a\u2028b\u2029c',
  'ESC and a colour': '\u001b[31mred\u001b[0m',
  'CSI as one C1 character': '\u009b31mred',
  DEL: 'a\u007fb',
  'a turn of the direction': 'a\u202eb\u2066c',
  'something invisible': 'a\u200b\ufeffb',
};

describe('text: a foreign value stays in its place', () => {
  for (const [what, value] of Object.entries(STEERING)) {
    test(what, () => {
      const fields = { holder: value, [value]: 1, leases: [{ name: value, [value]: value }], err: new Error(value) };
      const line = write('text', fields, value);
      assert.equal(line.indexOf('\n'), line.length - 1, 'one line');
      assert.doesNotMatch(line.slice(0, -1), STEERS);
    });
  }

  test('any text, as value, key, message or error: one line without what steers', () => {
    fc.assert(
      fc.property(nasty, (value) => {
        const line = write('text', { holder: value, deep: { [value]: value }, err: new Error(value) }, value);
        assert.equal(line.indexOf('\n'), line.length - 1);
        assert.doesNotMatch(line.slice(0, -1), STEERS);
      }),
    );
  });

  test('a value that looks like more fields is quoted', () => {
    assert.match(write('text', { holder: 'me  lease="x"' }), /INFO {2}renewed {2}holder="me {2}lease=\\"x\\""\n$/);
  });

  test('the stack of an error is indented: no line of it can pass for one of the log', () => {
    const lines = write('text', { err: new Error(STEERING['a line break']) }, 'renewed', 'debug')
      .trimEnd()
      .split('\n');
    assert.ok(lines.length > 2);
    for (const line of lines.slice(1)) assert.match(line, /^ {4}/);
    const line = write('text', { err: new Error(`${STEERING['ESC and a colour']}\u009b\u202e`) }, 'renewed', 'debug');
    assert.doesNotMatch(line.replaceAll('\n', ''), STEERS);
  });

  test('a very long value is cut, at a whole character', () => {
    const line = write('text', { holder: '😀'.repeat(100_000), err: new Error('y'.repeat(100_000)) });
    assert.ok(line.length < 1_500, `${line.length}`);
    assert.doesNotMatch(line.slice(0, -1), STEERS);
    assert.ok(write('text', { err: new Error('y'.repeat(100_000)) }, 'renewed', 'debug').length < 20_000);
  });

  test('what is harmless is as it was', () => {
    const line = write('text', { lease: 'a-b.c/d:1', n: 5, on: true, host: 'größe 日本' });
    assert.match(
      line,
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d INFO {2}renewed {2}lease=a-b\.c\/d:1 {2}n=5 {2}on=true {2}host="größe 日本"\n$/,
    );
  });
});

test('the time can be read beside other logs, a day later too: RFC 3339, of the zone of this machine', (t) => {
  const zone = process.env['TZ'];
  t.after(() => {
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  });
  const at = Date.parse('2026-01-15T22:30:00.120Z');
  t.mock.timers.enable({ apis: ['Date'], now: at });
  for (const [name, shown] of [
    ['UTC', '2026-01-15T22:30:00.120+00:00'],
    ['Asia/Kolkata', '2026-01-16T04:00:00.120+05:30'],
    ['America/St_Johns', '2026-01-15T19:00:00.120-03:30'],
  ] as const) {
    process.env['TZ'] = name;
    assert.equal(write('text', {}).split(' ')[0], shown);
  }
});

test('lines that nobody read are one line where they are missing, at any level', () => {
  for (const level of ['debug', 'error']) {
    let lost = (_lines: number): void => {};
    let out = '';
    createLog({
      level,
      format: 'json',
      output: { err: (line) => (out += line), onLost: (callback) => (lost = callback) },
    });
    lost(17);
    const { lines, msg } = JSON.parse(out) as Record<string, unknown>;
    assert.deepEqual([lines, msg], [17, 'lines are missing here: nobody read the log']);
  }
});

test('JSON: nothing that steers either, and every value as it was', () => {
  fc.assert(
    fc.property(nasty, (value) => {
      const line = write('json', { holder: value, [`k${value}`]: 1 });
      assert.equal(line.indexOf('\n'), line.length - 1);
      assert.doesNotMatch(line.slice(0, -1), STEERS);
      const read = JSON.parse(line) as Record<string, unknown>;
      assert.deepEqual([read['holder'], read[`k${value}`]], [value, 1]);
    }),
  );
});

describe('under a journal', () => {
  const lines = (
    format: 'text' | 'json',
    level: 'debug' | 'info' | 'warn' | 'error',
    fields: object = {},
  ): string[] => {
    let out = '';
    createLog({ level: 'debug', format, output: { journal: true, err: (line) => (out += line) } })[level](
      fields,
      'renewed',
    );
    return out.trimEnd().split('\n');
  };

  test('each line of text has its priority', () => {
    const priorities = (['error', 'warn', 'info', 'debug'] as const).map((level) =>
      lines('text', level)[0]?.slice(0, 3),
    );
    assert.deepEqual(priorities, ['<3>', '<4>', '<6>', '<7>']);
    const stack = lines('text', 'warn', { err: new Error('x') });
    assert.ok(stack.length > 1 && stack.every((line) => line.startsWith('<4>')), stack.join('\n'));
  });

  test('JSON stays JSON', () => {
    assert.doesNotThrow(() => void JSON.parse(lines('json', 'warn')[0]!));
  });
});
