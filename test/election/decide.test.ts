import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  MAX_TRANSITIONS,
  decideCandidate,
  decideLeader,
  decideNews,
  observeLease,
  renewPause,
  renewTimeout,
  versionToken,
} from '../../src/election/decide.ts';
import type { Observation, TermWrite } from '../../src/election/decide.ts';
import { ELECTION_ROWS, timing } from '../../src/election/election-options.ts';
import { fillOptions } from '../../src/runtime/options.ts';
import { parseLease } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { TERM_ANNOTATION } from '../../src/lease/marks.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { OwnWrites } from '../../src/lease/own-writes.ts';

const HOLDER = 'me_1';
const T = timing(fillOptions(ELECTION_ROWS, {}));
const at = (s: number): MicroTime => MicroTime.fromEpochMs(Date.UTC(2026, 0, 1) + s * 1000);

interface Sketch {
  holder?: string;
  seconds?: unknown;
  renew?: unknown;
  transitions?: unknown;
  uid?: string;
  rv?: string;
  mark?: unknown;
  preferred?: string;
}
/** A lease as an API server's JSON would give it, so that hostile values take the way they would really take. */
function lease({
  holder = 'other_1',
  seconds = 15,
  renew = at(0).toString(),
  transitions = 3,
  uid = 'u',
  rv = '7',
  mark,
  preferred,
}: Sketch = {}): Lease {
  const text = typeof mark === 'string' ? mark : JSON.stringify(mark);
  return parseLease({
    metadata: {
      name: 'l',
      namespace: 'ns',
      uid,
      resourceVersion: rv,
      ...(mark === undefined ? {} : { annotations: { [TERM_ANNOTATION]: text } }),
    },
    spec: {
      holderIdentity: holder,
      leaseDurationSeconds: seconds,
      renewTime: renew,
      leaseTransitions: transitions,
      preferredHolder: preferred,
    },
  });
}
const SELF = { holder: HOLDER, timing: T };
const see = (
  l: Lease | undefined,
  now = 0,
  previous?: Observation,
  deleted?: string,
  writes = new OwnWrites<TermWrite>(),
): Observation => observeLease({ ...SELF, writes }, previous, l, now, deleted);
type Sent = readonly [s: number, sentAt: number, more?: Partial<TermWrite>];
/** The first is acknowledged; the answers to the others were lost. */
function writesOf(...sent: Sent[]): OwnWrites<TermWrite> {
  const writes = new OwnWrites<TermWrite>();
  for (const [i, [s, sentAt, more]] of sent.entries()) {
    const write = writes.sending(at(s), sentAt, lease(), { transitions: 3, opens: true, ...more });
    if (i === 0) writes.stored(write, lease({ renew: at(s).toString() }));
    else writes.answerLost(write);
  }
  return writes;
}
const brief = (seen: Observation | undefined, now: number, sent: Sent[] = [], headStartMs = 0): unknown => {
  const action = decideCandidate({ ...SELF, writes: writesOf(...sent), headStartMs }, seen, now);
  if (action.do === 'acquire') return [action.why, action.transitions, action.base?.metadata.resourceVersion];
  return action.do === 'wait' ? ['wait', action.until] : [action.do];
};

