import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import type { KeepReason, Look, SweepPolicy } from '../../src/sweep/decide.ts';
import { decide, remember } from '../../src/sweep/decide.ts';
import { HOUR, NAMESPACE, leaseOf } from './world.ts';

const T1 = MicroTime.parse('2026-01-01T12:00:00Z')!;
const T2 = MicroTime.parse('2026-01-01T12:00:30Z')!;
const POLICY: SweepPolicy = {
  graceMs: 0,
  maxSkewMs: 60_000,
  confirmAfterMs: 30_000,
  allowAll: false,
  includeElections: false,
};
/** Keeps a pass from being void. */
const ALIVE = leaseOf({ metadata: { name: 'alive', uid: 'uid-alive' }, spec: { renewTime: T2.toString() } });

const after = (t: MicroTime, seconds: number): string =>
  MicroTime.fromEpochMicros(t.epochMicros + Math.round(seconds * 1e6)).toString();

/** Renewed so that it has been expired for this many seconds at T1. */
const expiredAtT1 = (seconds: number, json: { metadata?: object; spec?: object } = {}): Lease =>
  leaseOf({ ...json, spec: { renewTime: after(T1, -HOUR - seconds), ...json.spec } });

function plan(first: Look, second: Look, policy: Partial<SweepPolicy> = {}) {
  const merged = { ...POLICY, ...policy };
  return decide(remember(first, merged), second, merged);
}

/** The verdict over one lease, seen so in both looks, beside a living one. */
function verdict(one: Lease | undefined, two: Lease, policy: Partial<SweepPolicy> = {}): KeepReason | 'collect' {
  const first = { leases: one ? [one, ALIVE] : [ALIVE], date: T1 };
  const { collect, kept } = plan(first, { leases: [two, ALIVE], date: T2 }, policy);
  if (collect.length > 0) return 'collect';
  const others = { ...kept, unexpired: kept.unexpired - 1 };
  return (Object.keys(others) as KeepReason[]).find((reason) => others[reason] > 0)!;
}

const DEAD = expiredAtT1(100);
const V8 = { metadata: { resourceVersion: '8' } };
const own = { namespace: NAMESPACE, name: 'mine', holderIdentity: 'mine_1' };

test('one lease, by what both looks saw', () => {
  const table: [
    name: string,
    expected: KeepReason | 'collect',
    one: Lease | undefined,
    two: Lease,
    Partial<SweepPolicy>?,
  ][] = [
    ['expired in both, unchanged', 'collect', DEAD, DEAD],
    [
      'not expired',
      'unexpired',
      leaseOf({ spec: { renewTime: T1.toString() } }),
      leaseOf({ spec: { renewTime: T1.toString() } }),
    ],
    [
      'renewed in between',
      'renewed',
      DEAD,
      leaseOf({ metadata: { resourceVersion: '8' }, spec: { renewTime: after(T1, 5) } }),
    ],
    ['changed in between, still expired', 'changed', DEAD, expiredAtT1(100, { metadata: { resourceVersion: '8' } })],
    ['recreated in between, already expired', 'expiredOnce', DEAD, expiredAtT1(100, { metadata: { uid: 'uid-b' } })],
    ['not there at the first look', 'expiredOnce', undefined, DEAD],
    ['expired in between', 'expiredOnce', expiredAtT1(-10), expiredAtT1(-10)],
    ['no holder', 'released', ...twice(expiredAtT1(100, { spec: { holderIdentity: '' } }))],
    ['no holder field', 'released', ...twice(expiredAtT1(100, { spec: { holderIdentity: null } }))],
    [
      'released in between',
      'released',
      DEAD,
      expiredAtT1(100, { metadata: { resourceVersion: '8' }, spec: { holderIdentity: '' } }),
    ],
    [
      'being deleted',
      'terminating',
      ...twice(expiredAtT1(100, { metadata: { deletionTimestamp: '2026-01-01T11:00:00Z' } })),
    ],
    ['no uid', 'unversioned', ...twice(expiredAtT1(100, { metadata: { uid: '' } }))],
    ['no resourceVersion', 'unversioned', ...twice(expiredAtT1(100, { metadata: { resourceVersion: '' } }))],
    ['our name', 'own', ...twice(expiredAtT1(100, { metadata: { name: 'mine' } })), { own }],
    ['our holder', 'own', ...twice(expiredAtT1(100, { spec: { holderIdentity: 'mine_1' } })), { own }],
    [
      'our name elsewhere',
      'collect',
      ...twice(expiredAtT1(100, { metadata: { name: 'mine', namespace: 'x' } })),
      { own },
    ],
    ['somebody else, while we have one', 'collect', DEAD, DEAD, { own }],
    ['within the grace', 'grace', DEAD, DEAD, { graceMs: 200_000 }],
    ['past the grace', 'collect', DEAD, DEAD, { graceMs: 90_000 }],
    ['past the grace at the second look only', 'expiredOnce', DEAD, DEAD, { graceMs: 110_000 }],
    ['with finalizers', 'collect', ...twice(expiredAtT1(100, { metadata: { finalizers: ['x/y'] } }))],
  ];
  for (const [name, expected, one, two, policy] of table) assert.equal(verdict(one, two, policy), expected, name);
});

