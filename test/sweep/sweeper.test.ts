import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IDENTITY_LABEL } from '../../src/lease/names.ts';
import type { LeaseStore } from '../../src/lease/store.ts';
import { settle } from '../../src/runtime/manual-clock.ts';
import { SweepInProgressError } from '../../src/sweep/sweeper.ts';
import { HOUR, NAMESPACE, World, skewed } from './world.ts';

const EXPIRED = { age: HOUR + 300 };
const ALIVE = { age: 5 };

test('of 5,000 leases of which 4,000 expired exactly those go, with two lists and one DELETE each', async () => {
  const world = new World();
  for (let i = 0; i < 5_000; i++) world.put(`lease-${i}`, i % 5 === 0 ? ALIVE : EXPIRED);
  const expected = world.names().filter((name) => Number(name.slice(6)) % 5 !== 0);
  const result = await world.pass();
  assert.equal(result.outcome, 'completed');
  assert.deepEqual(
    [result.seen, result.collectable, result.deleted, result.kept.unexpired, result.failed],
    [5_000, 4_000, 4_000, 1_000, 0],
  );
  assert.deepEqual(world.deletions().sort(), expected);
  assert.equal(world.store.count('list'), 20);
  assert.equal(world.store.count('delete'), 4_000);
  assert.equal(world.store.count(), 4_020);
});

test('what is none of its business stays', async () => {
  const world = new World();
  world.put('alive', ALIVE);
  world.put('expired', EXPIRED);
  world.put('unlabelled', EXPIRED, { labels: {} });
  world.put('elsewhere', EXPIRED, { namespace: 'default' });
  world.put('other-component', EXPIRED, { labels: { [IDENTITY_LABEL]: 'konnectivity-server' } });
  world.put('mine', EXPIRED);
  world.put('released', { ...EXPIRED, holder: '' });
  world.put('terminating', { ...EXPIRED, finalizers: ['example.com/hold'] });
  const { uid, resourceVersion } = world.store.peek({ namespace: NAMESPACE, name: 'terminating' })!.metadata;
  world.store.api.delete({ namespace: NAMESPACE, name: 'terminating' }, { uid, resourceVersion }, 'somebody');
  world.put('just-renewed', EXPIRED);
  world.renew('just-renewed');
  const own = { namespace: NAMESPACE, name: 'mine', holderIdentity: 'mine_1' };
  const { kept } = await world.pass({ own });
  assert.deepEqual(world.deletions(), ['expired']);
  assert.equal(world.names().length, 8);
  assert.deepEqual([kept.unexpired, kept.own, kept.released, kept.terminating], [2, 1, 1, 1]);
});

test('another product, by options alone', async () => {
  const world = new World();
  const labels = { 'k8s-app': 'konnectivity-server' };
  world.put('k-dead', { age: 60, duration: 30 }, { labels, namespace: 'default' });
  world.put('k-alive', { age: -25, duration: 30 }, { labels, namespace: 'default' });
  world.put('expired', EXPIRED);
  await world.pass({ namespace: 'default', labelSelector: 'k8s-app in (konnectivity-server)' });
  assert.deepEqual(world.deletions(), ['k-dead']);
});

test('when nothing is expired, one list is all', async () => {
  const world = new World();
  world.put('alive', ALIVE);
  world.put('released', { ...EXPIRED, holder: '' });
  const sweeping = world.sweeper().sweepOnce(world.abort.signal);
  const result = await sweeping;
  assert.deepEqual([result.outcome, result.seen, result.kept.unexpired, result.kept.released], ['completed', 2, 1, 1]);
  assert.equal(world.store.count(), 1);
});

test('an empty namespace is swept in one request', async () => {
  const world = new World();
  const result = await world.pass();
  assert.deepEqual([result.outcome, result.seen, world.store.count()], ['completed', 0, 1]);
});

test('with --confirm-after=0 there are still two looks, and no wait', async () => {
  const world = new World();
  world.put('alive', ALIVE);
  world.put('expired', EXPIRED);
  const result = await world.sweeper({ confirmAfterMs: 0 }).sweepOnce(world.abort.signal);
  assert.equal(result.deleted, 1);
  assert.equal(world.store.count('list'), 2);
  assert.equal(world.clock.monotonic(), 0);
});

test('the looks are confirmAfter apart, and pages are as large as asked for', async () => {
  const world = new World();
  for (let i = 0; i < 5; i++) world.put(`e${i}`, EXPIRED);
  world.put('alive', ALIVE);
  await world.pass({ confirmAfterMs: 45_000, pageSize: 2 });
  assert.deepEqual(
    world.store.journal.filter(({ verb }) => verb === 'list').map(({ at }) => at),
    [0, 0, 0, 45_000, 45_000, 45_000],
  );
  assert.deepEqual(
    world.of('looked').map(({ look, leases, pages }) => [look, leases, pages]),
    [
      [1, 6, 3],
      [2, 6, 3],
    ],
  );
});

