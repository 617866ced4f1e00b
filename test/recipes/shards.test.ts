/** Shards: a key never in two hands, even sizes, hand-over at once, and every way in which records come and go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Shards } from '../../src/recipes/shards.ts';
import type { ShardEvent, ShardsOptions, ShardTerm } from '../../src/recipes/shards.ts';
import { withChanges } from '../../src/lease/lease.ts';
import { MEMBER_ANNOTATION } from '../../src/recipes/ring-view.ts';
import { STEP_DOWN_ANNOTATION, stepDownMarkText } from '../../src/lease/marks.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { settle } from '../../src/runtime/manual-clock.ts';
import { Cluster, REF } from './support.ts';

/** Who works on which key at the moment, and what went wrong. */
class Hands {
  readonly at = new Map<string, ShardTerm>();
  readonly last = new Map<string, { readonly holder: string; readonly token: number }>();
  readonly errors: Error[] = [];
  begun = 0;

  work(drainMs: number, cluster: Cluster) {
    return (term: ShardTerm): Promise<void> =>
      this.#hold(term, drainMs, cluster).catch((error: Error) => {
        this.errors.push(error);
        throw error;
      });
  }

  async #hold(term: ShardTerm, drainMs: number, cluster: Cluster): Promise<void> {
    const other = this.at.get(term.key);
    assert.equal(other, undefined, `${term.key} is in two hands: ${other?.holder} and ${term.holder}`);
    term.check();
    // One that goes on in the same term has the same token; any other a higher one.
    const last = this.last.get(term.key);
    const grows =
      term.holder === last?.holder ? term.fencingToken >= last.token : term.fencingToken > (last?.token ?? 0);
    assert.ok(grows, `the token of ${term.key} does not grow`);
    this.last.set(term.key, { holder: term.holder, token: term.fencingToken });
    this.at.set(term.key, term);
    this.begun++;
    await new Promise<void>((resolve) => {
      if (term.signal.aborted) resolve();
      else term.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    if (drainMs > 0) await new Promise<void>((resolve) => cluster.clock.schedule(drainMs, resolve));
    this.at.delete(term.key);
  }
}

class Ring {
  readonly cluster = new Cluster();
  readonly hands = new Hands();
  readonly members = new Map<string, Member>();

  start(
    id: string,
    keys: number | readonly string[] = 12,
    drainMs = 0,
    options: Partial<ShardsOptions> & { readonly store?: MemoryStore } = {},
  ): Member {
    const { clock, random, newId, store: ownStore } = this.cluster.process(id);
    const { store = ownStore } = options;
    const events: ShardEvent[] = [];
    const stop = new AbortController();
    const shards = new Shards({
      store,
      clock,
      random,
      ring: { namespace: REF.namespace, name: 'ring' },
      id,
      uuid: newId(),
      keys,
      ...options,
      work: this.hands.work(drainMs, this.cluster),
      observe: (event) => void events.push(event),
    });
    const running = shards.run(stop.signal);
    running.catch(() => {});
    const member = { id, shards, events, stop, running, store };
    this.members.set(id, member);
    return member;
  }

  sizes(...ids: string[]): number[] {
    return ids.map((id) => this.members.get(id)?.shards.held.length ?? -1);
  }

  async advance(ms: number): Promise<void> {
    await this.cluster.clock.advance(ms);
    const [error] = this.hands.errors;
    if (error) throw error;
  }
}
interface Member {
  readonly id: string;
  readonly shards: Shards;
  readonly events: ShardEvent[];
  readonly stop: AbortController;
  readonly running: Promise<void>;
  readonly store: MemoryStore;
}

/** Cut off: nothing gets through, and it does not know. */
function cut(member: Member): void {
  member.store.faults = () => ({ hang: true });
  member.store.watches.silence();
}