test('a lease without renewTime or duration counts as expired an hour after its creation', () => {
  const untimed = (created: string | undefined, spec: object): Lease =>
    leaseOf({ metadata: { creationTimestamp: created }, spec: { renewTime: undefined, ...spec } });
  const old = after(T1, -HOUR - 10);
  const young = after(T1, -HOUR + 60);
  assert.equal(verdict(...twice(untimed(old, {}))), 'collect');
  assert.equal(verdict(...twice(untimed(young, {}))), 'unexpired');
  assert.equal(
    verdict(...twice(untimed(old, { renewTime: after(T1, -5), leaseDurationSeconds: undefined }))),
    'collect',
  );
  assert.equal(verdict(...twice(untimed(young, { leaseDurationSeconds: undefined }))), 'unexpired');
  assert.equal(verdict(...twice(untimed(undefined, {}))), 'unexpired', 'of unknown age');
  assert.equal(verdict(...twice(untimed(old, { leaseDurationSeconds: -1 }))), 'collect', 'a duration that is none');
});

test('a Date is less than it seems: its second of uncertainty counts for the lease', () => {
  // Expired by so much when the clock shows Date exactly; kept until Date is a whole second past the expiry.
  const table: [seconds: number, expected: KeepReason | 'collect'][] = [
    [0, 'expiredOnce'],
    [0.999, 'expiredOnce'],
    [1, 'expiredOnce'],
    [1.000001, 'collect'],
    [2, 'collect'],
  ];
  for (const [seconds, expected] of table)
    assert.equal(verdict(...twice(expiredAtT1(seconds))), expected, String(seconds));
  const date = { leases: [expiredAtT1(-29.5), ALIVE], date: T2 };
  assert.equal(plan(date, date).kept.unexpired, 2, 'half a second past its expiry');
});

test('each look is judged by its own Date', () => {
  const look = (date: MicroTime): Look => ({ leases: [DEAD, ALIVE], date });
  const early = MicroTime.parse('2026-01-01T11:00:00Z')!;
  assert.equal(plan(look(early), look(T2)).kept.expiredOnce, 1, 'the first server is an hour behind');
  assert.equal(plan(look(T1), look(early)).kept.unexpired, 2, 'the second server is an hour behind');
});

test('no Date, no deletion', () => {
  const dated: Look = { leases: [DEAD, ALIVE], date: T2 };
  const undated: Look = { leases: [DEAD, ALIVE], date: undefined };
  const pairs: [Look, Look][] = [
    [undated, dated],
    [dated, undated],
    [undated, undated],
  ];
  for (const [first, second] of pairs) {
    const { collect, voidBecause, kept } = plan(first, second, { allowAll: true });
    assert.deepEqual([collect.length, voidBecause, kept.passVoid], [0, 'noDate', 2]);
  }
});

