/** Heartbeats on a clock moved by hand: the lease, its renewals, disturbances, outages, Nodes that come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HEARTBEAT_BETWEEN, HEARTBEAT_ROWS } from '../../src/heartbeat/heartbeat-options.ts';
import type { HeartbeatOptions } from '../../src/heartbeat/heartbeat-options.ts';
import { fillOptions, optionProblems } from '../../src/runtime/options.ts';
import { leaseToJson } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import type { CallOptions } from '../../src/lease/store.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { storeError } from '../support/memory-api.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { FakeNodes, NAMESPACE, fleet, many } from './world.ts';
import type { Fleet } from './world.ts';

const heartbeatOptions = (given: Partial<HeartbeatOptions> = {}) => fillOptions(HEARTBEAT_ROWS, given);
const heartbeatProblems = (options: HeartbeatOptions) => optionProblems(HEARTBEAT_ROWS, options, HEARTBEAT_BETWEEN);

const at = (name: string): { namespace: string; name: string } => ({ namespace: NAMESPACE, name });
const lease = ({ store }: Fleet, name = 'node-1'): Lease => {
  const found = store.peek(at(name));
  assert.ok(found, `a lease of ${name}`);
  return found;
};
const owner = (found: Lease): unknown => found.metadata.ownerReferences;
const nodeOwner = (name: string, uid: string): unknown => [{ apiVersion: 'v1', kind: 'Node', name, uid }];

/** Renewals that reached the store, by the moment. */
const writes = ({ store }: Fleet, name?: string): number[] =>
  store.history
    .filter(
      (commit) => commit.verb !== 'delete' && commit.by === 'store' && (name === undefined || commit.name === name),
    )
    .map((commit) => commit.at);

/** The most writes within any span of `ms`. */
function busiest(times: readonly number[], ms: number): number {
  let most = 0;
  for (let from = 0, to = 0; to < times.length; to++) {
    while ((times[to] as number) - (times[from] as number) >= ms) from++;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

test("the lease has kubelet's fields and no other", async () => {
  const f = await fleet();
  const { apiVersion, kind, metadata, spec } = leaseToJson(lease(f)) as Record<string, Record<string, unknown>>;
  const { uid, resourceVersion, creationTimestamp, ...ours } = metadata as Record<string, unknown>;
  assert.ok(uid && resourceVersion && creationTimestamp);
  assert.deepEqual(
    { apiVersion, kind, metadata: ours, spec },
    {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: {
        name: 'node-1',
        namespace: NAMESPACE,
        ownerReferences: nodeOwner('node-1', 'node-uid-1'),
      },
      spec: { holderIdentity: 'node-1', leaseDurationSeconds: 40, renewTime: '2026-01-01T00:00:00.000000Z' },
    },
  );
  await f.stop();
  assert.equal(f.clock.pending, 0);
});

test('one PUT an interval and nothing else, made from the last answer', async () => {
  const f = await fleet();
  await f.clock.advance(60_000);
  assert.deepEqual(writes(f), [0, 10_000, 20_000, 30_000, 40_000, 50_000, 60_000]);
  assert.deepEqual(
    f.store.journal.map(({ verb }) => verb),
    ['get', 'create', ...Array<string>(6).fill('update')],
  );
  assert.ok(f.store.journal.slice(1).every(({ outcome }) => outcome === 'ok'));
  await f.stop();
  await f.clock.advance(60_000);
  assert.equal(f.store.count(), 8, 'nothing after the end');
  assert.ok(f.store.peek(at('node-1')), 'the lease stays');
});

test('a lease from before is taken over with one PUT: its own labels stay, its old owner does not', async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  store.put({ name: 'node-1', namespace: NAMESPACE, labels: { a: 'b' }, spec: { holderIdentity: 'node-1' } });
  store.edit(at('node-1'), (l) => ({
    ...l,
    metadata: {
      ...l.metadata,
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'of-the-node-before' },
        { apiVersion: 'x/v1', kind: 'Machine', name: 'm', uid: 'u' },
      ],
    },
  }));
  const before = store.peek(at('node-1'))?.metadata.uid;
  const f = await fleet({ clock, store });
  const found = lease(f);
  assert.deepEqual([found.metadata.uid, found.metadata.labels], [before, { a: 'b' }]);
  assert.deepEqual(owner(found), [
    { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'node-uid-1' },
    { apiVersion: 'x/v1', kind: 'Machine', name: 'm', uid: 'u' },
  ]);
  assert.deepEqual(
    f.of('claimed').map(({ how }) => how),
    ['takenOver'],
  );
  await f.stop();
});

