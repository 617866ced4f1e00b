/** Ready and Unknown by observed change: restarts, clocks, renewTimes that go back, losses, Nodes that come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { NodeMonitor } from '../../src/availability/node-monitor.ts';
import type { Availability } from '../../src/availability/decide.ts';
import type { AvailabilityEvent } from '../../src/availability/node-monitor.ts';
import { AVAILABILITY_ROWS } from '../../src/availability/availability-options.ts';
import { fillOptions, optionProblems } from '../../src/runtime/options.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import type { ReadyCondition } from '../../src/lease/node-source.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { storeError } from '../support/memory-api.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { FakeNodes, NAMESPACE } from '../heartbeat/world.ts';

interface World {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly nodes: FakeNodes;
  readonly events: AvailabilityEvent[];
  monitor: NodeMonitor;
  /** Writes the lease of a node with a renewTime, in seconds after the clock's beginning; default the wall clock's. */
  renew(name: string, seconds?: number): void;
  /** Moves time on; the nodes named renew every 10 s meanwhile. */
  pass(ms: number, ...alive: string[]): Promise<void>;
  status(name?: string): string | undefined;
  restart(): Promise<void>;
}

async function world(t: TestContext, names: readonly string[], leases: readonly string[] = names): Promise<World> {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const nodes = new FakeNodes(...names);
  const events: AvailabilityEvent[] = [];
  let stop = new AbortController();
  let running: Promise<void> | undefined;
  const start = async (): Promise<NodeMonitor> => {
    stop.abort();
    await running;
    stop = new AbortController();
    const monitor = new NodeMonitor({
      store,
      nodes,
      clock,
      random: () => 0.5,
      observe: (event) => events.push(event),
    });
    running = monitor.run(stop.signal);
    await settle();
    return monitor;
  };
  t.after(async () => {
    stop.abort();
    await running;
    assert.equal(clock.pending, 0, 'no timer is left');
  });
  const w: World = {
    clock,
    store,
    nodes,
    events,
    monitor: undefined as never,
    renew(name, seconds) {
      const micros = seconds === undefined ? clock.wallMicros() : (Date.UTC(2026, 0, 1) + seconds * 1000) * 1000;
      const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: MicroTime.fromEpochMicros(micros) };
      store.put({ name, namespace: NAMESPACE, spec });
    },
    async pass(ms, ...alive) {
      for (let left = ms; left > 0; left -= 10_000) {
        await clock.advance(Math.min(left, 10_000));
        for (const name of alive) w.renew(name);
        await settle();
      }
    },
    status: (name = 'a') => w.monitor.snapshot().nodes.find((node) => node.name === name)?.status,
    restart: async () => void (w.monitor = await start()),
  };
  for (const name of leases) w.renew(name);
  await w.restart();
  return w;
}

test('Pending until seen to be renewed, Ready then, Unknown 50 s after the last renewal that was seen', async (t) => {
  const w = await world(t, ['a', 'b']);
  assert.deepEqual([w.status('a'), w.status('b')], ['Pending', 'Pending']);
  await w.pass(10_000, 'a', 'b');
  assert.deepEqual(w.monitor.snapshot().counts, { Ready: 2, NotReady: 0, Unknown: 0, Pending: 0 });
  await w.pass(50_000, 'b');
  assert.deepEqual([w.status('a'), w.status('b')], ['Ready', 'Ready'], '50 s after it is still Ready');
  await w.pass(2_000);
  assert.deepEqual([w.status('a'), w.status('b')], ['Unknown', 'Ready']);
  const changes = w.events.flatMap((e) =>
    e.type === 'changed' && e.node.name === 'a' ? [[e.from, e.node.status]] : [],
  );
  assert.deepEqual(changes.slice(-2), [
    ['Pending', 'Ready'],
    ['Ready', 'Unknown'],
  ]);
  w.renew('a');
  await settle();
  assert.equal(w.status('a'), 'Ready', 'and Ready again with the next renewal');
});

