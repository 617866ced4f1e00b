import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Tally, comparedCensus, summary } from '../../src/census/census.ts';
import type { Census, Counts, LeaseSummary } from '../../src/census/census.ts';
import { comparedState, observationOf, observedState, publishedState } from '../../src/census/judge.ts';
import type { LeaseState } from '../../src/census/judge.ts';
import { CENSUS_ROWS } from '../../src/census/census-options.ts';
import { fillOptions, optionProblems } from '../../src/runtime/options.ts';
import { HOSTNAME_ANNOTATION, hostnameLabel, leaseName } from '../../src/lease/names.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { CensusRegister } from '../../src/census/census-register.ts';
import type { Sketch } from './support.ts';
import { at, lease, published } from './support.ts';

const FRESH = 30_000;
const sketched = (sketch: Sketch = {}): LeaseSummary => summary(lease(sketch));
const counts = (...sketches: Sketch[]): Counts | undefined =>
  published(sketches.map(lease), { serverDate: at(0), freshForMs: FRESH }).counts;

describe('the state of one lease, by the API server’s Date', () => {
  const table: [string, Sketch, LeaseState][] = [
    ['renewed just now', { renewedAgoMs: 0 }, 'live'],
    ['renewed within the second that Date cuts off', { renewedAgoMs: -999 }, 'live'],
    ['at the edge of the window', { renewedAgoMs: 30_000 }, 'live'],
    ['a microsecond past it', { renewedAgoMs: 30_000.001 }, 'stale'],
    ['at the edge of its duration', { renewedAgoMs: 3_600_000 }, 'stale'],
    ['past its duration', { renewedAgoMs: 3_600_000.001 }, 'expired'],
    ['ahead by as much as clocks differ', { renewedAgoMs: -2_000 }, 'live'],
    ['published by a clock ahead', { renewedAgoMs: -2_000.001 }, 'stale'],
    ['published by a clock far ahead', { renewedAgoMs: -7_200_000 }, 'stale'],
    ['a duration below the window: expired comes first', { renewedAgoMs: 16_000, durationSeconds: 15 }, 'expired'],
    ['no holder', { holder: null }, 'released'],
    ['an empty holder, long ago', { holder: '', renewedAgoMs: 9e9 }, 'released'],
    ['no renewTime: acquireTime', { renewedAgoMs: null, acquiredAgoMs: 5_000, createdAgoMs: 60_000 }, 'live'],
    [
      'no renewTime: past acquireTime and duration',
      { renewedAgoMs: null, acquiredAgoMs: 3_600_001, createdAgoMs: 0 },
      'expired',
    ],
    ['no renewTime: creation', { renewedAgoMs: null, createdAgoMs: 60_000 }, 'stale'],
    ['no renewTime, an hour old', { renewedAgoMs: null, createdAgoMs: 3_600_001 }, 'expired'],
    ['no duration, young', { durationSeconds: null, createdAgoMs: 60_000 }, 'live'],
    ['no time at all', { renewedAgoMs: null, createdAgoMs: null }, 'unknown'],
    ['being deleted, and renewed', { terminating: true }, 'live'],
  ];
  for (const [name, sketch, state] of table) {
    test(`${name}: ${state}`, () => assert.equal(publishedState(sketched(sketch), at(0), FRESH), state));
  }

  test('a lease renewed at the last moment of the second is live for the shortest window', () => {
    const date = MicroTime.parse('2026-01-01T00:00:10Z');
    assert.equal(publishedState(sketched({ renewedAgoMs: -10_999 }), date, 1_000), 'live');
  });

  test('without a Date nothing but a release is known', () => {
    assert.equal(publishedState(sketched(), undefined, FRESH), 'unknown');
    assert.equal(publishedState(sketched({ holder: '' }), undefined, FRESH), 'released');
  });
});

test('two looks: who was silent for its own duration has expired, however fresh its time looks; who wrote lives', () => {
  const ahead = sketched({ renewedAgoMs: -9e6, durationSeconds: 15 });
  assert.equal(comparedState(ahead, false, at(0), 15_001), 'expired');
  assert.equal(comparedState(ahead, false, at(0), 15_000), 'stale');
  assert.equal(comparedState(ahead, true, at(0), 15_001), 'live');
});

test('a shard that somebody holds is not renewed: its own times say nothing, however it is looked at', () => {
  const shard = { ...sketched({ renewedAgoMs: 9e6, durationSeconds: 15 }), kind: 'shard' as const };
  assert.equal(publishedState(shard, at(0), FRESH), 'unknown');
  assert.equal(comparedState(shard, false, at(0), 60_000), 'unknown');
  const now = { earliest: at(0), latest: at(0) };
  assert.equal(observedState(observationOf(shard, 0, Infinity, now), 1e9, FRESH), 'unknown');
  assert.equal(publishedState({ ...shard, holder: undefined }, at(0), FRESH), 'released');
});