test('a lease whose only owner is the Node before is given its new owner', async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  store.put({ name: 'node-1', namespace: NAMESPACE, spec: { holderIdentity: 'node-1' } });
  const stale = { apiVersion: 'v1', kind: 'Node', name: 'node-1', uid: 'of-the-node-before' };
  store.edit(at('node-1'), (l) => ({ ...l, metadata: { ...l.metadata, ownerReferences: [stale] } }));
  const f = await fleet({ clock, store });
  assert.deepEqual(owner(lease(f)), nodeOwner('node-1', 'node-uid-1'));
  await f.stop();
});

test('its calls are urgent: nothing else that the process asks for holds them up', async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const asked: (boolean | undefined)[] = [];
  for (const method of ['get', 'create', 'update'] as const) {
    const inner = store[method].bind(store) as (...args: unknown[]) => Promise<never>;
    Object.assign(store, {
      [method]: (...args: unknown[]) => {
        asked.push((args.at(-1) as CallOptions).urgent);
        return inner(...args);
      },
    });
  }
  const f = await fleet({ clock, store });
  await clock.advance(20_000);
  await f.stop();
  assert.deepEqual(asked, [true, true, true, true]);
});

test('a conflict is mended within the same renewal', async () => {
  const f = await fleet();
  await f.clock.advance(5_000);
  f.store.edit(at('node-1'), (l) => ({ ...l, metadata: { ...l.metadata, labels: { seen: 'yes' } } }));
  await f.clock.advance(5_000);
  assert.deepEqual(
    f.store.journal.slice(2).map(({ verb, at: when }) => [verb, when]),
    [
      ['update', 10_000],
      ['get', 10_000],
      ['update', 10_000],
    ],
  );
  assert.equal(lease(f).metadata.labels['seen'], 'yes');
  assert.deepEqual([f.of('disturbed').length, f.of('failed').length], [0, 0], 'a label is no other writer');
  await f.stop();
});

test('a deleted lease is made again within the same renewal', async () => {
  const f = await fleet();
  f.store.remove(at('node-1'));
  await f.clock.advance(10_000);
  assert.deepEqual(owner(lease(f)), nodeOwner('node-1', 'node-uid-1'));
  assert.deepEqual(
    f.of('claimed').map(({ how }) => how),
    ['created', 'recreated'],
  );
  await f.stop();
});

test('another holder, or another writer of our name, is reported and overwritten', async () => {
  const f = await fleet();
  const renewTime = MicroTime.fromEpochMs(Date.UTC(2026, 0, 1) + 9_000);
  f.store.edit(at('node-1'), () => ({ spec: { holderIdentity: 'impostor', renewTime } }));
  await f.clock.advance(10_000);
  f.store.edit(at('node-1'), () => ({ spec: { renewTime: MicroTime.fromEpochMs(Date.UTC(2026, 0, 1) + 19_000) } }));
  await f.clock.advance(10_000);
  assert.deepEqual(
    f.of('disturbed').map(({ by }) => by),
    [{ kind: 'otherHolder', holder: 'impostor' }, { kind: 'secondWriter' }],
  );
  assert.equal(lease(f).spec.holderIdentity, 'node-1');
  await f.stop();
});

test('a lost answer is neither another writer nor a late renewal', async () => {
  const f = await fleet();
  f.store.next('update', { lose: 'Unavailable' });
  await f.clock.advance(20_000);
  assert.equal(f.of('disturbed').length, 0);
  assert.equal(f.of('failed').length, 1);
  const [renewal] = f.of('renewed');
  assert.ok(renewal && renewal.lateMs < 500, 'tried again after a short wait');
  await f.stop();
});

test('a write that something on the way sends twice is not another writer', async () => {
  const f = await fleet();
  await f.clock.advance(5_000);
  for (const answer of ['first', 'last'] as const) {
    f.store.next('update', { repeat: { afterMs: 5, answer } });
    await f.clock.advance(30_000);
    assert.deepEqual(f.of('disturbed'), []);
  }
  f.store.edit(at('node-1'), ({ spec }) => ({
    spec: { ...spec, renewTime: MicroTime.fromEpochMicros((spec.renewTime as MicroTime).epochMicros + 5_000_000) },
  }));
  await f.clock.advance(10_000);
  assert.deepEqual(
    f.of('disturbed').map(({ by }) => by.kind),
    ['secondWriter'],
  );
  await f.stop();
});