test('a monitor that starts again knows nothing: no node is Ready, or Unknown, by its published time', async (t) => {
  const w = await world(t, ['a', 'b', 'ahead'], ['a', 'b']);
  w.renew('a', -86_400);
  w.renew('ahead', 86_400);
  await w.restart();
  assert.deepEqual(w.monitor.snapshot().counts, { Ready: 0, NotReady: 0, Unknown: 0, Pending: 3 });
  await w.pass(40_000, 'b');
  assert.deepEqual([w.status('a'), w.status('b'), w.status('ahead')], ['Pending', 'Ready', 'Pending']);
  await w.pass(12_000, 'b');
  assert.deepEqual([w.status('a'), w.status('b'), w.status('ahead')], ['Unknown', 'Ready', 'Unknown']);
});

test('steps of our clock, and of theirs forward, change nothing', async (t) => {
  const w = await world(t, ['a']);
  await w.pass(10_000, 'a');
  w.clock.stepWall(86_400_000);
  await w.pass(30_000, 'a');
  assert.equal(w.status(), 'Ready');
  await w.pass(30_000);
  w.clock.stepWall(-2 * 86_400_000);
  await w.pass(10_000);
  assert.equal(w.status(), 'Ready');
  await w.pass(15_000);
  assert.equal(w.status(), 'Unknown');
});

test('a renewTime that goes back is no sign of life, until it is past the latest ever seen', async (t) => {
  const w = await world(t, ['a']);
  await w.pass(10_000, 'a');
  for (const seconds of [5, 6, 7, 8, 9]) {
    await w.pass(10_000);
    w.renew('a', seconds);
  }
  await w.pass(2_000);
  assert.equal(w.status(), 'Unknown', 'written every 10 s, but never grown');
  w.renew('a', 10.000_001);
  await settle();
  assert.equal(w.status(), 'Ready');
});

test('a write that renews nothing is no sign of life; neither duration nor holder is read', async (t) => {
  const w = await world(t, ['a']);
  await w.pass(10_000, 'a');
  for (let i = 0; i < 6; i++) {
    await w.pass(10_000);
    w.store.edit({ namespace: NAMESPACE, name: 'a' }, () => ({
      spec: { leaseDurationSeconds: 3_600 + i, holderIdentity: `other-${i}` },
    }));
  }
  assert.equal(w.status(), 'Unknown');
});

test('a node without a lease is Unknown after the grace period, and Ready as soon as it makes one', async (t) => {
  const w = await world(t, ['a'], []);
  await w.pass(40_000);
  assert.equal(w.status(), 'Pending');
  await w.pass(12_000);
  assert.equal(w.status(), 'Unknown');
  assert.equal(w.monitor.snapshot().nodes[0]?.hasLease, false);
  w.renew('a');
  await settle();
  assert.equal(w.status(), 'Ready');
});

test('a lease that is deleted is missed only after the grace period; an older one in its place is no renewal', async (t) => {
  const w = await world(t, ['a']);
  await w.pass(10_000, 'a');
  w.store.remove({ namespace: NAMESPACE, name: 'a' });
  await w.pass(20_000);
  assert.equal(w.status(), 'Ready');
  w.renew('a', 1);
  await w.pass(32_000);
  assert.equal(w.status(), 'Unknown');
});

test('a Node that is deleted goes, a recreated one begins again, leases without a Node are none', async (t) => {
  const w = await world(t, ['a'], ['a', 'orphan']);
  await w.pass(10_000, 'a');
  w.nodes.remove('a');
  await settle();
  assert.deepEqual(w.monitor.snapshot().nodes, []);
  w.nodes.add('a');
  await settle();
  assert.equal(w.status(), 'Pending');
  await w.pass(10_000, 'a');
  assert.equal(w.status(), 'Ready');
});

test('a Node recreated while the watch was away begins again, too', async (t) => {
  const w = await world(t, ['a']);
  await w.pass(10_000, 'a');
  w.nodes.quietly(() => w.nodes.add('a'));
  w.nodes.relist();
  await settle();
  assert.equal(w.status(), 'Pending');
});

