import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { LineSplitter, parseWatchLine } from '../../src/kube/watch-stream.ts';
import { parseLease } from '../../src/lease/lease.ts';
import { leaseJson, statusBody } from './support.ts';

test('lines come out as they went in, however the bytes are cut', () => {
  const line = fc
    .string({ unit: 'grapheme', minLength: 1 })
    .filter((s) => !/[\n\r]/.test(s) && s.trim() === s && s !== '');
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(50)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((l) => `${l}\n`).join('\n'));
      const splitter = new LineSplitter();
      const out: string[] = [];
      let at = 0;
      for (const cut of cuts) out.push(...(splitter.push(bytes.subarray(at, (at += cut))) ?? ['too long']));
      out.push(...(splitter.push(bytes.subarray(at)) ?? ['too long']));
      assert.deepEqual(out, lines);
    }),
  );
});

test('a line past the limit is noticed before it is whole, and when it comes in one piece', () => {
  const splitter = new LineSplitter(10);
  assert.deepEqual(splitter.push(Buffer.from('0123456789\n012345')), ['0123456789']);
  assert.deepEqual(splitter.push(Buffer.from('6789')), []);
  assert.equal(splitter.push(Buffer.from('0')), undefined);
  assert.equal(new LineSplitter(3).push(Buffer.from('0123\n')), undefined);
});

const parse = (text: string) => parseWatchLine(text, 'watch leases', parseLease);

test('each kind of line', () => {
  const line = (type: unknown, object: unknown) => parse(JSON.stringify({ type, object }));
  for (const [type, becomes] of [
    ['ADDED', 'added'],
    ['MODIFIED', 'modified'],
    ['DELETED', 'deleted'],
  ] as const) {
    const change = line(type, leaseJson('a', '9'));
    assert.ok(change.kind === 'change' && change.type === becomes && change.item.metadata.resourceVersion === '9');
  }
  assert.deepEqual(line('BOOKMARK', { metadata: { resourceVersion: '12' } }), {
    kind: 'bookmark',
    resourceVersion: '12',
  });
  const error = line('ERROR', statusBody(410, 'Expired', 'too old'));
  assert.ok(error.kind === 'error' && error.error.code === 'Expired');
  const odd = line('ERROR', 'what');
  assert.ok(odd.kind === 'error' && odd.error.code === 'ServerError');
});

test('anything else is bad, and nothing throws', () => {
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{}',
    '{"type":"SYNC"}',
    '{"type":"toString"}',
    '{"type":"ADDED"}',
    '{"type":"ADDED","object":{"metadata":{}}}',
    '{"type":"BOOKMARK"}',
    '{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":5}}}',
  ]) {
    assert.equal(parse(text).kind, 'bad', text);
  }
  fc.assert(fc.property(fc.json(), (text) => void parse(text)));
  fc.assert(
    fc.property(
      fc.constantFrom('ADDED', 'DELETED', 'BOOKMARK', 'ERROR', 'x'),
      fc.jsonValue(),
      (type, object) => void parse(JSON.stringify({ type, object })),
    ),
  );
});
