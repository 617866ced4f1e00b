import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';
import { LiveCensus } from '../../src/census/live-census.ts';
import type { CensusEvent, CensusSnapshot } from '../../src/census/census-events.ts';
import { HOSTNAME_LABEL } from '../../src/lease/names.ts';
import type { Lease } from '../../src/lease/lease.ts';
import type { LeaseEvent } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import type { Sketch } from './support.ts';
import { NOW, ScriptedWatch, at, lease, published } from './support.ts';

interface World {
  clock: ManualClock;
  store: ScriptedWatch;
  service: LiveCensus;
  events: CensusEvent[];
  /** The leases as the server has them: what a list tells. */
  leases: Map<string, Lease>;
  tell: (...events: LeaseEvent[]) => Promise<void>;
  list: () => LeaseEvent;
  renew: (hostname: string, sketch?: Sketch) => Promise<void>;
  counts: () => string;
  stop: () => Promise<void>;
}

/** `instances/live/stale/expired/released`, or why it is unknown. */
const short = (s: CensusSnapshot): string => {
  if (!s.known) return s.reason;
  const { instances, live, stale, expired, released } = s.answer.counts;
  return [instances, live, stale, expired, released].join('/');
};

async function start(
  t: TestContext,
  sketches: Sketch[],
  options: { noDate?: boolean; quiet?: boolean; matches?: (lease: Lease) => boolean } = {},
): Promise<World> {
  const clock = new ManualClock(NOW);
  const store = new ScriptedWatch();
  const events: CensusEvent[] = [];
  const leases = new Map(sketches.map((s) => lease(s)).map((l) => [l.metadata.name, l]));
  const service = new LiveCensus({
    store,
    query: { namespace: 'kube-system', matches: options.matches },
    clock,
    random: () => 0.5,
    observe: (event) => events.push(event),
  });
  const list = (): LeaseEvent => ({
    type: 'list',
    leases: [...leases.values()],
    serverDate: options.noDate ? undefined : at(Math.floor(clock.monotonic() / 1000) * 1000),
  });
  if (!options.quiet) store.onOpen = () => [list()];
  const abort = new AbortController();
  const run = service.run(abort.signal);
  const stop = async (): Promise<void> => {
    abort.abort();
    await run;
  };
  t.after(stop);
  await settle();
  const tell = async (...events: LeaseEvent[]): Promise<void> => {
    store.tell(...events);
    await settle();
  };
  const renew = (hostname: string, sketch: Sketch = {}): Promise<void> => {
    const next = lease({ hostname, renewedAgoMs: -clock.monotonic(), ...sketch });
    leases.set(next.metadata.name, next);
    return tell({ type: 'modified', lease: next });
  };
  return { clock, store, service, events, leases, tell, list, renew, counts: () => short(service.snapshot()), stop };
}

const gone = (): LeaseStoreError => new LeaseStoreError('Unavailable', { message: 'connection refused' });
const events = (w: World, type: CensusEvent['type']): CensusEvent[] => w.events.filter((e) => e.type === type);