test('answers that are lost in a row are not another writer', async () => {
  const names = many(20);
  const f = await fleet({ names });
  await f.clock.advance(15_000);
  let lost = 0;
  f.store.faults = ({ verb }) => (verb === 'update' && lost++ < 60 ? { lose: 'Unavailable' } : undefined);
  await f.clock.advance(60_000);
  assert.ok(lost > 60, `${lost}`);
  assert.deepEqual(f.of('disturbed'), []);
  f.store.edit(at('node-00000'), ({ spec }) => ({
    spec: { ...spec, renewTime: MicroTime.fromEpochMicros((spec.renewTime as MicroTime).epochMicros + 5_000_000) },
  }));
  await f.clock.advance(10_000);
  assert.deepEqual(
    f.of('disturbed').map(({ by }) => by.kind),
    ['secondWriter'],
    'and another writer is still distinguished from them',
  );
  await f.stop();
});

test('renewTime grows even while the clock is set back, and whatever was there', async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const future = MicroTime.fromEpochMs(Date.UTC(2030, 0, 1));
  store.put({ name: 'node-2', namespace: NAMESPACE, spec: { renewTime: future } });
  const f = await fleet({ clock, store, names: ['node-1', 'node-2'] });
  clock.stepWall(-3_600_000);
  await clock.advance(30_000);
  clock.stepWall(7_200_000);
  await clock.advance(10_000);
  for (const name of ['node-1', 'node-2']) {
    const times = store.history.filter((c) => c.name === name).map((c) => c.lease.spec.renewTime as MicroTime);
    assert.ok(times.length >= 5);
    for (let i = 1; i < times.length; i++) assert.ok((times[i] as MicroTime).compare(times[i - 1] as MicroTime) > 0);
  }
  const last = lease(f).spec.renewTime as MicroTime;
  assert.ok(last.epochMs >= Date.UTC(2026, 0, 1) + 3_600_000, 'and follows the clock again once that is ahead');
  await f.stop();
});

test('a deleted Node: no renewal any more, and its lease is left alone', async () => {
  const f = await fleet({ names: ['node-1', 'node-2'] });
  await f.clock.advance(20_000);
  f.nodes.remove('node-1');
  await settle();
  const before = writes(f, 'node-1').length;
  await f.clock.advance(40_000);
  assert.equal(writes(f, 'node-1').length, before);
  assert.ok(f.store.peek(at('node-1')));
  assert.ok(writes(f, 'node-2').at(-1)! > 50_000);
  assert.deepEqual([f.heartbeat.status.nodes, f.of('nodeGone').length], [1, 1]);
  await f.stop();
});

test('a recreated Node: its new uid is in the lease at once', async () => {
  const f = await fleet();
  await f.clock.advance(12_000);
  const { uid } = lease(f).metadata;
  f.nodes.remove('node-1');
  const { uid: next } = f.nodes.add('node-1');
  await settle();
  assert.deepEqual(owner(lease(f)), nodeOwner('node-1', next));
  assert.equal(lease(f).metadata.uid, uid);
  await f.stop();
});

test('a Node renamed, which is another Node: its lease is made at once, the old one is left to the collector', async () => {
  const f = await fleet({ names: ['old', 'other'] });
  await f.clock.advance(12_000);
  const before = lease(f, 'old');
  f.nodes.remove('old');
  const { uid } = f.nodes.add('new');
  await settle();
  assert.deepEqual(owner(lease(f, 'new')), nodeOwner('new', uid));
  assert.equal(lease(f, 'new').spec.holderIdentity, 'new');
  await f.clock.advance(40_000);
  assert.deepEqual(lease(f, 'old'), before, 'neither renewed nor deleted');
  assert.ok(writes(f, 'new').length >= 4);
  assert.deepEqual([f.heartbeat.status.nodes, f.heartbeat.status.held], [2, 2]);
  await f.stop();
});

test('a recreated Node, while the watch was away, and while a renewal was under way', async () => {
  const f = await fleet();
  f.store.next('update', { answerDelayMs: 3_000 });
  await f.clock.advance(11_000);
  assert.equal(f.heartbeat.status.inFlight, 1);
  f.nodes.quietly(() => {
    f.nodes.remove('node-1');
    f.nodes.add('node-1');
  });
  f.nodes.relist();
  await settle();
  assert.deepEqual(f.of('nodeRecreated').length, 1);
  await f.clock.advance(2_100);
  assert.deepEqual(owner(lease(f)), nodeOwner('node-1', 'node-uid-2'), 'as soon as that one has ended');
  await f.stop();
});

