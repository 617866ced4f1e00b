import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import {
  SelectorError,
  matchesFields,
  parseFieldSelector,
  parseLabelSelector,
} from '../../src/embedded/store/selectors.ts';

const matches = (selector: string, labels: Record<string, string>): boolean =>
  parseLabelSelector(selector)?.(labels) ?? true;

test('label selectors, by table', () => {
  const labels = { a: 'b', 'x.io/y': '', n: '7' };
  const table: [string, boolean][] = [
    ['', true],
    ['a=b', true],
    ['a==b', true],
    ['a = b , n', true],
    ['a=c', false],
    ['a!=b', false],
    ['a!=c', true],
    ['missing!=c', true],
    ['a in (b,c)', true],
    ['a in (c)', false],
    ['missing in (c)', false],
    ['a notin (b)', false],
    ['missing notin (b)', true],
    ['a', true],
    ['!a', false],
    ['!missing', true],
    ['x.io/y', true],
    ['x.io/y=', true],
    ['a=', false],
    ['n>6', true],
    ['n<7', false],
    ['a>1', false],
    ['toString', false],
    ['in in (in)', false],
    ['a=b,n=8', false],
  ];
  for (const [selector, expected] of table) assert.equal(matches(selector, labels), expected, selector);
});

test('what is no label selector is refused', () => {
  for (const text of [
    'a===b',
    'a in',
    'a in (',
    'a in b',
    '=b',
    'a b',
    'a,,b',
    'a,',
    '!',
    'a=b=c',
    'bad key=x',
    'a>x',
    '-a',
    'a=-',
    `a=${'x'.repeat(64)}`,
  ]) {
    assert.throws(() => parseLabelSelector(text), SelectorError, text);
  }
});

test('property: any text either parses or is refused as a selector', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'ab=!(), innot<>/') })), (text) => {
      try {
        parseLabelSelector(text)?.({ a: 'b' });
        parseFieldSelector(text, ['metadata.name']);
      } catch (error) {
        assert.ok(error instanceof SelectorError, String(error));
      }
    }),
  );
});

test('property: in and notin, = and !=, exists and not exists are opposites, and agree with the obvious reading', () => {
  const word = fc.stringMatching(/^[a-c]{1,2}$/);
  fc.assert(
    fc.property(fc.dictionary(word, word), word, fc.array(word, { minLength: 1 }), (labels, key, values) => {
      const set = `(${values.join(',')})`;
      const has = Object.hasOwn(labels, key);
      assert.equal(matches(`${key} in ${set}`, labels), has && values.includes(labels[key] as string));
      assert.equal(matches(`${key} notin ${set}`, labels), !matches(`${key} in ${set}`, labels));
      assert.equal(matches(`${key}=${values[0]}`, labels), labels[key] === values[0]);
      assert.equal(matches(`${key}!=${values[0]}`, labels), labels[key] !== values[0]);
      assert.equal(matches(key, labels), has);
      assert.equal(matches(`!${key}`, labels), !has);
    }),
  );
});

test('field selectors', () => {
  const supported = ['metadata.name', 'metadata.namespace'];
  const values = { 'metadata.name': 'a', 'metadata.namespace': 'b' };
  const table: [string, boolean][] = [
    ['', true],
    ['metadata.name=a', true],
    ['metadata.name==a,metadata.namespace!=c', true],
    ['metadata.name!=a', false],
    ['metadata.name=\\=', false],
  ];
  for (const [text, expected] of table) {
    assert.equal(matchesFields(parseFieldSelector(text, supported), values), expected, text);
  }
  assert.equal(parseFieldSelector('metadata.name=a\\,b\\=c', supported)[0]?.value, 'a,b=c');
  for (const text of ['spec.x=1', 'metadata.name', '=a', 'metadata.name=a=b']) {
    assert.throws(() => parseFieldSelector(text, supported), SelectorError, text);
  }
});