describe('before and at the start', () => {
  test('nothing is known before the first list', async (t) => {
    const w = await start(t, [], { quiet: true });
    const s = w.service.snapshot();
    assert.deepEqual([s.known, s.synced, s.freshnessMs, w.service.census()], [false, false, undefined, undefined]);
    assert.equal(w.counts(), 'NotSynced');
    await w.tell({ type: 'lost', error: gone() });
    assert.equal(w.counts(), 'NotSynced');
    await w.tell({ type: 'fresh' });
    assert.equal(w.counts(), 'NotSynced');
    await w.tell(w.list());
    assert.equal(w.counts(), '0/0/0/0/0');
  });

  test('the first list is judged by what was published, and says so until it was observed', async (t) => {
    const w = await start(t, [
      { hostname: 'a' },
      { hostname: 'b', renewedAgoMs: 60_000 },
      { hostname: 'c', renewedAgoMs: 4e6 },
      { hostname: 'd', holder: '' },
    ]);
    assert.equal(w.counts(), '2/1/1/1/1');
    const estimated = (): number => {
      const s = w.service.snapshot();
      return s.known ? s.answer.estimated : -1;
    };
    assert.equal(estimated(), 1);
    await w.renew('a');
    assert.equal(estimated(), 0);
    assert.deepEqual(w.events, [{ type: 'synced', first: true }]);
  });

  test('a publisher whose clock is hours behind is live once it is seen to renew', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 7_200_000 }]);
    assert.equal(w.counts(), '0/0/0/1/0');
    await w.clock.advance(3_000);
    await w.renew('a', { renewedAgoMs: 7_190_000 });
    assert.equal(w.counts(), '1/1/0/0/0');
  });

  test('a publisher whose clock is hours ahead is stale 30 s after it fell silent', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: -7_200_000 }, { hostname: 'b' }]);
    for (let s = 0; s < 32; s += 4) {
      await w.clock.advance(4_000);
      await w.renew('b');
    }
    await w.clock.advance(200);
    assert.equal(w.counts(), '2/1/1/0/0');
  });

  test('a renewTime that has not come is no life before it was seen to change; reported once', async (t) => {
    const dead = { hostname: 'dead', renewedAgoMs: -7_200_000 };
    const w = await start(t, [dead, { hostname: 'wrong', renewedAgoMs: -7_200_000 }]);
    assert.equal(w.counts(), '2/0/2/0/0');
    await w.renew('wrong', { renewedAgoMs: -7_210_000 });
    assert.equal(w.counts(), '2/1/1/0/0');
    await w.tell({ type: 'lost', error: gone() });
    await w.clock.advance(60_000);
    await w.renew('wrong', { renewedAgoMs: -7_220_000 });
    await w.tell({ type: 'fresh' });
    await w.clock.advance(200);
    assert.equal(w.counts(), '2/0/2/0/0', 'nothing tells when within the minute it was renewed');
    assert.deepEqual(
      w.events.flatMap((e) => (e.type === 'ahead' ? [[e.lease.hostname, e.lease.aheadMs]] : [])),
      [
        ['dead', 7_200_000],
        ['wrong', 7_200_000],
      ],
    );
    const leases = w.service.census()?.leases ?? [];
    assert.deepEqual(leases.find(({ hostname }) => hostname === 'dead')?.renewedAgoMs, undefined);
  });

  test('an answer that took long makes no clock a wrong one', async (t) => {
    const w = await start(t, [{ hostname: 'a' }], { quiet: true });
    const slow = w.list();
    await w.clock.advance(8_000);
    await w.tell(slow, { type: 'added', lease: lease({ hostname: 'b', renewedAgoMs: -8_000 }) });
    assert.deepEqual([w.counts(), events(w, 'ahead')], ['2/2/0/0/0', []]);
  });

  test('a lease that is seen for the first time is judged as who looks once judges it', async (t) => {
    const ages = [0, 20_000, 60_000, 3_700_000, -7_200_000];
    for (const renewedAgoMs of ages) {
      const found = lease({ hostname: 'b', renewedAgoMs });
      const once = published([found], { serverDate: at(0), freshForMs: 30_000 }).leases[0]?.state;
      const listed = await start(t, [{ hostname: 'b', renewedAgoMs }]);
      const w = await start(t, [{ hostname: 'a' }]);
      await w.tell({ type: 'added', lease: found });
      const states = [listed, w].map(({ service }) => service.census()?.leases.find((l) => l.hostname === 'b')?.state);
      assert.deepEqual(states, [once, once], `${renewedAgoMs}`);
    }
    const w = await start(t, [{ hostname: 'a' }]);
    await w.tell({ type: 'modified', lease: lease({ hostname: 'a', uid: 'another', renewedAgoMs: 60_000 }) });
    assert.equal(w.counts(), '1/0/1/0/0', 'one of that name that was deleted and put back by an old copy');
  });

  test('leases that do not match are none, and one that no longer does is gone', async (t) => {
    const w = await start(t, [{ hostname: 'a' }, { hostname: 'other' }], {
      matches: ({ metadata }) =>
        metadata.annotations['off'] === undefined && metadata.labels[HOSTNAME_LABEL] !== 'other',
    });
    assert.equal(w.counts(), '1/1/0/0/0');
    await w.renew('a', { annotations: { off: '' } });
    await w.renew('other');
    assert.equal(w.counts(), '0/0/0/0/0');
  });

  test('without a Date nothing is counted until every lease was seen to change or had its time', async (t) => {
    const w = await start(t, [{ hostname: 'a' }, { hostname: 'b', durationSeconds: 40 }], { noDate: true });
    assert.equal(w.counts(), 'NoServerDate');
    for (let s = 0; s < 40; s += 10) {
      await w.renew('a');
      assert.equal(w.counts(), 'NoServerDate');
      await w.clock.advance(10_000);
    }
    await w.clock.advance(1_000);
    await w.renew('a');
    await w.clock.advance(200);
    assert.equal(w.counts(), '1/1/0/1/0');
  });
});

