import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { created, decide, identitySelf, provablyOlder, renewed, takenOver } from '../../src/identity/decide.ts';
import type { Memory } from '../../src/identity/decide.ts';
import { IDENTITY_BETWEEN, IDENTITY_ROWS } from '../../src/identity/identity-options.ts';
import type { IdentityOptions } from '../../src/identity/identity-options.ts';
import { fillOptions, optionProblems } from '../../src/runtime/options.ts';
import { parseLease } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { recordOf, silence } from '../../src/lease/record.ts';
import type { LeaseRecord } from '../../src/lease/record.ts';

const identityOptions = (given: Partial<IdentityOptions>) => fillOptions(IDENTITY_ROWS, given);
const options = identityOptions({ hostname: 'master-1' });
const self = identitySelf(options, 'me');
const t = (micros: number): MicroTime => MicroTime.fromEpochMicros(1_767_000_000_000_000 + micros);

function lease(spec: object, metadata: object = {}): Lease {
  return parseLease({
    metadata: {
      name: self.name,
      namespace: 'kube-system',
      uid: 'u1',
      resourceVersion: '7',
      labels: self.labels,
      ...metadata,
    },
    spec: { leaseDurationSeconds: 3600, renewTime: t(0).toString(), ...spec },
  });
}

const WINDOW = 35_000;
const written = [{ renewTime: t(0), sentAt: 5, baseUid: undefined, baseVersion: undefined }];
const fresh: Memory = {
  written: [],
  acknowledged: undefined,
  last: undefined,
  took: undefined,
  putBack: undefined,
  watched: undefined,
  goneSince: undefined,
  foreignRenewals: 0,
};
const held = lease({ holderIdentity: 'me', acquireTime: t(0).toString(), leaseTransitions: 0 });
const holding: Memory = { ...fresh, written, acknowledged: written[0], last: recordOf(held) };

describe('decide', () => {
  it('makes a lease that is not there, whatever came before', () => {
    for (const memory of [fresh, holding, { ...holding, goneSince: 0 }])
      assert.equal(decide(self, memory, undefined, 0).do, 'create');
  });

  it('takes over, at its start, from anybody', () => {
    for (const holder of ['other', '', undefined]) {
      assert.equal(decide(self, fresh, lease({ holderIdentity: holder }), 0).do, 'takeOver');
    }
  });

  it('stands by for a newer holder once it has held the lease itself: for its own window, whatever that one publishes', () => {
    for (const leaseDurationSeconds of [1, 15, 3600, 2_147_483_647, undefined]) {
      const verdict = decide(self, holding, lease({ holderIdentity: 'other', leaseDurationSeconds }), 1000);
      assert.deepEqual(verdict.do === 'standBy' && [verdict.leftMs, verdict.rival], [WINDOW, 'process']);
    }
  });

  it('has a window of the freshness time, at the least three intervals and a request', () => {
    const windowMs = (given: object): number =>
      identitySelf(identityOptions({ hostname: 'h', ...given }), 'me').windowMs;
    assert.deepEqual(
      [windowMs({}), windowMs({ freshForMs: 60_000 }), windowMs({ renewIntervalMs: 1_000 })],
      [35_000, 60_000, 30_000],
    );
    assert.equal(windowMs({ renewIntervalMs: 100_000, requestTimeoutMs: 7_000 }), 307_000);
  });

  it('claims again when nobody has renewed for the window, not a moment earlier; what is no renewal does not count', () => {
    const spec = { holderIdentity: 'other' };
    const first = decide(self, holding, lease(spec), 1000);
    assert.ok(first.do === 'standBy');
    const memory = { ...holding, watched: first.watched };
    const annotated = lease(spec, { resourceVersion: '8', annotations: { a: 'b' } });
    for (const seen of [lease(spec), annotated]) {
      assert.equal(decide(self, memory, seen, 1000 + WINDOW - 1).do, 'standBy');
      assert.equal(decide(self, memory, seen, 1000 + WINDOW).do, 'takeOver');
    }
    const again = decide(self, memory, lease({ ...spec, renewTime: t(1).toString() }), 1000 + WINDOW);
    assert.equal(again.do === 'standBy' && again.leftMs, WINDOW);
  });

  it('our own record, put back while we stood by, is no second writer after the silence', () => {
    const seen = lease({ holderIdentity: 'me' });
    const memory = { ...holding, watched: silence(undefined, seen, 0) };
    const verdict = decide(self, memory, seen, WINDOW);
    assert.equal(verdict.do === 'adopt' && verdict.write, written[0]);
  });

  it('takes a released lease at once', () => {
    assert.equal(decide(self, holding, lease({ holderIdentity: '' }), 0).do, 'takeOver');
  });

  it('knows its own write by the renewTime, and a second writer by its lack', () => {
    const ours = decide(self, holding, lease({ holderIdentity: 'me' }), 0);
    assert.equal(ours.do === 'adopt' && ours.write, written[0]);
    const foreign = decide(self, holding, lease({ holderIdentity: 'me', renewTime: t(1).toString() }), 0);
    assert.deepEqual(foreign.do === 'adopt' && [foreign.write, foreign.restored], [undefined, false]);
  });

  it('never touches a lease without the identity label', () => {
    for (const memory of [fresh, holding]) {
      for (const labels of [{}, { [self.labelKey]: 'another-product' }]) {
        assert.equal(decide(self, memory, lease({ holderIdentity: 'other' }, { labels }), 1e9).do, 'refuse');
      }
    }
  });
});