test('the first member takes all keys once they are known to be free; those that join get their share, and no key moves without need', async () => {
  const ring = new Ring();
  ring.start('a');
  await ring.advance(14_000);
  assert.deepEqual(ring.sizes('a'), [0], 'a Lease that is not there may have been deleted under its holder');
  await ring.advance(3_000);
  assert.deepEqual(ring.sizes('a'), [12]);
  assert.equal(ring.hands.at.size, 12);
  ring.start('b');
  await ring.advance(2_000);
  assert.deepEqual(ring.sizes('a', 'b'), [6, 6]);
  assert.equal(ring.hands.begun, 18);
  ring.start('c');
  await ring.advance(2_000);
  assert.deepEqual(ring.sizes('a', 'b', 'c'), [4, 4, 4]);
  assert.equal(ring.hands.begun, 22);
  assert.equal(ring.hands.at.size, 12);
});

async function three(drainMs = 0): Promise<Ring> {
  const ring = new Ring();
  for (const id of ['a', 'b', 'c']) ring.start(id, 12, drainMs);
  await ring.advance(20_000);
  assert.deepEqual(ring.sizes('a', 'b', 'c'), [4, 4, 4]);
  return ring;
}

test('one that leaves hands its keys over in one round trip, once its works have ended', async () => {
  const ring = await three(300);
  const member = ring.members.get('a') as Member;
  member.stop.abort();
  await ring.advance(299);
  assert.equal(member.shards.held.length, 4, 'its works drain');
  await ring.advance(101);
  await member.running;
  assert.deepEqual(ring.sizes('b', 'c'), [6, 6]);
  assert.equal(ring.hands.at.size, 12);
  assert.equal(ring.cluster.clock.monotonic(), 20_400);
});

/** Asks the holder of a key to step down. */
function ask(ring: Ring, key: string, to?: string): { readonly from: string } {
  const name = `ring-k-${key}`;
  const { holderIdentity: holder = '', leaseTransitions: transitions = 0 } = ring.cluster.peek(name)!.spec;
  const text = stepDownMarkText({ holder, transitions, to });
  ring.cluster.store.edit({ namespace: REF.namespace, name }, (lease) =>
    withChanges(lease, { annotations: { [STEP_DOWN_ANNOTATION]: text } }),
  );
  return { from: holder.slice(0, 1) };
}
const holderOf = (ring: Ring, key: string): string | undefined => ring.hands.at.get(key)?.holder.slice(0, 1);

test('a key whose holder is asked to step down goes to who is named, which gives one of its own in return', async () => {
  const ring = await three(50);
  const begun = ring.hands.begun;
  let moves = 0;
  for (let i = 0; i < 12; i++) {
    const key = String(i);
    const from = holderOf(ring, key)!;
    const to = ['a', 'b', 'c'].find((id) => id !== from)!;
    ask(ring, key, to);
    await ring.advance(2_000);
    assert.equal(holderOf(ring, key), to, key);
    assert.equal(ring.cluster.peek(`ring-k-${key}`)!.metadata.annotations[STEP_DOWN_ANNOTATION], undefined);
    assert.deepEqual(ring.sizes('a', 'b', 'c'), [4, 4, 4]);
    moves += 2;
  }
  assert.equal(ring.hands.begun - begun, moves, 'no other key has moved');
  await ring.advance(60_000);
  assert.equal(ring.hands.begun - begun, moves, 'the next holders are not asked again');
});

test('asked to step down for nobody in particular, or for somebody who is not there: another member has the key', async () => {
  const ring = await three();
  for (const to of [undefined, 'x', 'x_uuid-9']) {
    const { from } = ask(ring, '5', to);
    await ring.advance(2_000);
    assert.notEqual(holderOf(ring, '5'), from);
    assert.equal(ring.hands.at.size, 12);
    assert.deepEqual(ring.sizes('a', 'b', 'c'), [4, 4, 4]);
  }
});