describe('a candidate', () => {
  const cases: [string, unknown, unknown][] = [
    ['has seen nothing', brief(undefined, 0), ['read']],
    ['creates what is absent', brief(see(undefined), 0), ['absent', 0, undefined]],
    ['takes an empty holder at once', brief(see(lease({ holder: '' })), 0), ['released', 4, '7']],
    ['waits for the published duration', brief(see(lease(), 100), 100), ['wait', 15_100]],
    ['waits to the last millisecond', brief(see(lease(), 100), 15_099), ['wait', 15_100]],
    ['takes what was silent for exactly its duration', brief(see(lease(), 100), 15_100), ['expired', 4, '7']],
    ["goes by the other's duration, not ours", brief(see(lease({ seconds: 60 })), 20_000), ['wait', 60_000]],
    ['reads a duration of 0 as ours', brief(see(lease({ seconds: 0 })), 0), ['wait', 15_000]],
    ['reads a negative duration as ours', brief(see(lease({ seconds: -5 })), 0), ['wait', 15_000]],
    ['reads a missing duration as ours', brief(see(lease({ seconds: null })), 0), ['wait', 15_000]],
    ['reads 68 years as an hour', brief(see(lease({ seconds: 2 ** 31 - 1 })), 0), ['wait', 3_600_000]],
    [
      'does not compare clocks: renewed long ago',
      brief(see(lease({ renew: '1999-01-01T00:00:00Z' })), 0),
      ['wait', 15_000],
    ],
    [
      'does not compare clocks: renewed in the future',
      brief(see(lease({ renew: '2999-01-01T00:00:00Z' })), 15_000),
      ['expired', 4, '7'],
    ],
    ['survives missing times', brief(see(lease({ renew: undefined })), 15_000), ['expired', 4, '7']],
    ['reads missing transitions as 0', brief(see(lease({ holder: '', transitions: null })), 0), ['released', 1, '7']],
    [
      'cannot count further than the API',
      brief(see(lease({ holder: '', transitions: MAX_TRANSITIONS })), 0),
      ['released', MAX_TRANSITIONS, '7'],
    ],
    ['waits for our identity when we did not write it', brief(see(lease({ holder: HOLDER })), 0), ['wait', 15_000]],
    ['survives a holder of 10 kB', brief(see(lease({ holder: 'x'.repeat(10_240) })), 0), ['wait', 15_000]],
    [
      'takes its own old lease at once, as a new term',
      brief(see(lease({ holder: HOLDER })), 0, [[0, 0, { opens: false }]]),
      ['own', 4, '7'],
    ],
    ['adopts a term whose answer was lost', brief(see(lease({ holder: HOLDER })), 9_999, [[0, 0]]), ['adopt']],
    [
      'but not one that is over, counted from its sending',
      brief(see(lease({ holder: HOLDER })), 10_000, [[0, 0]]),
      ['own', 4, '7'],
    ],
    [
      'and not one of another token',
      brief(see(lease({ holder: HOLDER })), 0, [[0, 0, { transitions: 2 }]]),
      ['wait', 15_000],
    ],
  ];
  for (const [name, actual, expected] of cases) test(name, () => assert.deepEqual(actual, expected));
});

describe('an empty holder', () => {
  const mark = { holder: 'b_1', transitions: 3, durationSeconds: 20 };
  const emptied = (change: Sketch = {}): Lease => lease({ holder: '', seconds: 1, mark, ...change });
  const cases: [string, Lease, unknown][] = [
    ["beside its term's mark: the marked duration is waited for", emptied(), ['wait', 20_000]],
    ["the mark's holder waits too", emptied({ mark: { ...mark, holder: HOLDER } }), ['wait', 20_000]],
    [
      'beside the mark of a later term than the record: a late writer emptied it',
      emptied({ transitions: 2 }),
      ['wait', 20_000],
    ],
    ["beside an earlier term's mark: a release", emptied({ transitions: 4 }), ['released', 5, '7']],
    ['without a mark: a release', lease({ holder: '' }), ['released', 4, '7']],
    [
      'a marked duration of 68 years is an hour',
      emptied({ mark: { ...mark, durationSeconds: 2 ** 31 - 1 } }),
      ['wait', 3_600_000],
    ],
    ['a marked duration of 0 is ours', emptied({ mark: { ...mark, durationSeconds: 0 } }), ['wait', 15_000]],
    ...[
      'nonsense',
      'null',
      '[]',
      { ...mark, transitions: '3' },
      { ...mark, transitions: 2 ** 31 },
      { ...mark, transitions: -1 },
      { ...mark, durationSeconds: 1.5 },
      { ...mark, holder: undefined },
      { ...mark, holder: 'x'.repeat(2_000) },
    ].map((unreadable): [string, Lease, unknown] => [
      `beside a mark that cannot be read: ${JSON.stringify(unreadable).slice(0, 60)}`,
      emptied({ mark: unreadable }),
      ['released', 4, '7'],
    ]),
    [
      'released for another: who is not preferred gives it a retry period',
      lease({ holder: '', preferred: 'x' }),
      ['wait', 2_000],
    ],
    ['released for us', lease({ holder: '', preferred: HOLDER }), ['released', 4, '7']],
  ];
  for (const [name, seen, expected] of cases) test(name, () => assert.deepEqual(brief(see(seen), 0), expected));

  test('is taken once the duration has passed, with more transitions than the mark', () =>
    assert.deepEqual(brief(see(emptied({ transitions: 1 })), 20_000), ['released', 4, '7']));
  test('that loses its mark afterwards is waited for all the same', () => {
    const unmarked = see(lease({ holder: '', seconds: 1, rv: '8' }), 5_000, see(emptied()));
    assert.deepEqual(brief(unmarked, 5_000), ['wait', 20_000]);
  });
});