test('the collector deletes the lease of the old Node just when the new one is claimed', async () => {
  const f = await fleet();
  f.nodes.remove('node-1');
  f.store.remove(at('node-1'));
  f.nodes.add('node-1');
  await settle();
  assert.deepEqual(owner(lease(f)), nodeOwner('node-1', 'node-uid-2'));
  await f.stop();
});

test('without the Node no lease; when it comes, at once', async () => {
  const f = await fleet({ nodes: new FakeNodes() });
  await f.clock.advance(30_000);
  assert.equal(f.store.count(), 0);
  f.nodes.add('node-1');
  await settle();
  assert.ok(lease(f));
  await f.stop();
});

test('Nodes that may not be listed: reported, tried again; those known are renewed meanwhile', async () => {
  const nodes = new FakeNodes('node-1');
  nodes.refusals.push(storeError('Forbidden'), storeError('Forbidden'));
  const f = await fleet({ nodes });
  assert.deepEqual(
    f.of('nodesLost').map(({ error, known }) => [error.code, known]),
    [['Forbidden', 0]],
  );
  await f.clock.advance(5_000);
  assert.ok(lease(f));
  f.nodes.lose();
  f.nodes.lose();
  await f.clock.advance(30_000);
  assert.ok(writes(f).at(-1)! > 25_000);
  assert.deepEqual(
    f.of('nodesLost').map(({ known }) => known),
    [0, 1],
    'once each time it begins',
  );
  assert.equal(f.heartbeat.status.nodesSynced, false);
  await f.stop();
});

test('many nodes lie evenly over the interval, whatever their number', async () => {
  for (const n of [3, 10, 100, 777, 3_000]) {
    const f = await fleet({ names: many(n) });
    await f.clock.advance(10_000);
    assert.equal(f.heartbeat.status.held, n, 'all have their lease within the first interval');
    const from = f.clock.monotonic();
    await f.clock.advance(20_000);
    const times = writes(f).filter((when) => when > from && when <= from + 10_000);
    assert.equal(times.length, n, `each of ${n} once`);
    // A tenth of the interval has a tenth of the nodes.
    assert.ok(busiest(times, 1_000) <= Math.ceil(n / 8) + 1, `${n}: ${busiest(times, 1_000)} in a second`);
    assert.deepEqual(
      f.of('renewed').filter(({ lateMs }) => lateMs > 100),
      [],
      `none of ${n} late`,
    );
    await f.stop();
  }
});

test('the API is gone for 30 s: no burst afterwards, and the spread is back at once', async () => {
  const n = 1_000;
  const f = await fleet({ names: many(n), options: { requestTimeoutMs: 2_000 } });
  await f.clock.advance(30_000);
  for (const fault of [{ fail: 'Unavailable' as const }, { hang: true }]) {
    const asked = f.store.journal.length;
    f.store.faults = () => fault;
    await f.clock.advance(30_000);
    const during = f.store.journal.slice(asked).map((call) => call.at);
    assert.ok(busiest(during, 1_000) <= 3 * (n / 10), `during: ${busiest(during, 1_000)} requests in a second`);
    f.store.faults = undefined;
    const back = f.clock.monotonic();
    await f.clock.advance(20_000);
    const after = f.store.journal.filter((call) => call.at > back).map((call) => call.at);
    assert.ok(busiest(after, 100) <= 60, `${busiest(after, 100)} requests within 100 ms`);
    assert.ok(busiest(after, 1_000) <= 3 * (n / 10), `${busiest(after, 1_000)} requests in a second`);
    const healed = new Set(f.store.history.filter((c) => c.at > back && c.at <= back + 10_000).map((c) => c.name));
    assert.equal(healed.size, n, 'all renewed within one interval');
    const spread = writes(f).filter((when) => when > back + 10_000);
    assert.equal(spread.length, n);
    assert.ok(busiest(spread, 1_000) <= n / 8, `${busiest(spread, 1_000)} in a second of the second interval`);
    await f.clock.advance(10_000);
  }
  assert.equal(f.heartbeat.status.failing, 0);
  await f.stop();
  assert.equal(f.clock.pending, 0);
});

