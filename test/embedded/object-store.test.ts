import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from '../support/fast-check.ts';
import { ObjectStore } from '../../src/embedded/store/object-store.ts';
import { StoreError } from '../../src/embedded/store/collection.ts';
import type { Change, KubeObject } from '../../src/embedded/objects/object-version.ts';

const newStore = (historySize?: number): ObjectStore => new ObjectStore({ now: () => 1.7e15, historySize });
const object = (name: string, value = 0, more: object = {}): KubeObject => ({
  metadata: { name, namespace: 'ns', ...more },
  spec: { value },
});
const code = (expected: string) => (error: unknown) => error instanceof StoreError && error.code === expected;

test('revisions: one counter over all collections, one step a change, none for a change of nothing', () => {
  const store = newStore();
  const first = store.collection('a').create(object('x'));
  const other = store.collection('b').create(object('x'));
  assert.deepEqual([first.revision, other.revision, store.revision], [1, 2, 2]);
  const same = store.collection('a').replace(object('x'));
  assert.equal(same, first);
  assert.equal(store.revision, 2);
  const changed = store.collection('a').replace(object('x', 1));
  assert.equal(changed.object.metadata.resourceVersion, '3');
  assert.equal((JSON.parse(`{${changed.text}`) as KubeObject).metadata.resourceVersion, '3', 'the text says the same');
});

test('what the server sets is carried over, whatever the writer says', () => {
  const store = newStore();
  const leases = store.collection('leases');
  const { metadata } = leases.create(object('x', 0, { uid: 'mine', creationTimestamp: 'long ago' })).object;
  assert.notEqual(metadata.uid, 'mine');
  assert.equal(metadata.creationTimestamp, '2023-11-14T22:13:20Z');
  const later = leases.replace(object('x', 1, { uid: 'other', deletionTimestamp: 'now' })).object.metadata;
  assert.equal(later.uid, metadata.uid);
  assert.equal(later.deletionTimestamp, undefined);
});

test('preconditions', () => {
  const leases = newStore().collection('leases');
  const made = leases.create(object('x'));
  const { uid, resourceVersion } = made.object.metadata;
  const cases: [() => unknown, string][] = [
    [() => leases.create(object('x')), 'AlreadyExists'],
    [() => leases.replace(object('y')), 'NotFound'],
    [() => leases.replace(object('x', 1), { uid: 'other' }), 'UidMismatch'],
    [() => leases.replace(object('x', 1), { resourceVersion: '9' }), 'RevisionMismatch'],
    [() => leases.delete('ns', 'y'), 'NotFound'],
    [() => leases.delete('ns', 'x', { uid: 'other' }), 'UidMismatch'],
    [() => leases.delete('ns', 'x', { uid, resourceVersion: '9' }), 'RevisionMismatch'],
  ];
  for (const [act, expected] of cases) assert.throws(act, code(expected), expected);
  assert.equal(leases.get('ns', 'x'), made);
  assert.equal(leases.delete('ns', 'x', { uid, resourceVersion }).gone, true);
  assert.equal(leases.get('ns', 'x'), undefined);
});

test('finalizers hold an object; the last one takes it along', () => {
  const leases = newStore().collection('leases');
  leases.create(object('x', 0, { finalizers: ['a/b'] }));
  assert.equal(leases.delete('ns', 'x').gone, false);
  const marked = leases.get('ns', 'x');
  assert.equal(marked?.object.metadata.deletionTimestamp, '2023-11-14T22:13:20Z');
  assert.equal(leases.delete('ns', 'x').version, marked, 'deleting again changes nothing');
  leases.replace(object('x', 7, { finalizers: ['a/b'] }));
  assert.deepEqual(leases.get('ns', 'x')?.object['spec'], { value: 7 }, 'it can still be written meanwhile');
  leases.replace(object('x'));
  assert.equal(leases.get('ns', 'x'), undefined);
});

