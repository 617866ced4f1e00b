/**
 * A publisher beside a kube-apiserver that publishes itself: never a fight over one name, whichever starts first; and no
 * second lease where the server takes part in peer proxying.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { leaseName } from '../../src/lease/names.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { ServerIdentity } from '../support/server-identity.ts';
import { seeded } from '../sweep/world.ts';
import { INTERVAL, WINDOW, hostname, ref, start } from './support.ts';

const shared = { namespace: 'kube-system', name: leaseName(hostname, 'apiserver') };
const SEEDS = 20;

interface World {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly random: () => number;
}

/** Requests are under way for up to `latencyMs`, so that the two meet in every order. */
function world(seed: number, latencyMs = 0): World {
  const clock = new ManualClock();
  const random = seeded(seed);
  const store = new MemoryStore({ clock, by: 'us' });
  if (latencyMs > 0) store.faults = () => ({ delayMs: random() * latencyMs, answerDelayMs: random() * latencyMs });
  return { clock, store, random };
}

let starts = 0;
function serve({ clock, store, random }: World, peerAddress?: string, own: Clock = clock) {
  const mine = store.client({ by: 'server' });
  mine.faults = store.faults;
  const peer = peerAddress === undefined ? {} : { peerAddress };
  const server = new ServerIdentity({ store: mine, clock: own, random, hostname, uuid: String(++starts), ...peer });
  const stop = new AbortController();
  const done = server.run(stop.signal);
  return {
    server,
    store: mine,
    /** At once, its lease stays. */
    crash: async () => {
      stop.abort();
      await settle();
      await clock.advance(1);
      await done;
    },
    leave: async () => {
      stop.abort();
      await clock.advance(5_000);
      const leaving = server.remove(new AbortController().signal);
      await clock.advance(5_000);
      await leaving;
    },
  };
}

const publish = ({ clock, store, random }: World, options: Parameters<typeof start>[0] = {}) =>
  start({ clock, store, ...options, options: { nameFormat: 'apiserver', random, ...options.options } });

/** Writes of the two in the last minutes, and what they found there. */
function writes({ store, clock }: World, lastMs: number) {
  const recent = store.history.filter(({ at }) => at > clock.monotonic() - lastMs);
  const by = (who: string) => recent.filter((commit) => commit.by === who).length;
  return { ours: by('us'), servers: by('server') };
}

