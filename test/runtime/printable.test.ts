import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OptionsError } from '../../src/runtime/options.ts';
import { errorText, inWords } from '../../src/runtime/printable.ts';

const circle: { self?: unknown } = {};
circle.self = circle;
const secretive = new Proxy(new Error('x'), {
  get: () => {
    throw new Error('not to be looked at');
  },
  getPrototypeOf: () => {
    throw new Error('not to be looked at');
  },
});
const revoked = Proxy.revocable({}, {});
revoked.revoke();

test('any value in words, also one that has no text', () => {
  const table: [unknown, string][] = [
    ['text', 'text'],
    [5, '5'],
    [5n, '5'],
    [undefined, 'undefined'],
    [null, 'null'],
    [Symbol('s'), 'Symbol(s)'],
    [{ toString: '' }, '{"toString":""}'],
    [Object.assign(Object.create(null) as object, { a: 1 }), '{"a":1}'],
    [{ toJSON: () => undefined, toString: 1 }, '{…}'],
    [[circle], '[…]'],
    [{ n: 5n }, '{…}'],
    [new TypeError('wrong'), 'TypeError: wrong'],
    [secretive, '{…}'],
    [revoked.proxy, '{…}'],
  ];
  for (const [value, words] of table) assert.equal(inWords(value), words);
});

test('whatever was thrown, in words', () => {
  const odd = Object.assign(new Error('x'), { message: { toString: '' } });
  const table: [unknown, string][] = [
    [new Error('gone'), 'gone'],
    ['gone', 'gone'],
    [{ toString: '' }, '{"toString":""}'],
    [undefined, 'undefined'],
    [odd, '{"toString":""}'],
    [secretive, '{…}'],
    [revoked.proxy, '{…}'],
  ];
  for (const [value, words] of table) assert.equal(errorText(value), words);
});

test('wrong options are reported with any value', () => {
  const values = [circle, 5n, Symbol('s'), secretive, Object.create(null)];
  const { problems, message } = new OptionsError(
    'Publisher',
    values.map((value, i) => ({ field: `f${i}`, value, rule: 'r' })),
  );
  assert.equal(problems.length, values.length);
  assert.equal(message, 'Publisher: f0 {…}: r; f1 5: r; f2 Symbol(s): r; f3 {…}: r; f4 {}: r');
});