test('dry runs store nothing and take no revision', () => {
  const store = newStore();
  const leases = store.collection('leases');
  leases.create(object('x'), { dryRun: true });
  assert.equal(leases.size, 0);
  leases.create(object('x'));
  leases.replace(object('x', 5), {}, { dryRun: true });
  leases.delete('ns', 'x', {}, { dryRun: true });
  assert.deepEqual(leases.get('ns', 'x')?.object['spec'], { value: 0 });
  assert.equal(store.revision, 1);
});

test('a watch replays from its revision, then goes on; what was compacted away is refused', () => {
  const store = newStore(3);
  const leases = store.collection('leases');
  for (let i = 0; i < 5; i++) leases.create(object(`x${i}`));
  const seen: string[] = [];
  const stop = leases.watch({}, 2, (c) => seen.push(`${c.type} ${c.version.object.metadata.name}`));
  leases.replace(object('x0', 1));
  leases.delete('ns', 'x0');
  stop();
  leases.create(object('unseen'));
  assert.deepEqual(seen, ['added x2', 'added x3', 'added x4', 'modified x0', 'deleted x0']);
  assert.throws(() => leases.watch({}, 1, () => undefined), code('Expired'));
  assert.throws(() => leases.list({ revision: 1 }), code('Expired'));
  assert.equal(leases.watchers, 0);
});

test('compact: even the latest version is too old then; new ones are not', () => {
  const store = newStore();
  const leases = store.collection('leases');
  leases.create(object('x'));
  const latest = store.revision;
  store.compact();
  assert.throws(() => leases.watch({}, latest, () => undefined), code('Expired'));
  leases.watch({}, store.revision, () => undefined)();
  assert.equal(store.collection('made later').list({ revision: store.revision }).versions.length, 0);
});

test('watches are scoped: one object, one namespace, everything', () => {
  const leases = newStore().collection('leases');
  const seen: Record<string, number> = {};
  const count = (name: string) => (): void => void (seen[name] = (seen[name] ?? 0) + 1);
  leases.watch({ namespace: 'ns', name: 'x' }, undefined, count('object'));
  leases.watch({ namespace: 'ns' }, undefined, count('namespace'));
  leases.watch({ name: 'x' }, undefined, count('name anywhere'));
  leases.watch({}, undefined, count('all'));
  leases.create(object('x'));
  leases.create(object('xx'));
  leases.create({ metadata: { name: 'x', namespace: 'ns-2' } });
  assert.deepEqual(seen, { object: 1, namespace: 2, 'name anywhere': 2, all: 3 });
});

test('property: a list at any revision in the history shows what was there, in pages or at once', () => {
  const step = fc.record({ name: fc.constantFrom('a', 'b', 'c', 'd-1', 'd'), value: fc.nat(3), remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.integer({ min: 1, max: 3 }), (steps, limit) => {
      const store = newStore(15);
      const leases = store.collection('leases');
      const states = new Map<number, string>([[0, '']]);
      const show = (objects: KubeObject[]): string =>
        objects.map((o) => `${o.metadata.name}=${JSON.stringify(o['spec'])}`).join();
      const changes: Change[] = [];
      leases.watch({}, undefined, (change) => changes.push(change));
      for (const { name, value, remove } of steps) {
        const there = leases.get('ns', name);
        if (remove && there) leases.delete('ns', name);
        else if (there) leases.replace(object(name, value));
        else if (!remove) leases.create(object(name, value));
        states.set(store.revision, show(leases.objects()));
      }
      assert.deepEqual(
        changes.map((c) => c.revision),
        changes.map((_, i) => i + 1),
        'every change is reported once, in order',
      );
      for (const [revision, expected] of states) {
        if (revision < store.revision - 15) {
          assert.throws(() => leases.list({ revision }), code('Expired'));
          continue;
        }
        const paged: KubeObject[] = [];
        let after: string | undefined;
        do {
          const page = leases.list({ namespace: 'ns', revision, limit, after });
          paged.push(...page.versions.map((v) => v.object));
          after = page.next;
        } while (after !== undefined);
        assert.equal(show(paged), expected);
      }
    }),
    { numRuns: 200 },
  );
});
