import assert from 'node:assert/strict';
import { test } from 'node:test';
import { takeCensus } from '../../src/census/take-census.ts';
import type { LeasePage, PageQuery } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
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

test('a state that was compacted away between pages is read anew; the half that was read does not count', async () => {
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