test('others go first for as long as was drawn, once the lease can be had; not when it is still ours', () => {
  assert.deepEqual(brief(see(lease({ holder: '' })), 29, [], 30), ['wait', 30]);
  assert.deepEqual(brief(see(lease({ holder: '' })), 30, [], 30), ['released', 4, '7']);
  assert.deepEqual(brief(see(lease()), 15_029, [], 30), ['wait', 15_030]);
  assert.deepEqual(brief(see(lease({ holder: HOLDER })), 0, [[0, 0, { opens: false }]], 30), ['own', 4, '7']);
});

describe('a server that was set back', () => {
  const last = see(lease({ holder: 'other_2', seconds: 20, transitions: 9, rv: '90' }), 1_000);
  const cases: [string, Lease][] = [
    ['an empty holder of long ago', lease({ holder: '', rv: '70' })],
    ['a record that we wrote', lease({ holder: HOLDER, rv: '70' })],
    ['another holder', lease({ rv: '70' })],
  ];
  for (const [name, old] of cases) {
    test(`${name}: waited for as if the last holder seen still led`, () => {
      const seen = see(old, 5_000, last);
      assert.deepEqual(brief(seen, 5_000, [[0, 0]]), ['wait', 25_000]);
      const again = see({ ...old, metadata: { ...old.metadata, resourceVersion: '71' } }, 6_000, seen);
      assert.deepEqual(brief(again, 6_000, [[0, 0]]), ['wait', 25_000]);
    });
  }
  test('a lease that was put back has a new version, and fewer transitions than were seen of that object', () => {
    for (const holder of ['', HOLDER, 'other_1']) {
      const old = lease({ holder, transitions: 8, rv: '91' });
      assert.deepEqual(brief(see(old, 5_000, last), 5_000, [[0, 0, { transitions: 8 }]]), ['wait', 25_000], holder);
    }
    const another = lease({ holder: '', transitions: 0, rv: '91', uid: 'v' });
    assert.deepEqual(brief(see(another, 5_000, last), 5_000), ['released', 1, '91'], 'another object');
    const untold = lease({ holder: '', transitions: null, rv: '91' });
    assert.deepEqual(brief(see(untold, 5_000, last), 5_000), ['released', 1, '91'], 'of a client that does not count');
    const ours = see(lease({ holder: HOLDER, transitions: 9, rv: '90' }), 1_000);
    const old = lease({ holder: '', transitions: 8, rv: '91' });
    const own = writesOf([0, 0, { transitions: 9 }]);
    assert.deepEqual(
      brief(see(old, 5_000, ours, undefined, own), 5_000),
      ['released', 9, '91'],
      'our own term was there',
    );
    assert.deepEqual(brief(see(old, 5_000, ours), 5_000), ['wait', 20_000], 'only our name was');
    assert.deepEqual(brief(see(old, 60_000, ours, undefined, own), 60_000), ['wait', 75_000], 'our term is long over');
  });
  test('put back to our own old record, and then deleted: who led before is waited for all the same', () => {
    const gone = see(undefined, 6_000, see(lease({ holder: HOLDER, transitions: 8, rv: '91' }), 5_000, last), 'u');
    assert.deepEqual(brief(gone, 6_000), ['wait', 25_000]);
  });
  test('a client that always writes 0 costs one wait', () => {
    const first = see(lease({ transitions: 0, renew: at(1).toString(), rv: '91' }), 5_000, last);
    const next = see(lease({ transitions: 0, renew: at(3).toString(), rv: '92' }), 7_000, first);
    assert.deepEqual([first.setBack, next.setBack], [true, false]);
    const released = see(lease({ holder: '', transitions: 0, renew: at(4).toString(), rv: '93' }), 8_000, next);
    assert.deepEqual(brief(released, 8_000), ['released', 1, '93']);
  });
  test('what follows it is judged as ever', () => {
    const next = see(lease({ holder: '', transitions: 4, rv: '72' }), 7_000, see(lease({ rv: '70' }), 5_000, last));
    assert.deepEqual(brief(next, 7_000), ['released', 5, '72']);
  });
});