test('the only member that is asked ends the work, and begins it again in a new term', async () => {
  const ring = new Ring();
  ring.start('a', 3);
  await ring.advance(20_000);
  const token = ring.hands.last.get('1')!.token;
  ask(ring, '1');
  await ring.advance(2_000);
  assert.equal(ring.hands.begun, 4);
  assert.ok(ring.hands.last.get('1')!.token > token);
});

test('one that dies: its keys move once its duration has passed, to all others at once', async () => {
  const ring = await three();
  const member = ring.members.get('a') as Member;
  cut(member);
  await ring.advance(10_500);
  assert.equal(ring.hands.at.size, 8, 'it ends its own works at its deadline');
  assert.deepEqual(ring.sizes('b', 'c'), [4, 4]);
  await ring.advance(6_000);
  assert.deepEqual(ring.sizes('b', 'c'), [6, 6]);
  assert.equal(ring.hands.at.size, 12);
});

test('one that stood still and comes back ends what it held, and gets its share again', async () => {
  const ring = await three();
  const member = ring.members.get('a') as Member;
  cut(member);
  await ring.advance(30_000);
  member.store.faults = undefined;
  member.store.watches.resume('relist');
  await ring.advance(25_000);
  assert.deepEqual(ring.sizes('a', 'b', 'c'), [4, 4, 4]);
  assert.equal(ring.hands.at.size, 12);
});

test('a member that restarts under its old name: nothing of its old process is taken for its own', async () => {
  const ring = await three();
  cut(ring.members.get('a') as Member);
  await ring.advance(100);
  // Its old process goes on for as long as it may; works of both are watched.
  ring.start('a');
  await ring.advance(40_000);
  assert.deepEqual(ring.sizes('a', 'b', 'c'), [4, 4, 4]);
});

test('who sees a member silent only because its own view stands still takes nothing from it', async () => {
  for (let offset = 0; offset < 5_000; offset += 250) {
    const ring = new Ring();
    const a = ring.start('a', 12, 0, { renewDeadlineMs: 14_000 });
    await ring.advance(2_500);
    const b = ring.start('b', 12, 0, { renewDeadlineMs: 14_000 });
    await ring.advance(60_000 + offset);
    const before = a.shards.held;
    assert.equal(before.length, 6);
    b.store.watches.silence();
    await ring.advance(40_000);
    assert.ok(
      before.every((key) => a.shards.held.includes(key)),
      `after ${offset} ms`,
    );
  }
});

test("a key's Lease that is deleted: its holder ends it at once, and nobody begins before a duration has passed", async () => {
  const ring = await three();
  const held = ring.members.get('a')?.shards.held[0] as string;
  const name = `ring-k-${held}`;
  // The holder does not hear of it.
  const member = ring.members.get('a') as Member;
  member.store.watches.silence();
  ring.cluster.store.remove({ namespace: REF.namespace, name });
  await ring.advance(14_000);
  const still = ring.hands.at.get(held);
  assert.ok(still === undefined || still.holder.startsWith('a_'));
  member.store.watches.resume('relist');
  await ring.advance(25_000);
  assert.equal(ring.hands.at.size, 12);
});

for (const how of ['replay', 'relist'] as const) {
  test(`a key made and deleted unseen (${how}): the one that makes it again waits for the one that may not know`, async () => {
    const ring = new Ring();
    const [a, b] = [ring.start('a', []), ring.start('b', [])];
    await ring.advance(40_000);
    b.store.watches.silence();
    a.shards.update(['z']);
    await ring.advance(10);
    assert.deepEqual(a.shards.held, ['z']);
    a.store.watches.silence();
    ring.cluster.store.remove({ namespace: REF.namespace, name: 'ring-k-z' });
    b.shards.update(['y', 'z']);
    await ring.advance(10);
    b.store.watches.resume(how);
    await ring.advance(5_000);
    assert.ok(ring.hands.at.get('z')?.holder.startsWith('a_'));
    await ring.advance(12_000);
    assert.ok(ring.hands.at.get('z')?.holder.startsWith('b_'));
  });
}