test('a pass that would leave no unexpired lease deletes nothing, unless all may go', () => {
  const released = leaseOf({ metadata: { uid: 'r' }, spec: { holderIdentity: '', renewTime: T2.toString() } });
  const going = leaseOf({
    metadata: { uid: 't', deletionTimestamp: T1.toString() },
    spec: { renewTime: T2.toString() },
  });
  const stale = expiredAtT1(100, { metadata: { uid: 'm', name: 'mine' } });
  const late = expiredAtT1(-10, { metadata: { uid: 'l' } });
  const renewedLate = expiredAtT1(100, { metadata: { uid: 'c', resourceVersion: '8' } });
  const table: [name: string, others: Lease[], voided: boolean][] = [
    ['nobody else', [], true],
    ['a released one', [released], true],
    ['one that is being deleted', [going], true],
    ['our own, expired', [stale], true],
    ['one that expired in between', [late], true],
    ['one that was written in between, still expired', [renewedLate], true],
    ['a living one', [ALIVE], false],
  ];
  for (const [name, others, voided] of table) {
    const before = others.map((lease) =>
      lease === renewedLate ? expiredAtT1(100, { metadata: { uid: 'c' } }) : lease,
    );
    const looks: [Look, Look] = [
      { leases: [DEAD, ...before], date: T1 },
      { leases: [DEAD, ...others], date: T2 },
    ];
    const refused = plan(...looks, { own });
    assert.equal(refused.voidBecause, voided ? 'noneUnexpired' : undefined, name);
    assert.equal(refused.collect.length, voided ? 0 : 1, name);
    assert.equal(refused.kept.passVoid, voided ? 1 : 0, name);
    assert.equal(plan(...looks, { own, allowAll: true }).collect.length, 1, name);
  }
});

test('an unexpired lease proves that renewals work only when it was renewed after the expiry of the one that would go', () => {
  const table: [name: string, renewed: string, policy: Partial<SweepPolicy>, voided: boolean][] = [
    ['before it expired', after(T1, -101), {}, true],
    ['at that moment', after(T1, -100), {}, true],
    ['after it expired', after(T1, -99), {}, false],
    ['before, with nothing to confirm', after(T1, -101), { confirmAfterMs: 0 }, false],
    ['before, and all may go', after(T1, -101), { allowAll: true }, false],
  ];
  for (const [name, renewTime, policy, voided] of table) {
    const day = leaseOf({ metadata: { name: 'day', uid: 'day' }, spec: { renewTime, leaseDurationSeconds: 86_400 } });
    const { collect, kept, voidBecause } = plan(
      { leases: [DEAD, day], date: T1 },
      { leases: [DEAD, day], date: T2 },
      policy,
    );
    assert.deepEqual([collect.length, kept.unproven], voided ? [0, 1] : [1, 0], name);
    assert.equal(voidBecause, voided ? 'noneRenewed' : undefined, name);
  }
  // Renewed between the looks, by a clock that is half an hour behind.
  const slow = (renewTime: string, resourceVersion: string): Lease =>
    leaseOf({ metadata: { name: 'slow', uid: 'slow', resourceVersion }, spec: { renewTime } });
  const before = { leases: [DEAD, slow(after(T1, -1_800), '1')], date: T1 };
  assert.equal(plan(before, { ...before, date: T2 }).kept.unproven, 1);
  assert.equal(plan(before, { leases: [DEAD, slow(after(T1, -1_790), '2')], date: T2 }).collect.length, 1);
  const [early, late] = [expiredAtT1(500), expiredAtT1(100, { metadata: { name: 'b', uid: 'b' } })];
  const day = leaseOf({
    metadata: { name: 'day', uid: 'day' },
    spec: { renewTime: after(T1, -200), leaseDurationSeconds: 86_400 },
  });
  const some = plan({ leases: [early, late, day], date: T1 }, { leases: [early, late, day], date: T2 });
  assert.deepEqual([some.collect.map(({ name }) => name), some.kept.unproven, some.voidBecause], [['a'], 1, undefined]);
});

