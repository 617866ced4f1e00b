import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../support/fast-check.ts';
import { createBackoff } from '../../src/runtime/backoff.ts';

const waits = (random: number, count: number): number[] => {
  const backoff = createBackoff({ firstMs: 100, capMs: 1_000, random: () => random });
  return Array.from({ length: count }, () => backoff.next());
};

describe('backoff', () => {
  it('doubles from the first wait to the cap', () => assert.deepEqual(waits(1, 6), [100, 200, 400, 800, 1_000, 1_000]));

  it('takes up to half away at random', () => assert.deepEqual(waits(0, 6), [50, 100, 200, 400, 500, 500]));

  it('stays positive and capped for ever, whatever chance and the server say', () => {
    const askedWait = fc.option(fc.oneof(fc.nat(), fc.constant(Infinity)), { nil: undefined });
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.array(askedWait, { maxLength: 200 }),
        (chance, asked) => {
          const backoff = createBackoff({ firstMs: 200, capMs: 10_000, random: () => chance });
          for (const [i, askedMs] of asked.entries()) {
            const wait = backoff.next(askedMs);
            assert.ok(wait >= 100 && wait <= 10_000);
            if (askedMs !== undefined && askedMs <= 10_000) assert.ok(wait >= askedMs);
            assert.equal(backoff.attempts, i + 1);
          }
        },
      ),
    );
  });

  it('never overflows', () => {
    const backoff = createBackoff({ firstMs: 100, capMs: 1_000, random: () => 1 });
    for (let i = 0; i < 5_000; i++) assert.ok(backoff.next() <= 1_000);
  });

  it('begins again after a reset', () => {
    const backoff = createBackoff({ firstMs: 100, capMs: 1_000, random: () => 1 });
    backoff.next();
    backoff.next();
    backoff.reset();
    assert.equal(backoff.attempts, 0);
    assert.equal(backoff.next(), 100);
  });

  it('is capped from the first wait on', () => {
    assert.equal(createBackoff({ firstMs: 5_000, capMs: 1_000, random: () => 1 }).next(), 1_000);
  });

  it('waits as long as the server asks, where that is longer, but never past the cap', () => {
    const backoff = createBackoff({ firstMs: 100, capMs: 1_000, random: () => 1 });
    assert.equal(backoff.next(700), 700);
    assert.equal(backoff.next(50), 200);
    assert.equal(backoff.next(60_000), 1_000);
  });
});
