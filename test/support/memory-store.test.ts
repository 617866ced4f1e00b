import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Lease } from '../../src/lease/lease.ts';
import { newLease } from '../../src/lease/lease.ts';
import type { LeaseEvent } from '../../src/lease/store.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { storeError } from './memory-api.ts';
import { MemoryStore } from './memory-store.ts';

const REF = { namespace: 'kube-system', name: 'a' };
const LEASE = newLease(REF, { holderIdentity: 'h', leaseDurationSeconds: 10 });
const QUERY = { namespace: 'kube-system' };

function setup(): { clock: ManualClock; store: MemoryStore } {
  const clock = new ManualClock();
  return { clock, store: new MemoryStore({ clock }) };
}

function follow(store: MemoryStore): { events: string[]; stop: () => Promise<void>; ended: Promise<unknown> } {
  const controller = new AbortController();
  const events: string[] = [];
  const sketch = (event: LeaseEvent): string => {
    if (event.type === 'list') return `list ${event.leases.map((lease) => lease.metadata.name).join()}`;
    return 'lease' in event ? `${event.type} ${event.lease.metadata.name}` : event.type;
  };
  const run = async (): Promise<void> => {
    for await (const event of store.watch(QUERY, controller.signal)) events.push(sketch(event));
  };
  const ended = run().catch((error: unknown) => error);
  const stop = async (): Promise<void> => {
    controller.abort();
    assert.equal(await ended, undefined);
  };
  return { events, stop, ended };
}

describe('faults of a call', () => {
  it('without any, no timer is taken', async () => {
    const { clock, store } = setup();
    await store.create(LEASE, { timeoutMs: 5 });
    assert.equal(clock.pending, 0);
    assert.deepEqual(store.journal, [{ verb: 'create', ...REF, at: 0, outcome: 'ok' }]);
  });

  it('a refusal commits nothing, with the code asked for', async () => {
    const { clock, store } = setup();
    store.next('create', { fail: 'TooManyRequests' }, { fail: storeError('ServerError', 'x', { retryAfterMs: 7 }) });
    await assert.rejects(store.create(LEASE), { code: 'TooManyRequests', status: 429, mayHaveCommitted: false });
    await assert.rejects(store.create(LEASE), { code: 'ServerError', retryAfterMs: 7 });
    assert.equal(store.history.length, 0);
    await store.create(LEASE);
    assert.deepEqual([store.count('create'), store.history.length, clock.pending], [3, 1, 0]);
  });

  it('a lost answer: committed, and nobody knows', async () => {
    const { clock, store } = setup();
    store.next('create', { lose: 'Unavailable' });
    await assert.rejects(store.create(LEASE), { code: 'Unavailable', mayHaveCommitted: true });
    assert.equal(store.history.length, 1);
    store.next('update', { lose: 'Timeout' });
    const answer = assert.rejects(store.update({ ...store.peek(REF)!, spec: {} }, { timeoutMs: 500 }), {
      code: 'Timeout',
      mayHaveCommitted: true,
    });
    await clock.advance(499);
    assert.equal(store.history.length, 2);
    await clock.advance(1);
    await answer;
    assert.equal(clock.pending, 0);
  });

  it('a hanging call ends by its signal or its timeout, uncommitted', async () => {
    const { clock, store } = setup();
    store.faults = () => ({ hang: true });
    const controller = new AbortController();
    const aborted = assert.rejects(store.create(LEASE, { signal: controller.signal }), {
      code: 'Aborted',
      mayHaveCommitted: true,
    });
    controller.abort();
    await aborted;
    const timedOut = assert.rejects(store.get(REF, { timeoutMs: 20 }), { code: 'Timeout', mayHaveCommitted: false });
    await clock.advance(20);
    await timedOut;
    assert.deepEqual([store.history.length, clock.pending], [0, 0]);
  });

  it('a delayed write arrives though its caller has given up', async () => {
    const { clock, store } = setup();
    store.next('create', { delayMs: 100 });
    const answer = assert.rejects(store.create(LEASE, { timeoutMs: 50 }), { code: 'Timeout', mayHaveCommitted: true });
    await clock.advance(50);
    await answer;
    assert.equal(store.history.length, 0);
    await clock.advance(50);
    assert.equal(store.history.length, 1);
    assert.equal(clock.pending, 0);
  });

  it('a write that is sent twice arrives twice, and its caller gets one of the answers', async () => {
    for (const answer of ['first', 'last'] as const) {
      const { clock, store } = setup();
      const made = await store.create(LEASE);
      store.next('update', { repeat: { afterMs: 10, answer } });
      const update = store.update({ ...made, spec: { ...made.spec, leaseTransitions: 1 } }).then(
        () => 'ok',
        (error: { code: string }) => error.code,
      );
      await clock.advance(10);
      assert.equal(await update, answer === 'first' ? 'ok' : 'Conflict');
      assert.equal(store.history.length, 2);
    }
  });

  it('a delayed answer tells what was true when the server gave it', async () => {
    const { clock, store } = setup();
    const { metadata } = await store.create(LEASE);
    store.next('get', { answerDelayMs: 100 });
    const answer = store.get(REF);
    await clock.advance(50);
    store.remove(REF);
    await clock.advance(50);
    assert.equal((await answer).metadata.resourceVersion, metadata.resourceVersion);
    assert.equal(clock.pending, 0);
  });
});

