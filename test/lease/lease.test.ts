import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../support/fast-check.ts';
import { LeaseParseError, leaseToJson, newLease, parseLease, withChanges } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';

const FULL = {
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: {
    name: 'a',
    namespace: 'kube-system',
    uid: '11111111-2222-3333-4444-555555555555',
    resourceVersion: '42',
    creationTimestamp: '2026-01-02T03:04:05Z',
    deletionTimestamp: '2026-01-02T03:05:05Z',
    labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver', __proto: 'x' },
    annotations: { a: 'b' },
    ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u', controller: true }],
    finalizers: ['example.com/keep'],
    generation: 3,
  },
  spec: {
    holderIdentity: 'h',
    leaseDurationSeconds: 3600,
    acquireTime: '2026-01-02T03:04:05.000001Z',
    renewTime: '2026-01-02T03:04:05.999999Z',
    leaseTransitions: 7,
    strategy: 'OldestEmulationVersion',
  },
};

describe('parseLease and leaseToJson', () => {
  it('write back all that was read, known or not', () => assert.deepEqual(leaseToJson(parseLease(FULL)), FULL));

  it('keep unknown fields and the digits of every time through read-modify-write', () => {
    const known = [
      'name',
      'namespace',
      'uid',
      'resourceVersion',
      'labels',
      'annotations',
      'ownerReferences',
      'finalizers',
    ];
    const taken = [...known, 'creationTimestamp', 'deletionTimestamp', 'managedFields', ...Object.keys(FULL.spec)];
    const key = fc.stringMatching(/^[a-zA-Z]{1,12}$/).filter((k) => !taken.includes(k) && !(k in {}));
    const more = fc.dictionary(key, fc.jsonValue(), { noNullPrototype: true });
    fc.assert(
      fc.property(more, more, fc.integer({ min: 1, max: 2 ** 31 - 1 }), (metadata, spec, leaseDurationSeconds) => {
        const json = {
          ...FULL,
          metadata: { ...FULL.metadata, ...metadata },
          spec: { ...FULL.spec, ...spec, leaseDurationSeconds },
        };
        const changed = withChanges(parseLease(JSON.parse(JSON.stringify(json))), { spec: { holderIdentity: 'next' } });
        assert.deepEqual(
          JSON.parse(JSON.stringify(leaseToJson(changed))),
          JSON.parse(JSON.stringify({ ...json, spec: { ...json.spec, holderIdentity: 'next' } })),
        );
      }),
    );
  });

  it('survive anything: a Lease of the declared types, or LeaseParseError', () => {
    const spec = fc.record(
      {
        holderIdentity: fc.anything(),
        leaseDurationSeconds: fc.anything(),
        acquireTime: fc.anything(),
        renewTime: fc.anything(),
        leaseTransitions: fc.anything(),
      },
      { requiredKeys: [] },
    );
    const metadata = fc.record(
      {
        name: fc.oneof(fc.constant('x'), fc.anything()),
        namespace: fc.anything(),
        uid: fc.anything(),
        resourceVersion: fc.anything(),
        labels: fc.oneof(fc.anything(), fc.dictionary(fc.string(), fc.anything())),
        annotations: fc.anything(),
        ownerReferences: fc.oneof(fc.anything(), fc.array(fc.anything())),
        finalizers: fc.oneof(fc.anything(), fc.array(fc.anything())),
        creationTimestamp: fc.anything(),
        deletionTimestamp: fc.anything(),
      },
      { requiredKeys: ['name'] },
    );
    const nearly = fc.record({ metadata, spec: fc.oneof(spec, fc.anything()) });
    fc.assert(
      fc.property(fc.oneof(fc.anything(), nearly), (value) => {
        let lease;
        try {
          lease = parseLease(value);
        } catch (error) {
          assert.ok(error instanceof LeaseParseError);
          assert.equal(error.code, 'InvalidLease');
          return;
        }
        const { metadata: m, spec: s } = lease;
        for (const field of [m.name, m.namespace, m.uid, m.resourceVersion]) assert.equal(typeof field, 'string');
        assert.notEqual(m.name, '');
        for (const map of [m.labels, m.annotations]) {
          for (const text of Object.values(map)) assert.equal(typeof text, 'string');
        }
        for (const owner of m.ownerReferences) assert.equal(typeof owner.uid, 'string');
        for (const finalizer of m.finalizers) assert.equal(typeof finalizer, 'string');
        for (const time of [m.creationTimestamp, m.deletionTimestamp, s.acquireTime, s.renewTime]) {
          assert.ok(time === undefined || time instanceof MicroTime);
        }
        assert.ok(s.holderIdentity === undefined || typeof s.holderIdentity === 'string');
        assert.ok(
          s.leaseDurationSeconds === undefined ||
            (Number.isInteger(s.leaseDurationSeconds) && s.leaseDurationSeconds > 0),
        );
        assert.ok(
          s.leaseTransitions === undefined || (Number.isInteger(s.leaseTransitions) && s.leaseTransitions >= 0),
        );
        leaseToJson(lease);
      }),
      { numRuns: 3000 },
    );
  });

  const noLease: [string, unknown][] = [
    ['the value', null],
    ['the value', 'x'],
    ['the value', []],
    ['kind', { kind: 'Pod', metadata: { name: 'x' } }],
    ['metadata', {}],
    ['metadata', { metadata: 'x' }],
    ['metadata.name', { metadata: {} }],
    ['metadata.name', { metadata: { name: '' } }],
    ['metadata.name', { metadata: { name: 5 } }],
  ];
  for (const [field, value] of noLease) {
    it(`names ${field} for ${JSON.stringify(value)}`, () => {
      assert.throws(() => parseLease(value), { name: 'LeaseParseError', code: 'InvalidLease', field });
    });
  }

  const wrongSpecs: [string, object][] = [
    ['a duration of 0', { leaseDurationSeconds: 0 }],
    ['a negative duration', { leaseDurationSeconds: -1 }],
    ['half a second', { leaseDurationSeconds: 1.5 }],
    ['a duration over 32 bits', { leaseDurationSeconds: 2 ** 31 }],
    ['a duration as text', { leaseDurationSeconds: '15' }],
    ['negative transitions', { leaseTransitions: -1 }],
    ['transitions over 32 bits', { leaseTransitions: 2 ** 31 }],
    ['a holder that is a number', { holderIdentity: 5 }],
    ['a time that is none', { renewTime: 'yesterday', acquireTime: 5 }],
  ];
  for (const [what, spec] of wrongSpecs) {
    it(`reads ${what} as absent`, () => {
      const parsed = parseLease({ metadata: { name: 'x' }, spec }).spec;
      for (const field of Object.values(parsed)) assert.equal(field, undefined);
    });
  }

  it('keep an empty holder, zero transitions and the greatest numbers', () => {
    const spec = { holderIdentity: '', leaseTransitions: 0, leaseDurationSeconds: 2 ** 31 - 1 };
    assert.deepEqual(leaseToJson(parseLease({ metadata: { name: 'x' }, spec }))['spec'], spec);
  });

  it('keep a label named __proto__ a label', () => {
    const lease = parseLease(JSON.parse('{"metadata":{"name":"x","labels":{"__proto__":"y","a":"b"}}}'));
    assert.deepEqual(Object.keys(lease.metadata.labels).sort(), ['__proto__', 'a']);
    assert.equal(
      JSON.stringify((leaseToJson(lease)['metadata'] as { labels: object }).labels),
      '{"__proto__":"y","a":"b"}',
    );
    const merged = withChanges(lease, { labels: { c: 'd' } });
    assert.deepEqual(Object.keys(merged.metadata.labels).sort(), ['__proto__', 'a', 'c']);
  });

  it('leave managedFields out', () => {
    const json = { metadata: { name: 'x', managedFields: [{ manager: 'kubectl' }] } };
    assert.deepEqual(leaseToJson(parseLease(json))['metadata'], { name: 'x' });
  });

  it('write six digits for MicroTimes and whole seconds for the others', () => {
    const json = leaseToJson(
      newLease(
        { name: 'x', namespace: 'n', creationTimestamp: MicroTime.fromEpochMs(1500) },
        { renewTime: MicroTime.fromEpochMs(1500) },
      ),
    );
    assert.deepEqual(json['metadata'], { name: 'x', namespace: 'n', creationTimestamp: '1970-01-01T00:00:01Z' });
    assert.deepEqual(json['spec'], { renewTime: '1970-01-01T00:00:01.500000Z' });
  });
});

describe('withChanges', () => {
  const lease = newLease(
    { name: 'x', namespace: 'n', labels: { a: '1', b: '2' } },
    { holderIdentity: 'h', leaseTransitions: 1 },
  );

  it('merges labels, annotations and spec, replaces owners, and touches nothing else', () => {
    const owner = { apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'u' };
    const changed = withChanges(lease, {
      labels: { b: '3' },
      annotations: { c: '4' },
      ownerReferences: [owner],
      spec: { leaseTransitions: 2 },
    });
    assert.deepEqual(changed.metadata.labels, { a: '1', b: '3' });
    assert.deepEqual(changed.metadata.annotations, { c: '4' });
    assert.deepEqual(changed.metadata.ownerReferences, [owner]);
    assert.deepEqual(changed.spec, { holderIdentity: 'h', leaseTransitions: 2 });
  });

  it('leaves its argument as it was', () => {
    const before = JSON.stringify(lease);
    withChanges(lease, { labels: { z: 'z' }, annotations: { z: 'z' }, spec: { holderIdentity: 'z' } });
    assert.equal(JSON.stringify(lease), before);
  });
});