describe('a record that is not our last write', () => {
  const last = recordOf(lease({ holderIdentity: 'me', leaseTransitions: 4, renewTime: t(100).toString() }));
  const took = recordOf(lease({ holderIdentity: 'before', leaseTransitions: 3, renewTime: t(50).toString() }));
  const ahead = (seconds: number): string => t(seconds * 1e6).toString();
  const cases: [what: string, older: boolean, spec: object, metadata?: object, own?: Partial<LeaseRecord>][] = [
    [
      'what we took the lease over from, as we took it',
      true,
      { holderIdentity: 'before', renewTime: t(50).toString() },
    ],
    [
      'an operator gives it to that one again, and our clock was set back',
      false,
      { holderIdentity: 'before', leaseTransitions: 4 },
    ],
    ['it came back after us, its clock set back', false, { holderIdentity: 'before', leaseTransitions: 5 }],
    [
      'it made the lease again, its clock set back',
      false,
      { holderIdentity: 'before', leaseTransitions: 0, acquireTime: t(0).toString() },
      { uid: 'u2' },
    ],
    ['the same, put back into another object', true, { holderIdentity: 'before' }, { uid: 'u2' }],
    ['it was renewed after that', false, { holderIdentity: 'before', renewTime: t(51).toString() }],
    ['another holder, fewer transitions', true, { holderIdentity: 'x', leaseTransitions: 2, renewTime: ahead(9) }],
    ['another object with fewer transitions', false, { holderIdentity: 'x', leaseTransitions: 0 }, { uid: 'u2' }],
    ['our own renewal before the last', true, { holderIdentity: 'me', renewTime: t(99).toString() }],
    ['our holder, later', false, { holderIdentity: 'me', renewTime: t(101).toString() }],
    [
      'a successor whose clock is an hour behind',
      false,
      { holderIdentity: 'x', leaseTransitions: 5, renewTime: ahead(-3600), acquireTime: ahead(-3600) },
    ],
    ['equal transitions', false, { holderIdentity: 'x', leaseTransitions: 4, renewTime: ahead(-3600) }],
    ['no transitions: an API server, say', false, { holderIdentity: 'x', renewTime: ahead(-3600) }],
    [
      'transitions at their end',
      false,
      { holderIdentity: 'x', leaseTransitions: 3 },
      {},
      { leaseTransitions: 2 ** 31 - 1 },
    ],
    [
      'we wrote no transitions',
      false,
      { holderIdentity: 'x', leaseTransitions: 3 },
      {},
      { leaseTransitions: undefined },
    ],
  ];
  for (const [what, older, spec, metadata = {}, own = {}] of cases) {
    const seen = lease({ renewTime: t(0).toString(), ...spec }, metadata);
    const memory = { ...holding, last: { ...last, ...own }, took, written: [], acknowledged: undefined };
    it(`${what}: ${older ? 'is older, and claimed at once' : 'proves nothing'}`, () => {
      assert.equal(provablyOlder(recordOf(seen), memory), older);
      const verdict = decide(self, memory, seen, 0);
      assert.equal('restored' in verdict && verdict.restored, older);
      if (seen.spec.holderIdentity !== 'me') assert.equal(verdict.do, older ? 'takeOver' : 'standBy');
    });
  }

  it('with more transitions than what was put back, it was made of that', () => {
    const putBack = recordOf(lease({ holderIdentity: 'me', leaseTransitions: 1, renewTime: t(0).toString() }));
    const [seen, other] = [{ holderIdentity: 'newer', leaseTransitions: 2 }, { uid: 'u2' }];
    const memory = { ...holding, last, took, written: [], acknowledged: undefined, putBack };
    assert.equal(decide(self, memory, lease(seen), 0).do, 'standBy');
    assert.equal(decide(self, memory, lease({ ...seen, leaseTransitions: 1 }), 0).do, 'takeOver');
    const elsewhere = { ...memory, putBack: { ...putBack, uid: other.uid } };
    assert.equal(decide(self, elsewhere, lease(seen), 0).do, 'takeOver');
  });

  it('is not asked about while we stand by: a newer process is known, and has its turn', () => {
    const watched = silence(undefined, lease({ holderIdentity: 'newer', leaseTransitions: 5 }), 0);
    const memory = { ...holding, last, took, watched };
    for (const spec of [
      { holderIdentity: 'before' },
      { holderIdentity: 'x', leaseTransitions: 2 },
      { holderIdentity: 'me' },
    ])
      assert.equal(decide(self, memory, lease(spec), 1).do, 'standBy');
  });
});

