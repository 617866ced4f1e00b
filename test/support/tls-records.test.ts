import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from './fast-check.ts';
import { TlsRecords } from './tls-records.ts';

const record = (length: number): Buffer =>
  Buffer.concat([Buffer.from([23, 3, 3, length >> 8, length & 255]), Buffer.alloc(length)]);

test('the cut is in the middle of the record that was meant, however the bytes come', () => {
  const lengths = fc.array(fc.integer({ min: 2, max: 600 }), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(lengths, fc.nat(9), fc.array(fc.integer({ min: 1, max: 90 })), (sizes, after, cuts) => {
      const bytes = Buffer.concat(sizes.map(record));
      const records = new TlsRecords();
      records.cutAfter(after);
      let at = 0;
      let found: number | undefined;
      for (const cut of [...cuts, bytes.length]) {
        if (at >= bytes.length || found !== undefined) break;
        const here = records.push(bytes.subarray(at, at + cut));
        if (here !== undefined) found = at + here;
        at += cut;
      }
      const begin = sizes.slice(0, after).reduce((sum, size) => sum + 5 + size, 0);
      const size = sizes[after];
      assert.equal(found, size === undefined ? undefined : begin + 5 + (size >> 1));
    }),
  );
});

test('counted from when it was asked for, in the middle of a record too', () => {
  const records = new TlsRecords();
  const [first, second] = [record(100), record(50)];
  assert.equal(records.push(first.subarray(0, 40)), undefined);
  records.cutAfter(0);
  assert.equal(records.push(first.subarray(40)), undefined);
  assert.equal(records.push(second), 5 + 25);
});