test("a key's Lease that is deleted is waited for as long as the longest term of the ring", async () => {
  const ring = new Ring();
  const z = ring.start('z', 3, 0, { leaseDurationSeconds: 60, renewDeadlineMs: 50_000 });
  await ring.advance(100_000);
  ring.start('b', 3);
  await ring.advance(40_000);
  const [held = ''] = z.shards.held;
  z.store.watches.silence();
  ring.cluster.store.remove({ namespace: REF.namespace, name: `ring-k-${held}` });
  await ring.advance(40_000);
  assert.ok(ring.hands.at.get(held)?.holder.startsWith('z_'));
  z.stop.abort();
  await ring.advance(60_000);
  assert.ok(ring.hands.at.get(held)?.holder.startsWith('b_'));
});

test("a member's Lease that is deleted or swept: it ends its keys, and all are in some hand again", async () => {
  const ring = await three();
  ring.cluster.store.remove({ namespace: REF.namespace, name: 'ring-m-a' });
  await settle();
  await ring.advance(100);
  assert.equal(ring.hands.at.size, 8);
  await ring.advance(45_000);
  assert.equal(ring.hands.at.size, 12);
  assert.deepEqual(ring.sizes('a', 'b', 'c'), [4, 4, 4]);
});

test('one whose Lease was deleted and made again takes no key in the term that it still sees, which is over', async () => {
  const ring = new Ring();
  let delayMs = 0;
  const { store } = ring.cluster.process('a', () => delayMs);
  ring.start('a', 2, 20_000, { store, retryPeriodMs: 2_000 });
  await ring.advance(12_500);
  // Not heard of yet when its next renewal finds out, nor when the keys, which were never there, may be taken.
  delayMs = 5_000;
  ring.cluster.store.remove({ namespace: REF.namespace, name: 'ring-m-a' });
  await ring.advance(4_500);
  assert.equal(ring.cluster.peek('ring-m-a')?.spec.leaseTransitions, 1);
  delayMs = 0;
  await ring.advance(12_500);
  assert.equal(ring.hands.at.size, 2);
  // To others a key that names the old term is free after a duration, however long its work takes to end.
  ring.start('b', 2);
  await ring.advance(19_000);
  assert.deepEqual(ring.sizes('a', 'b'), [2, 0]);
  await ring.advance(2_000);
  assert.deepEqual(ring.sizes('a', 'b'), [1, 1]);
});

test('one whose Lease is deleted ends its keys as soon as the ring shows it, though its renewals hang', async () => {
  const ring = new Ring();
  const { store } = ring.cluster.process('a');
  // Only the ring is followed: the watch of its own Lease shows nothing.
  const watch = store.watch.bind(store);
  store.watch = (query, signal) => watch({ ...query, ...(query.fieldSelector && { namespace: 'empty' }) }, signal);
  ring.start('a', 2, 0, { store });
  await ring.advance(21_000);
  assert.equal(ring.hands.at.size, 2);
  store.faults = ({ verb }) => (verb === 'update' || verb === 'get' ? { hang: true } : undefined);
  ring.cluster.store.remove({ namespace: REF.namespace, name: 'ring-m-a' });
  await ring.advance(100);
  assert.equal(ring.hands.at.size, 0);
});

