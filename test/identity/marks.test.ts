/** Labels, annotations and owners that a caller adds to its lease: on every write, beside what others put there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IdentityOptions } from '../../src/identity/identity-options.ts';
import type { LeaseMetadata } from '../../src/lease/lease.ts';
import { OptionsError } from '../../src/runtime/options.ts';
import { IDENTITY_LABEL } from '../../src/lease/names.ts';
import { INTERVAL, hostname, ref, start } from './support.ts';

const owner = { apiVersion: 'v1', kind: 'Pod', name: 'web-0', uid: 'pod-uid' };
const other = { apiVersion: 'v1', kind: 'Node', name: 'n', uid: 'node-uid' };
const options: Partial<IdentityOptions> = {
  labels: { zone: 'a' },
  annotations: { 'leasekeeper.dev/payload': '{"port":80}', note: 'any, text = goes' },
  owners: [owner],
};
const marks = ({ labels, annotations, ownerReferences }: LeaseMetadata): unknown => {
  const { [IDENTITY_LABEL]: _, 'kubernetes.io/hostname': __, ...more } = labels;
  return { more, annotations, owners: ownerReferences.map(({ uid }) => uid) };
};
const all = (more: object = {}): unknown => ({
  more: { zone: 'a' },
  annotations: { 'leasekeeper.dev/payload': '{"port":80}', note: 'any, text = goes', ...more },
  owners: ['pod-uid'],
});

test('they stand on a lease that is created, and come back when somebody takes them off', async () => {
  const p = start({ options });
  await p.clock.advance(5_000);
  assert.deepEqual(marks(p.lease()!.metadata), all());
  p.store.edit(ref, (lease) => {
    const { labels, annotations } = lease.metadata;
    const { zone: _, ...rest } = labels;
    const metadata = {
      labels: rest,
      annotations: { ...annotations, note: 'changed', theirs: 'stays' },
      ownerReferences: [],
    };
    return { ...lease, metadata: { ...lease.metadata, ...metadata } };
  });
  await p.clock.advance(2 * INTERVAL);
  assert.deepEqual(marks(p.lease()!.metadata), all({ theirs: 'stays' }));
  await p.stop();
});

test('a take-over adds them and keeps the owners that are there', async () => {
  const before = start({ options: { owners: [other] } });
  await before.clock.advance(5_000);
  await before.stop();
  const { clock, store } = before;
  const p = start({ clock, store, holder: 'next', options });
  await clock.advance(5_000);
  const { ownerReferences } = p.lease()!.metadata;
  assert.deepEqual(
    ownerReferences.map(({ uid }) => uid),
    ['node-uid', 'pod-uid'],
  );
  assert.equal(p.count('claimed'), 1);
  await p.stop();
});

test('what is ours to write, and what the API would refuse, is refused at once', () => {
  const wrong = (given: Record<string, unknown>): string[] => {
    try {
      start({ options: { hostname, ...given } as Partial<IdentityOptions> });
    } catch (error) {
      assert.ok(error instanceof OptionsError);
      return error.problems.map(({ field, rule }) => `${field}: ${rule}`);
    }
    return [];
  };
  assert.match(
    wrong({ labels: { 'kubernetes.io/hostname': 'x' } }).join(),
    /^labels: .* is written by leasekeeper itself$/,
  );
  assert.match(wrong({ labels: { [IDENTITY_LABEL]: 'x' } }).join(), /^labels: .* is written by leasekeeper itself$/);
  assert.match(wrong({ annotations: { 'leasekeeper.dev/term': '{}' } }).join(), /^annotations: .* itself$/);
  assert.match(wrong({ labels: { a: 'not a value' } }).join(), /^labels: "a" must have a label value/);
  assert.match(wrong({ labels: { 'a b': '' } }).join(), /^labels: "a b" name must be/);
  assert.match(wrong({ labels: ['a'] }).join(), /^labels: must be an object/);
  assert.match(wrong({ annotations: { a: 1 } }).join(), /^annotations: "a" must have a text/);
  assert.match(wrong({ annotations: { a: 'x'.repeat(300_000) } }).join(), /^annotations: must have at most/);
  assert.match(wrong({ owners: [{ kind: 'Pod' }] }).join(), /^owners: must each have/);
});