describe('silence', () => {
  const first = see(lease(), 1_000);
  test('goes on while the record is the same, whatever else changes, and the newest version is taken', () => {
    const labelled = see(lease({ rv: '8' }), 9_000, first);
    assert.equal(labelled.since, 1_000);
    assert.deepEqual(brief(labelled, 16_000), ['expired', 4, '8']);
  });
  const changes: [string, Sketch][] = [
    ['renewTime', { renew: at(2).toString() }],
    ['renewTime going back', { renew: at(-2).toString() }],
    ['holder', { holder: 'other_2' }],
    ['transitions', { transitions: 4 }],
    ['duration', { seconds: 16 }],
    ['uid', { uid: 'v' }],
  ];
  for (const [name, change] of changes) {
    test(`begins again with a changed ${name}`, () => assert.equal(see(lease(change), 9_000, first).since, 9_000));
  }
  test('of a deleted lease counts as before: its holder may still lead', () => {
    const gone = see(undefined, 9_000, first);
    assert.deepEqual(brief(gone, 9_000), ['wait', 16_000]);
    assert.deepEqual(brief(see(undefined, 16_000, gone), 16_000), ['absent', 4, undefined]);
  });
  test('is not waited for when the deleted lease was released, or ours', () => {
    for (const holder of ['', HOLDER]) {
      assert.deepEqual(brief(see(undefined, 9_000, see(lease({ holder }))), 9_000), ['absent', 4, undefined]);
    }
  });
});

describe('a leader whose renewal was refused', () => {
  const held = lease({ holder: HOLDER });
  const writes = writesOf([0, 0, { opens: false }], [2, 2_000, { opens: false }]);
  const decideFor = (l: Lease | undefined): unknown => {
    const action = decideLeader({ holder: HOLDER, writes, transitions: 3, held }, l);
    return action.do === 'stop' ? action.reason : action.write.sentAt;
  };
  const cases: [string, Lease | undefined, unknown][] = [
    ['finds its lost answer, counted from its own sending', lease({ holder: HOLDER, renew: at(2).toString() }), 2_000],
    ['finds the record before it', lease({ holder: HOLDER, rv: '9' }), 0],
    ['finds another holder', lease({ holder: 'other_1' }), 'taken'],
    [
      'finds its identity with a renewTime that it did not send',
      lease({ holder: HOLDER, renew: at(1).toString() }),
      'taken',
    ],
    ['finds its record with another token', lease({ holder: HOLDER, transitions: 5 }), 'taken'],
    ['finds no holder', lease({ holder: '' }), 'released'],
    ['finds no lease', undefined, 'deleted'],
    ['finds a lease that was created again', lease({ holder: HOLDER, uid: 'v' }), 'deleted'],
  ];
  for (const [name, seen, expected] of cases) test(name, () => assert.deepEqual(decideFor(seen), expected));
});