test('while the API is lost no node becomes Unknown; who renewed meanwhile is reported afterwards', async (t) => {
  const w = await world(t, ['a', 'b']);
  await w.pass(10_000, 'a', 'b');
  w.store.watches.lose(storeError('Unavailable', 'gone'));
  await w.pass(300_000, 'b');
  assert.deepEqual([w.status('a'), w.status('b')], ['Ready', 'Ready']);
  assert.equal(w.monitor.snapshot().synced, false);
  w.store.watches.resume('relist');
  await w.clock.advance(1_500);
  assert.deepEqual([w.status('a'), w.status('b')], ['Unknown', 'Ready']);
  assert.equal(w.monitor.snapshot().synced, true);
});

test('a watch that died unnoticed is not taken for dead nodes', async (t) => {
  const w = await world(t, ['a', 'b']);
  await w.pass(10_000, 'a', 'b');
  const opened = w.store.count('watch');
  w.store.watches.silence();
  await w.pass(45_000, 'a', 'b');
  w.store.watches.resume('replay');
  w.store.watches.silence();
  await w.pass(60_000, 'b');
  assert.ok(w.store.count('watch') > opened, 'it is replaced');
  w.store.watches.resume('relist');
  await w.clock.advance(2_000);
  const unknown = w.events.filter((e) => e.type === 'changed' && e.node.name === 'b' && e.node.status === 'Unknown');
  assert.deepEqual([unknown, w.status('b')], [[], 'Ready']);
});

test('all nodes die: reported once, without asking for lists for ever', async (t) => {
  const w = await world(t, ['a', 'b']);
  await w.pass(10_000, 'a', 'b');
  await w.pass(60_000);
  assert.deepEqual(w.monitor.snapshot().counts, { Ready: 0, NotReady: 0, Unknown: 2, Pending: 0 });
  const opened = w.store.count('watch');
  await w.pass(600_000);
  assert.equal(w.store.count('watch'), opened);
});

test('a machine that was suspended does not call its nodes dead', async (t) => {
  const w = await world(t, ['a']);
  await w.pass(10_000, 'a');
  w.clock.jump(3_600_000);
  w.renew('a');
  await w.clock.advance(5_000);
  assert.equal(w.status(), 'Ready');
  assert.ok(!w.events.some((e) => e.type === 'changed' && e.node.status === 'Unknown'));
});

const unknowns = ({ events }: World): AvailabilityEvent[] =>
  events.filter((e) => e.type === 'changed' && e.node.status === 'Unknown');

test('a stalled process whose timer fires between two renewals that wait in its socket calls nobody dead', async (t) => {
  const w = await world(t, ['a', 'b']);
  await w.pass(10_000, 'a', 'b');
  w.clock.jump(60_000);
  w.renew('a');
  await w.clock.advance(0);
  w.renew('b');
  await w.clock.advance(5_000);
  assert.deepEqual(unknowns(w), []);
  await w.pass(55_000, 'a');
  assert.deepEqual([w.status('a'), w.status('b')], ['Ready', 'Unknown'], 'nor does it wait for ever');
});

test('a list that was answered before a stall says nothing of the time since', async (t) => {
  const w = await world(t, ['a']);
  await w.pass(10_000, 'a');
  w.store.watches.silence();
  w.clock.jump(60_000);
  w.store.watches.resume('relist');
  w.renew('a');
  await w.clock.advance(5_000);
  assert.deepEqual(unknowns(w), []);
});

test("the grace period is the controller manager's; every rule is reported", () => {
  assert.deepEqual(fillOptions(AVAILABILITY_ROWS, {}), {
    namespace: NAMESPACE,
    graceMs: 50_000,
    startupGraceMs: 60_000,
  });
  assert.deepEqual(
    optionProblems(AVAILABILITY_ROWS, { namespace: '', graceMs: 0, startupGraceMs: NaN }).map(({ field }) => field),
    ['namespace', 'graceMs', 'startupGraceMs'],
  );
});

