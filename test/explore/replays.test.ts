/**
 * The search itself, and schedules that were found when a safety rule was taken out: with the rule in its place nothing is
 * broken. A violation that `npm run explore` finds prints its line for this list.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { queryObjects } from 'node:v8';
import { MUTANTS } from '../simulation/mutants.ts';
import { explore, runOnce } from './explore.ts';
import { hunt } from './hunt.ts';
import { OUT_OF_REACH, huntTasks, reasonOutOfReach } from './reach.ts';
import { SCENARIOS } from './scenarios.ts';
import { Scene, parseSchedule, scheduleText } from './scene.ts';

const REPLAYS: readonly (readonly [scenario: string, schedule: string])[] = [
  ['late release', '7 cut go1, 16 heal go1'],
  ['late release', '1 cut go1, 35 heal go1, 57 stall 2'],
  ['late release', '1 cut go1, 18 heal go1, 49 cut a1'],
  ['election', '31 pause go1'],
  // The request is heard before the answer to the write that began the term.
  ['step down', '5 hold, 6 ask election anybody'],
  ['publishers', '21 hold, 26 release 19'],
  ['rivals', '20 lose, 25 cut q1'],
  ['leaving', '22 leave p1'],
  ['leaving', '5 hold, 12 leave p1, 17 release 5'],
  ['step down', '17 leave a1'],
  ['step down', '17 pause a1, 30 resume a1, 35 leave a1'],
  ['step down', '3 cut a1, 91 heal a1, 108 leave a1'],
  ['once', '14 stall 2'],
  ['once', '23 cut a1, 37 heal a1'],
  ['shards', '29 hold'],
  ['shards', '36 delete ring-m-a'],
  ['shards', '47 pause b1'],
  ['shards', '11 stall 1, 44 unstall 1, 45 pause a1'],
  ['heard late', '62 stall 3'],
  ['by hand', '13 stall 1'],
  ['by hand', '25 pause a1'],
  ['semaphore', '26 lose'],
  ['semaphore', '11 empty slots-0'],
];

const scenario = (name: string) => SCENARIOS.find((one) => one.name === name)!;

for (const [name, schedule] of REPLAYS) {
  test(`${name}, ${schedule}: no promise is broken`, async () => {
    const { failure } = await runOnce(scenario(name), parseSchedule(schedule));
    assert.equal(failure?.message, undefined);
  });
}

test('each scenario by default breaks no promise, and the same way each time', async () => {
  for (const one of SCENARIOS) {
    const [first, second] = [await runOnce(one, []), await runOnce(one, [])];
    assert.equal(first.failure?.message, undefined, one.name);
    assert.equal(second.digest(), first.digest(), one.name);
    assert.ok(first.choices.length > 10, one.name);
  }
});

test('all that may go otherwise once in a lock is run, and nothing is broken', async () => {
  const { complete, found, runs } = await explore(scenario('lock'), { deviations: 1, ms: 0, atLeast: 1 });
  assert.equal(found?.message, undefined);
  assert.equal(complete, 1);
  assert.ok(runs > 50);
});

test('a clock that is stepped, ahead or back, is a history of its own: what comes after it is run', async () => {
  const one = scenario('publishers');
  const usual = await runOnce(one, []);
  for (const way of ['', ' ahead']) {
    const step = usual.choices
      .flatMap(({ at, options }) => options.map(({ what }) => ({ at, what })))
      .find(({ what }) => /^step \S+( ahead)?$/.test(what) && what.endsWith(' ahead') === (way !== ''));
    assert.ok(step);
    assert.notEqual((await runOnce(one, [step])).digest(), usual.digest(), step.what);
  }
});

test('a Lease that was deleted is put back as another object with its old record', async () => {
  const one = scenario('lock');
  const pick = ({ choices }: Scene, kind: string) =>
    choices
      .flatMap(({ at, options }) => options.map(({ what }) => ({ at, what })))
      .find(({ what }) => what.startsWith(`${kind} `))!;
  const gone = pick(await runOnce(one, []), 'delete');
  const back = pick(await runOnce(one, [gone]), 'restore');
  const { api, failure } = await runOnce(one, [gone, back]);
  assert.equal(failure?.message, undefined);
  const [made, old] = ['create', 'delete'].map((verb) =>
    api.history.find((commit) => commit.by === 'somebody' && commit.verb === verb),
  );
  assert.deepEqual(made?.after?.spec, old?.before?.spec);
  assert.notEqual(made?.after?.metadata.uid, old?.before?.metadata.uid);
});

test('where more schedules wait than may, a part of them is run, and none is called complete', async () => {
  const { complete, runs } = await explore(scenario('lock'), { deviations: 1, ms: 0, atLeast: 1, waiting: 20 });
  assert.equal(complete, 0);
  assert.ok(runs > 20);
});

test('what was run is let go: hours of it take no more memory', async () => {
  const left = async (): Promise<number> => {
    await new Promise((resolve) => setImmediate(resolve));
    return queryObjects(Scene, { format: 'count' });
  };
  const before = await left();
  await explore(scenario('by hand'), { deviations: 1, ms: Infinity, runs: 20 });
  assert.ok((await left()) < before + 5);
});

test('what goes wrong without a rule is found by itself: a release that is none, a state that was put back', async () => {
  const bounds = { deviations: 1, ms: 0, atLeast: 1 };
  const rules = [
    'election: an empty holder beside its mark is no release',
    'publisher: what is provably older is claimed at once',
  ];
  const tasks = rules.flatMap((rule) => huntTasks(bounds, rule));
  const soonest = ['election', 'publishers'];
  const missed: string[] = [];
  await hunt(
    tasks.filter(({ scenario: name }) => soonest.includes(name)),
    ({ mutant }, { found }) => {
      missed.push(mutant.rule);
      assert.equal(scheduleText(parseSchedule(scheduleText(found.schedule))), scheduleText(found.schedule));
    },
  );
  // Each once: what was missed is not looked for again.
  assert.deepEqual(missed.sort(), rules);
});

test('each rule that is out of reach is there, with its reason', () => {
  for (const name of Object.keys(OUT_OF_REACH))
    assert.ok(
      MUTANTS.some(({ rule }) => rule.startsWith(name)),
      name,
    );
  assert.ok(MUTANTS.some((mutant) => reasonOutOfReach(mutant) === undefined));
});