describe('servers come, change and go', () => {
  test('a server killed is stale after 30 s and expired after its duration', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0, durationSeconds: 60 },
      { hostname: 'b', renewedAgoMs: 0 },
    ]);
    const seen: string[] = [];
    for (let s = 5; s <= 65; s += 5) {
      await w.clock.advance(5_000);
      await w.renew('b');
      await w.clock.advance(150);
      if (seen.at(-1) !== `${w.counts()}`) seen.push(w.counts());
    }
    assert.deepEqual(seen, ['2/2/0/0/0', '2/1/1/0/0', '1/1/0/1/0']);
    const changes = w.events.flatMap((e) =>
      e.type === 'changed' ? [`${e.instance.name} ${e.from}>${e.instance.state}`] : [],
    );
    assert.deepEqual(changes, ['a live>stale', 'a stale>expired']);
  });

  test('the last server killed is stale within 31.2 s though no event ever comes again', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }]);
    await w.clock.advance(30_000);
    assert.equal(w.counts(), '1/1/0/0/0');
    await w.clock.advance(1_200);
    assert.equal(w.counts(), '1/0/1/0/0');
  });

  test('one that leaves cleanly is gone at once, and so is one that releases', async (t) => {
    const w = await start(t, [{ hostname: 'a' }, { hostname: 'b' }]);
    await w.tell({ type: 'deleted', lease: lease({ hostname: 'a' }) });
    assert.equal(w.counts(), '1/1/0/0/0');
    await w.renew('b', { holder: '' });
    assert.equal(w.counts(), '0/0/0/0/1');
    assert.deepEqual(events(w, 'gone'), [{ type: 'gone', instance: { hostname: 'a', name: 'a', state: 'live' } }]);
  });

  test('a release is one though nothing but the holder changed', async (t) => {
    const w = await start(t, [{ hostname: 'a' }]);
    await w.tell({ type: 'modified', lease: lease({ hostname: 'a', holder: '' }) });
    assert.equal(w.counts(), '0/0/0/0/1');
    await w.tell({ type: 'modified', lease: lease({ hostname: 'a', holder: 'again' }) });
    assert.equal(w.counts(), '1/1/0/0/0');
  });

  test('take-over never changes the count', async (t) => {
    const w = await start(t, [{ hostname: 'a' }, { hostname: 'b' }]);
    for (const holder of ['x', 'y', 'z']) {
      await w.clock.advance(1_000);
      await w.renew('a', { holder });
      assert.equal(w.counts(), '2/2/0/0/0');
    }
    assert.deepEqual(
      w.events.flatMap((e) => (e.type === 'lease' ? [`${e.change} ${e.lease.holder}`] : [])),
      ['modified x', 'modified y', 'modified z'],
    );
  });

  test('a lease of a hostname that is there already makes no second instance', async (t) => {
    const w = await start(t, [{ hostname: 'a' }]);
    await w.tell({ type: 'added', lease: lease({ hostname: 'a', name: 'apiserver-x' }) });
    assert.equal(w.counts(), '1/1/0/0/0');
    await w.tell({ type: 'deleted', lease: lease({ hostname: 'a' }) });
    assert.equal(w.counts(), '1/1/0/0/0');
    await w.tell({ type: 'added', lease: lease({ hostname: 'b' }) });
    assert.deepEqual(events(w, 'appeared').concat(events(w, 'gone')), [
      { type: 'appeared', instance: { hostname: 'b', name: 'b', state: 'live' } },
    ]);
  });

  test('a hostname label that changes moves the lease to another instance', async (t) => {
    const w = await start(t, [
      { hostname: 'a', name: 'x' },
      { hostname: 'b', name: 'y' },
    ]);
    await w.tell({ type: 'modified', lease: lease({ hostname: 'b', name: 'x' }) });
    assert.equal(w.counts(), '1/1/0/0/0');
    await w.tell({ type: 'modified', lease: lease({ hostname: 'c', name: 'x' }) });
    assert.equal(w.counts(), '2/2/0/0/0');
    assert.deepEqual(
      w.service.census()?.instances.map((i) => i.name),
      ['b', 'c'],
    );
  });

  test('an annotation written by somebody is no sign of life', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }]);
    await w.clock.advance(29_000);
    const { metadata, ...rest } = lease({ hostname: 'a', renewedAgoMs: 0, annotations: { note: 'x' } });
    await w.tell({ type: 'modified', lease: { ...rest, metadata: { ...metadata, resourceVersion: '2' } } });
    await w.clock.advance(2_200);
    assert.equal(w.counts(), '1/0/1/0/0');
  });

  test('a renewal alone is not reported to the observer', async (t) => {
    const w = await start(t, [{ hostname: 'a' }]);
    await w.clock.advance(10_000);
    await w.renew('a');
    assert.equal(w.events.length, 1);
  });
});