test("a key's record put back to an older one: never two hands, and all in one again", async () => {
  const ring = new Ring();
  ring.start('a');
  await ring.advance(18_000);
  const older = new Map(
    ring.members.get('a')?.shards.held.map((key) => [key, ring.cluster.peek(`ring-k-${key}`)] as const),
  );
  ring.start('b');
  await ring.advance(5_000);
  const moved = ring.members.get('b')?.shards.held[0] as string;
  const old = older.get(moved);
  assert.ok(old);
  ring.cluster.store.edit({ namespace: REF.namespace, name: `ring-k-${moved}` }, (lease) => ({
    ...old,
    metadata: { ...old.metadata, resourceVersion: lease.metadata.resourceVersion },
  }));
  await ring.advance(100);
  assert.equal(
    ring.hands.at.has(moved),
    false,
    'its holder ends it; the one that it names does not take it for its own',
  );
  await ring.advance(40_000);
  assert.equal(ring.hands.at.size, 12);
  assert.deepEqual(ring.sizes('a', 'b'), [6, 6]);
});

test('a key that was put back under our own term and then deleted is in one hand again', async () => {
  const ring = new Ring();
  ring.start('a');
  await ring.advance(18_000);
  const older = new Map(
    ring.members.get('a')?.shards.held.map((key) => [key, ring.cluster.peek(`ring-k-${key}`)] as const),
  );
  ring.start('b');
  await ring.advance(5_000);
  const moved = ring.members.get('b')?.shards.held[0] as string;
  const ref = { namespace: REF.namespace, name: `ring-k-${moved}` };
  const old = older.get(moved);
  assert.ok(old);
  ring.cluster.store.edit(ref, ({ metadata }) => ({
    ...old,
    metadata: { ...old.metadata, resourceVersion: metadata.resourceVersion },
  }));
  await ring.advance(1_000);
  ring.cluster.store.remove(ref);
  (ring.members.get('b') as Member).stop.abort();
  await ring.advance(40_000);
  assert.equal(ring.members.get('a')?.shards.held.length, 12);
  assert.equal(ring.hands.at.size, 12);
});

test('a watch that stalls: what is held ends before anybody may take it, and comes back with the view', async () => {
  const ring = await three();
  const member = ring.members.get('a') as Member;
  const { clock } = ring.cluster;
  const term = [...ring.hands.at.values()].find(({ holder }) => holder.startsWith('a_')) as ShardTerm;
  const silentAt = clock.monotonic();
  member.store.watches.silence();
  await ring.advance(6_000);
  assert.ok(term.deadline <= silentAt + 10_000, 'a watchdog ends its work by then, although its renewals go on');
  assert.ok(term.expires <= silentAt + 15_000);
  await ring.advance(10_000);
  assert.equal(ring.hands.at.size, 8, 'its own renewals go on, but it does not see its keys');
  member.store.watches.resume('replay');
  await ring.advance(6_000);
  assert.equal(ring.hands.at.size, 12);
  assert.deepEqual(ring.sizes('a', 'b', 'c'), [4, 4, 4]);
});

test('keys that come and go: a new one begins at once where the ring is known, one that is no more is given back', async () => {
  const ring = new Ring();
  const [a, b] = [ring.start('a', ['red', 'green']), ring.start('b', ['red', 'green'])];
  await ring.advance(20_000);
  assert.deepEqual([...ring.hands.at.keys()].toSorted(), ['green', 'red']);
  for (const { shards } of [a, b]) shards.update(['red', 'blue', 'a key with spaces']);
  await ring.advance(1_000);
  assert.deepEqual([...ring.hands.at.keys()].toSorted(), ['a key with spaces', 'blue', 'red']);
});

test('a work that ends by itself is begun again, after a pause, in the same hand', async () => {
  const ring = new Ring();
  const { store, clock, random, newId } = ring.cluster.process('a');
  let runs = 0;
  const stop = new AbortController();
  const shards = new Shards({
    store,
    clock,
    random,
    ring: { namespace: REF.namespace, name: 'ring' },
    id: 'a',
    uuid: newId(),
    keys: 1,
    work: async () => {
      runs++;
      throw new Error('again');
    },
  });
  const running = shards.run(stop.signal);
  await ring.advance(60_000);
  assert.ok(runs >= 3 && runs < 15, String(runs));
  stop.abort();
  await ring.cluster.until(running);
});

