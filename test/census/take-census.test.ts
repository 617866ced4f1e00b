import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeCensus } from '../../src/census/take-census.ts';
import { identityLeases } from '../../src/census/census-query.ts';
import type { Lease } from '../../src/lease/lease.ts';
import type { LeasePage, PageQuery } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { NOW, at, lease } from './support.ts';

const query = { namespace: 'kube-system', labelSelector: 'a=b' };
const page = (part: Partial<LeasePage>): LeasePage => ({ leases: [], resourceVersion: '1', ...part });

test('all pages make one census, as of the earliest Date', async () => {
  const clock = new ManualClock(NOW);
  const asked: PageQuery[] = [];
  const store = {
    async list(q: PageQuery): Promise<LeasePage> {
      asked.push(q);
      clock.jump(700);
      if (q.continue === undefined) {
        return page({ leases: [lease({ hostname: 'a', renewedAgoMs: 29_500 })], serverDate: at(0), continue: 'two' });
      }
      return page({ leases: [lease({ hostname: 'b' })], serverDate: at(2_000), continue: '' });
    },
  };
  const made = await takeCensus({ store, query, clock });
  assert.deepEqual(made.counts, { instances: 2, live: 2, stale: 0, expired: 0, released: 0 });
  assert.deepEqual([made.asOf?.toString(), made.freshnessMs], [at(0).toString(), 1_400]);
  assert.deepEqual(
    asked.map((q) => [q.labelSelector, q.limit, q.continue]),
    [
      ['a=b', 500, undefined],
      ['a=b', 500, 'two'],
    ],
  );
});

test('a state that was compacted away between pages is read again; the half that was read does not count', async () => {
  let calls = 0;
  const store = {
    async list(q: PageQuery): Promise<LeasePage> {
      calls += 1;
      if (q.continue === 'gone') throw new LeaseStoreError('Expired', { message: 'too old' });
      if (calls === 1) return page({ leases: [lease({ hostname: 'old' })], serverDate: at(0), continue: 'gone' });
      return page({ leases: [lease({ hostname: 'a' })], serverDate: at(0) });
    },
  };
  const made = await takeCensus({ store, query, clock: new ManualClock(NOW) });
  assert.deepEqual(
    made.instances.map((i) => i.name),
    ['a'],
  );
});

test('what fails is thrown, and not as a number', async () => {
  let calls = 0;
  const failing = (code: 'Expired' | 'Unavailable') => ({
    list: (): Promise<LeasePage> => {
      calls += 1;
      return Promise.reject(new LeaseStoreError(code, { message: 'no' }));
    },
  });
  const clock = new ManualClock(NOW);
  await assert.rejects(takeCensus({ store: failing('Unavailable'), query, clock }), { code: 'Unavailable' });
  assert.equal(calls, 1);
  await assert.rejects(takeCensus({ store: failing('Expired'), query, clock }), { code: 'Expired' });
  assert.equal(calls, 4);
});

test('two lists: who was renewed in between is live, whatever the clocks say', async () => {
  const clock = new ManualClock(NOW);
  const list = (): Promise<LeasePage> => {
    const later = clock.monotonic() >= 12_000 ? 10_000 : 0;
    const leases = [
      lease({ hostname: 'behind', renewedAgoMs: 9e7 - later }),
      lease({ hostname: 'ahead', renewedAgoMs: -7e6 - later }),
      lease({ hostname: 'dead', renewedAgoMs: -7e6 }),
    ];
    return Promise.resolve(page({ leases, serverDate: at(clock.monotonic()) }));
  };
  const taking = takeCensus({ store: { list }, query, clock, observeMs: 12_000 });
  await clock.advance(12_000);
  const made = await taking;
  assert.deepEqual(made.counts, { instances: 3, live: 2, stale: 1, expired: 0, released: 0 });
  assert.deepEqual([made.clock, made.asOf?.toString()], ['observed', at(12_000).toString()]);

  const stop = new AbortController();
  const stopped = takeCensus({ store: { list }, query, clock, observeMs: 12_000, signal: stop.signal });
  await settle();
  stop.abort();
  await assert.rejects(stopped, { code: 'Aborted' });
  assert.equal(clock.pending, 0);
});

test("kube-apiservers' leases are read with both labels that they have had; others by their own", async () => {
  const asked: PageQuery[] = [];
  const named = (name: string, labels: Record<string, string>): Lease => {
    const one = lease({ name, hostname: name });
    return { ...one, metadata: { ...one.metadata, labels: { ...one.metadata.labels, ...labels } } };
  };
  const leases = [
    named('new', { 'apiserver.kubernetes.io/identity': 'kube-apiserver' }),
    named('old', { 'k8s.io/component': 'kube-apiserver' }),
    named('scheduler', {}),
    named('other', { 'apiserver.kubernetes.io/identity': 'other' }),
  ];
  const list = (q: PageQuery): Promise<LeasePage> => {
    asked.push(q);
    return Promise.resolve(page({ leases, serverDate: at(0) }));
  };
  const clock = new ManualClock(NOW);
  const count = async (...of: Parameters<typeof identityLeases>): Promise<string[]> => {
    const made = await takeCensus({ store: { list }, query: identityLeases(...of), clock });
    return made.instances.map(({ name }) => name);
  };
  const identity = 'apiserver.kubernetes.io/identity';
  assert.deepEqual(await count('kube-system', identity, 'kube-apiserver'), ['new', 'old']);
  await count('kube-system', identity, 'other');
  await count('', identity, 'kube-apiserver');
  assert.deepEqual(
    asked.map(({ labelSelector, namespace }) => [namespace, labelSelector]),
    [
      ['kube-system', undefined],
      ['kube-system', `${identity}=other`],
      ['', `${identity}=kube-apiserver`],
    ],
  );
});

test('a page that continues at itself is a bad answer, and not read for ever', async () => {
  let calls = 0;
  const list = (): Promise<LeasePage> => {
    calls += 1;
    if (calls > 10) throw new Error('a circle');
    return Promise.resolve(page({ continue: 'same' }));
  };
  const clock = new ManualClock(NOW);
  await assert.rejects(takeCensus({ store: { list }, query, clock }), { code: 'BadAnswer' });
  assert.equal(calls, 2);
});

test('pages that go round in a circle are a bad answer too', async () => {
  let calls = 0;
  const list = (): Promise<LeasePage> => {
    calls += 1;
    if (calls > 10) throw new Error('a circle');
    return Promise.resolve(page({ continue: calls % 2 ? 'a' : 'b' }));
  };
  await assert.rejects(takeCensus({ store: { list }, query, clock: new ManualClock(NOW) }), { code: 'BadAnswer' });
  assert.equal(calls, 3);
});