test('the process stood still for a minute: no burst afterwards', async () => {
  const n = 500;
  const f = await fleet({ names: many(n) });
  await f.clock.advance(20_000);
  f.clock.jump(60_000);
  const woke = f.clock.monotonic();
  await f.clock.advance(10_000);
  const after = writes(f).filter((when) => when >= woke);
  assert.ok(busiest(after, 1_000) <= 3 * (n / 10), `${busiest(after, 1_000)} in a second`);
  assert.equal(new Set(f.store.history.filter((c) => c.at >= woke).map((c) => c.name)).size, n);
  assert.ok(f.of('behind').length >= 1 && f.of('caughtUp').length >= 1);
  await f.stop();
});

test('never more requests under way than allowed; a slow API is reported as a backlog', async () => {
  let under = 0;
  let most = 0;
  const f = await fleet({ names: many(200), options: { concurrency: 8 } });
  await f.clock.advance(20_000);
  const watch = (): void => {
    under = f.heartbeat.status.inFlight;
    most = Math.max(most, under);
  };
  f.store.faults = () => {
    watch();
    return { answerDelayMs: 1_000 };
  };
  await f.clock.advance(15_000);
  assert.equal(most, 8);
  assert.ok(f.heartbeat.status.backlog > 50);
  assert.equal(f.of('behind').length, 1, 'reported once');
  f.store.faults = undefined;
  await f.clock.advance(20_000);
  assert.deepEqual([f.heartbeat.status.backlog, f.of('caughtUp').length], [0, 1]);
  await f.stop();
});

test('waits of a failing node grow up to the interval, and Retry-After counts', async () => {
  const f = await fleet({ options: { renewIntervalMs: 10_000 } });
  f.store.faults = (call) => (call.verb === 'update' ? { fail: 'ServerError' } : undefined);
  await f.clock.advance(60_000);
  const waits = f.of('failed').map(({ retryInMs }) => retryInMs);
  assert.deepEqual(waits.slice(0, 4), [150, 300, 600, 1_200]);
  assert.ok(waits.every((wait) => wait <= 10_000) && waits.length < 20, `${waits.length} attempts in a minute`);
  f.store.faults = undefined;
  await f.clock.advance(10_000);
  assert.equal(f.of('recovered').length, 1);
  f.store.next('update', { fail: storeError('TooManyRequests', 'slow down', { retryAfterMs: 4_000 }) });
  await f.clock.advance(10_000);
  assert.equal(f.of('failed').at(-1)?.retryInMs, 4_000);
  await f.stop();
});

test('stopping waits for what is under way, and gives it up in time', async () => {
  const f = await fleet();
  f.store.next('update', { answerDelayMs: 300 });
  await f.clock.advance(10_000);
  const stopped = f.stop();
  await f.clock.advance(300);
  await stopped;
  assert.equal(f.clock.pending, 0);

  const hung = await fleet();
  hung.store.next('update', { hang: true });
  await hung.clock.advance(9_000);
  await hung.clock.advance(1_000);
  const ended = hung.stop();
  await hung.clock.advance(5_000);
  await ended;
  assert.equal(hung.clock.pending, 0);
});

test('an observer that throws keeps nobody from being renewed', async (t) => {
  t.mock.method(process, 'emitWarning', () => undefined);
  const f = await fleet({ nodes: new FakeNodes() });
  f.events.push = () => {
    throw new TypeError('bug');
  };
  f.nodes.add('node-1');
  await f.clock.advance(20_000);
  assert.deepEqual(writes(f), [0, 10_000, 20_000]);
  await f.stop();
});

test("defaults are kubelet's; every rule is reported", () => {
  assert.deepEqual(heartbeatProblems(heartbeatOptions()), []);
  assert.deepEqual(heartbeatOptions(), {
    namespace: NAMESPACE,
    leaseDurationSeconds: 40,
    renewIntervalMs: 10_000,
    requestTimeoutMs: 5_000,
    concurrency: 64,
  });
  const fields = (given: Parameters<typeof heartbeatOptions>[0]): string[] =>
    heartbeatProblems(heartbeatOptions(given)).map(({ field }) => field);
  assert.deepEqual(fields({ namespace: 'Not a name' }), ['namespace']);
  assert.deepEqual(fields({ leaseDurationSeconds: 1.5 }), ['leaseDurationSeconds']);
  assert.deepEqual(fields({ renewIntervalMs: 40_000 }), ['renewIntervalMs']);
  assert.deepEqual(fields({ requestTimeoutMs: 10_000 }), ['requestTimeoutMs']);
  assert.deepEqual(fields({ concurrency: 0 }), ['concurrency']);
});