describe('under the name that an API server gives itself', () => {
  const options = identityOptions({ hostname: 'master-1', nameFormat: 'apiserver' });
  const shared = identitySelf(options, 'me');
  const servers = lease({ holderIdentity: 'server' });

  it("waits for silence before it claims a server's lease, and takes any other at once", () => {
    const verdict = decide(shared, fresh, servers, 0);
    assert.ok(verdict.do === 'standBy');
    assert.deepEqual([verdict.rival, verdict.leftMs], ['server', WINDOW]);
    const memory = { ...fresh, watched: verdict.watched };
    assert.equal(decide(shared, memory, servers, WINDOW).do, 'takeOver');
    assert.equal(decide(shared, fresh, held, 0).do, 'adopt');
    assert.equal(decide(shared, fresh, lease({ holderIdentity: 'old', leaseTransitions: 0 }), 0).do, 'takeOver');
    // A process like us has come first.
    assert.equal(decide(shared, memory, lease({ holderIdentity: 'x', leaseTransitions: 0 }), 1).do, 'standBy');
    assert.equal(decide(self, fresh, servers, 0).do, 'takeOver', 'under a name of our own');
  });

  it('waits five seconds before it makes a lease that was deleted', () => {
    const memory = { ...holding, goneSince: 1_000 };
    assert.deepEqual(decide(shared, memory, undefined, 1_000), { do: 'wait', leftMs: 5_000 });
    assert.equal(decide(shared, memory, undefined, 6_000).do, 'create');
    assert.equal(decide(shared, fresh, undefined, 0).do, 'create', 'at a start');
  });

  it('takes our holder with a renewTime that is not ours for a second writer once, for the server the second time', () => {
    const foreign = lease({ holderIdentity: 'me', renewTime: t(1).toString() });
    assert.equal(decide(shared, holding, foreign, 0).do, 'adopt');
    const again = decide(shared, { ...holding, foreignRenewals: 1 }, foreign, 0);
    assert.equal(again.do === 'standBy' && again.rival, 'server');
    assert.equal(decide(self, { ...holding, foreignRenewals: 9 }, foreign, 0).do, 'adopt', 'under a name of our own');
  });
});

