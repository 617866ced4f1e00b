import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { PLACES, Wheel } from '../../src/heartbeat/wheel.ts';
import type { Seat } from '../../src/heartbeat/wheel.ts';

interface Item {
  readonly seat: Seat;
}
const item = (): Item => ({ seat: { place: -1, extra: -1 } });
const dueUntil = (wheel: Wheel<Item>, now: number): [Item, number][] => {
  const due: [Item, number][] = [];
  wheel.due(now, (one, at) => due.push([one, at]));
  return due;
};

test('any number of items, each once a turn at its place; removed ones never', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3_000 }), fc.integer({ min: 100, max: 60_000 }), (n, interval) => {
      const wheel = new Wheel<Item>(interval, 0);
      const items = Array.from({ length: n }, item);
      for (const one of items) wheel.add(one);
      const gone = items.filter((_, i) => i % 3 === 2);
      for (const one of gone) wheel.remove(one);
      const left = n - gone.length;
      assert.equal(wheel.size, left);
      const first = dueUntil(wheel, interval - interval / PLACES / 2);
      const second = dueUntil(wheel, 2 * interval - interval / PLACES / 2);
      for (const turn of [first, second]) assert.equal(new Set(turn.map(([one]) => one)).size, left);
      assert.equal(first.length + second.length, 2 * left);
      assert.ok(!first.some(([one]) => gone.includes(one)));
    }),
    { numRuns: 30 },
  );
});

test('places are taken evenly', () => {
  for (const n of [2, 7, 64, 1_000, 10_000]) {
    const wheel = new Wheel<Item>(PLACES, 0);
    for (let i = 0; i < n; i++) wheel.add(item());
    const eighths = new Array<number>(8).fill(0);
    for (const [, at] of dueUntil(wheel, PLACES - 0.5)) eighths[Math.floor((at / PLACES) * 8)]! += 1;
    assert.ok(Math.max(...eighths) - Math.min(...eighths) <= Math.max(1, n / 100), `${n}: ${eighths.join(' ')}`);
  }
});

test('after several turns without a look each item is due once', () => {
  const wheel = new Wheel<Item>(10_000, 5_000);
  const items = [item(), item()];
  for (const one of items) wheel.add(one);
  dueUntil(wheel, 15_000);
  assert.equal(dueUntil(wheel, 1_000_000).length, 2);
});

test('once more, at the time said last; not after it was removed', () => {
  // A place every 10 ms.
  const turn = 10 * PLACES;
  const wheel = new Wheel<Item>(turn, 0);
  const [a, b] = [item(), item()];
  wheel.add(a);
  wheel.add(b);
  dueUntil(wheel, turn - 240);
  wheel.once(a, turn - 190);
  wheel.once(a, turn - 140);
  wheel.once(b, turn - 140);
  wheel.remove(b);
  assert.equal(wheel.next(), turn - 190);
  assert.deepEqual(dueUntil(wheel, turn - 180), []);
  assert.deepEqual(dueUntil(wheel, turn - 120), [[a, turn - 140]]);
  assert.equal(new Wheel<Item>(1, 0).next(), undefined);
});

test('another length of a turn: the order stays, and nobody waits longer than was promised', () => {
  const times = fc.integer({ min: 100, max: 60_000 });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 500 }),
      times,
      times,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (n, from, to, at) => {
        const wheel = new Wheel<Item>(from, 0);
        for (let i = 0; i < n; i++) wheel.add(item());
        const before = dueUntil(wheel, from - 0.001);
        const changed = from + at * from;
        before.push(...dueUntil(wheel, changed));
        const last = new Map(before);
        wheel.update(to, changed);
        const after = [0.25, 0.5, 0.75, 1].flatMap((share) => dueUntil(wheel, changed + share * to));
        const first = new Map(after.sort((a, b) => b[1] - a[1]));
        assert.equal(first.size, n, 'each is due within one new turn');
        const longest = from + (2 * Math.max(from, to)) / PLACES;
        for (const [one, when] of first) assert.ok(when - (last.get(one) as number) <= longest);
        const waited = ([one]: readonly [Item, number]): number => last.get(one) as number;
        // Within one tick of a longer turn in whatever order.
        const waiting = [...first].sort((a, b) => a[1] - b[1] || waited(a) - waited(b)).map(waited);
        assert.deepEqual(
          waiting,
          waiting.toSorted((a, b) => a - b),
          'who waited longest comes first',
        );
      },
    ),
    { numRuns: 50 },
  );
});