describe('under one name', () => {
  for (const order of ['the server first', 'leasekeeper first'] as const) {
    it(`${order}: the server keeps its lease, we stand by, and say what to do once`, async () => {
      for (let seed = 0; seed < SEEDS; seed++) {
        const w = world(seed, seed % 2 === 0 ? 0 : 400);
        const begun = order === 'the server first' ? serve(w) : undefined;
        if (begun) await w.clock.advance(w.random() * 60_000);
        const p = publish(w);
        if (!begun) await w.clock.advance(w.random() * 60_000);
        const s = begun ?? serve(w);
        await w.clock.advance(60_000);
        await w.clock.advance(300_000);
        const message = `seed ${seed}`;
        assert.equal(p.phase, 'besideServer', message);
        assert.equal(p.count('besideServer'), 1, message);
        const { ours, servers } = writes(w, 300_000);
        assert.equal(ours, 0, message);
        assert.ok(servers >= 27, `${message}: ${servers} renewals of the server`);
        assert.ok(w.store.peek(shared), message);
        // No stop of ours may take the living server's lease.
        assert.equal((await p.stop()).outcome, 'notOurs', message);
        assert.ok(w.store.peek(shared), message);
        await s.crash();
      }
    });
  }

  it('a server that renews in our name keeps its lease when we are switched off, or stopped, while we look', async () => {
    for (const end of ['off', 'stop'] as const) {
      const w = world(1);
      const p = publish(w, { policy: 'delete' });
      await w.clock.advance(30_000);
      const s = serve(w);
      await w.clock.advance(60_000);
      // Silent for long, so that we claim its lease; it comes back and keeps the holder that it finds.
      s.store.faults = () => ({ fail: 'Unavailable' });
      await w.clock.advance(60_000);
      assert.equal(p.phase, 'holding');
      s.store.faults = undefined;
      await w.clock.advance(120_000);
      assert.deepEqual([p.phase, w.store.peek(shared)?.spec.holderIdentity], ['besideServer', 'me']);
      w.store.faults = ({ verb }) => (verb === 'get' ? { answerDelayMs: 1_000 } : undefined);
      const gets = w.store.count('get');
      while (w.store.count('get') === gets) await w.clock.advance(100);
      if (end === 'off') p.publisher.enable(false);
      else assert.equal((await p.stop()).outcome, 'notOurs');
      await w.clock.advance(3_000);
      assert.ok(w.store.peek(shared), end);
      if (end === 'off') await p.stop();
      await s.crash();
    }
  });

  it('a server has renewed in our name once, our next write is refused, and we are stopped: its lease stays', async () => {
    const p = start({ policy: 'delete', options: { nameFormat: 'apiserver' } });
    await p.clock.advance(2 * INTERVAL);
    assert.equal(p.phase, 'holding');
    // The server keeps the holder that it finds.
    p.store.edit(shared, ({ spec }) => ({
      spec: { ...spec, renewTime: MicroTime.fromEpochMicros(p.clock.wallMicros() + 5) },
    }));
    const gets = p.store.count('get');
    p.store.faults = ({ verb }) =>
      verb === 'update' && p.store.count('get') > gets ? { fail: 'Unavailable' } : undefined;
    await p.clock.advance(INTERVAL + 2_000);
    assert.ok(p.store.count('get') > gets && p.count('failed') > 0);
    const { outcome } = await p.stop();
    assert.ok(p.store.peek(shared), `the server's lease is gone: ${outcome}`);
  });

  it('both at once, in every order: it ends in peace, the server with the lease', async () => {
    for (let seed = 100; seed < 100 + SEEDS; seed++) {
      const w = world(seed, 2_000);
      const p = publish(w, { policy: 'delete' });
      await w.clock.advance(w.random() * 3_000);
      const s = serve(w);
      await w.clock.advance(120_000);
      const before = w.store.peek(shared);
      await w.clock.advance(120_000);
      const message = `seed ${seed}`;
      assert.equal(p.phase, 'besideServer', message);
      assert.equal(writes(w, 120_000).ours, 0, message);
      assert.equal(w.store.peek(shared)?.metadata.uid, before?.metadata.uid, message);
      assert.equal((await p.stop()).outcome, 'notOurs', message);
      assert.ok(w.store.peek(shared), message);
      await s.crash();
    }
  });

  it('the server crashes: its lease is claimed after the window; it comes back: it has it again', async () => {
    const w = world(1);
    const s = serve(w);
    const p = publish(w);
    await w.clock.advance(60_000);
    await s.crash();
    await w.clock.advance(WINDOW - INTERVAL);
    assert.equal(p.phase, 'besideServer');
    await w.clock.advance(INTERVAL + 1_000);
    assert.equal(p.phase, 'holding');
    assert.equal(w.store.peek(shared)?.spec.leaseTransitions, 1);
    const again = serve(w);
    await w.clock.advance(60_000);
    assert.deepEqual([p.phase, w.store.peek(shared)?.spec.holderIdentity], ['besideServer', again.server.holder]);
    await again.leave();
    await w.clock.advance(INTERVAL);
    assert.equal(p.phase, 'holding', 'an orderly stop deletes it');
    await p.stop();
  });

  it('a restart of the server is not disturbed: what it deleted is made by nobody else for five seconds', async () => {
    const w = world(2);
    const p = publish(w);
    await w.clock.advance(INTERVAL);
    w.store.remove(shared);
    await w.clock.advance(4_999);
    assert.equal(w.store.peek(shared), undefined);
    await w.clock.advance(2);
    assert.equal(w.store.peek(shared)?.spec.holderIdentity, 'me', 'nobody came');
    await w.clock.advance(30_000);
    w.store.remove(shared);
    await w.clock.advance(4_999);
    assert.equal(w.store.peek(shared), undefined, 'each time');
    await w.clock.advance(2);
    assert.equal(p.phase, 'holding');
    await p.stop();
  });

  it('one that renews more often than the server sees it all the same, and stands by', async () => {
    for (let seed = 200; seed < 210; seed++) {
      const w = world(seed);
      const p = publish(w, { options: { renewIntervalMs: 2_000 + 3_000 * w.random() } });
      await w.clock.advance(60_000);
      // The server's POST comes so late that it finds our lease in place of a free name.
      const until = w.clock.monotonic() + 8_000;
      w.store.faults = ({ verb }) =>
        verb === 'create' && w.clock.monotonic() < until ? { fail: 'Unavailable' } : undefined;
      const s = serve(w);
      w.store.faults = undefined;
      await w.clock.advance(120_000);
      assert.deepEqual([p.phase, writes(w, 60_000).ours], ['besideServer', 0], `seed ${seed}`);
      await p.stop();
      await s.crash();
    }
  });

  it('a server whose clock is behind is no restored etcd, and no reason to fight', async () => {
    const w = world(300);
    const p = publish(w);
    await w.clock.advance(60_000);
    const until = w.clock.monotonic() + 8_000;
    w.store.faults = ({ verb }) =>
      verb === 'create' && w.clock.monotonic() < until ? { fail: 'Unavailable' } : undefined;
    const behind: Clock = {
      monotonic: () => w.clock.monotonic(),
      wallMicros: () => w.clock.wallMicros() - 60e6,
      schedule: (ms, run) => w.clock.schedule(ms, run),
    };
    const s = serve(w, undefined, behind);
    w.store.faults = undefined;
    await w.clock.advance(120_000);
    assert.deepEqual([p.phase, p.count('restored'), writes(w, 60_000).ours], ['besideServer', 0, 0]);
    await p.stop();
    await s.crash();
  });

  it('an aggregated API server has a name of its own', () => {
    assert.notEqual(leaseName(hostname, 'apiserver', undefined, 'my-apiserver'), shared.name);
  });
});

