/** Members: who is live, what changes, and that clocks need not agree. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Lease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import type { LeaseStore } from '../../src/lease/store.ts';
import { Members } from '../../src/recipes/members.ts';
import type { MembersOptions } from '../../src/recipes/members.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { settle } from '../../src/runtime/manual-clock.ts';
import { Cluster, REF } from './support.ts';

const RING = { namespace: REF.namespace, name: 'chat' };
const MEMBER_MS = 15_000;

/** A member whose wall clock is so far from the others'. */
function start(cluster: Cluster, id: string, aheadMs = 0, seen: (lease: Lease) => void = () => {}) {
  const { store, clock, random, newId } = cluster.process(id);
  const own: Clock = {
    monotonic: () => clock.monotonic(),
    wallMicros: () => clock.wallMicros() + aheadMs * 1000,
    schedule: (ms, callback) => clock.schedule(ms, callback),
  };
  const telling: LeaseStore = {
    get: (ref, options) => store.get(ref, options),
    list: (query, options) => store.list(query, options),
    watch: (query, signal) => store.watch(query, signal),
    delete: (ref, preconditions, options) => store.delete(ref, preconditions, options),
    create: (lease, options) => store.create(lease, options),
    async update(lease, options) {
      const answer = await store.update(lease, options);
      seen(answer);
      return answer;
    },
  };
  const members = new Members({ store: telling, clock: own, random, ring: RING, id, uuid: newId(), payload: { id } });
  const stop = new AbortController();
  const running = members.run(stop.signal);
  running.catch(() => {});
  return { members, stop, running, store, names: () => members.live.map(({ payload }) => payload?.['id']) };
}

test('three with clocks ten minutes apart agree who lives, within a second of when they may know', async () => {
  const cluster = new Cluster();
  const [a, b, c] = [start(cluster, 'a', -600_000), start(cluster, 'b'), start(cluster, 'c', 600_000)];
  await cluster.clock.advance(1_000);
  for (const member of [a, b, c]) assert.deepEqual(member.names(), ['a', 'b', 'c']);
  // One is cut off: the others miss it alike, once it has been silent for its duration.
  c.store.faults = () => ({ hang: true });
  c.store.watches.silence();
  await cluster.clock.advance(MEMBER_MS + 1_000);
  assert.deepEqual(
    [a.names(), b.names()],
    [
      ['a', 'b'],
      ['a', 'b'],
    ],
  );
  a.stop.abort();
  await cluster.until(a.running);
  await settle();
  assert.deepEqual(b.names(), ['b']);
});

test('who counts by published times, as konnectivity does, counts ours: at every moment, with its clock up to ten seconds ahead', async () => {
  const cluster = new Cluster();
  const running = ['a', 'b', 'c'].map((id) => start(cluster, id));
  await cluster.clock.advance(1_000);
  const { store } = cluster.process('counter');
  for (let second = 0; second < 120; second++) {
    await cluster.clock.advance(1_000);
    const { leases } = await store.list({ namespace: RING.namespace, labelSelector: 'leasekeeper.dev/ring=chat' });
    for (const aheadMs of [0, 5_000, 9_000]) {
      const now = MicroTime.fromEpochMs(cluster.clock.wallMicros() / 1000 + aheadMs);
      const valid = leases.filter(({ spec }) => {
        const from = spec.renewTime ?? spec.acquireTime;
        return from !== undefined && from.epochMs + (spec.leaseDurationSeconds ?? 0) * 1000 > now.epochMs;
      });
      assert.equal(Math.max(1, valid.length), 3);
    }
  }
  for (const { stop } of running) stop.abort();
});

test('run is for once: a second one is refused in words', async () => {
  const cluster = new Cluster();
  const { members, stop, running } = start(cluster, 'a');
  await assert.rejects(members.run(stop.signal), /it was called before/);
  stop.abort();
  await cluster.until(running);
  await assert.rejects(members.run(new AbortController().signal), /make another Members/);
});