test('a member writes the same however many keys it holds', async () => {
  const writes: number[] = [];
  for (const keys of [1, 64, 1_024]) {
    const ring = new Ring();
    const { store } = ring.start('a', keys);
    await ring.advance(25_000);
    assert.equal(ring.sizes('a')[0], keys);
    const before = store.count('update') + store.count('create');
    await ring.advance(60_000);
    writes.push(store.count('update') + store.count('create') - before);
  }
  assert.equal(new Set(writes).size, 1, String(writes));
  assert.ok((writes[0] ?? 0) <= 13);
});

test('faults of every kind, many rounds: never two hands, and all keys in some hand once it is quiet', async () => {
  for (let seed = 1; seed <= 25; seed++) {
    const ring = new Ring();
    const random = ring.cluster.process(`seed${seed}`).random;
    for (const id of ['a', 'b', 'c']) ring.start(id, 9, Math.floor(random() * 500));
    for (let step = 0; step < 40; step++) {
      const members = [...ring.members.values()];
      const member = members[Math.floor(random() * members.length)] as Member;
      const kind = Math.floor(random() * 6);
      if (kind === 0) member.store.faults = () => (random() < 0.3 ? { lose: 'Timeout' } : undefined);
      if (kind === 1) cut(member);
      if (kind === 2) member.store.watches.silence();
      if (kind === 3)
        ring.cluster.store.remove({ namespace: REF.namespace, name: `ring-k-${Math.floor(random() * 9)}` });
      if (kind === 4) ring.cluster.store.remove({ namespace: REF.namespace, name: `ring-m-${member.id}` });
      if (kind === 5) {
        member.store.faults = undefined;
        member.store.watches.resume(random() < 0.5 ? 'replay' : 'relist');
      }
      await ring.advance(random() * 9_000);
    }
    for (const { store } of ring.members.values()) {
      store.faults = undefined;
      store.watches.resume('relist');
    }
    await ring.advance(70_000);
    assert.equal(ring.hands.at.size, 9, `seed ${seed}`);
    assert.deepEqual(ring.sizes('a', 'b', 'c'), [3, 3, 3], `seed ${seed}`);
  }
});

test('a key that is ours again while its release is under way: its work does not begin before the release is over', async () => {
  const ring = new Ring();
  const [a, b] = [ring.start('a', 1), ring.start('b', 1)];
  await ring.advance(20_000);
  const [holder, other] = a.shards.held.length === 1 ? [a, b] : [b, a];
  const name = 'ring-k-0';
  // The key goes, and comes back while the write that releases it is under way.
  holder.store.faults = ({ verb, name: of }) => (verb === 'update' && of === name ? { delayMs: 2_000 } : undefined);
  for (const { shards } of [holder, other]) shards.update(['1']);
  await ring.advance(500);
  for (const { shards } of [holder, other]) shards.update(['0']);
  holder.store.watches.silence();
  await ring.advance(4_000);
  holder.store.faults = undefined;
  holder.store.watches.resume('relist');
  await ring.advance(30_000);
  assert.deepEqual([...ring.hands.at.keys()], ['0']);
  assert.equal(holder.shards.held.length + other.shards.held.length, 1);
});

test('a record of which another changed anything but the time is not ours any more', async () => {
  for (const change of [
    { spec: { holderIdentity: 'somebody' } },
    { annotations: { [MEMBER_ANNOTATION]: undefined } },
  ]) {
    const ring = new Ring();
    ring.start('a', 1);
    await ring.advance(20_000);
    assert.equal(ring.hands.at.size, 1);
    ring.cluster.store.edit({ namespace: REF.namespace, name: 'ring-k-0' }, (lease) => withChanges(lease, change));
    await ring.advance(100);
    assert.equal(ring.hands.at.size, 0);
    await ring.advance(40_000);
    assert.equal(ring.hands.at.size, 1);
  }
});

