import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from '../support/fast-check.ts';
import { LiveCensus } from '../../src/census/live-census.ts';
import type { Census } from '../../src/census/census.ts';
import { LEASE_STATES } from '../../src/census/judge.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { parseLease } from '../../src/lease/lease.ts';
import { HOSTNAME_LABEL } from '../../src/lease/names.ts';
import type { LeaseEvent } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { NOW, ScriptedWatch, at, published } from './support.ts';

/** Times around NOW, times of no sense, and things that are no times. */
const time = fc.oneof(
  fc.integer({ min: -5_000_000, max: 5_000_000 }).map((ms) => at(ms).toString()),
  fc.constantFrom('0000-01-01T00:00:00Z', '9999-12-31T23:59:59.999999Z', 'yesterday', '', null, 5),
  fc.constant(undefined),
);
const word = fc.constantFrom('a', 'b', 'c', '__proto__', '', 'x\u001b[31m', '/kube-system/a');
const json = fc.record({
  metadata: fc.record({
    name: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
    namespace: fc.constantFrom('kube-system', 'kube-system', 'other'),
    uid: word,
    labels: fc.option(fc.oneof(fc.dictionary(fc.constantFrom(HOSTNAME_LABEL, 'x'), word), fc.anything()), {
      nil: undefined,
    }),
    annotations: fc.oneof(fc.constant(undefined), fc.anything()),
    creationTimestamp: time,
    deletionTimestamp: fc.oneof({ weight: 4, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: time }),
  }),
  spec: fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        holderIdentity: fc.oneof(word, fc.anything()),
        leaseDurationSeconds: fc.oneof(
          fc.integer({ min: -1, max: 4000 }),
          fc.constantFrom(2_147_483_647, 1e300, '5', undefined),
        ),
        renewTime: time,
        acquireTime: time,
        leaseTransitions: fc.oneof(fc.nat(), fc.anything()),
      }),
    },
    { weight: 1, arbitrary: fc.anything() },
  ),
});
const anyLease: fc.Arbitrary<Lease> = json.map(parseLease);
const date = fc.oneof({ weight: 4, arbitrary: fc.constant(at(0)) }, { weight: 1, arbitrary: fc.constant(undefined) });

function check(made: Census): void {
  const { counts, leaseCounts, instances, leases } = made;
  const of = (state: string): number => leases.filter((l) => l.state === state).length;
  for (const state of LEASE_STATES) assert.equal(leaseCounts[state], of(state), state);
  assert.ok(instances.length <= leases.length);
  assert.ok(instances.every((i) => i.leases.length > 0));
  const groups = new Set(leases.map((l) => (l.hostname === undefined ? `${l.namespace}/${l.name}` : `=${l.hostname}`)));
  const unknown = instances.some((i) => i.state === 'unknown');
  assert.equal(counts === undefined, unknown);
  if (!counts) return;
  assert.equal(counts.instances, counts.live + counts.stale);
  assert.equal(counts.instances, instances.length);
  assert.equal(counts.instances + counts.expired + counts.released, groups.size);
}

describe('for any leases', () => {
  test('counting never throws, and the numbers add up', () => {
    let known = 0;
    fc.assert(
      fc.property(fc.array(anyLease), date, (leases, serverDate) => {
        const made = published(leases, { serverDate, freshForMs: 30_000 });
        if (made.counts && made.counts.instances > 0) known += 1;
        check(made);
      }),
      { numRuns: 2_000 },
    );
    assert.ok(known > 300, `only ${known} of 2000 had instances to count`);
  });

  test('a change of holders changes no number', () => {
    fc.assert(
      fc.property(fc.array(anyLease), fc.string({ minLength: 1 }), (leases, holder) => {
        const taken = leases.map((l) =>
          l.spec.holderIdentity ? { ...l, spec: { ...l.spec, holderIdentity: holder } } : l,
        );
        const frame = { serverDate: at(0), freshForMs: 30_000 };
        assert.deepEqual(published(taken, frame).counts, published(leases, frame).counts);
      }),
      { numRuns: 500 },
    );
  });

  test('a renewal makes no instance fewer', () => {
    fc.assert(
      fc.property(fc.array(anyLease, { minLength: 1 }), fc.nat(), (leases, pick) => {
        const frame = { serverDate: at(0), freshForMs: 30_000 };
        const index = pick % leases.length;
        const renewed = leases.map((l, i) => {
          const spec = { ...l.spec, holderIdentity: 'h', leaseDurationSeconds: 3600, renewTime: at(0) };
          return i === index ? { ...l, spec } : l;
        });
        const before = published(leases, frame).instances.length;
        // Of two with one name the later counts: renewing a hidden one changes nothing.
        assert.ok(published(renewed, frame).instances.length >= before);
      }),
      { numRuns: 500 },
    );
  });
});

type Step = { tell: LeaseEvent } | { advance: number };
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: anyLease.chain((lease) =>
      fc
        .constantFrom<LeaseEvent['type']>('added', 'modified', 'deleted')
        .map((type) => ({ tell: { type, lease } as LeaseEvent })),
    ),
  },
  {
    weight: 2,
    arbitrary: fc
      .array(anyLease)
      .chain((leases) => date.map((serverDate) => ({ tell: { type: 'list', leases, serverDate } as LeaseEvent }))),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ tell: { type: 'fresh' } }) },
  {
    weight: 1,
    arbitrary: fc.constant<Step>({
      tell: { type: 'lost', error: new LeaseStoreError('Unavailable', { message: 'x' }) },
    }),
  },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 4_000_000 }).map((advance) => ({ advance })) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 40_000 }).map((advance) => ({ advance })) },
);

test('for any course of events the numbers kept are those of a new count', async () => {
  let known = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      const clock = new ManualClock(NOW);
      const store = new ScriptedWatch();
      const options = { freshForMs: 30_000, maxAgeMs: 30_000 };
      const query = { namespace: '' };
      const service = new LiveCensus({ store, query, clock, random: () => 0.5, ...options });
      const abort = new AbortController();
      const run = service.run(abort.signal);
      await settle();
      for (const s of steps) {
        if ('tell' in s) {
          store.tell(s.tell);
          await settle();
        } else await clock.advance(s.advance);
        const made = service.census();
        const snapshot = service.snapshot();
        if (made) check(made);
        if (!snapshot.known) continue;
        known += 1;
        assert.ok((snapshot.freshnessMs ?? Infinity) <= 30_000);
        // While lost, what is heard is kept back from the answer.
        if (!snapshot.synced) continue;
        assert.deepEqual(snapshot.answer.counts, made?.counts);
        assert.deepEqual(snapshot.answer.leaseCounts, made?.leaseCounts);
        assert.ok(snapshot.answer.estimated >= 0 && snapshot.answer.estimated <= snapshot.answer.leaseCounts.live);
      }
      abort.abort();
      await run;
      assert.deepEqual([clock.pending, store.open], [0, 0]);
    }),
    { numRuns: 300 },
  );
  assert.ok(known > 100, `only ${known} answers were known`);
});