test('known or not: before both were read, and once what is known is older than the grace period', async (t) => {
  const w = await world(t, ['a', 'b']);
  const state = (): unknown => {
    const { known, reason, synced } = w.monitor.status;
    return [known, reason, synced];
  };
  await w.pass(10_000, 'a', 'b');
  assert.deepEqual(state(), [true, undefined, true]);
  w.nodes.lose(storeError('Forbidden', 'no more nodes'));
  await settle();
  await w.pass(50_000, 'a', 'b');
  assert.deepEqual(state(), [true, undefined, false], 'within the grace period it is an answer, and says how old');
  await w.pass(1_000, 'a', 'b');
  assert.deepEqual(state(), [false, 'TooOld', false], 'leases alone prove nothing of Nodes that come and go');
  assert.equal(w.monitor.status.freshnessMs, 51_000);
  assert.equal(w.monitor.status.error?.code, 'Forbidden');
  w.nodes.relist();
  await settle();
  assert.deepEqual(state(), [true, undefined, true]);
  const refused = new FakeNodes('a');
  refused.refusals.push(storeError('Forbidden', 'no'));
  const clock = new ManualClock();
  const parts = { store: new MemoryStore({ clock }), nodes: refused, clock, random: () => 0.5 };
  const never = new NodeMonitor(parts);
  const stop = new AbortController();
  const running = never.run(stop.signal);
  await settle();
  assert.deepEqual(
    [never.status.known, never.status.reason, never.status.freshnessMs],
    [false, 'NotSynced', undefined],
  );
  stop.abort();
  await running;
});

test('the grace period begins when leases are first read, however long only the Nodes were known', async (t) => {
  const w = await world(t, ['a', 'b'], ['a']);
  w.store.faults = ({ verb }) => (verb === 'watch' ? { fail: 'Unavailable' } : undefined);
  await w.restart();
  await w.pass(60_000, 'a');
  w.store.faults = undefined;
  await w.pass(5_000);
  assert.deepEqual([w.status('a'), w.status('b')], ['Pending', 'Pending']);
  await w.pass(20_000, 'a');
  assert.deepEqual([w.status('a'), w.status('b')], ['Ready', 'Pending']);
  await w.pass(30_000, 'a');
  assert.deepEqual([w.status('a'), w.status('b')], ['Ready', 'Unknown']);
});

test('the lease of the Node before, by a clock that was ahead, does not hide the renewals of a recreated Node', async (t) => {
  const w = await world(t, ['a'], []);
  w.renew('a', 86_400);
  await w.restart();
  w.nodes.remove('a');
  w.nodes.add('a');
  await settle();
  w.store.remove({ namespace: NAMESPACE, name: 'a' });
  await w.pass(20_000, 'a');
  assert.equal(w.status(), 'Ready');
});

test('nor does what that Node still wrote when the new one was known', async (t) => {
  const w = await world(t, ['a'], []);
  const ref = { namespace: NAMESPACE, name: 'a' };
  const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', ...w.nodes.nodes.get('a')! }];
  w.nodes.remove('a');
  w.nodes.add('a');
  await settle();
  for (const second of [86_400, 86_401]) {
    w.renew('a', second);
    w.store.edit(ref, (lease) => ({ ...lease, metadata: { ...lease.metadata, ownerReferences } }));
    await settle();
  }
  w.store.remove(ref);
  await w.pass(60_000, 'a');
  assert.equal(w.status(), 'Ready');
});

type Ready = ReadyCondition | undefined;
const at = (seconds: number): MicroTime => MicroTime.fromEpochMs(Date.UTC(2026, 0, 1) + seconds * 1000);
const posting = (status: ReadyCondition['status'], seconds = 0): Ready => ({ status, heartbeatTime: at(seconds) });

/**
 * As the node lifecycle controller judges, and kubectl shows it. `alive` renews its lease every 10 s; `posts` are statuses of the
 * kubelet, by the second at which they arrive.
 */