test('another interval while running: taken at once, evenly, and never too late for the old or the new one', async () => {
  const n = 200;
  const f = await fleet({ names: many(n) });
  await f.clock.advance(25_000);
  const longest = (since: number): number => {
    const last = new Map<string, number>();
    let most = 0;
    for (const { name, at: when } of f.store.history) {
      if (when >= since) most = Math.max(most, when - (last.get(name) ?? when));
      last.set(name, when);
    }
    return most;
  };
  let changed = f.clock.monotonic();
  f.heartbeat.update(heartbeatOptions({ renewIntervalMs: 2_000, leaseDurationSeconds: 8 }));
  await f.clock.advance(20_000);
  const fast = writes(f).filter((when) => when > changed + 10_000);
  assert.ok(Math.abs(fast.length - n * 5) <= 2, `${fast.length} renewals in five intervals`);
  assert.ok(busiest(fast, 500) <= n / 3, `${busiest(fast, 500)} in a quarter of an interval`);
  assert.ok(longest(changed) <= 10_100, 'while it changed');
  assert.ok(longest(changed + 10_000) <= 2_100, 'and afterwards');
  assert.equal((await f.store.get(at('node-00007'), {})).spec.leaseDurationSeconds, 8);
  assert.ok(longest(changed) > 2_100, 'gaps are measured');

  changed = f.clock.monotonic();
  const due = new Map(f.store.history.map(({ name, at: when }) => [name, when + 2_000]));
  f.heartbeat.update(heartbeatOptions({ renewIntervalMs: 30_000, namespace: 'elsewhere' }));
  await f.clock.advance(60_000);
  for (const { name, at: when } of f.store.history.toReversed()) if (when > changed) due.set(`${name} next`, when);
  for (const name of many(n)) {
    const late = (due.get(`${name} next`) as number) - (due.get(name) as number);
    assert.ok(late <= 200, `${name}: the lease of 8 s is renewed ${late} ms after its turn`);
  }
  assert.ok(longest(changed) <= 30_200, 'longer again');
  assert.equal(f.heartbeat.options.namespace, NAMESPACE, 'that needs a restart');
  assert.ok(Math.abs(writes(f).filter((when) => when > changed + 30_000).length - n) <= 2);
  await f.stop();
});

test('a longer interval lets no lease run out that says the shorter duration, however many there are', async () => {
  const n = 1_000;
  const f = await fleet({ names: many(n), options: { renewIntervalMs: 2_000, leaseDurationSeconds: 8 } });
  await f.clock.advance(5_000);
  const changed = f.clock.monotonic();
  f.heartbeat.update(heartbeatOptions({ renewIntervalMs: 60_000, leaseDurationSeconds: 240 }));
  await f.clock.advance(6_000);
  const renewed = new Set(f.store.history.filter(({ at: when }) => when > changed).map(({ name }) => name));
  assert.equal(renewed.size, n);
  for (const name of many(n)) assert.equal((await f.store.get(at(name), {})).spec.leaseDurationSeconds, 240);
  await f.stop();
});

test('a lease that was found but cannot be written is not reported as held', async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const first = await fleet({ store, clock });
  await first.stop();
  store.faults = ({ verb }) => (verb === 'update' ? { fail: 'Forbidden' } : undefined);
  const f = await fleet({ store, clock });
  await f.clock.advance(10_000);
  assert.deepEqual([f.heartbeat.status.failing, f.heartbeat.status.held], [1, 0]);
  store.faults = undefined;
  await f.clock.advance(10_000);
  assert.deepEqual([f.heartbeat.status.failing, f.heartbeat.status.held], [0, 1]);
  await f.stop();
});

test('status tells how long the longest waiting node has been due, and when a write last succeeded', async () => {
  const f = await fleet({ names: many(10) });
  await f.clock.advance(20_000);
  assert.equal(f.heartbeat.status.overdueMs, 0);
  const written = f.heartbeat.status.writtenAt as number;
  assert.ok(f.clock.monotonic() - written <= 1_000);
  f.store.faults = () => ({ fail: 'Unavailable' });
  await f.clock.advance(30_000);
  const { overdueMs, failing, writtenAt } = f.heartbeat.status;
  assert.ok(overdueMs > 25_000 && overdueMs <= 30_000, `${overdueMs}`);
  assert.equal(failing, 10);
  assert.ok((writtenAt as number) - written < 1_000, 'none since');
  f.store.faults = undefined;
  await f.clock.advance(10_000);
  assert.deepEqual([f.heartbeat.status.overdueMs, f.heartbeat.status.failing], [0, 0]);
  await f.stop();
});