test('lists are consistent, labelled, and never ask for a version', async () => {
  const world = new World();
  world.put('expired', EXPIRED);
  world.put('alive', ALIVE);
  const queries: object[] = [];
  const store: Pick<LeaseStore, 'list' | 'delete'> = {
    list: (query, options) => (queries.push(query), world.store.list(query, options)),
    delete: (...args) => world.store.delete(...args),
  };
  await world.pass({ pageSize: 1, store });
  const base = { namespace: NAMESPACE, labelSelector: 'apiserver.kubernetes.io/identity=kube-apiserver', limit: 1 };
  assert.deepEqual(queries, [base, { ...base, continue: 'page-1' }, base, { ...base, continue: 'page-2' }]);
});

test('a dry run says what would go and deletes nothing', async () => {
  const world = new World();
  world.put('expired', EXPIRED);
  world.put('alive', ALIVE);
  const result = await world.pass({ dryRun: true });
  assert.deepEqual([result.dryRun, result.collectable, result.left, result.deleted], [true, 1, 1, 0]);
  assert.equal(world.store.count('delete'), 0);
  assert.deepEqual(
    world.of('wouldDelete').map(({ lease }) => [lease.name, lease.hostname]),
    [['expired', 'host-expired']],
  );
});

test('every deletion is reported with holder, hostname and how long it was expired', async () => {
  const world = new World();
  world.put('expired', { ...EXPIRED, finalizers: ['example.com/hold'] });
  world.put('alive', ALIVE);
  await world.pass();
  const { lease } = world.of('deleted')[0]!;
  assert.deepEqual([lease.name, lease.holderIdentity, lease.hostname], ['expired', 'expired_1', 'host-expired']);
  assert.equal(lease.expiredForMs, 329_000, '300 s and the wait, less the second of uncertainty');
  assert.deepEqual(lease.finalizers, ['example.com/hold']);
  assert.deepEqual(
    world.events.map(({ type }) => type),
    ['passStarted', 'looked', 'clockDistance', 'looked', 'deleted', 'passFinished'],
  );
});

for (const [name, hours] of [
  ['ahead', 5],
  ['behind', -5],
] as const) {
  test(`a machine clock hours ${name} changes nothing but a warning`, async () => {
    const world = new World();
    world.put('expired', EXPIRED);
    world.put('alive', ALIVE);
    world.put('nearly', { age: HOUR - 40 });
    const result = await world.pass({ clock: skewed(world.clock, hours * HOUR * 1000) });
    assert.deepEqual(world.deletions(), ['expired']);
    assert.deepEqual(
      world.of('clockDistance').map(({ exceeded }) => exceeded),
      [true],
    );
    assert.ok(Math.abs(result.clockDistanceMs! - hours * HOUR * 1000) <= 1_000);
    assert.equal(world.of('futureRenewals').length, 0);
  });
}

test('a clock within its limit is no warning', async () => {
  const world = new World();
  world.put('alive', ALIVE);
  for (const [ms, exceeded] of [
    [0, false],
    [60_500, false],
    [62_000, true],
    [-59_000, false],
    [-62_000, true],
  ] as const) {
    world.events.length = 0;
    await world.pass({ clock: skewed(world.clock, ms) });
    assert.equal(world.of('clockDistance')[0]?.exceeded, exceeded, String(ms));
  }
});

test('leases from the future are reported', async () => {
  const world = new World();
  world.put('ahead', { age: -7200 });
  world.put('alive', ALIVE);
  await world.pass();
  const [event] = world.of('futureRenewals');
  assert.deepEqual([event?.count, event?.examples[0]?.name], [1, 'ahead']);
});

for (const undated of [1, 2, 3, 4]) {
  test(`no Date in answer ${undated} of 4: no deletion`, async () => {
    const world = new World();
    world.put('alive', ALIVE);
    world.put('expired', EXPIRED);
    let answers = 0;
    const store: Pick<LeaseStore, 'list' | 'delete'> = {
      delete: (...args) => world.store.delete(...args),
      list: async (...args) => {
        const { serverDate, ...page } = await world.store.list(...args);
        return ++answers === undated ? page : { ...page, serverDate };
      },
    };
    const result = await world.pass({ pageSize: 1, allowAll: true, store });
    assert.deepEqual([result.outcome, result.because, result.deleted], ['void', 'noDate', 0]);
    assert.equal(world.store.count('delete'), 0);
  });
}

test('of the dates of a list the earliest counts', async () => {
  const world = new World();
  world.put('a-expired', { age: HOUR + 100 });
  world.put('b-alive', ALIVE);
  let answers = 0;
  const store: Pick<LeaseStore, 'list' | 'delete'> = {
    delete: (...args) => world.store.delete(...args),
    // The second page of each list comes from a server that is ten minutes behind.
    list: async (query, options) => {
      const page = await world.store.list(query, options);
      return ++answers % 2 === 1 ? page : { ...page, serverDate: world.minutesAgo(10) };
    },
  };
  const result = await world.pass({ pageSize: 1, store });
  assert.deepEqual([result.kept.unexpired, result.collectable], [2, 0]);
});