describe('when the API is not there', () => {
  test('states stand still, the answer ages, and past its age there is none; it is never 0', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0 },
      { hostname: 'b', renewedAgoMs: 60_000 },
    ]);
    await w.clock.advance(5_000);
    await w.tell({ type: 'fresh' });
    w.store.onOpen = undefined;
    await w.tell({ type: 'lost', error: gone() }, { type: 'lost', error: gone() });
    assert.equal(events(w, 'lost').length, 1);
    await w.clock.advance(30_000);
    const s = w.service.snapshot();
    assert.deepEqual([short(s), s.synced, s.freshnessMs, s.error?.code], ['2/1/1/0/0', false, 30_000, 'Unavailable']);
    await w.clock.advance(7_200_000);
    const old = w.service.snapshot();
    assert.ok(!old.known);
    assert.deepEqual([old.reason, old.last?.counts.instances, old.last?.ageMs], ['TooOld', 2, 7_230_000]);
    assert.equal(old.last?.asOf.toString(), at(5_000).toString());
    assert.equal(w.store.opened, 1);
  });

  test('back with a list: who renewed meanwhile is live, who did not is stale', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0 },
      { hostname: 'b', renewedAgoMs: 0 },
    ]);
    await w.tell({ type: 'lost', error: gone() });
    await w.clock.advance(120_000);
    w.leases.set('x', lease({ hostname: 'a', name: 'x', renewedAgoMs: -115_000 }));
    w.leases.delete(lease({ hostname: 'a' }).metadata.name);
    await w.tell(w.list());
    assert.equal(w.counts(), 'TooOld', 'nothing before what may wait behind the list was read');
    await w.clock.advance(100);
    assert.equal(w.counts(), '2/1/1/0/0');
    assert.deepEqual(events(w, 'synced'), [
      { type: 'synced', first: true },
      { type: 'synced', first: false },
    ]);
    assert.deepEqual([...events(w, 'appeared'), ...events(w, 'gone')], []);
  });

  test('a server that renewed once and died while nobody looked is not called live when it is found', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }]);
    await w.tell({ type: 'lost', error: gone() });
    await w.clock.advance(120_000);
    w.leases.set(lease().metadata.name, lease({ hostname: 'a', renewedAgoMs: -20_000 }));
    await w.tell(w.list());
    await w.clock.advance(100);
    assert.equal(w.counts(), '1/0/1/0/0');
  });

  test('back with what was missed, event by event: an answer again when it says that nothing is missing', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0 },
      { hostname: 'b', renewedAgoMs: 0 },
    ]);
    await w.tell({ type: 'lost', error: gone() });
    await w.clock.advance(60_000);
    await w.renew('a', { renewedAgoMs: -55_000 });
    assert.equal(w.counts(), 'TooOld');
    await w.tell({ type: 'fresh' });
    await w.clock.advance(100);
    assert.equal(w.counts(), '2/1/1/0/0');
  });

  test('a renewal that is reported late is as old as it is, whatever clock the publisher has', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0 },
      { hostname: 'b', renewedAgoMs: 0 },
    ]);
    await w.tell({ type: 'lost', error: gone() });
    await w.clock.advance(60_000);
    await w.renew('a', { renewedAgoMs: -10_000 });
    await w.tell({ type: 'fresh' });
    await w.clock.advance(200);
    assert.equal(w.counts(), '2/0/2/0/0');
    await w.renew('b');
    // Seen to be silent until 5 s ago: a change cannot be older, though its publisher says it is.
    await w.tell({ type: 'lost', error: gone() });
    await w.clock.advance(5_000);
    await w.renew('b', { renewedAgoMs: 7_000_000 });
    await w.tell({ type: 'fresh' });
    assert.equal(w.counts(), '2/1/1/0/0');
  });

  test('so is one that is reported just after the watch says that it goes on', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0 },
      { hostname: 'b', renewedAgoMs: 0 },
    ]);
    await w.tell({ type: 'lost', error: gone() });
    await w.clock.advance(60_000);
    await w.tell({ type: 'fresh' });
    await w.renew('a', { renewedAgoMs: -10_000 });
    await w.renew('b', { renewedAgoMs: -58_000 });
    await w.clock.advance(200);
    assert.equal(w.counts(), '2/1/1/0/0');
    // Later on a change is one of now again, whatever its publisher's clock says.
    await w.clock.advance(1_000);
    await w.renew('a', { renewedAgoMs: 50_000 });
    assert.equal(w.counts(), '2/2/0/0/0');
  });

  test('what a new list does not have is gone', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0 },
      { hostname: 'b', renewedAgoMs: 0 },
    ]);
    w.leases.delete(lease({ hostname: 'b' }).metadata.name);
    await w.tell(w.list());
    assert.equal(w.counts(), '1/1/0/0/0');
    assert.deepEqual(events(w, 'gone'), [{ type: 'gone', instance: { hostname: 'b', name: 'b', state: 'live' } }]);
  });

  test('silence that nothing proves is reported for no lease', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 20_000 }]);
    await w.clock.advance(5_000);
    w.leases.set(lease().metadata.name, lease({ hostname: 'a', renewedAgoMs: -5_000 }));
    await w.clock.advance(10_000);
    assert.equal(w.store.opened, 2);
    assert.deepEqual([w.counts(), events(w, 'changed')], ['1/1/0/0/0', []]);
  });

  test('a watch that goes on after a loss without a word on what is missing is replaced', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }]);
    await w.tell({ type: 'lost', error: gone() });
    await w.clock.advance(5_000);
    await w.renew('a');
    await w.clock.advance(1_000);
    assert.deepEqual([w.store.opened, w.store.open, w.service.snapshot().synced], [2, 1, true]);
  });

  test('a silently dead watch: freshness says so, and the census lists again', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }]);
    await w.clock.advance(14_999);
    assert.deepEqual([w.service.snapshot().freshnessMs, w.store.opened], [14_999, 1]);
    w.leases.set('b', lease({ hostname: 'b', name: 'b', renewedAgoMs: -14_000 }));
    await w.clock.advance(1);
    assert.equal(w.store.opened, 2);
    assert.deepEqual([w.counts(), w.service.snapshot().freshnessMs], ['2/2/0/0/0', 0]);
    assert.deepEqual(events(w, 'restarted'), [{ type: 'restarted', silentMs: 15_000 }]);
  });

  test('a watch that never tells its list is not replaced again and again', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }]);
    w.store.onOpen = undefined;
    await w.clock.advance(120_000);
    assert.equal(w.store.opened, 2);
    assert.equal(w.counts(), 'TooOld');
  });

  test('events keep the watch: a busy one is never replaced', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }]);
    for (let i = 0; i < 60; i++) {
      await w.clock.advance(10_000);
      await w.renew('a');
    }
    assert.deepEqual([w.store.opened, w.counts()], [1, '1/1/0/0/0']);
  });

  test('many dying close to each other beside one that lives: one watch, each stale in its time', async (t) => {
    const dying = Array.from({ length: 200 }, (_, i): Sketch => ({ hostname: `h${i}`, renewedAgoMs: 10_000 - i * 10 }));
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }, ...dying]);
    for (let i = 0; i < 60; i++) {
      await w.clock.advance(400);
      await w.renew('a');
      const s = w.service.snapshot();
      assert.ok(s.known);
      const overdue = Math.min(Math.max(Math.ceil((w.clock.monotonic() - 20_000) / 10), 0), 200);
      // At the latest 100 ms after the event that proves the silence; this one came just now, the last 400 ms ago.
      assert.ok(s.answer.counts.stale <= overdue && s.answer.counts.stale >= Math.min(overdue, 200) - 41);
    }
    await w.clock.advance(200);
    assert.deepEqual([w.counts(), w.store.opened], ['201/1/200/0/0', 1]);
  });

  test('a watch that is forbidden is reported and tried again until it is allowed', async (t) => {
    const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }], { quiet: true });
    w.store.tell(new LeaseStoreError('Forbidden', { message: 'no list' }));
    await settle();
    assert.deepEqual([w.counts(), w.service.snapshot().error?.code], ['NotSynced', 'Forbidden']);
    w.store.onOpen = () => [w.list()];
    await w.clock.advance(4_000);
    assert.deepEqual([w.counts(), w.store.opened], ['1/1/0/0/0', 2]);
  });

  test('a process that was stalled for a minute calls nobody stale whose renewals wait in its socket', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0 },
      { hostname: 'b', renewedAgoMs: 0 },
    ]);
    w.clock.jump(60_000);
    await w.renew('a');
    await w.renew('b');
    await w.clock.advance(500);
    assert.equal(w.counts(), '2/2/0/0/0');
    assert.deepEqual(events(w, 'changed'), []);
  });

  test('nor when a timer of before the stall fires between the first of them and the rest', async (t) => {
    const w = await start(t, [
      { hostname: 'a', renewedAgoMs: 0 },
      { hostname: 'b', renewedAgoMs: 0 },
    ]);
    w.clock.jump(60_000);
    await w.renew('a');
    await w.clock.advance(0);
    assert.equal(w.counts(), 'TooOld');
    await w.renew('b');
    await w.clock.advance(500);
    assert.equal(w.counts(), '2/2/0/0/0');
    assert.deepEqual(events(w, 'changed'), []);
    assert.equal(w.store.opened, 1);
  });
});

