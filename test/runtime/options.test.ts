/** Rows of options: defaults, rules, all problems at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  OptionsError,
  checkedOptions,
  fillOptions,
  optionProblems,
  positiveMs,
  wholeSeconds,
} from '../../src/runtime/options.ts';
import type { OptionRows, RuleBetween } from '../../src/runtime/options.ts';

interface Options {
  readonly everyMs: number;
  readonly timeoutMs: number;
  readonly seconds: number;
  readonly mode: 'a' | 'b';
  readonly note?: string | undefined;
}
const ROWS: OptionRows<Options> = {
  everyMs: { unit: 'ms', default: 1000, rule: positiveMs, text: 'how often' },
  timeoutMs: { unit: 'ms', default: ({ everyMs = 0 }) => everyMs / 2, rule: positiveMs, text: 'how long' },
  seconds: { unit: 's', default: 15, rule: wholeSeconds, text: 'the duration' },
  mode: { default: 'a', choices: ['a', 'b'], text: 'which' },
  note: { text: 'words', rule: (text) => (text === '' ? 'must not be empty' : undefined) },
};
const BETWEEN: readonly RuleBetween<Options>[] = [
  { of: ['timeoutMs', 'everyMs'], rule: (o) => (o.timeoutMs < o.everyMs ? undefined : 'must be shorter than everyMs') },
  { of: ['seconds', 'everyMs'], rule: (o) => (o.seconds > 0 ? undefined : 'never asked: it is wrong by itself') },
];

test('defaults fill in what is left out, also those made from others; undefined counts as left out', () => {
  assert.deepEqual(fillOptions(ROWS, { everyMs: 300, mode: undefined }), {
    everyMs: 300,
    timeoutMs: 150,
    seconds: 15,
    mode: 'a',
  });
});

test('every problem is reported at once, and those between options when each of them is right by itself', () => {
  const broken = fillOptions(ROWS, { everyMs: NaN, seconds: 1.5, mode: 'c' as 'a', note: '' });
  assert.deepEqual(
    optionProblems(ROWS, broken, BETWEEN).map(({ field }) => field),
    ['everyMs', 'timeoutMs', 'seconds', 'mode', 'note'],
  );
  assert.deepEqual(
    optionProblems(ROWS, fillOptions(ROWS, { everyMs: 5, timeoutMs: 5, seconds: 0 }), BETWEEN).map(({ rule }) => rule),
    ['must be whole seconds from 1 to 2147483647', 'must be shorter than everyMs'],
  );
});

test('a value of another type, and one that is missing, break a rule instead of throwing', () => {
  const rows: OptionRows<{ host: string; count: number; dry: boolean }> = {
    host: {
      type: 'string',
      required: true,
      rule: (host) => (host.trim() === '' ? 'must not be empty' : undefined),
      text: '',
    },
    count: { default: 1, rule: wholeSeconds, text: '' },
    dry: { default: false, text: '' },
  };
  const problems = (given: object) =>
    optionProblems(rows, fillOptions(rows, given)).map(({ field, rule }) => `${field} ${rule}`);
  assert.deepEqual(problems({}), ['host is required']);
  assert.deepEqual(problems({ host: null, count: '1', dry: 'no' }), [
    'host must be of type string',
    'count must be of type number',
    'dry must be true or false',
  ]);
});

test('the error names its subject, and of every problem field, value and rule', () => {
  assert.throws(
    () => checkedOptions('Thing', ROWS, { everyMs: NaN, timeoutMs: 1, mode: 'c' as 'a' }),
    (error) =>
      error instanceof OptionsError &&
      error.code === 'InvalidOptions' &&
      error.problems.length === 2 &&
      error.message ===
        'Thing: everyMs NaN: must be greater than 0 and at most 2147483647 ms; mode "c": must be one of a, b',
  );
  assert.equal(checkedOptions('Thing', ROWS, {}).timeoutMs, 500);
});