test('a list that continues at itself makes the pass void', async () => {
  const world = new World();
  let pages = 0;
  const store: Pick<LeaseStore, 'list' | 'delete'> = {
    delete: (...args) => world.store.delete(...args),
    list: async () => {
      assert.ok(++pages <= 2, 'it goes on and on');
      return { leases: [], resourceVersion: '1', serverDate: world.now, continue: 'again' };
    },
  };
  const result = await world.pass({ store });
  assert.deepEqual([result.outcome, result.because, result.error?.code], ['void', 'listFailed', 'BadAnswer']);
});

test('run sweeps at start and on every tick; a tick during a pass is reported and dropped', async () => {
  const world = new World();
  world.put('expired', EXPIRED);
  world.put('alive', ALIVE);
  let tick = (): void => assert.fail('not subscribed');
  let subscribed = 0;
  const ticks = (onTick: () => void): (() => void) => {
    tick = onTick;
    subscribed++;
    return () => void subscribed--;
  };
  const running = world.sweeper({ ticks }).run(world.abort.signal);
  await world.clock.advance(1_000);
  assert.equal(world.of('passStarted').length, 1, 'at start');
  tick();
  tick();
  assert.equal(world.of('tickSkipped').length, 2);
  await world.clock.advance(60_000);
  assert.equal(world.of('passFinished').length, 1, 'what was skipped is not made up for');
  world.put('second', EXPIRED);
  tick();
  await world.clock.advance(60_000);
  assert.deepEqual(world.deletions(), ['expired', 'second']);
  world.store.next('list', { fail: 'Unavailable' });
  tick();
  await settle();
  assert.equal(world.of('passFinished').at(-1)?.result.outcome, 'void');
  tick();
  await settle();
  assert.equal(world.of('passFinished').at(-1)?.result.outcome, 'completed', 'a void pass ends nothing');
  world.abort.abort();
  await running;
  assert.deepEqual([subscribed, world.clock.pending], [0, 0]);
});

test('run ends at once when its signal aborts, in a pass too', async () => {
  for (const during of ['list', 'wait', 'delete', 'idle', 'before'] as const) {
    const world = new World();
    world.put('expired', EXPIRED);
    world.put('alive', ALIVE);
    if (during === 'list' || during === 'delete') world.store.next(during, { hang: true });
    if (during === 'before') world.abort.abort();
    let subscribed = 0;
    const running = world.sweeper({ ticks: () => (subscribed++, () => void subscribed--) }).run(world.abort.signal);
    if (during !== 'list' && during !== 'before') await world.clock.advance(during === 'wait' ? 10_000 : 30_000);
    world.abort.abort();
    await running;
    assert.deepEqual([subscribed, world.clock.pending], [0, 0], during);
  }
});

test('a mistake of the program ends the service, with nothing left behind', async () => {
  const world = new World();
  for (let i = 0; i < 200; i++) world.put(`e${i}`, EXPIRED);
  world.put('alive', ALIVE);
  let mistakes = 0;
  const store: Pick<LeaseStore, 'list' | 'delete'> = {
    list: (...args) => world.store.list(...args),
    async delete(...args) {
      await world.store.delete(...args);
      if (mistakes++ === 0) throw new TypeError('store');
    },
  };
  // While the mistake is made by one worker, another waits for its answer.
  world.store.next('delete', { delayMs: 5_000 });
  let subscribed = 0;
  const ticks = () => (subscribed++, () => void subscribed--);
  const running = world.sweeper({ concurrency: 4, store, ticks }).run(world.abort.signal);
  await assert.rejects(world.finish(running), { name: 'TypeError', message: 'store' });
  assert.equal(subscribed, 0);
  const sent = world.store.count('delete');
  assert.ok(sent <= 8, `${sent} DELETEs`);
  assert.ok(
    world.store.journal.every(({ outcome }) => outcome !== undefined),
    'every request has ended',
  );
  await world.clock.advance(60_000);
  assert.equal(world.store.count('delete'), sent, 'no worker goes on');
});

test('passes of one sweeper never overlap', async () => {
  const world = new World();
  world.put('expired', EXPIRED);
  world.put('alive', ALIVE);
  const sweeper = world.sweeper();
  const first = sweeper.sweepOnce(world.abort.signal);
  await assert.rejects(sweeper.sweepOnce(world.abort.signal), SweepInProgressError);
  assert.equal((await world.finish(first)).deleted, 1);
  assert.equal((await world.finish(sweeper.sweepOnce(world.abort.signal))).outcome, 'completed');
});