test('a list that was answered before a stall calls nobody stale whose renewal waits behind it', async (t) => {
  const w = await start(t, [{ hostname: 'a', renewedAgoMs: 0 }]);
  const old = w.list();
  w.clock.jump(60_000);
  await w.tell(old);
  await w.renew('a');
  await w.clock.advance(500);
  assert.deepEqual([w.counts(), events(w, 'changed')], ['1/1/0/0/0', []]);
});

test('run settles when asked, with no watch and no timer left', async (t) => {
  const w = await start(t, [{ hostname: 'a' }]);
  assert.ok(w.clock.pending > 0);
  await w.stop();
  assert.deepEqual([w.clock.pending, w.store.open], [0, 0]);
  // At a moment between two watches too.
  const x = await start(t, [], { quiet: true });
  x.store.tell(gone());
  await settle();
  await x.stop();
  assert.deepEqual([x.clock.pending, x.store.open], [0, 0]);
});

test('a whole census shows what the numbers say, with the moment and the clock', async (t) => {
  const w = await start(t, [
    { hostname: 'a', renewedAgoMs: 4_000 },
    { hostname: 'b', renewedAgoMs: 60_000 },
  ]);
  await w.clock.advance(1_000);
  await w.renew('a');
  await w.clock.advance(2_000);
  const made = w.service.census();
  assert.deepEqual(made?.counts, { instances: 2, live: 1, stale: 1, expired: 0, released: 0 });
  assert.deepEqual([made?.clock, made?.freshnessMs, made?.asOf?.toString()], ['observed', 2_000, at(1_000).toString()]);
  assert.deepEqual(made?.leases.map((l) => [l.hostname, l.state, l.renewedAgoMs]).sort(), [
    ['a', 'live', 0],
    ['b', 'stale', 61_000],
  ]);
});