test('what is no store error ends the run with it, and nothing is renewed any more', async () => {
  for (const where of ['create', 'watch']) {
    const cluster = new Cluster();
    const { store, clock, random, newId } = cluster.process('a');
    const mistake = new TypeError('a mistake of the program');
    const { create, watch } = { create: store.create.bind(store), watch: store.watch.bind(store) };
    if (where === 'create') {
      store.create = (lease, options) =>
        lease.metadata.name === 'ring-k-0' ? Promise.reject(mistake) : create(lease, options);
    } else {
      store.watch = async function* (query, signal) {
        for await (const event of watch(query, signal)) {
          if (query.labelSelector !== undefined && clock.monotonic() > 18_000) throw mistake;
          yield event;
        }
      };
    }
    const ring = { namespace: REF.namespace, name: 'ring' };
    let working = 0;
    const work = async ({ signal }: ShardTerm): Promise<void> => {
      working++;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      working--;
    };
    const running = new Shards({ store, clock, random, ring, id: 'a', uuid: newId(), keys: 1, work }).run(
      new AbortController().signal,
    );
    running.catch(() => {});
    await assert.rejects(cluster.until(running), mistake);
    const writes = store.count('update');
    await clock.advance(30_000);
    assert.equal(store.count('update'), writes);
    assert.equal(working, 0);
  }
});

test('each key that was held is said to be over once', async () => {
  const ring = await three();
  const member = ring.members.get('a') as Member;
  const [key = ''] = member.shards.held;
  const said = (): number =>
    member.events.reduce((sum, event) => {
      if (!('key' in event) || event.key !== key) return sum;
      return sum + (event.type === 'keyHeld' ? 1 : event.type === 'keyLost' || event.type === 'keyReleased' ? -1 : 0);
    }, 0);
  assert.equal(said(), 1);
  // The view is lost, and then the term.
  member.store.watches.silence();
  await ring.advance(11_000);
  assert.equal(said(), 0);
  member.store.watches.resume('relist');
  await ring.advance(20_000);
  assert.equal(said(), member.shards.held.includes(key) ? 1 : 0);
  member.store.watches.silence();
  await ring.advance(11_000);
  member.stop.abort();
  await ring.cluster.until(member.running);
  assert.equal(said(), 0);
});

test('a key whose record is shown before its answer is lost is ours as soon as that is known', async () => {
  const ring = new Ring();
  const { store } = ring.start('a', 1);
  store.next('create', undefined, { lose: 'Timeout' });
  await ring.advance(15_000);
  assert.equal(ring.cluster.peek('ring-k-0')?.spec.holderIdentity?.startsWith('a_'), true);
  assert.deepEqual(ring.sizes('a'), [0]);
  await ring.advance(10_000);
  assert.deepEqual(ring.sizes('a'), [1]);
});

test('the Lease of a member that died without a key is deleted too', async () => {
  const ring = new Ring();
  ring.start('a', 1);
  await ring.advance(20_000);
  const b = ring.start('b', 1);
  await ring.advance(5_000);
  assert.deepEqual(ring.sizes('a', 'b'), [1, 0]);
  cut(b);
  await ring.advance(6 * 15_000);
  assert.equal(ring.cluster.peek('ring-m-b'), undefined);
  assert.deepEqual(ring.sizes('a'), [1]);
});

test('a key of which another is seen to have it before the answer to its release is there was given back, not lost', async () => {
  const ring = new Ring();
  const a = ring.start('a', 2);
  await ring.advance(20_000);
  a.store.next('update', { answerDelayMs: 700 });
  ring.start('b', 2);
  await ring.advance(5_000);
  assert.deepEqual(ring.sizes('a', 'b'), [1, 1]);
  const ends = a.events.filter(({ type }) => type === 'keyReleased' || type === 'keyLost');
  assert.deepEqual(
    ends.map(({ type }) => type),
    ['keyReleased'],
  );
});
