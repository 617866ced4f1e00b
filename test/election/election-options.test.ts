import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ELECTION_BETWEEN, ELECTION_ROWS, timing } from '../../src/election/election-options.ts';
import type { ElectionOptions } from '../../src/election/election-options.ts';
import { OptionsError, fillOptions, optionProblems } from '../../src/runtime/options.ts';
import { LeaderElector } from '../../src/election/elector.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';

const electionOptions = (given: Partial<ElectionOptions> = {}) => fillOptions(ELECTION_ROWS, given);
const electionProblems = (options: ElectionOptions) => optionProblems(ELECTION_ROWS, options, ELECTION_BETWEEN);

test('defaults are those of client-go, and valid', () => {
  const { leaseDurationSeconds, renewDeadlineMs, retryPeriodMs } = electionOptions({});
  assert.deepEqual([leaseDurationSeconds, renewDeadlineMs, retryPeriodMs], [15, 10_000, 2_000]);
  assert.deepEqual(electionProblems(electionOptions()), []);
});

const cases: [string, Partial<ElectionOptions>, string[]][] = [
  ['lease not longer than deadline', { leaseDurationSeconds: 10 }, ['leaseDurationSeconds']],
  ['lease barely longer', { leaseDurationSeconds: 11 }, []],
  ['deadline equal to 1.2 retries', { renewDeadlineMs: 2_400 }, ['renewDeadlineMs']],
  ['deadline just over 1.2 retries', { renewDeadlineMs: 2_401 }, []],
  ['no whole seconds', { leaseDurationSeconds: 15.5 }, ['leaseDurationSeconds']],
  ['an hour', { leaseDurationSeconds: 3600 }, []],
  ['over an hour', { leaseDurationSeconds: 3601 }, ['leaseDurationSeconds']],
  ['zero retry', { retryPeriodMs: 0 }, ['retryPeriodMs']],
  ['negative deadline', { renewDeadlineMs: -1 }, ['renewDeadlineMs']],
  ['NaN', { renewDeadlineMs: Number.NaN }, ['renewDeadlineMs']],
  ['infinite work', { workTimeoutMs: Infinity }, ['workTimeoutMs']],
  ['lease of nothing', { leaseDurationSeconds: 0 }, ['leaseDurationSeconds']],
  [
    'everything at once',
    { leaseDurationSeconds: 2, renewDeadlineMs: 2_000, retryPeriodMs: 2_000, workTimeoutMs: 0 },
    ['workTimeoutMs', 'leaseDurationSeconds', 'renewDeadlineMs'],
  ],
];
for (const [name, given, fields] of cases) {
  test(`rules: ${name}`, () => {
    const options = electionOptions(given);
    const problems = electionProblems(options);
    assert.deepEqual(
      problems.map((p) => p.field),
      fields,
    );
    for (const p of problems) assert.equal(p.value, options[p.field as keyof ElectionOptions]);
  });
}

test('an elector refuses everything that is wrong at once', () => {
  const clock = new ManualClock();
  const make = (): LeaderElector =>
    new LeaderElector({
      store: new MemoryStore({ clock }),
      clock,
      random: () => 0.5,
      lease: { namespace: 'kube-system', name: 'Not A Name' },
      id: '',
      uuid: 'line\nbreak',
      work: async () => {},
      renewDeadlineMs: 20_000,
    });
  assert.throws(make, (error: unknown) => {
    assert(error instanceof OptionsError);
    assert.equal(error.code, 'InvalidOptions');
    assert.deepEqual(
      error.problems.map((p) => p.field),
      ['lease.name', 'id', 'uuid', 'leaseDurationSeconds'],
    );
    return true;
  });
});

test('what a lease is for is not for labels of the user to say', () => {
  const clock = new ManualClock();
  const make = (said: string) =>
    new LeaderElector({
      store: new MemoryStore({ clock }),
      clock,
      random: () => 0.5,
      lease: { namespace: 'default', name: 'job' },
      id: 'a',
      uuid: 'b',
      work: async () => {},
      labels: { 'leasekeeper.dev/kind': said, app: 'web' },
    });
  assert.throws(() => make('identity'), OptionsError);
  make('election');
});

test('a term never outlasts what others measure as the published duration, clocks being 1 % apart', () => {
  for (const renewDeadlineMs of [900, 990, 999]) {
    const t = timing(electionOptions({ leaseDurationSeconds: 1, renewDeadlineMs, retryPeriodMs: 200 }));
    assert(t.termMs <= t.holdMs);
    assert(t.holdMs / 0.99 < t.leaseDurationMs);
  }
  assert.equal(timing(electionOptions()).termMs, 10_000);
});