test('a lease whose record a new one would begin again is never collected unasked', () => {
  const kind = (value: string, more: object = {}): object => ({ labels: { 'leasekeeper.dev/kind': value, ...more } });
  const host = { 'kubernetes.io/hostname': 'master-1' };
  const table: [name: string, expected: KeepReason | 'collect', metadata: object, transitions: number | undefined][] = [
    ...(['election', 'lock', 'once', 'cron', 'semaphore', 'shard'] as const).flatMap(
      (value): [string, KeepReason, object, number][] => [
        [value, 'election', kind(value), 0],
        [`${value} with a hostname`, 'election', kind(value, host), 0],
      ],
    ),
    ['a member', 'collect', kind('member'), 41],
    ["client-go's election", 'election', { labels: { app: 'x' } }, 41],
    ['of a kind that is not known, with transitions', 'election', kind('news'), 1],
    ['an identity that was taken over', 'collect', { labels: host }, 41],
    ['without a kind, never taken over', 'collect', { labels: {} }, 0],
    ['without a kind and transitions', 'collect', { labels: {} }, undefined],
  ];
  for (const [name, expected, metadata, leaseTransitions] of table) {
    const lease = expiredAtT1(100, { metadata, spec: { leaseTransitions } });
    assert.equal(verdict(lease, lease), expected, name);
    assert.equal(verdict(lease, lease, { includeElections: true }), 'collect', name);
  }
});

test('silent for up to three times as long as somebody who came back between the looks: kept, also where all may go', () => {
  const silent = (name: string, seconds: number, more: { metadata?: object; spec?: object } = {}): Lease =>
    leaseOf({
      metadata: { name, uid: name, ...more.metadata },
      spec: { renewTime: after(T1, -seconds), ...more.spec },
    });
  const renewed = { metadata: { resourceVersion: '8' }, spec: { renewTime: after(T1, 20) } };
  const day = { spec: { leaseDurationSeconds: 86_400 } };
  // At the least it is a second before T1, and then 29 s past it.
  const table: [name: string, before: Lease, now: Lease, factor: number][] = [
    ['expired, renewed', silent('back', 5_000), silent('back', 0, renewed), 3],
    ['unexpired, renewed', silent('back', 5_000, day), silent('back', 0, renewed), 3],
    ['expired, recreated', silent('back', 5_000), silent('back', 0, { ...renewed, metadata: { uid: 'new' } }), 3],
    ['unexpired, written but not renewed', silent('back', 5_000, day), silent('back', 5_000, { ...day, ...V8 }), 0],
    ['released, claimed', silent('back', 5_000, { spec: { holderIdentity: '' } }), silent('back', 0, renewed), 0],
    ['expired, released', silent('back', 5_000), silent('back', 0, { ...V8, spec: { holderIdentity: '' } }), 0],
  ];
  for (const [name, before, now, factor] of table) {
    for (const [seconds, held] of [
      [4_999 * 3 - 29, factor === 3],
      [4_999 * 3 - 28, false],
      [HOUR + 10, factor === 3],
    ] as const) {
      const dead = silent('dead', seconds);
      const looks: [Look, Look] = [
        { leases: [dead, before, ALIVE], date: T1 },
        { leases: [dead, now, ALIVE], date: T2 },
      ];
      for (const allowAll of [false, true]) {
        const { collect, kept, voidBecause } = plan(...looks, { allowAll });
        assert.deepEqual([collect.length, kept.recovering], held ? [0, 1] : [1, 0], `${name}, ${seconds}`);
        assert.equal(voidBecause, held ? 'recovering' : undefined);
      }
    }
  }
});

