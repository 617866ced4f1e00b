import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { created, decide, identitySelf, renewed, takenOver } from '../../src/identity/decide.ts';
import type { Memory } from '../../src/identity/decide.ts';
import { IDENTITY_BETWEEN, IDENTITY_ROWS } from '../../src/identity/identity-options.ts';
import type { IdentityOptions } from '../../src/identity/identity-options.ts';
import { fillOptions, optionProblems } from '../../src/runtime/options.ts';
import { parseLease } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';

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

const fresh: Memory = { held: false, written: [], watched: undefined };
const written = [{ renewTime: t(0), sentAt: 5, base: undefined }];
const holding: Memory = { held: true, written, watched: undefined };

describe('decide', () => {
  it('makes a lease that is not there, whatever came before', () => {
    for (const memory of [fresh, holding]) assert.equal(decide(self, memory, undefined, 0).do, 'create');
  });

  it('takes over, at its start, from anybody', () => {
    for (const holder of ['other', '', undefined]) {
      assert.equal(decide(self, fresh, lease({ holderIdentity: holder }), 0).do, 'takeOver');
    }
  });

  it('stands by for a newer holder once it has held the lease itself', () => {
    const seen = lease({ holderIdentity: 'other', leaseDurationSeconds: 15 });
    const verdict = decide(self, holding, seen, 1000);
    assert.equal(verdict.do, 'standBy');
    assert.equal(verdict.do === 'standBy' && verdict.leftMs, 15_000);
  });

  it('claims again when the other has not changed for as long as it says, not a moment earlier', () => {
    const spec = { holderIdentity: 'other', leaseDurationSeconds: 15 };
    const seen = lease(spec);
    const first = decide(self, holding, seen, 1000);
    assert.ok(first.do === 'standBy');
    const memory = { ...holding, watched: first.watched };
    assert.equal(decide(self, memory, seen, 15_999).do, 'standBy');
    assert.equal(decide(self, memory, seen, 16_000).do, 'takeOver');
    const annotated = { resourceVersion: '8', annotations: { a: 'b' } };
    assert.equal(decide(self, memory, lease(spec, annotated), 16_000).do, 'takeOver');
    const renewedByOther = lease({ ...spec, renewTime: t(1).toString() });
    const again = decide(self, memory, renewedByOther, 16_000);
    assert.equal(again.do === 'standBy' && again.leftMs, 15_000);
  });

  it('waits for its own duration when the other publishes none', () => {
    const verdict = decide(self, holding, lease({ holderIdentity: 'other', leaseDurationSeconds: undefined }), 0);
    assert.equal(verdict.do === 'standBy' && verdict.leftMs, 3_600_000);
  });

  it('takes a released lease at once', () => {
    assert.equal(decide(self, holding, lease({ holderIdentity: '' }), 0).do, 'takeOver');
  });

  it('knows its own write by the renewTime, and a second writer by its lack', () => {
    const ours = decide(self, holding, lease({ holderIdentity: 'me' }), 0);
    assert.equal(ours.do === 'adopt' && ours.write, written[0]);
    const foreign = decide(self, holding, lease({ holderIdentity: 'me', renewTime: t(1).toString() }), 0);
    assert.equal(foreign.do === 'adopt' && foreign.write, undefined);
  });

  it('never touches a lease without the identity label', () => {
    for (const memory of [fresh, holding]) {
      for (const labels of [{}, { [self.labelKey]: 'another-product' }]) {
        assert.equal(decide(self, memory, lease({ holderIdentity: 'other' }, { labels }), 1e9).do, 'refuse');
      }
    }
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
    assert.deepEqual(next.metadata.labels, self.labels);
    assert.ok(next.spec.acquireTime?.equals(t(1)) && next.spec.renewTime?.equals(t(2)));
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