test('a renewal in the future is shown with its distance, and is no life', () => {
  const made = published([lease({ renewedAgoMs: -7_200_000 }), lease({ hostname: 'b' })], {
    serverDate: at(0),
    freshForMs: FRESH,
  });
  assert.deepEqual(made.counts, { instances: 2, live: 1, stale: 1, expired: 0, released: 0 });
  assert.deepEqual(made.leases.map(({ hostname, aheadMs, renewedAgoMs }) => [hostname, aheadMs, renewedAgoMs]).sort(), [
    ['a', 7_200_000, -7_200_000],
    ['b', undefined, 5_000],
  ]);
});

describe('two lists, judged by change', () => {
  const table: [string, Sketch, Sketch, LeaseState][] = [
    ['renewed by a clock hours behind', { renewedAgoMs: 7e6 }, { renewedAgoMs: 7e6 - 10_000 }, 'live'],
    ['renewed by a clock days behind', { renewedAgoMs: 9e7 }, { renewedAgoMs: 9e7 - 10_000 }, 'live'],
    ['renewed by a clock ahead', { renewedAgoMs: -7e6 }, { renewedAgoMs: -7e6 - 10_000 }, 'live'],
    ['taken over', { holder: 'x' }, { holder: 'y' }, 'live'],
    ['not renewed', { renewedAgoMs: 0 }, { renewedAgoMs: 0 }, 'stale'],
    ['not renewed, ahead', { renewedAgoMs: -7e6 }, { renewedAgoMs: -7e6 }, 'stale'],
    ['a label', {}, { annotations: { a: 'b' } }, 'stale'],
    ['not renewed, and expired', { renewedAgoMs: 4e6 }, { renewedAgoMs: 4e6 }, 'expired'],
    ['released', {}, { holder: '' }, 'released'],
    ['recreated by an old copy', { uid: 'x' }, { uid: 'y', renewedAgoMs: 60_000 }, 'stale'],
  ];
  const listed = (sketch: Sketch, serverDate?: MicroTime): Census =>
    published([lease(sketch)], { serverDate, freshForMs: FRESH });
  for (const [name, first, second, state] of table) {
    test(`${name}: ${state}`, () => {
      const made = comparedCensus(listed(first, at(0)), listed(second, at(12_000)));
      assert.deepEqual([made.leases[0]?.state, made.clock], [state, 'observed']);
    });
  }

  test('without a Date who is renewed is live all the same, and who is not is unknown', () => {
    assert.equal(comparedCensus(listed({}), listed({ renewedAgoMs: 0 })).leases[0]?.state, 'live');
    assert.equal(comparedCensus(listed({}), listed({})).counts, undefined);
  });

  test('what was not there at the first list is judged by what it says', () => {
    const none = published([], { serverDate: at(0), freshForMs: FRESH });
    assert.equal(comparedCensus(none, listed({}, at(12_000))).leases[0]?.state, 'live');
    assert.equal(comparedCensus(none, listed({ renewedAgoMs: 60_000 }, at(12_000))).leases[0]?.state, 'stale');
  });
});