describe('watches', () => {
  it('tell what other clients and somebody else do', async () => {
    const { clock, store } = setup();
    const watch = follow(store.client({}));
    await settle();
    await store.create(LEASE);
    store.edit(REF, () => ({ spec: { holderIdentity: 'other' } }));
    store.put({ name: 'b' });
    store.remove(REF);
    await settle();
    assert.deepEqual(watch.events, ['list ', 'added a', 'modified a', 'added b', 'deleted a']);
    await watch.stop();
    assert.deepEqual(
      store.history.map(({ verb, by }) => `${verb} ${by}`),
      ['create store', 'update somebody', 'create somebody', 'delete somebody'],
    );
    assert.deepEqual([store.watches.open, clock.pending], [0, 0]);
  });

  it('miss nothing between list and events, even when the first answer is slow', async () => {
    const { clock, store } = setup();
    store.next('watch', { answerDelayMs: 100 });
    const watch = follow(store);
    await settle();
    store.put({ name: 'a' });
    await clock.advance(100);
    assert.deepEqual(watch.events, ['list ', 'added a']);
    await watch.stop();
  });

  it('hold back while silent or lost, then replay or list again', async () => {
    const { store } = setup();
    const watch = follow(store);
    await settle();
    store.watches.silence();
    store.put({ name: 'a' });
    await settle();
    assert.deepEqual(watch.events.splice(0), ['list ']);
    store.watches.resume();
    await settle();
    assert.deepEqual(watch.events.splice(0), ['added a', 'fresh']);
    store.watches.lose();
    store.remove(REF);
    store.put({ name: 'b' });
    await settle();
    assert.deepEqual(watch.events.splice(0), ['lost']);
    store.watches.resume('relist');
    await settle();
    assert.deepEqual(watch.events, ['list b', 'fresh']);
    await watch.stop();
  });

  it('keep the order when events take time, and leave no timer', async () => {
    const { clock, store } = setup();
    const delays = [50, 10];
    const slow = store.client({ watchDelayMs: () => delays.shift() ?? 1_000 });
    const watch = follow(slow);
    await settle();
    store.put({ name: 'a' });
    store.put({ name: 'b' });
    await clock.advance(49);
    assert.deepEqual(watch.events, ['list ']);
    await clock.advance(1);
    assert.deepEqual(watch.events, ['list ', 'added a', 'added b']);
    store.put({ name: 'c' });
    await watch.stop();
    assert.equal(clock.pending, 0);
  });

  it('go on trying when they cannot be opened, and end when forbidden', async () => {
    const { clock, store } = setup();
    store.next('watch', { fail: 'Unavailable' }, { fail: 'Forbidden' });
    const first = follow(store);
    await settle();
    assert.deepEqual(first.events, ['lost']);
    await clock.advance(1_000);
    assert.equal(((await first.ended) as { code: string }).code, 'Forbidden');
    const second = follow(store);
    await settle();
    store.watches.forbid();
    assert.equal(((await second.ended) as { code: string }).code, 'Forbidden');
    assert.deepEqual([store.watches.open, clock.pending, store.count('watch')], [0, 0, 3]);
  });
});

describe('the API', () => {
  it('makes what is not there by a PUT without uid, and wants a version for what is', async () => {
    const { store } = setup();
    const { api } = store;
    assert.equal(
      api.update({ ...LEASE, metadata: { ...LEASE.metadata, resourceVersion: '7' } }, 'me').metadata.name,
      'a',
    );
    assert.deepEqual([store.history[0]?.verb, store.history[0]?.request], ['create', undefined]);
    assert.throws(() => api.update(LEASE, 'me'), { code: 'Invalid' });
    api.delete(REF, { uid: '', resourceVersion: '' }, 'me');
    assert.equal(api.peek(REF), undefined);
  });

  it('answers Expired for a continue token after a compaction', async () => {
    const { store } = setup();
    for (const name of ['a', 'b', 'c']) store.put({ name });
    const page = await store.list({ ...QUERY, limit: 1 });
    store.api.compact();
    await assert.rejects(store.list({ ...QUERY, limit: 1, continue: page.continue }), { code: 'Expired', status: 410 });
  });

  it('gives its clock, in whole seconds', async () => {
    const { clock, store } = setup();
    await clock.advance(1_999);
    assert.equal(String((await store.list(QUERY)).serverDate), '2026-01-01T00:00:01.000000Z');
    assert.equal(String((await store.create(LEASE)).metadata.creationTimestamp), '2026-01-01T00:00:01.000000Z');
  });

  it('does not let what it handed out be edited', async () => {
    const { store } = setup();
    const lease = (await store.create(LEASE)) as { spec: { holderIdentity?: string } } & Lease;
    assert.throws(() => (lease.spec.holderIdentity = 'x'), TypeError);
  });
});