describe('what is written', () => {
  it('is the Lease of the documentation', () => {
    const made = created(self, t(123_456));
    assert.equal(made.metadata.name, self.name);
    assert.deepEqual(made.metadata.labels, {
      'apiserver.kubernetes.io/identity': 'kube-apiserver',
      'kubernetes.io/hostname': 'master-1',
    });
    assert.equal(made.spec.leaseDurationSeconds, 3600);
    assert.equal(made.spec.leaseTransitions, 0);
    assert.match(made.spec.renewTime?.toString() ?? '', /\.\d{6}Z$/);
  });

  it('takes over with uid and version, one transition more, and keeps what others put there', () => {
    const from = lease(
      { holderIdentity: 'other', leaseTransitions: 4 },
      { annotations: { a: 'b' }, labels: { ...self.labels, extra: 'x' }, finalizers: ['example.com/keep'] },
    );
    const taken = takenOver(self, from, t(9));
    assert.equal(taken.metadata.uid, 'u1');
    assert.equal(taken.metadata.resourceVersion, '7');
    assert.equal(taken.spec.leaseTransitions, 5);
    assert.equal(taken.spec.holderIdentity, 'me');
    assert.ok(taken.spec.acquireTime?.equals(t(9)) && taken.spec.renewTime?.equals(t(9)));
    assert.equal(taken.metadata.annotations['a'], 'b');
    assert.equal(taken.metadata.labels['extra'], 'x');
    assert.deepEqual(taken.metadata.finalizers, ['example.com/keep']);
  });

  it('does not overflow transitions', () => {
    assert.equal(
      takenOver(self, lease({ leaseTransitions: 2_147_483_647 }), t(0)).spec.leaseTransitions,
      2_147_483_647,
    );
  });

  it('puts back a label that somebody removed, and keeps acquireTime', () => {
    const held = lease({ holderIdentity: 'me', acquireTime: t(1).toString() }, { labels: {} });
    const next = renewed(self, held, t(2));
    assert.deepEqual(next.metadata.labels, created(self, t(0)).metadata.labels);
    assert.ok(next.spec.acquireTime?.equals(t(1)) && next.spec.renewTime?.equals(t(2)));
  });

  it('takes off the mark of another hostname, and leaves what others put there', () => {
    const labels = { ...created(self, t(0)).metadata.labels, 'leasekeeper.dev/kind': 'election', mine: 'y' };
    const annotations = { 'leasekeeper.dev/hostname': 'master-2', 'leasekeeper.dev/step-down': 'now', note: 'x' };
    const planted = lease({}, { labels, annotations });
    for (const { metadata } of [renewed(self, planted, t(1)), takenOver(self, planted, t(1))]) {
      assert.deepEqual(metadata.annotations, { note: 'x' });
      assert.deepEqual(metadata.labels, { ...created(self, t(0)).metadata.labels, mine: 'y' });
    }
  });

  it('marks a hostname that is no label value by a short form and an annotation', () => {
    const long = 'h'.repeat(64);
    const made = created(identitySelf(identityOptions({ hostname: long }), 'me'), t(0));
    assert.equal(made.metadata.annotations['leasekeeper.dev/hostname'], long);
    assert.ok((made.metadata.labels['kubernetes.io/hostname'] ?? '').length <= 63);
  });
});

describe('options', () => {
  const problems = (o: object): string[] =>
    optionProblems(IDENTITY_ROWS, identityOptions({ hostname: 'h', ...o }), IDENTITY_BETWEEN).map((p) => p.field);
  it('has defaults without problems', () => assert.deepEqual(problems({}), []));
  it('derives the request timeout from the interval', () => {
    assert.equal(identityOptions({ hostname: 'h' }).requestTimeoutMs, 5000);
    assert.equal(identityOptions({ hostname: 'h', renewIntervalMs: 1000 }).requestTimeoutMs, 500);
  });
  for (const [name, given, fields] of [
    ['an empty hostname', { hostname: '' }, ['hostname']],
    ['a hostname of 254 characters', { hostname: 'a'.repeat(254) }, ['hostname']],
    ['capitals in the prefix', { namePrefix: 'Kube' }, ['namePrefix']],
    ['a bad label key', { labelKey: 'a b' }, ['labelKey']],
    ['the hostname label as label key', { labelKey: 'kubernetes.io/hostname' }, ['labelKey']],
    ['an empty label value', { labelValue: '' }, ['labelValue']],
    ['half a second of duration', { leaseDurationSeconds: 0.5 }, ['leaseDurationSeconds']],
    ['an interval as long as the duration', { leaseDurationSeconds: 10 }, ['renewIntervalMs']],
    ['a timeout as long as the interval', { requestTimeoutMs: 10_000 }, ['requestTimeoutMs']],
    ['an unknown policy', { shutdownPolicy: 'burn' }, ['shutdownPolicy']],
    ['everything at once', { hostname: '', namespace: 'A', labelValue: ' ' }, ['hostname', 'namespace', 'labelValue']],
  ] as const) {
    it(`refuses ${name}`, () => assert.deepEqual(problems(given), fields));
  }
  for (const hostname of ['a'.repeat(253), 'UPPER', 'with space', '日本']) {
    it(`takes the hostname ${hostname.slice(0, 12)}`, () => assert.deepEqual(problems({ hostname }), []));
  }
});