describe('instances', () => {
  const zero = { instances: 0, live: 0, stale: 0, expired: 0, released: 0 };

  test('no leases are no instances', () => assert.deepEqual(counts(), zero));

  test('leases of one hostname are one instance, whatever their names', () => {
    assert.deepEqual(
      counts(
        { hostname: 'vm' },
        { hostname: 'vm', name: leaseName('vm', 'apiserver') },
        { hostname: 'vm', name: 'kube-apiserver-3d1c9f0e-8c0e-4a0c-9f57-000000000000' },
        { hostname: 'vm', name: 'apiserver-0123456789abcdef0123456789' },
      ),
      { ...zero, instances: 1, live: 1 },
    );
  });

  test('the best of its leases is the state of an instance', () => {
    const names = { expired: 4e6, stale: 60_000, live: 0 };
    const of = (...states: (keyof typeof names)[]): Counts | undefined =>
      counts(...states.map((s) => ({ hostname: 'vm', name: s, renewedAgoMs: names[s] })));
    assert.deepEqual(of('expired', 'stale', 'live'), { ...zero, instances: 1, live: 1 });
    assert.deepEqual(of('expired', 'stale'), { ...zero, instances: 1, stale: 1 });
    assert.deepEqual(of('expired'), { ...zero, expired: 1 });
    assert.deepEqual(counts({ holder: '' }), { ...zero, released: 1 });
  });

  test('a whole hostname in the annotation tells apart what the label shortens', () => {
    const long = 'h'.repeat(100);
    const made = published(
      ['1', '2'].map((n) =>
        lease({
          name: `l${n}`,
          hostname: hostnameLabel(long + n),
          annotations: { [HOSTNAME_ANNOTATION]: long + n },
        }),
      ),
      { serverDate: at(0), freshForMs: FRESH },
    );
    assert.deepEqual(
      made.instances.map((i) => i.hostname),
      [`${long}1`, `${long}2`],
    );
  });

  test('an annotation that does not give the label is not believed: the lease stays an instance of its own', () => {
    const made = published(
      [
        lease({ name: 'l1', hostname: 'master-1', annotations: { [HOSTNAME_ANNOTATION]: 'master-2' } }),
        lease({ name: 'l2', hostname: 'master-2' }),
      ],
      { serverDate: at(0), freshForMs: FRESH },
    );
    assert.deepEqual(
      made.instances.map((i) => i.hostname),
      ['master-1', 'master-2'],
    );
  });

  test('a lease without a hostname is an instance of its own', () => {
    assert.equal(
      counts(
        { hostname: null, name: 'x' },
        { hostname: null, name: 'y' },
        { hostname: '', name: 'z' },
        { hostname: '', name: 'w' },
      )?.instances,
      4,
    );
    // A hostname that looks like the name of another lease does not swallow it.
    assert.equal(counts({ hostname: null, name: 'x' }, { hostname: 'x', name: 'y' })?.instances, 2);
    assert.equal(counts({ hostname: null, name: 'x' }, { hostname: 'kube-system/x', name: 'y' })?.instances, 2);
  });

  test('an unknown state that matters leaves no counts; one beside a live lease matters not', () => {
    const unknown = { renewedAgoMs: null, createdAgoMs: null };
    assert.equal(counts({ hostname: 'b' }, unknown), undefined);
    assert.equal(counts({ ...unknown, name: 'old' }, { name: 'new' })?.live, 1);
    assert.equal(published([lease()], { freshForMs: FRESH }).counts, undefined);
    assert.deepEqual(published([], { freshForMs: FRESH }).counts, zero);
  });

  test('konnectivity’s leases: 30 s, renewed every 15 s, no hostname', () => {
    const of = (id: string, renewedAgoMs: number): Sketch => ({
      name: `konnectivity-proxy-server-${id}`,
      hostname: null,
      holder: id,
      durationSeconds: 30,
      renewedAgoMs,
    });
    assert.deepEqual(counts(of('1', 3_000), of('2', 29_000), of('3', 31_000)), {
      ...zero,
      instances: 2,
      live: 2,
      expired: 1,
    });
  });

  test('a census lists its leases by name and its instances by hostname', () => {
    const made = published(
      [lease({ hostname: 'b', name: 'y' }), lease({ hostname: 'a', name: 'z' }), lease({ hostname: 'b', name: 'x' })],
      { serverDate: at(0), freshForMs: FRESH, freshnessMs: 12 },
    );
    assert.deepEqual(
      made.leases.map((l) => l.name),
      ['x', 'y', 'z'],
    );
    assert.deepEqual(
      made.instances.map((i) => [i.name, i.state, i.leases.map((l) => l.name)]),
      [
        ['a', 'live', ['z']],
        ['b', 'live', ['x', 'y']],
      ],
    );
    assert.deepEqual(made.leaseCounts, { live: 3, unknown: 0, stale: 0, expired: 0, released: 0 });
    assert.equal(made.clock, 'server-date');
    assert.equal(made.freshnessMs, 12);
    assert.equal(made.leases[0]?.renewedAgoMs, 5_000);
  });
});

test('a tally forgets an instance whose last lease is gone', () => {
  const tally = new Tally();
  const group = tally.group('a', 'n', 'x');
  tally.move(group, undefined, 'live');
  tally.prune(group, 'n', 'x');
  assert.equal(tally.group('a', 'n', 'y'), group);
  tally.move(group, 'live', undefined);
  tally.prune(group, 'n', 'x');
  assert.notEqual(tally.group('a', 'n', 'x'), group);
});

test('a register of servers that come and go for ever remembers none that went', () => {
  const register = new CensusRegister({ freshForMs: FRESH, keepSource: false, observe: () => {} });
  register.put(lease(), 0, 0);
  const group = register.tally.group('a', '', '');
  register.remove(lease(), 0);
  assert.notEqual(register.tally.group('a', '', ''), group);
});

test('options: defaults, and every problem named', () => {
  assert.deepEqual(fillOptions(CENSUS_ROWS, { freshForMs: undefined }), { freshForMs: 30_000, maxAgeMs: 30_000 });
  assert.deepEqual(optionProblems(CENSUS_ROWS, fillOptions(CENSUS_ROWS, {})), []);
  assert.deepEqual(optionProblems(CENSUS_ROWS, { freshForMs: 999, maxAgeMs: Number.NaN }), [
    { field: 'freshForMs', value: 999, rule: 'must be at least 1000 ms' },
    { field: 'maxAgeMs', value: Number.NaN, rule: 'must be at least 1000 ms' },
  ]);
});
