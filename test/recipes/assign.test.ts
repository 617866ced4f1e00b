/** Who is to hold which key: even, the same for everybody, with the fewest moves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { assign } from '../../src/recipes/assign.ts';

const nobody = (): undefined => undefined;
const owners = (held: Map<string, string[]>): Map<string, string> =>
  new Map([...held].flatMap(([member, keys]) => keys.map((key) => [key, member] as const)));

test('examples', () => {
  assert.deepEqual(assign([], ['a'], nobody), new Map());
  assert.deepEqual(assign(['m1'], [], nobody), new Map([['m1', []]]));
  assert.deepEqual(
    [...assign(['m2', 'm1'], ['c', 'a', 'b'], nobody)],
    [
      ['m2', ['c']],
      ['m1', ['a', 'b']],
    ],
  );
  // A third joins two with two each: one key moves.
  const holder = new Map([
    ['a', 'm1'],
    ['b', 'm1'],
    ['c', 'm2'],
    ['d', 'm2'],
  ]);
  assert.deepEqual(
    [...assign(['m1', 'm2', 'm3'], ['a', 'b', 'c', 'd'], (key) => holder.get(key))],
    [
      ['m1', ['a', 'b']],
      ['m2', ['c']],
      ['m3', ['d']],
    ],
  );
});

const view = fc.record({
  members: fc.uniqueArray(fc.string({ minLength: 1, maxLength: 3 }), { maxLength: 8 }),
  keys: fc.uniqueArray(fc.string({ maxLength: 3 }), { maxLength: 40 }),
  holders: fc.infiniteStream(fc.option(fc.nat(9), { nil: undefined })),
});

test('even, complete, in any order the same, and no key moves that need not', () => {
  fc.assert(
    fc.property(view, ({ members, keys, holders }) => {
      const now = new Map<string, string>();
      for (const key of keys) {
        const n = holders.next().value as number | undefined;
        const holder = n === undefined ? undefined : (members[n] ?? 'gone');
        if (holder !== undefined) now.set(key, holder);
      }
      const holderOf = (key: string): string | undefined => now.get(key);
      const held = assign(members, keys, holderOf);
      if (members.length === 0) return;
      const sizes = [...held.values()].map((own) => own.length);
      assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
      const to = owners(held);
      assert.deepEqual([...to.keys()].toSorted(), keys.toSorted());
      const reversed = assign(members.toReversed(), keys.toReversed(), holderOf);
      assert.deepEqual(owners(reversed), to);
      // The least that must move: what lies above the shares, when the largest have the odd keys.
      const counts = members
        .map((member) => keys.filter((key) => now.get(key) === member).length)
        .toSorted((a, b) => b - a);
      const [least, odd] = [Math.floor(keys.length / members.length), keys.length % members.length];
      const stay = counts.reduce((sum, count, i) => sum + Math.min(count, i < odd ? least + 1 : least), 0);
      const stayed = keys.filter((key) => now.get(key) !== undefined && now.get(key) === to.get(key)).length;
      assert.equal(stayed, stay);
      // Settled: nothing moves any more.
      assert.deepEqual(owners(assign(members, keys, (key) => to.get(key))), to);
    }),
  );
});

test('one that joins takes at most its share, and ten thousand keys take little time', () => {
  const keys = Array.from({ length: 10_000 }, (_, i) => `key-${i}`);
  const ten = Array.from({ length: 10 }, (_, i) => `m${i}`);
  const before = owners(assign(ten, keys, nobody));
  const after = owners(assign([...ten, 'm-new'], keys, (key) => before.get(key)));
  const moved = keys.filter((key) => before.get(key) !== after.get(key)).length;
  assert.ok(moved <= Math.ceil(keys.length / 11), String(moved));
});

test('while keys move, one after another in any order, nobody takes back what it has begun to give away', () => {
  const names = fc.subarray(['m1', 'm2', 'm3', 'm4', 'm5', 'm6'], { minLength: 1 });
  const order = fc.infiniteStream(fc.nat(1_000_000));
  fc.assert(
    fc.property(names, names, fc.integer({ min: 1, max: 40 }), order, (before, members, count, dice) => {
      const keys = Array.from({ length: count }, (_, i) => `k${i}`);
      const now = owners(assign(before, keys, nobody));
      for (const [key, holder] of now) if (!members.includes(holder)) now.delete(key);
      const given = new Set<string>();
      const moved = new Set<string>();
      for (;;) {
        const to = owners(assign(members, keys, (key) => now.get(key)));
        for (const [key, holder] of now) {
          if (to.get(key) !== holder) given.add(key);
          else assert.ok(!given.has(key), `${key} is taken back`);
        }
        const open = keys.filter((key) => now.get(key) !== to.get(key));
        const key = open[dice.next().value % open.length];
        if (key === undefined) return;
        // Given back first, then taken by who is to have it then.
        if (now.delete(key)) continue;
        assert.ok(!moved.has(key), `${key} moves twice`);
        moved.add(key);
        given.delete(key);
        now.set(key, to.get(key)!);
      }
    }),
  );
});
