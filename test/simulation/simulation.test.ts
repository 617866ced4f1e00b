/**
 * A thousand worlds in which everything goes wrong that may. `npm run simulate` runs ten thousand, and takes out each safety
 * rule once; a seed that fails is printed small, with the command that replays it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { FAULT_KINDS } from './chaos.ts';
import { MUTANTS } from './mutants.ts';
import { mutated } from './mutation.ts';
import { hunt, runSeeds } from './pool.ts';
import { failures, hours } from './report.ts';
import { historyProblems } from './rules/history.ts';
import { replayOf, shrink } from './shrink.ts';
import { NOTHING, simulate } from './simulate.ts';

const SEEDS = 1_000;

test(`${SEEDS} seeds: no promise is broken`, async (t) => {
  const tally = await runSeeds(1, SEEDS);
  assert.equal(tally.failures.length, 0, await failures(tally));
  t.diagnostic(`${hours(tally)} simulated hours`);
  // A simulation in which nothing happens proves nothing.
  const { terms = 0, guarded = 0, takeOvers = 0, sweeps = 0, heartbeats = 0, counts = 0 } = tally.seen;
  assert.ok(hours(tally) > 50, `${hours(tally)} hours`);
  assert.ok(terms > SEEDS && guarded > 50 * SEEDS, `${terms} terms, ${guarded} guarded steps`);
  assert.ok(takeOvers > SEEDS / 2 && sweeps > SEEDS / 10, `${takeOvers} take-overs, ${sweeps} sweeps`);
  assert.ok(heartbeats > 5 * SEEDS && counts > 100 * SEEDS, `${heartbeats} heartbeats, ${counts} looks at a census`);
  for (const kind of FAULT_KINDS) assert.ok((tally.faults[kind] ?? 0) > 0, `no fault of kind ${kind} was injected`);
});

/** Worlds of recipes: the others run in recipes.slow.test.ts. */
const RECIPE_SEEDS = 120;

test(`${RECIPE_SEEDS} seeds of the recipes' worlds: no promise is broken`, async () => {
  const tally = await runSeeds(1, RECIPE_SEEDS, 'recipes');
  assert.equal(tally.failures.length, 0, await failures(tally));
  const { hands = 0, steps = 0, fires = 0 } = tally.seen;
  assert.ok(
    hands > 5 * RECIPE_SEEDS && steps > 20 * RECIPE_SEEDS && fires > RECIPE_SEEDS / 2,
    `${hands} hands, ${fires} fires`,
  );
});

test('the same seed gives the same history, and another one another', async () => {
  const digests = new Set<string>();
  for (const seed of [1, 2, 3, 5, 8, 13, 21, 34]) {
    const { digest } = await simulate(seed);
    assert.equal((await simulate(seed)).digest, digest, `seed ${seed}`);
    digests.add(digest);
  }
  assert.equal(digests.size, 8);
});

test('what is left out changes nothing else of the plan, and does not happen', async () => {
  const seed = 7;
  const whole = await simulate(seed, NOTHING);
  const faults = new Set(FAULT_KINDS);
  const fair = await simulate(seed, { ...NOTHING, faults });
  assert.deepEqual(fair.plan, whole.plan);
  assert.equal(fair.faults.size, 0);
  assert.equal(fair.violation, undefined);
});

test('each text that a mutant replaces is there exactly once', async () => {
  for (const { rule, replace } of MUTANTS) {
    for (const { file } of replace) {
      const source = await readFile(resolve(import.meta.dirname, '../..', file), 'utf8');
      const changes = replace.filter((one) => one.file === file);
      assert.notEqual(mutated(file, source, changes), source, rule);
    }
  }
  assert.throws(() => mutated('x', 'a a', [{ file: 'x', from: 'a', to: 'b' }]), /2 times/);
  assert.throws(() => mutated('x', 'c', [{ file: 'x', from: 'a', to: 'b' }]), /0 times/);
});

test('rules that are taken out are missed at once, where the harm is plain', async () => {
  const plain = MUTANTS.filter(({ rule }) =>
    [
      'publisher: the superseded does not fight',
      'sweeper: two looks',
      'election: every term has more transitions',
    ].includes(rule),
  );
  assert.equal(plain.length, 3);
  for (const { mutant, caughtAfter } of await hunt(plain, 60, () => {})) {
    assert.ok(caughtAfter !== undefined, `nobody missed the rule ${mutant.rule}`);
  }
});

test('a history of leadership is checked for overlaps, tokens and writes outside a term', () => {
  const term = (elector: string, token: number, beganAt: number, endedAt: number, era = 0) => {
    return { elector, token, transitions: token, beganAt, endedAt, era };
  };
  const write = (elector: string, transitions: number, sentAt: number) => {
    return { elector, transitions, sentAt, at: sentAt + 5 };
  };
  const good = [term('a', 0, 0, 10), term('b', 1, 10, 20), term('a', 2, 25, Infinity)];
  assert.deepEqual(historyProblems(good, [write('a', 0, 4), write('b', 1, 20), write('a', 2, 99)]), []);
  const rules = (...args: Parameters<typeof historyProblems>): string[] =>
    historyProblems(...args).map(({ rule }) => rule);
  assert.deepEqual(rules([term('a', 0, 0, 10), term('b', 1, 9, 20)], []), ['one leader at a time']);
  assert.deepEqual(rules([term('a', 1, 0, 10), term('b', 1, 10, 20)], []), ['fencing tokens grow']);
  assert.deepEqual(rules([term('a', 1, 0, 10, 0), term('b', 0, 9, 20, 1)], []), []);
  for (const bad of [write('a', 0, 11), write('a', 1, 12), write('c', 0, 5)]) {
    assert.deepEqual(rules(good, [bad]), ['renewals lie within their term']);
  }
});

test('a replay names what was left out', async () => {
  const faults = new Set(['pause', '429'] as const);
  const slots = new Set(['elector-1']);
  assert.equal(
    replayOf(7, { phases: 1, slots, happenings: new Set([2, 3]), faults }),
    "--seed 7 --phases 1 --without-slots 'elector-1' --without-happenings '2,3' --without-faults 'pause,429'",
  );
  // A seed that does not fail cannot be made smaller.
  assert.deepEqual((await shrink(7, 'no such rule')).without, NOTHING);
});