test('who holds a lease only since the first look proves nothing: others may have had no turn yet', () => {
  const now = after(T1, 20);
  const metadata = { name: 'new', uid: 'new', creationTimestamp: after(T1, -3_600) };
  const released = leaseOf({ metadata, spec: { holderIdentity: '' } });
  const table: [name: string, before: readonly Lease[], now: Lease, collected: number][] = [
    ['created', [], leaseOf({ metadata: { ...metadata, creationTimestamp: now }, spec: { renewTime: now } }), 0],
    ['claimed', [released], leaseOf({ metadata, spec: { renewTime: now, acquireTime: now } }), 0],
    [
      'held before',
      [leaseOf({ metadata, spec: { renewTime: after(T1, -10) } })],
      leaseOf({ metadata, spec: { renewTime: now } }),
      1,
    ],
  ];
  for (const [name, before, then, collected] of table) {
    const { collect, kept } = plan({ leases: [DEAD, ...before], date: T1 }, { leases: [DEAD, then], date: T2 });
    assert.deepEqual([collect.length, kept.unproven], [collected, 1 - collected], name);
  }
});

const newcomer = (first: readonly Lease[], second: readonly Lease[]) =>
  plan({ leases: first, date: T1 }, { leases: second, date: T2 });
const NEW = { name: 'new', uid: 'new', creationTimestamp: after(T1, -3_600) };
const live = (renew: number, acquire: number, holder = 'x') =>
  leaseOf({
    metadata: NEW,
    spec: { holderIdentity: holder, renewTime: after(T1, renew), acquireTime: after(T1, acquire) },
  });
test('clock was ahead at claim (RTC), stepped back since: its renewals are proof', () => {
  const p = newcomer([DEAD, live(-5, 3 * 3600)], [DEAD, live(25, 3 * 3600)]);
  assert.deepEqual([p.collect.length, p.voidBecause], [1, undefined]);
});
test('the only living server crash-loops: its lease is held and fresh at the first look, and taken over since', () => {
  const p = newcomer([DEAD, live(-5, -20, 'a')], [DEAD, live(25, 10, 'b')]);
  assert.deepEqual([p.collect.length, p.voidBecause], [1, undefined]);
});
test('one that was released, claimed since by a clock that is 40 s behind, proves nothing', () => {
  const released = leaseOf({ metadata: NEW, spec: { holderIdentity: '' } });
  const p = newcomer([DEAD, released], [DEAD, live(-20, -20)]);
  assert.deepEqual([p.collect.length, p.kept.unproven], [0, 1]);
});
test('a day lease, silent since before the expiry, taken over since: no proof', () => {
  const d = (renew: number, acquire: number) =>
    leaseOf({
      metadata: NEW,
      spec: {
        holderIdentity: 'x',
        leaseDurationSeconds: 86400,
        renewTime: after(T1, renew),
        acquireTime: after(T1, acquire),
      },
    });
  const p = newcomer([DEAD, d(-150, -3000)], [DEAD, d(20, 20)]);
  assert.deepEqual([p.collect.length, p.kept.unproven], [0, 1]);
});

test('who was silent as long, and is taken over since, holds the other back as one that recovers', () => {
  const p = newcomer([DEAD, live(-3_500, -9_000)], [DEAD, live(20, 20)]);
  assert.deepEqual([p.collect.length, p.kept.recovering, p.voidBecause], [0, 1, 'recovering']);
});

