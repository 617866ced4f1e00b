import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../support/fast-check.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';

const FIRST_SECOND = -62_167_219_200;
const LAST_SECOND = 253_402_300_799;
const pad = (n: number, width: number): string => String(n).padStart(width, '0');
const seconds = fc.integer({ min: FIRST_SECOND, max: LAST_SECOND });
const micros = fc.integer({ min: 0, max: 999_999 });
/** What a Kubernetes API server writes and takes, built without the code under test. */
const canonical = fc
  .tuple(seconds, micros)
  .map(([s, us]) => `${new Date(s * 1000).toISOString().slice(0, 19)}.${pad(us, 6)}Z`);

describe('MicroTime', () => {
  it('reads and prints every time an API server can hold without losing a microsecond', () => {
    fc.assert(fc.property(canonical, (text) => assert.equal(MicroTime.parse(text)?.toString(), text)));
  });

  it('always prints exactly six fractional digits in UTC, in JSON too', () => {
    fc.assert(
      fc.property(seconds, micros, (s, us) => {
        const time = MicroTime.parse(`${new Date(s * 1000).toISOString().slice(0, 19)}.${pad(us, 6)}Z`)!;
        assert.match(time.toString(), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
        assert.equal(JSON.stringify({ time }), `{"time":"${time.toString()}"}`);
      }),
    );
  });

  it('reads any fraction: short ones are filled up, digits beyond the sixth are cut off', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9]{1,30}$/), fc.constantFrom('.', ','), (fraction, point) => {
        const time = MicroTime.parse(`2026-01-02T03:04:05${point}${fraction}Z`);
        assert.equal(time?.toString(), `2026-01-02T03:04:05.${fraction.slice(0, 6).padEnd(6, '0')}Z`);
      }),
    );
  });

  it('reads any zone as the same instant', () => {
    const zone = fc.tuple(fc.constantFrom(1, -1), fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }));
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4_000_000_000 }), micros, zone, (s, us, [sign, hours, minutes]) => {
        const offset = sign * (hours * 3600 + minutes * 60);
        const local = new Date((s + offset) * 1000).toISOString().slice(0, 19);
        const text = `${local}.${pad(us, 6)}${sign < 0 ? '-' : '+'}${pad(hours, 2)}:${pad(minutes, 2)}`;
        const time = MicroTime.parse(text);
        assert.equal(time?.seconds, s);
        assert.equal(time?.micros, us);
      }),
    );
  });

  const read: [string, string][] = [
    ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000000Z'],
    ['2026-01-02t03:04:05.5z', '2026-01-02T03:04:05.500000Z'],
    ['2026-01-02 03:04:05.123Z', '2026-01-02T03:04:05.123000Z'],
    ['2026-01-02T03:04:05.1234567Z', '2026-01-02T03:04:05.123456Z'],
    ['2026-01-02T03:04:05.999999999Z', '2026-01-02T03:04:05.999999Z'],
    ['2026-01-02T03:04:05.123456+02:00', '2026-01-02T01:04:05.123456Z'],
    ['2025-12-31T23:30:00.000001-01:00', '2026-01-01T00:30:00.000001Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000000Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000000Z'],
    ['1969-12-31T23:59:59.999999Z', '1969-12-31T23:59:59.999999Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000000Z'],
    ['0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000000Z'],
    ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
  ];
  for (const [text, printed] of read) {
    it(`reads ${text}`, () => assert.equal(MicroTime.parse(text)?.toString(), printed));
  }

  const refused: unknown[] = [
    '',
    'yesterday',
    '2026-01-02',
    '2026-01-02T03:04:05',
    '2026-01-02T03:04:05.Z',
    '2026-1-2T03:04:05Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2025-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:60:00Z',
    '2026-01-01T00:00:61Z',
    '2026-01-01T00:00:00+24:00',
    '2026-01-01T00:00:00+00:60',
    '2026-01-01T00:00:00+0200',
    '10000-01-01T00:00:00Z',
    '9999-12-31T23:59:60Z',
    '9999-12-31T23:59:59-00:01',
    '0000-01-01T00:00:00+00:01',
    ' 2026-01-02T03:04:05Z',
    '2026-01-02T03:04:05Z\n',
    `2026-01-02T03:04:05.${'1'.repeat(200)}Z`,
    undefined,
    null,
    0,
    1_767_323_045,
    new Date(0),
    {},
    [],
  ];
  for (const value of refused) {
    it(`refuses ${JSON.stringify(value)?.slice(0, 40)}`, () => assert.equal(MicroTime.parse(value), undefined));
  }

  it('never throws, and gives only what it can print and read again', () => {
    const nearly = fc.stringMatching(
      /^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,8})?(Z|[+-][0-9]{2}:[0-9]{2})$/,
    );
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.string(), nearly), (value) => {
        const time = MicroTime.parse(value);
        if (time) assert.ok(MicroTime.parse(time.toString())?.equals(time));
      }),
      { numRuns: 2000 },
    );
  });

  it('agrees with numbers: epoch microseconds and milliseconds', () => {
    const untilYear2255 = fc.integer({ min: 0, max: 9_000_000_000_000_000 - 1 });
    fc.assert(
      fc.property(untilYear2255, (epoch) => {
        const time = MicroTime.fromEpochMicros(epoch);
        assert.equal(time.epochMicros, epoch);
        assert.equal(MicroTime.parse(time.toString())?.epochMicros, epoch);
        assert.equal(time.toString().slice(0, 23), new Date(Math.floor(epoch / 1000)).toISOString().slice(0, 23));
        const ms = Math.floor(epoch / 1000);
        assert.equal(MicroTime.fromEpochMs(ms).epochMs, ms);
      }),
    );
    assert.equal(MicroTime.fromEpochMicros(-1).toString(), '1969-12-31T23:59:59.999999Z');
    assert.equal(MicroTime.fromEpochMs(1_767_323_045_123).toString(), '2026-01-02T03:04:05.123000Z');
  });

  it('comes back from milliseconds with every microsecond', () => {
    const anyTime = fc.integer({ min: 0, max: Math.floor(2 ** 43 / 1000) - 1 });
    // Just above a power of two (2^40 ms: the years 2004 and 2005) a product with 1,000 is rounded worst.
    const worst = fc.integer({ min: 1_099_600_000, max: 1_125_000_000 });
    fc.assert(
      fc.property(fc.oneof(anyTime, worst), micros, (s, us) => {
        assert.ok(MicroTime.fromEpochMs(at(s, us).epochMs).equals(at(s, us)));
      }),
      { examples: [[4_398_046_511, 874_980]] },
    );
  });

  it('refuses numbers outside the years 0 to 9999, or clamps them when asked', () => {
    for (const bad of [NaN, Infinity, -Infinity, 1e18, -1e18])
      assert.throws(() => MicroTime.fromEpochMicros(bad), RangeError);
    assert.match(MicroTime.fromEpochMicrosClamped(Infinity).toString(), /^9999-12-31T23:59:59\./);
    assert.match(MicroTime.fromEpochMicrosClamped(-1e18).toString(), /^0000-01-01T00:00:00\./);
  });

  it('compares and subtracts as instants do', () => {
    fc.assert(
      fc.property(seconds, micros, seconds, micros, (s1, us1, s2, us2) => {
        const [a, b] = [at(s1, us1), at(s2, us2)];
        const order = Math.sign(Number(BigInt(s1 - s2) * 1_000_000n + BigInt(us1 - us2)));
        assert.equal(Math.sign(a.compare(b)), order);
        assert.equal(a.equals(b), order === 0);
        assert.equal(Math.sign(a.since(b)), order);
        assert.equal(a.equals(undefined), false);
      }),
    );
    assert.equal(at(10, 500).since(at(9, 1_500)), 999);
    assert.equal(at(0, 1).since(at(0, 2)), -0.001);
  });
});

function at(s: number, us: number): MicroTime {
  const time = MicroTime.parse(`${new Date(s * 1000).toISOString().slice(0, 19)}.${pad(us, 6)}Z`);
  assert.ok(time);
  return time;
}
