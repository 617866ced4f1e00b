import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HoldsReader, judgeCounts, judgeHolds } from './holds.ts';
import type { Hold } from './holds.ts';
import { judgeRecipes } from './recipes.ts';

function holds(who: string, ...lines: string[]): Hold[] {
  const reader = new HoldsReader(who, '');
  reader.push(lines.map((line) => `${line}\n`).join(''));
  return reader.holds;
}

test('a hold lasts until its end, until it was last sure of, or until the last sign of life', () => {
  const [ended, lost, killed, next] = holds(
    'a',
    'S 0',
    'B x 1 10',
    'B y 2 10',
    'B z 3 10',
    'T 30',
    'E x 1 40',
    'L y 2 30',
    'T 50',
    'S 60',
    'B z 4 70',
    'T 90',
  );
  assert.deepEqual([ended?.to, ended?.open], [40, false]);
  assert.deepEqual([lost?.to, lost?.open], [30, false]);
  assert.deepEqual([killed?.to, killed?.open], [50, false]);
  assert.deepEqual([next?.to, next?.open], [90, true]);
});

test('two hands, a token that fell, and one that goes on with its own', () => {
  const a = holds('a', 'B x 5 0', 'T 100', 'E x 5 100', 'B x 5 200', 'E x 5 300');
  assert.deepEqual(judgeHolds([...a, ...holds('b', 'B x 6 301', 'E x 6 400')], []).problems, []);
  assert.match(
    judgeHolds([...a, ...holds('b', 'B x 6 290', 'E x 6 400')], []).problems.join(),
    /two at once: .* for 10 ms/,
  );
  assert.match(judgeHolds([...a, ...holds('b', 'B x 5 310', 'E x 5 400')], []).problems.join(), /tokens: b/);
  assert.deepEqual(judgeHolds([...a, ...holds('b', 'B y 1 0', 'E y 1 400')], []).problems, [], 'another resource');
});

test('one that stood still goes on for a moment, for a sink that takes no lower token', () => {
  const all = [...holds('a', 'B x 5 0', 'T 1000', 'T 9000', 'L x 5 9100'), ...holds('b', 'B x 6 5000', 'E x 6 8000')];
  const frozen = [{ who: 'a', from: 1_000, to: 9_000 }];
  assert.deepEqual(judgeHolds(all, frozen), { problems: [], refused: 1 });
  assert.equal(judgeHolds(all, []).problems.length, 1);
  const late = [...holds('a', 'B x 5 0', 'T 1000', 'T 9000', 'L x 5 19000'), ...holds('b', 'B x 6 5000', 'E x 6 8000')];
  assert.equal(judgeHolds(late, frozen).problems.length, 1);
});

test('slots: no more than there are, and of one count at a time', () => {
  const two = [...holds('a', 'B s-0 1 0 2', 'E s-0 1 100'), ...holds('b', 'B s-1 1 0 2', 'E s-1 1 100')];
  assert.deepEqual(judgeCounts(two, []), []);
  assert.match(judgeCounts([...two, ...holds('c', 'B s-2 1 50 2', 'E s-2 1 80')], []).join(), /3 at once of 2/);
  assert.match(judgeCounts([...two, ...holds('c', 'B s-2 1 50 3', 'E s-2 1 80')], []).join(), /of 2 and of 3 at once/);
});

test('fires and keys', () => {
  const of = (who: string, ...lines: string[]): HoldsReader => {
    const reader = new HoldsReader(who, '');
    reader.push(lines.map((line) => `${line}\n`).join(''));
    return reader;
  };
  const verdict = (...all: HoldsReader[]): string =>
    judgeRecipes(
      all.flatMap((one) => one.holds),
      all.flatMap(({ notes }) => notes),
      [],
      100_000,
    ).problems.join();
  const ran = of('a', 'N 1 fire try 7', 'B fire-7 1 2', 'E fire-7 1 3');
  const refused = of('b', 'N 1 fire try 7', 'N 2 fire refused 7 claimed');
  assert.equal(verdict(ran, refused), '');
  assert.match(verdict(ran, of('b', 'B fire-7 1 2', 'E fire-7 1 3')), /fire 7 ran 2 times/);
  assert.match(verdict(refused), /fire 7 ran nowhere/);
  assert.equal(verdict(refused, of('a', 'N 1 fire try 7')), '', 'the one that tried has died');
  assert.equal(verdict(refused, of('a', 'N 1 fire try 7', 'N 5 fire lost 7')), '');
  const done = of('a', 'B once 1 0 7', 'E once 1 5', 'N 6 key done 7');
  assert.equal(verdict(done, of('b', 'B once 2 10 8', 'E once 2 11')), '');
  assert.match(verdict(done, of('b', 'B once 2 10 7', 'E once 2 11')), /b began key 7 .* after its success/);
});