describe('beside a server that takes part in peer proxying', () => {
  const ours = (w: World) => w.store.peek(ref);

  it('holds no lease, from its start on, and publishes when the other lease is gone', async () => {
    const w = world(3);
    const s = serve(w, '10.0.0.1:6443');
    await w.clock.advance(30_000);
    const p = start({ clock: w.clock, store: w.store });
    await w.clock.advance(75_000);
    assert.equal(p.phase, 'besideServer');
    assert.equal(p.last('besideServer')?.peerProxying, true);
    assert.deepEqual(
      w.store.history.filter(({ by }) => by === 'us'),
      [],
      'not for a moment',
    );
    // Its lease counts as a peer for as long as it is there.
    await s.crash();
    await w.clock.advance(120_000);
    assert.equal(ours(w), undefined);
    await s.leave();
    await w.clock.advance(INTERVAL);
    assert.deepEqual([p.phase, ours(w)?.spec.holderIdentity], ['holding', 'me']);
    await p.stop();
  });

  it('claims nothing when such a server shows itself while it looks', async () => {
    const w = world(3);
    w.store.faults = ({ verb }) => (verb === 'get' ? { answerDelayMs: 3_000 } : undefined);
    const p = start({ clock: w.clock, store: w.store });
    while (w.store.count('get') === 0) await w.clock.advance(100);
    w.store.faults = undefined;
    const s = serve(w, '10.0.0.1:6443');
    await w.clock.advance(30_000);
    assert.equal(p.phase, 'besideServer');
    assert.deepEqual(writes(w, 60_000).ours, 0, 'not for a moment');
    await p.stop();
    await s.crash();
  });

  it('the peer goes, or we are switched off, while we look what to clear: nothing is deleted', async () => {
    for (const how of ['the peer goes', 'off'] as const) {
      const before = start({ holder: 'before' });
      await before.clock.advance(2 * INTERVAL);
      await before.stop();
      const { store } = before;
      const { labels } = store.peek(ref)!.metadata;
      const peer = { namespace: 'kube-system', name: 'apiserver-x' };
      const annotations = { 'kubernetes.io/peer-advertise-address': '10.0.0.1:6443' };
      const renewTime = MicroTime.fromEpochMicros(before.clock.wallMicros());
      const spec = { holderIdentity: 'apiserver-x', renewTime, leaseDurationSeconds: 3600 };
      store.put({ ...peer, labels, annotations, spec });
      const p = start({ clock: before.clock, store: store.client({}), holder: 'me' });
      await p.clock.advance(INTERVAL);
      assert.equal(p.phase, 'besideServer');
      p.store.faults = ({ verb }) => (verb === 'get' ? { answerDelayMs: 1_000 } : undefined);
      // The look at which the silence has lasted for the window.
      const from = p.clock.monotonic();
      let gets = p.store.count('get');
      while (p.store.count('get') === gets || p.clock.monotonic() - from < WINDOW - INTERVAL - 1_500) {
        gets = p.store.count('get');
        await p.clock.advance(100);
      }
      assert.equal(p.store.count('delete'), 0, how);
      if (how === 'off') p.publisher.enable(false);
      else store.remove(peer);
      await p.clock.advance(3 * INTERVAL);
      assert.equal(p.store.count('delete'), 0, how);
      await p.stop();
    }
  });

  it('gives its lease up when such a server starts, and deletes only its own', async () => {
    const w = world(4);
    const p = start({ clock: w.clock, store: w.store });
    await w.clock.advance(30_000);
    const s = serve(w, '10.0.0.1:6443');
    await w.clock.advance(10);
    assert.deepEqual([p.phase, ours(w)], ['besideServer', undefined]);
    const other = w.store.put({ ...ref, labels: {}, spec: { holderIdentity: 'somebody' } });
    await w.clock.advance(60_000);
    assert.equal((await p.stop()).outcome, 'notOurs');
    assert.deepEqual(ours(w), other);
    await s.crash();
  });

  it('its own deletion is no news, also where the watch reports it first', async () => {
    const w = world(5);
    const p = start({ clock: w.clock, store: w.store });
    await w.clock.advance(30_000);
    w.store.next('delete', { answerDelayMs: 200 });
    const s = serve(w, '10.0.0.1:6443');
    await w.clock.advance(1_000);
    assert.deepEqual([p.phase, ours(w), p.count('disturbed')], ['besideServer', undefined, 0]);
    await p.stop();
    await s.crash();
  });

  it('deletes what a process before it left, once nobody renews it; not what is another product’s', async () => {
    const w = world(8);
    const before = start({ clock: w.clock, store: w.store, policy: 'keep' });
    await w.clock.advance(30_000);
    await before.stop();
    const s = serve(w, '10.0.0.1:6443');
    await w.clock.advance(1_000);
    const p = start({ clock: w.clock, store: w.store, holder: 'next' });
    await w.clock.advance(WINDOW - INTERVAL);
    assert.ok(ours(w), 'somebody might renew it');
    await w.clock.advance(3 * INTERVAL);
    assert.deepEqual([p.phase, ours(w)], ['besideServer', undefined]);
    const other = w.store.put({ ...ref, labels: {}, spec: { holderIdentity: 'somebody' } });
    await w.clock.advance(10 * INTERVAL);
    assert.deepEqual(ours(w), other);
    await p.stop();
    await s.crash();
  });

  it('goes on deleting through an outage', async () => {
    const w = world(5);
    const p = start({ clock: w.clock, store: w.store });
    await w.clock.advance(30_000);
    w.store.faults = (call) => (call.verb === 'delete' || call.verb === 'get' ? { fail: 'Unavailable' } : undefined);
    const s = serve({ ...w, store: w.store.client({}) }, '10.0.0.1:6443');
    await w.clock.advance(30_000);
    assert.ok(ours(w));
    w.store.faults = undefined;
    await w.clock.advance(2_000);
    assert.deepEqual([p.phase, ours(w)], ['besideServer', undefined]);
    await p.stop();
    await s.crash();
  });

  it('says what became of its lease when it is stopped while it gives it up', async () => {
    const w = world(9);
    // The POST arrives when its caller has given up, and the first DELETE takes its time.
    w.store.faults = ({ verb }) => (verb === 'create' ? { delayMs: 6_000 } : undefined);
    const p = start({ clock: w.clock, store: w.store, policy: 'keep' });
    await w.clock.advance(100);
    const s = serve({ ...w, store: w.store.client({}) }, '10.0.0.1:6443');
    let deletes = 0;
    w.store.faults = ({ verb }) => (verb === 'delete' && ++deletes === 1 ? { delayMs: 3_000 } : undefined);
    while (deletes === 0) await w.clock.advance(100);
    assert.ok(ours(w));
    assert.equal((await p.stop()).outcome, 'deleted');
    assert.equal(ours(w), undefined);
    await w.clock.advance(3_000);
    await s.crash();
  });

  it('waits for no lost write that somebody has written over since', async () => {
    const w = world(10);
    const p = start({ clock: w.clock, store: w.store });
    await w.clock.advance(5_000);
    w.store.faults = ({ verb }) => (verb === 'update' ? { lose: 'Timeout' } : { fail: 'Unavailable' });
    await w.clock.advance(INTERVAL + 1_000);
    const s = serve({ ...w, store: w.store.client({}) }, '10.0.0.1:6443');
    await w.clock.advance(1_000);
    w.store.edit(ref, () => ({ spec: { holderIdentity: '' } }));
    w.store.faults = undefined;
    await w.clock.advance(INTERVAL);
    assert.equal(p.phase, 'besideServer');
    assert.equal((await p.stop()).outcome, 'notOurs');
    await s.crash();
  });

  it('besideServer=publish holds it all the same; so does a server without peers', async () => {
    for (const [besideServer, peerAddress] of [
      ['publish', '10.0.0.1:6443'],
      ['auto', undefined],
    ] as const) {
      const w = world(6);
      const s = serve(w, peerAddress);
      const p = start({ clock: w.clock, store: w.store, options: { besideServer } });
      await w.clock.advance(60_000);
      assert.deepEqual([p.phase, p.count('twin')], ['holding', 1]);
      await p.stop();
      await s.crash();
    }
  });

  it('claims after a request’s time when nobody tells which leases there are', async () => {
    const w = world(7);
    w.store.faults = (call) => (call.verb === 'watch' ? { hang: true } : undefined);
    const p = start({ clock: w.clock, store: w.store });
    await w.clock.advance(4_999);
    assert.equal(ours(w), undefined);
    await w.clock.advance(1);
    assert.equal(p.phase, 'holding');
    await p.stop();
  });
});