test('a member that dies and comes back within the damping is no change', async () => {
  const cluster = new Cluster();
  const { store, clock, random, newId } = cluster.process('w');
  const watcher = new Members({ store, clock, random, ring: RING, id: 'w', uuid: newId(), dampingMs: 5_000 });
  const stop = new AbortController();
  const running = watcher.run(stop.signal);
  const changes: string[] = [];
  const reading = (async () => {
    for await (const { type, member } of watcher.changes(stop.signal)) changes.push(`${type} ${member.name}`);
  })();
  const b = start(cluster, 'b');
  await cluster.clock.advance(10_000);
  b.stop.abort();
  await cluster.clock.advance(1_000);
  start(cluster, 'b');
  await cluster.clock.advance(20_000);
  assert.deepEqual(changes.slice(0, 2).toSorted(), ['joined chat-m-b', 'joined chat-m-w']);
  assert.ok(!changes.some((change) => change.startsWith('left')), changes.join(', '));
  stop.abort();
  await cluster.until(Promise.all([running, reading]));
});

test('the Leases of members that have gone are deleted, by one of those that live', async () => {
  const cluster = new Cluster();
  const [a, b, c] = [start(cluster, 'a'), start(cluster, 'b'), start(cluster, 'c')];
  await cluster.clock.advance(1_000);
  b.stop.abort();
  await cluster.until(b.running);
  c.store.faults = () => ({ hang: true });
  c.store.watches.silence();
  await cluster.clock.advance(3 * MEMBER_MS);
  for (const id of ['a', 'b', 'c']) assert.ok(cluster.peek(`chat-m-${id}`), 'not at once');
  await cluster.clock.advance(4 * MEMBER_MS);
  assert.ok(cluster.peek('chat-m-a'));
  assert.deepEqual([cluster.peek('chat-m-b'), cluster.peek('chat-m-c')], [undefined, undefined]);
  assert.deepEqual(a.names(), ['a']);
  for (const { stop } of [a, c]) stop.abort();
});

test('a refused deletion of what a member left behind is reported once', async () => {
  const cluster = new Cluster();
  const a = start(cluster, 'a');
  const events: string[] = [];
  const { store, clock, random, newId } = cluster.process('b');
  const observe: MembersOptions['observe'] = (event) => {
    if (event.type === 'tidyFailed') events.push(`${event.lease.name} ${event.error.code}`);
  };
  const stop = new AbortController();
  const running = new Members({ store, clock, random, ring: RING, id: 'b', uuid: newId(), observe }).run(stop.signal);
  await cluster.clock.advance(1_000);
  a.stop.abort();
  await cluster.until(a.running);
  store.faults = ({ verb }) => (verb === 'delete' ? { fail: 'Forbidden' } : undefined);
  await cluster.clock.advance(10 * MEMBER_MS);
  assert.deepEqual(events, ['chat-m-a Forbidden']);
  store.faults = undefined;
  await cluster.clock.advance(2 * MEMBER_MS);
  assert.equal(cluster.peek('chat-m-a'), undefined);
  stop.abort();
  await cluster.until(running);
});

test('a payload is counted in bytes', () => {
  const cluster = new Cluster();
  const { store, clock, random, newId } = cluster.process('a');
  const make = (n: number) =>
    new Members({ store, clock, random, ring: RING, id: 'a', uuid: newId(), payload: { name: 'é'.repeat(n) } });
  assert.throws(() => make(2_100), /must be at most 4096 bytes as JSON/);
  assert.doesNotThrow(() => make(2_000));
});

test('a payload that is taken back, or that an earlier process left, is shown no more', async () => {
  const cluster = new Cluster();
  const a = start(cluster, 'a');
  await cluster.clock.advance(1_000);
  assert.deepEqual(a.members.live[0]?.payload, { id: 'a' });
  a.members.update(undefined);
  await cluster.clock.advance(6_000);
  assert.equal(a.members.live[0]?.payload, undefined);
  a.members.update({ id: 'again' });
  await cluster.clock.advance(6_000);
  a.stop.abort();
  await cluster.until(a.running);
  const { store, clock, random, newId } = cluster.process('a');
  const next = new Members({ store, clock, random, ring: RING, id: 'a', uuid: newId() });
  const stop = new AbortController();
  const running = next.run(stop.signal);
  await cluster.clock.advance(1_000);
  assert.deepEqual(
    next.live.map(({ payload }) => payload),
    [undefined],
  );
  stop.abort();
  await cluster.until(running);
});
