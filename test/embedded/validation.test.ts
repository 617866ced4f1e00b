import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dnsLabel,
  dnsSubdomain,
  labelValue,
  qualifiedName,
  validateMeta,
  validateMetaUpdate,
} from '../../src/embedded/objects/validation.ts';
import { formatTime, humanDuration, parseMicroTime, parseTime } from '../../src/embedded/objects/time-formats.ts';

test('names, labels and keys', () => {
  const good = {
    dnsSubdomain: ['a', 'a.b-c', '0', 'a'.repeat(253)],
    dnsLabel: ['a', 'a-b', '1'.repeat(63)],
    labelValue: ['', 'A', 'a_b.c-d', 'x'.repeat(63)],
    qualifiedName: ['a', 'A_b', 'x.io/Y', `${'a'.repeat(253)}/b`],
  };
  const bad = {
    dnsSubdomain: ['', 'A', 'a..b', '-a', 'a-', 'a_b', 'a'.repeat(254)],
    dnsLabel: ['a.b', '', 'a'.repeat(64)],
    labelValue: ['-', 'a b', 'x'.repeat(64), 'é'],
    qualifiedName: ['', 'a/b/c', '/a', 'a/', 'X/a', 'x'.repeat(64), 'a b'],
  };
  const rules = { dnsSubdomain, dnsLabel, labelValue, qualifiedName };
  for (const rule of Object.keys(rules) as (keyof typeof rules)[]) {
    for (const text of good[rule]) assert.deepEqual(rules[rule](text), [], `${rule} ${text}`);
    for (const text of bad[rule]) assert.notEqual(rules[rule](text).length, 0, `${rule} ${text}`);
  }
});

test('all broken rules of an object are reported at once, each with its field', () => {
  const errors = validateMeta(
    {
      name: 'Bad',
      labels: { 'bad key': 'bad value' },
      annotations: { '/': 'x', UPPER: 'is fine' },
      finalizers: ['ok/fine', 'not fine'],
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Node', name: 'n', uid: '', controller: true },
        { apiVersion: 'v1', kind: 'Node', name: 'n', uid: '1', controller: true },
      ],
    },
    dnsSubdomain,
  );
  assert.deepEqual(
    [...new Set(errors.map((e) => e.field))],
    [
      'metadata.name',
      'metadata.labels',
      'metadata.annotations',
      'metadata.ownerReferences.uid',
      'metadata.ownerReferences',
      'metadata.finalizers',
    ],
  );
  assert.deepEqual(
    validateMeta({ name: '' }, dnsSubdomain).map((e) => e.reason),
    ['FieldValueRequired'],
  );
  const large = validateMeta({ name: 'a', annotations: { a: 'x'.repeat(256 * 1024) } }, dnsSubdomain);
  assert.deepEqual(
    large.map((e) => e.reason),
    ['FieldValueTooLong'],
  );
});

test('an object that is being deleted takes no new finalizers; a uid never changes', () => {
  const old = { name: 'a', uid: '1', deletionTimestamp: 't', finalizers: ['x/y'] };
  assert.deepEqual(validateMetaUpdate({ name: 'a', finalizers: [] }, old), []);
  const errors = validateMetaUpdate({ name: 'a', uid: '2', finalizers: ['x/y', 'new/one'] }, old);
  assert.deepEqual(
    errors.map((e) => e.field),
    ['metadata.uid', 'metadata.finalizers'],
  );
});

test('times: exactly six digits for a MicroTime, any zone, only days that exist, refused in words that name the format', () => {
  const good: [string, string | null][] = [
    ['2026-01-02T03:04:05.123456Z', '2026-01-02T03:04:05.123456Z'],
    ['2026-01-02T3:04:05,123456Z', '2026-01-02T03:04:05.123456Z'],
    ['2026-01-02T03:04:05.123456+02:00', '2026-01-02T01:04:05.123456Z'],
    ['2026-01-01T00:00:00.000001-23:59', '2026-01-01T23:59:00.000001Z'],
    ['2026-01-02T03:04:05.123456+24:00', '2026-01-01T03:04:05.123456Z'],
    ['0001-01-01T00:00:00.000000Z', null],
  ];
  for (const [text, expected] of good) assert.equal(parseMicroTime(text), expected, text);
  const layout = '"2006-01-02T15:04:05.000000Z07:00"';
  const bad: [string, string][] = [
    ['2026-01-02T03:04:05.123Z', ` as ${layout}: cannot parse ".123Z" as ".000000"`],
    ['2026-01-02T03:04:05Z', ` as ${layout}: cannot parse "Z" as ".000000"`],
    ['2026-01-02 03:04:05.123456Z', ` as ${layout}: cannot parse " 03:04:05.123456Z" as "T"`],
    ['2026-01-02T03:04:05.1234567Z', ` as ${layout}: cannot parse "7Z" as "Z07:00"`],
    ['2026-02-30T03:04:05.123456Z', ': day out of range'],
    ['2026-13-01T03:04:05.123456Z', ': month out of range'],
    ['2026-01-02T24:00:00.000000Z', ': hour out of range'],
    ['2026-01-02T03:04:05.123456Zx', ': extra text: "x"'],
    ['0000-01-01T00:00:00.000000+01:00', ': year outside of range [0,9999]'],
    ['yesterday', ` as ${layout}: cannot parse "yesterday" as "2006"`],
  ];
  for (const [text, why] of bad) {
    assert.throws(() => parseMicroTime(text), { message: `parsing time ${JSON.stringify(text)}${why}` });
  }
  assert.equal(parseTime('2026-01-02T03:04:05.9+01:00'), '2026-01-02T02:04:05Z');
  assert.equal(formatTime(1_767_323_045_999_999), '2026-01-02T03:04:05Z');
});

test('ages, as kubectl says them', () => {
  const table: [number, string][] = [
    [-5, '<invalid>'],
    [0, '0s'],
    [119, '119s'],
    [120, '2m'],
    [130, '2m10s'],
    [3600, '60m'],
    [3 * 3600, '3h'],
    [4 * 3600 + 60, '4h1m'],
    [86400, '24h'],
    [3 * 86400, '3d'],
    [3 * 86400 + 3600, '3d1h'],
    [400 * 86400, '400d'],
    [3 * 365 * 86400, '3y'],
  ];
  for (const [seconds, expected] of table) assert.equal(humanDuration(seconds), expected, String(seconds));
});