describe('a leader whom its watch shows', () => {
  const held = lease({ holder: HOLDER, renew: at(2).toString(), rv: '10' });
  /** One write acknowledged, one whose answer was lost, one under way. */
  const state = () => {
    const writes = writesOf([2, 2_000, { opens: false }], [4, 4_000, { opens: false }]);
    writes.sending(at(6), 6_000, held, { transitions: 3, opens: false });
    return { holder: HOLDER, writes, transitions: 3, held };
  };
  const outcome = (l: Lease | undefined, deleted?: string, change: object = {}): unknown => {
    const action = decideNews({ ...state(), ...change }, see(l, 0, undefined, deleted));
    return action.do === 'stop' ? action.reason : action.do === 'adopt' ? action.write.sentAt : action.do;
  };
  const ours = { holder: HOLDER, renew: at(2).toString() };
  const cases: [string, unknown, unknown][] = [
    ['an empty holder', outcome(lease({ holder: '', rv: '11' })), 'released'],
    ['another holder', outcome(lease({ rv: '11' })), 'taken'],
    ['another who writes in its name', outcome(lease({ ...ours, renew: at(3).toString(), rv: '11' })), 'taken'],
    ['that its lease was deleted', outcome(undefined, 'u'), 'deleted'],
    ['that a lease before it was deleted', outcome(undefined, 't'), 'read'],
    ['a list without its lease, which may be old', outcome(undefined), 'read'],
    ['a lease that was created again', outcome(lease({ ...ours, uid: 'v', rv: '11' })), 'deleted'],
    ['what it was answered', outcome(lease({ ...ours, rv: '10' })), 'nothing'],
    ['its own record with a label more', outcome(lease({ ...ours, rv: '11' })), 2_000],
    ['a write whose answer was lost', outcome(lease({ ...ours, renew: at(4).toString(), rv: '11' })), 4_000],
    ['a write that is under way', outcome(lease({ ...ours, renew: at(6).toString(), rv: '11' })), 'nothing'],
    ['something older than its last write', outcome(lease({ holder: '', rv: '9' })), 'nothing'],
  ];
  for (const [name, actual, expected] of cases) test(name, () => assert.deepEqual(actual, expected));

  test('versions that are no numbers: it looks, unless the record is its own', () => {
    const opaque = { held: lease({ ...ours, rv: 'a' }) };
    assert.equal(outcome(lease({ holder: '', rv: 'b' }), undefined, opaque), 'read');
    assert.equal(outcome(lease({ ...ours, rv: 'b' }), undefined, opaque), 'nothing');
  });
});

test('a token is the version where that is a safe integer', () => {
  const cases = { '7': 7, '9007199254740991': 9_007_199_254_740_991, '9007199254740992': undefined, a7: undefined };
  for (const [rv, token] of Object.entries(cases)) assert.equal(versionToken(lease({ rv })), token, rv);
});

test('one hanging attempt leaves time for another before the deadline', () => {
  let left = 8_000;
  const tries: number[] = [];
  while (left > 0) {
    tries.push(renewTimeout(left, 2_000, 0));
    left -= tries.at(-1)!;
  }
  assert.deepEqual(tries, [4_000, 2_000, 1_000, 1_000]);
  assert.equal(renewTimeout(0, 2_000, 0), 1);
  // Where answers take as long, half would be too little.
  assert.equal(renewTimeout(8_000, 2_000, 1_500), 4_000);
  assert.equal(renewTimeout(4_000, 2_000, 1_500), 4_000);
});

test('pauses between failed attempts shrink towards the deadline, so that it is used to the end', () => {
  assert.equal(renewPause(1_500, 8_000), 1_500);
  assert.equal(renewPause(1_500, 2_000), 1_000);
  assert.equal(renewPause(1_500, 0), 50);
});