test('a newcomer proves no more than its own write either', () => {
  const silent = leaseOf({ metadata: { name: 'e', uid: 'e' }, spec: { renewTime: after(T1, -4_800) } });
  const short = { leaseDurationSeconds: 10, renewTime: after(T1, -15) };
  const dead = leaseOf({ metadata: { name: 'd', uid: 'd' }, spec: short });
  const behind = { renewTime: after(T1, -1_800), acquireTime: after(T1, -1_800) };
  const made = leaseOf({ metadata: { ...NEW, creationTimestamp: after(T1, 10) }, spec: behind });
  const { collect, voidBecause } = newcomer([silent, dead], [silent, dead, made]);
  assert.deepEqual([collect.length, voidBecause], [0, 'noneRenewed']);
});

test('a renewTime far in the future is reported, and proves no life by itself', () => {
  const look = (date: MicroTime, ahead: number, resourceVersion = '1'): Look => {
    const metadata = { name: 'f', uid: 'f', resourceVersion };
    return { leases: [DEAD, leaseOf({ metadata, spec: { renewTime: after(date, ahead) } })], date };
  };
  const first = look(T1, 7200);
  const standing = plan(first, { ...first, date: T2 });
  assert.equal(standing.voidBecause, 'noneUnexpired');
  assert.deepEqual(standing.future, {
    count: 1,
    examples: [{ name: 'f', holderIdentity: 'a_1', hostname: 'host-a', aheadMs: 7_169_000 }],
  });
  const renewed = plan(first, look(T2, 7200, '2'));
  assert.equal(renewed.voidBecause, undefined, 'its holder lives, with a clock that is ahead');
  assert.equal(renewed.collect.length, 1);
  assert.equal(plan({ leases: [DEAD], date: T1 }, look(T2, 7200)).collect.length, 1, 'new since the first look');
  const within = plan(look(T1, 61), look(T2, 61));
  assert.deepEqual([within.future.count, within.voidBecause], [0, undefined], 'a minute and its uncertainty');
  assert.equal(plan(look(T1, 62), look(T2, 62)).future.count, 1);
});

test('a report names the first ten leases from the future, and counts all', () => {
  const leases = Array.from({ length: 25 }, (_, i) =>
    leaseOf({ metadata: { name: `f${i}`, uid: `f${i}` }, spec: { renewTime: '9999-12-31T23:59:59.999999Z' } }),
  );
  const { future } = plan({ leases, date: T1 }, { leases, date: T2 });
  assert.deepEqual([future.count, future.examples.length], [25, 10]);
});

test('what goes is reported with holder, hostname and how long it was expired', () => {
  const look = (date: MicroTime): Look => ({ leases: [DEAD, ALIVE], date });
  assert.deepEqual(plan(look(T1), look(T2)).collect, [
    {
      name: 'a',
      uid: 'uid-a',
      resourceVersion: '7',
      holderIdentity: 'a_1',
      hostname: 'host-a',
      expiredForMs: 129_000,
      finalizers: [],
    },
  ]);
});

test('property: collected only if both looks saw this very version, held and expired by more than a second', () => {
  const seconds = fc.integer({ min: -40, max: 40 });
  const version = fc.constantFrom('1', '2', '');
  const seen = fc.record({ uid: fc.constantFrom('u', 'v', ''), version, seconds, holder: fc.constantFrom('h', '') });
  type Seen = typeof seen extends fc.Arbitrary<infer T> ? T : never;
  const lease = ({ uid, version: resourceVersion, seconds: s, holder }: Seen): Lease =>
    expiredAtT1(s, { metadata: { uid, resourceVersion }, spec: { holderIdentity: holder } });
  fc.assert(
    fc.property(seen, seen, (one, two) => {
      const expected =
        one.uid === two.uid &&
        one.version === two.version &&
        one.uid !== '' &&
        one.version !== '' &&
        one.holder !== '' &&
        two.holder !== '' &&
        one.seconds > 1 &&
        two.seconds + 30 > 1;
      assert.equal(verdict(lease(one), lease(two)) === 'collect', expected);
    }),
    { numRuns: 2_000 },
  );
});

function twice(lease: Lease): [Lease, Lease] {
  return [lease, lease];
}
