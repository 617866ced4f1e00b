/**
 * What every LeaseStore promises, as one suite: the in-memory fake, the embedded server and a real API server are held
 * to the same. Each test works on names of its own, so that the server may be shared and hold other leases.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Lease, LeaseMetadata, LeaseSpec } from '../../src/lease/lease.ts';
import { newLease, withChanges } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import type { LeaseStore, LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { Recorder } from './recorder.ts';

export interface ContractSetup {
  readonly store: LeaseStore;
  /** A namespace that exists. */
  readonly namespace: string;
  /** Another one that exists. */
  readonly otherNamespace: string;
  /** One that is being deleted, where the server has one. */
  readonly terminatingNamespace?: string | undefined;
  /** A store whose server takes requests and never answers. */
  readonly silent: LeaseStore;
  readonly cleanup: () => Promise<void>;
}

/** @param skip a reason not to run the suite at all */
export function leaseStoreContract(name: string, setup: () => Promise<ContractSetup>, skip?: string | false): void {
  describe(`LeaseStore: ${name}`, { skip: skip || false }, () => {
    let on: ContractSetup;
    let store: LeaseStore;
    let made = 0;
    before(async () => {
      on = await setup();
      store = on.store;
    });
    after(() => on?.cleanup());

    const unique = (): string => `contract-${process.pid}-${++made}`;
    const lease = (more: Partial<LeaseMetadata> = {}, spec: LeaseSpec = {}): Lease =>
      newLease({ name: unique(), namespace: on.namespace, ...more }, { ...SPEC, ...spec });
    const create = (more?: Partial<LeaseMetadata>, spec?: LeaseSpec): Promise<Lease> => store.create(lease(more, spec));
    const run = (): { run: string } => ({ run: unique() });
    const exists = (ref: LeaseMetadata): Promise<boolean> =>
      store.get(ref).then(
        () => true,
        (error: unknown) => {
          assert.equal((error as LeaseStoreError).code, 'NotFound');
          return false;
        },
      );
    const watching = (labelSelector: string, ofStore = store): Recorder =>
      new Recorder((signal) => ofStore.watch({ namespace: on.namespace, labelSelector }, signal));

    describe('create and get', () => {
      it('answers with what is stored: uid, version, creation time and every field', async () => {
        const wanted = lease(
          {
            labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver', empty: '' },
            annotations: { 'example.com/text': 'any text: ü, "quoted"' },
            ownerReferences: [
              { apiVersion: 'v1', kind: 'Node', name: 'n', uid: '11111111-2222-3333-4444-555555555555' },
            ],
          },
          { leaseTransitions: 7 },
        );
        const created = await store.create(wanted);
        const { uid, resourceVersion, creationTimestamp, ...metadata } = created.metadata;
        assert.match(uid, /^[0-9a-f]{8}-[0-9a-f-]{27}$/);
        assert.notEqual(resourceVersion, '');
        assert.equal(creationTimestamp?.micros, 0);
        assert.equal(metadata.name, wanted.metadata.name);
        assert.equal(metadata.namespace, on.namespace);
        assert.deepEqual({ ...metadata.labels }, wanted.metadata.labels);
        assert.deepEqual({ ...metadata.annotations }, wanted.metadata.annotations);
        assert.deepEqual(metadata.ownerReferences, wanted.metadata.ownerReferences);
        assert.deepEqual(specOf(created), specOf(wanted));
        const read = await store.get(created.metadata);
        assert.deepEqual(read.metadata, created.metadata);
        assert.deepEqual(specOf(read), specOf(created));
      });

      for (const text of [
        '2026-01-02T03:04:05.000001Z',
        '2026-01-02T03:04:05.999999Z',
        '2026-01-02T03:04:05.000000Z',
      ]) {
        it(`keeps every microsecond of ${text}`, async () => {
          const time = MicroTime.parse(text)!;
          const { spec } = await create({}, { renewTime: time, acquireTime: time });
          assert.equal(String(spec.renewTime), text);
          assert.equal(String(spec.acquireTime), text);
        });
      }

      it('keeps an empty holder apart from none', async () => {
        assert.equal((await create({}, { holderIdentity: '' })).spec.holderIdentity, '');
        const none = await store.create(newLease({ name: unique(), namespace: on.namespace }, {}));
        assert.deepEqual(specOf(none), {});
      });

      it('refuses a name that is taken', async () => {
        const { metadata } = await create();
        await refused(store.create(lease({ name: metadata.name })), 'AlreadyExists', { status: 409, retryable: false });
      });

      it('lets exactly one of many creators win', async () => {
        const name = unique();
        const results = await Promise.allSettled(Array.from({ length: 8 }, () => store.create(lease({ name }))));
        assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
        const codes = results.flatMap((result) =>
          result.status === 'rejected' ? [(result.reason as LeaseStoreError).code] : [],
        );
        assert.deepEqual(new Set(codes), new Set(['AlreadyExists']));
      });

      it('says that the namespace is not there', async () => {
        const nowhere = { namespace: `no-such-${unique()}` };
        await refused(store.create(lease(nowhere)), 'NamespaceNotFound', { status: 404 });
        await refused(store.get({ ...nowhere, name: 'x' }), 'NotFound', { status: 404 });
      });

      it('says that the namespace is terminating', async (t) => {
        if (on.terminatingNamespace === undefined) return t.skip('no such namespace here');
        await refused(store.create(lease({ namespace: on.terminatingNamespace })), 'NamespaceTerminating', {
          status: 403,
        });
      });

      const invalid: [string, Partial<LeaseMetadata>, LeaseSpec][] = [
        ['a duration of 0', {}, { leaseDurationSeconds: 0 }],
        ['a negative duration', {}, { leaseDurationSeconds: -5 }],
        ['a duration of half seconds', {}, { leaseDurationSeconds: 1.5 }],
        ['negative transitions', {}, { leaseTransitions: -1 }],
        ['a label of 64 characters', { labels: { a: 'h'.repeat(64) } }, {}],
        ['a label with a blank', { labels: { a: 'b c' } }, {}],
        ['a bad label key', { labels: { 'bad key': 'x' } }, {}],
        ['a name with capitals', { name: 'Bad-Name' }, {}],
        ['a name of 254 characters', { name: 'a'.repeat(254) }, {}],
      ];
      for (const [what, metadata, spec] of invalid) {
        it(`refuses ${what} as Invalid and stores nothing`, async () => {
          const bad = lease(metadata, spec);
          await refused(store.create(bad), 'Invalid', { retryable: false });
          assert.equal(await exists(bad.metadata), false);
        });
      }

      it('gives a recreated lease another uid', async () => {
        const first = await create();
        await store.delete(first.metadata, first.metadata);
        const second = await create({ name: first.metadata.name });
        assert.notEqual(second.metadata.uid, first.metadata.uid);
        assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
      });
    });

    describe('update', () => {
      it('replaces the spec, keeps uid and creation time, changes the version', async () => {
        const first = await create({ labels: { a: '1' } }, { leaseTransitions: 1 });
        const { leaseTransitions: _gone, ...spec } = first.spec;
        const second = await store.update({ ...first, spec: { ...spec, holderIdentity: 'next' } });
        assert.equal(second.metadata.uid, first.metadata.uid);
        assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
        assert.equal(String(second.metadata.creationTimestamp), String(first.metadata.creationTimestamp));
        assert.deepEqual({ ...second.metadata.labels }, { a: '1' });
        assert.deepEqual(specOf(second), { ...specOf({ ...first, spec }), holderIdentity: 'next' });
        assert.deepEqual(specOf(await store.get(first.metadata)), specOf(second));
      });

      it('can be continued from its own answer, with no read between', async () => {
        let current = await create();
        for (let i = 1; i <= 5; i++)
          current = await store.update(withChanges(current, { spec: { leaseTransitions: i } }));
        assert.equal((await store.get(current.metadata)).spec.leaseTransitions, 5);
      });

      it('keeps the version when nothing changes', async () => {
        const first = await create();
        const second = await store.update(first);
        assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
      });

      it('conflicts at a stale version and changes nothing', async () => {
        const first = await create();
        const second = await store.update(withChanges(first, { spec: { holderIdentity: 'second' } }));
        const stale = store.update(withChanges(first, { spec: { holderIdentity: 'third' } }));
        await refused(stale, 'Conflict', { status: 409, retryable: false });
        assert.deepEqual((await store.get(first.metadata)).metadata, second.metadata);
      });

      it('conflicts when the lease is gone, and does not bring it back', async () => {
        const first = await create();
        await store.delete(first.metadata, first.metadata);
        await refused(store.update(withChanges(first, { spec: { leaseTransitions: 1 } })), 'Conflict', { status: 409 });
        assert.equal(await exists(first.metadata), false);
      });

      it('conflicts with a recreated lease, even at its version', async () => {
        const first = await create();
        await store.delete(first.metadata, first.metadata);
        const { metadata } = await create({ name: first.metadata.name });
        const { resourceVersion } = metadata;
        const renewal = { ...first, metadata: { ...first.metadata, resourceVersion } };
        await refused(store.update(renewal), 'Conflict', { status: 409 });
        assert.equal((await store.get(metadata)).metadata.resourceVersion, resourceVersion);
      });

      it('lets exactly one of many writers of one version win', async () => {
        const first = await create();
        const results = await Promise.allSettled(
          Array.from({ length: 8 }, (_, i) => store.update(withChanges(first, { spec: { holderIdentity: `w${i}` } }))),
        );
        const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
        assert.equal(won.length, 1);
        assert.deepEqual(await store.get(first.metadata).then(specOf), specOf(won[0]!));
      });

      it('refuses an invalid spec', async () => {
        const first = await create();
        await refused(store.update(withChanges(first, { spec: { leaseDurationSeconds: 0 } })), 'Invalid');
        assert.deepEqual((await store.get(first.metadata)).metadata, first.metadata);
      });

      it('is a TypeError without uid or version', async () => {
        const first = await create();
        for (const missing of [{ uid: '' }, { resourceVersion: '' }, { uid: '', resourceVersion: '' }]) {
          const careless = withChanges(first, { spec: { leaseTransitions: 9 } });
          const call = async (): Promise<unknown> =>
            store.update({ ...careless, metadata: { ...first.metadata, ...missing } });
          await assert.rejects(call, TypeError);
        }
        assert.deepEqual((await store.get(first.metadata)).metadata, first.metadata);
      });
    });

    describe('delete', () => {
      it('removes exactly what was read', async () => {
        const { metadata } = await create();
        await store.delete(metadata, metadata);
        assert.equal(await exists(metadata), false);
        await refused(store.delete(metadata, metadata), 'NotFound', { status: 404, retryable: false });
      });

      it('spares a lease that was renewed since', async () => {
        const first = await create();
        await store.update(withChanges(first, { spec: { leaseTransitions: 1 } }));
        await refused(store.delete(first.metadata, first.metadata), 'Conflict', { status: 409 });
        assert.equal(await exists(first.metadata), true);
      });

      it('spares a lease of another uid', async () => {
        const { metadata } = await create();
        const wrong = { uid: '11111111-2222-3333-4444-555555555555', resourceVersion: metadata.resourceVersion };
        await refused(store.delete(metadata, wrong), 'Conflict', { status: 409 });
        assert.equal(await exists(metadata), true);
      });

      it('only marks a lease with a finalizer; the last finalizer gone, it goes', async () => {
        const first = await create({ finalizers: ['example.com/keep'] });
        await store.delete(first.metadata, first.metadata);
        const marked = await store.get(first.metadata);
        assert.ok(marked.metadata.deletionTimestamp);
        assert.notEqual(marked.metadata.resourceVersion, first.metadata.resourceVersion);
        await store.delete(marked.metadata, marked.metadata);
        assert.deepEqual((await store.get(first.metadata)).metadata, marked.metadata);
        await store.update({ ...marked, metadata: { ...marked.metadata, finalizers: [] } });
        assert.equal(await exists(first.metadata), false);
      });
    });

    describe('list', () => {
      it('selects as kubectl does', async () => {
        const { run: r } = run();
        const a = await create({ labels: { run: r, tier: 'gold' } });
        const b = await create({ labels: { run: r, tier: 'tin' } });
        const c = await create({ labels: { run: r } });
        const elsewhere = await create({ labels: { run: r }, namespace: on.otherNamespace });
        const table: [string, Lease[]][] = [
          [`run=${r}`, [a, b, c]],
          [`run==${r},tier=gold`, [a]],
          [`run=${r},tier!=gold`, [b, c]],
          [`run=${r},tier in (gold,tin)`, [a, b]],
          [`run in (${r}, other),tier notin (gold)`, [b, c]],
          [`run=${r},tier`, [a, b]],
          [`run=${r},!tier`, [c]],
          [`run=none-${r}`, []],
        ];
        for (const [labelSelector, wanted] of table) {
          const page = await store.list({ namespace: on.namespace, labelSelector });
          assert.deepEqual(namesOf(page.leases), namesOf(wanted), labelSelector);
          assert.equal(page.continue, undefined);
        }
        const whole = await store.list({ namespace: on.namespace, labelSelector: `run=${r}` });
        assert.deepEqual(
          whole.leases.map((l) => [l.metadata, specOf(l)]),
          [a, b, c].map((l) => [l.metadata, specOf(l)]),
        );
        const byName = await store.list({ namespace: on.namespace, fieldSelector: `metadata.name=${b.metadata.name}` });
        assert.deepEqual(namesOf(byName.leases), namesOf([b]));
        const other = await store.list({ namespace: on.otherNamespace, labelSelector: `run=${r}` });
        assert.deepEqual(namesOf(other.leases), namesOf([elsewhere]));
      });

      it('shows the last write, with a version and the server time in whole seconds', async () => {
        const { run: r } = run();
        const first = await create({ labels: { run: r } });
        const second = await store.update(withChanges(first, { spec: { leaseTransitions: 4 } }));
        const page = await store.list({ namespace: on.namespace, labelSelector: `run=${r}` });
        assert.equal(page.leases[0]?.metadata.resourceVersion, second.metadata.resourceVersion);
        assert.notEqual(page.resourceVersion, '');
        assert.equal(page.serverDate?.micros, 0);
        assert.ok(page.serverDate!.compare(first.metadata.creationTimestamp!) >= 0);
      });

      it('refuses a selector it does not understand', async () => {
        await refused(store.list({ namespace: on.namespace, labelSelector: 'a===b' }), 'Invalid');
        await refused(store.list({ namespace: on.namespace, fieldSelector: 'spec.holderIdentity=x' }), 'Invalid');
      });

      it('is empty where there is no namespace', async () => {
        assert.deepEqual((await store.list({ namespace: `no-such-${unique()}` })).leases, []);
      });

      it('gives pages of one moment, whatever is written between them', async () => {
        const { run: r } = run();
        const leases: Lease[] = [];
        for (let i = 0; i < 5; i++) leases.push(await create({ labels: { run: r } }));
        const query = { namespace: on.namespace, labelSelector: `run=${r}`, limit: 2 };
        const first = await store.list(query);
        assert.equal(first.leases.length, 2);
        await store.delete(leases[3]!.metadata, leases[3]!.metadata);
        await store.update(withChanges(leases[4]!, { spec: { leaseTransitions: 9 } }));
        await create({ labels: { run: r } });
        const seen = [...first.leases];
        let page = first;
        while (page.continue !== undefined) {
          page = await store.list({ ...query, continue: page.continue });
          assert.ok(page.leases.length <= 2);
          assert.equal(page.resourceVersion, first.resourceVersion);
          seen.push(...page.leases);
        }
        assert.deepEqual(
          seen.map((l) => l.metadata),
          leases.map((l) => l.metadata),
        );
        assert.equal(seen[4]?.spec.leaseTransitions, undefined);
      });

      it('refuses a continue token it did not give', async () => {
        await refused(store.list({ namespace: on.namespace, limit: 2, continue: 'garbage' }), 'Invalid');
      });
    });

    describe('watch', () => {
      it('tells the whole state first, then what happens, in order', async () => {
        const { run: r } = run();
        const old = await create({ labels: { run: r } });
        const watch = watching(`run=${r}`);
        try {
          await watch.until(1);
          const fresh = await create({ labels: { run: r } });
          const changed = await store.update(withChanges(old, { spec: { holderIdentity: 'next' } }));
          await store.delete(fresh.metadata, fresh.metadata);
          const [list, added, modified, deleted] = await watch.until(4);
          assert.ok(list?.type === 'list');
          assert.deepEqual(
            list.leases.map((l) => l.metadata),
            [old.metadata],
          );
          assert.ok(added?.type === 'added');
          assert.deepEqual(added.lease.metadata, fresh.metadata);
          assert.ok(modified?.type === 'modified');
          assert.deepEqual(modified.lease.metadata, changed.metadata);
          assert.equal(modified.lease.spec.holderIdentity, 'next');
          assert.ok(deleted?.type === 'deleted');
          assert.equal(deleted.lease.metadata.uid, fresh.metadata.uid);
        } finally {
          await watch.stop();
        }
      });

      it('sees a lease appear and vanish as its labels change', async () => {
        const { run: r } = run();
        const watch = watching(`run=${r},tier=gold`);
        try {
          await watch.until(1);
          const first = await create({ labels: { run: r, tier: 'tin' } });
          const second = await store.update(withChanges(first, { labels: { tier: 'gold' } }));
          const third = await store.update(withChanges(second, { spec: { leaseTransitions: 1 } }));
          await store.update(withChanges(third, { labels: { tier: 'tin' } }));
          const events = await watch.until(4);
          assert.deepEqual(
            events.map((e) => e.type),
            ['list', 'added', 'modified', 'deleted'],
          );
        } finally {
          await watch.stop();
        }
      });

      it('follows one lease by name, and no other namespace', async () => {
        const name = unique();
        const query = { namespace: on.namespace, fieldSelector: `metadata.name=${name}` };
        const watch = new Recorder((signal) => store.watch(query, signal));
        try {
          await watch.until(1);
          await create({ name, namespace: on.otherNamespace });
          await create();
          const wanted = await create({ name });
          const events = await watch.until(2);
          assert.ok(events[1]?.type === 'added');
          assert.equal(events[1].lease.metadata.uid, wanted.metadata.uid);
        } finally {
          await watch.stop();
        }
      });

      it('tells every watcher', async () => {
        const { run: r } = run();
        const watches = [watching(`run=${r}`), watching(`run=${r}`), watching(`run in (${r})`)];
        try {
          await Promise.all(watches.map((watch) => watch.until(1)));
          const { metadata } = await create({ labels: { run: r } });
          for (const watch of watches) {
            const [, added] = await watch.until(2);
            assert.ok(added?.type === 'added');
            assert.equal(added.lease.metadata.uid, metadata.uid);
          }
        } finally {
          await Promise.all(watches.map((watch) => watch.stop()));
        }
      });

      it('loses nothing of many quick writes', async () => {
        const { run: r } = run();
        const watch = watching(`run=${r}`);
        try {
          await watch.until(1);
          let current = await create({ labels: { run: r } });
          for (let i = 1; i <= 30; i++)
            current = await store.update(withChanges(current, { spec: { leaseTransitions: i } }));
          const events = await watch.until(32);
          const seen = events.flatMap((e) => (e.type === 'modified' ? [e.lease.spec.leaseTransitions] : []));
          assert.deepEqual(
            seen,
            Array.from({ length: 30 }, (_, i) => i + 1),
          );
        } finally {
          await watch.stop();
        }
      });

      it('ends without an error when asked, before, while opening and later', { timeout: 120_000 }, async () => {
        const before = new AbortController();
        before.abort();
        for await (const event of store.watch({ namespace: on.namespace }, before.signal)) assert.fail(event.type);
        const opening = watching('a=b', on.silent);
        await opening.stop();
        const later = watching('a=b');
        await later.until(1);
        await later.stop();
      });

      it('ends when its reader leaves', { timeout: 120_000 }, async () => {
        const { signal } = new AbortController();
        for await (const event of store.watch({ namespace: on.namespace, labelSelector: 'a=b' }, signal)) {
          assert.equal(event.type, 'list');
          break;
        }
      });
    });

    describe('ending a call', () => {
      it('is Aborted, without a request, by a signal that aborted before', async () => {
        const signal = AbortSignal.abort();
        const wanted = lease();
        await refused(store.create(wanted, { signal }), 'Aborted', { mayHaveCommitted: false });
        await refused(store.list({ namespace: on.namespace }, { signal }), 'Aborted');
        assert.equal(await exists(wanted.metadata), false);
      });

      const stored = newLease({ name: 'x', namespace: 'kube-system', uid: 'u', resourceVersion: '1' }, {});
      const fresh = newLease({ name: 'x', namespace: 'kube-system' }, {});
      const calls: [string, boolean, (options: { signal?: AbortSignal; timeoutMs?: number }) => Promise<unknown>][] = [
        ['get', false, (options) => on.silent.get(stored.metadata, options)],
        ['list', false, (options) => on.silent.list({ namespace: 'kube-system' }, options)],
        ['create', true, (options) => on.silent.create(fresh, options)],
        ['update', true, (options) => on.silent.update(stored, options)],
        ['delete', true, (options) => on.silent.delete(stored.metadata, stored.metadata, options)],
      ];
      for (const [verb, write, call] of calls) {
        it(`${verb} without an answer is Timeout after timeoutMs`, { timeout: 120_000 }, async () => {
          await refused(call({ timeoutMs: 50 }), 'Timeout', { mayHaveCommitted: write, retryable: true });
        });
        it(`${verb} without an answer is Aborted at once by its signal`, { timeout: 120_000 }, async () => {
          const controller = new AbortController();
          const answer = call({ signal: controller.signal, timeoutMs: 60_000 });
          setTimeout(() => controller.abort(), 100);
          await refused(answer, 'Aborted', { mayHaveCommitted: write });
        });
      }
    });
  });
}