const VERDICTS: readonly {
  readonly name: string;
  readonly first: Ready;
  readonly alive?: boolean;
  readonly posts?: Readonly<Record<number, Ready>>;
  /** By the second of the look. */
  readonly says: Readonly<Record<number, Availability>>;
}[] = [
  { name: 'True, renewed', first: posting('True'), alive: true, says: { 0: 'Pending', 11: 'Ready', 120: 'Ready' } },
  { name: 'True, silent', first: posting('True'), says: { 49: 'Pending', 53: 'Unknown', 120: 'Unknown' } },
  {
    name: 'False stays so while the lease is renewed',
    first: posting('False'),
    alive: true,
    says: { 0: 'NotReady', 30: 'NotReady', 120: 'NotReady' },
  },
  { name: 'False, silent', first: posting('False'), says: { 0: 'NotReady', 49: 'NotReady', 53: 'Unknown' } },
  {
    name: 'Unknown stays so until its kubelet posts, whatever becomes of the lease',
    first: posting('Unknown'),
    alive: true,
    posts: { 80: posting('True', 80) },
    says: { 0: 'Unknown', 60: 'Unknown', 79: 'Unknown', 81: 'Ready', 120: 'Ready' },
  },
  {
    name: 'no status for 60 s, though the lease is renewed',
    first: undefined,
    alive: true,
    says: { 0: 'Pending', 59: 'Pending', 63: 'Unknown', 120: 'Unknown' },
  },
  {
    name: 'no status, nor a lease renewed, then the first post',
    first: undefined,
    posts: { 70: posting('False', 70), 75: posting('True', 75) },
    says: { 51: 'Pending', 63: 'Unknown', 71: 'NotReady', 76: 'Ready', 124: 'Ready', 130: 'Unknown' },
  },
  {
    name: 'a post within the first 60 s',
    first: undefined,
    posts: { 20: posting('True', 20) },
    says: { 19: 'Pending', 21: 'Ready', 69: 'Ready', 73: 'Unknown' },
  },
  {
    name: 'a heartbeat in the status is a sign of life, without any lease',
    first: posting('True'),
    posts: { 40: posting('True', 40), 80: posting('True', 80) },
    says: { 39: 'Pending', 41: 'Ready', 81: 'Ready', 129: 'Ready', 133: 'Unknown' },
  },
  {
    name: 'a condition that changes without a post of the kubelet is no sign of life',
    first: posting('True'),
    posts: { 20: posting('False'), 40: posting('True') },
    says: { 21: 'NotReady', 41: 'Pending', 53: 'Unknown' },
  },
  {
    name: 'a status that is taken away',
    first: posting('True'),
    alive: true,
    posts: { 20: undefined },
    says: { 19: 'Ready', 21: 'Pending', 79: 'Pending', 83: 'Unknown' },
  },
];
for (const { name, first, alive = false, posts = {}, says } of VERDICTS) {
  test(`verdict: ${name}`, async (t) => {
    const w = await world(t, []);
    w.nodes.add('a');
    w.nodes.touch('a', { ready: first });
    w.renew('a', -1000);
    await w.restart();
    const found: Record<number, string | undefined> = {};
    const last = Math.max(...Object.keys({ ...says, ...posts }).map(Number));
    for (let second = 0; second <= last; second++) {
      if (second > 0) await w.clock.advance(1_000);
      if (alive && second > 0 && second % 10 === 0) w.renew('a');
      if (second in posts) w.nodes.touch('a', { ready: posts[second] });
      await settle();
      if (second in says) found[second] = w.status();
    }
    assert.deepEqual(found, says);
  });
}

test('while Nodes cannot be read nobody becomes Unknown by silence: a kubelet may have posted', async (t) => {
  const w = await world(t, ['posts', 'dead'], []);
  w.nodes.touch('posts', { ready: posting('True', 1) });
  w.nodes.touch('dead', { ready: posting('True', 1) });
  await settle();
  w.nodes.lose();
  await w.pass(120_000);
  assert.deepEqual([w.status('posts'), w.status('dead')], ['Ready', 'Ready']);
  const opened = w.store.count('watch');
  await w.pass(60_000);
  assert.ok(w.store.count('watch') - opened <= 1, 'leases are not read again and again for it');
  w.nodes.quietly(() => w.nodes.touch('posts', { ready: posting('True', 180) }));
  w.nodes.relist();
  await w.pass(2_000);
  assert.deepEqual([w.status('posts'), w.status('dead')], ['Ready', 'Unknown']);
});