const SPEC: LeaseSpec = {
  holderIdentity: 'holder_0c8914f7-0f35-440e-8676-7844977d3a05',
  leaseDurationSeconds: 3600,
  renewTime: MicroTime.parse('2026-01-02T03:04:05.123456Z'),
};

/** The spec without the absent fields that one store leaves out and another says are undefined. */
function specOf(lease: Lease): Record<string, unknown> {
  return JSON.parse(JSON.stringify(lease.spec)) as Record<string, unknown>;
}

const namesOf = (leases: readonly Lease[]): string[] => leases.map((lease) => lease.metadata.name);

async function refused(
  answer: Promise<unknown>,
  code: LeaseStoreErrorCode,
  more: { status?: number; retryable?: boolean; mayHaveCommitted?: boolean } = {},
): Promise<void> {
  const error: unknown = await answer.then(
    () => assert.fail(`expected ${code}, got an answer`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof LeaseStoreError, `expected a LeaseStoreError ${code}, got ${String(error)}`);
  assert.equal(error.code, code, error.message);
  if (more.status !== undefined) assert.equal(error.status, more.status);
  if (more.retryable !== undefined) assert.equal(error.retryable, more.retryable);
  assert.equal(error.mayHaveCommitted, more.mayHaveCommitted ?? false);
}
