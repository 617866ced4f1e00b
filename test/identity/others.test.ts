/** What others do to a publisher's lease, and to its clock: it says what is so, and the lease stays right. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Lease } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { HOSTNAME_ANNOTATION, hostnameOf } from '../../src/lease/names.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { skewed } from '../sweep/world.ts';
import { INTERVAL, WINDOW, ref, start } from './support.ts';

const HOUR = 3_600_000;

/** What `p` must not have said. */
function nothingFalse(p: ReturnType<typeof start>): void {
  for (const type of ['superseded', 'secondWriter', 'foreign'] as const) assert.equal(p.last(type), undefined, type);
}

/** A process that took the lease over from one that has gone, and what it found. */
async function successor() {
  const before = start({ holder: 'before' });
  await before.clock.advance(2 * INTERVAL);
  await before.stop();
  const found = before.lease()!;
  const p = start({ clock: before.clock, store: before.store.client({}), holder: 'me' });
  await p.clock.advance(3 * INTERVAL);
  assert.equal(p.lease()?.spec.holderIdentity, 'me');
  return { p, found };
}

describe('a lease that is put back to an older state', () => {
  it('what the process took over: claimed again at once, and the log asks about a restore', async () => {
    const { p, found } = await successor();
    p.store.edit(ref, () => ({ spec: found.spec }));
    await p.clock.advance(1);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    assert.equal(p.count('restored'), 1);
    nothingFalse(p);
    await p.stop();
  });

  it('what was there long before is known by its transitions', async () => {
    const { p, found } = await successor();
    p.store.edit(ref, () => ({ spec: { ...found.spec, holderIdentity: 'long ago', leaseTransitions: 0 } }));
    await p.clock.advance(1);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    nothingFalse(p);
    await p.stop();
  });

  it('its own renewal of an hour ago: renewed at the next turn, where no watch tells of it too', async () => {
    for (const watched of [true, false]) {
      const clock = new ManualClock();
      const store = new MemoryStore({ clock });
      if (!watched) store.next('watch', { fail: 'Forbidden' });
      const p = start({ clock, store });
      await clock.advance(INTERVAL);
      const then = p.lease()!;
      await clock.advance(HOUR);
      store.edit(ref, () => ({ spec: then.spec }));
      await clock.advance(INTERVAL);
      assert.equal(Math.floor(p.lease()!.spec.renewTime!.epochMs), clock.wallMicros() / 1000);
      assert.equal(p.count('restored'), 1);
      nothingFalse(p);
      await p.stop();
    }
  });

  it('its absence, or another object with what it took over: there again at once', async () => {
    const { p, found } = await successor();
    p.store.remove(ref);
    await p.clock.advance(1);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    p.store.remove(ref);
    p.store.put({ ...ref, labels: found.metadata.labels, spec: found.spec });
    await p.clock.advance(INTERVAL);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    nothingFalse(p);
    await p.stop();
  });

  it('who took it over since it was put back, while the answer to our write is lost, is no older state', async () => {
    const { p, found } = await successor();
    p.store.edit(ref, ({ spec }) => ({ spec: { ...spec, leaseTransitions: 9 } }));
    await p.clock.advance(INTERVAL);
    p.store.next('update', { lose: 'Unavailable' });
    p.store.edit(ref, () => ({ spec: found.spec }));
    await settle();
    assert.deepEqual([p.count('restored'), p.lease()?.spec.holderIdentity], [1, 'me'], 'claimed, as nobody tells it');
    const newer = start({ clock: p.clock, store: p.store.client({}), holder: 'newer' });
    await p.clock.advance(3 * INTERVAL);
    assert.deepEqual([p.phase, newer.phase], ['superseded', 'holding']);
    await newer.stop();
    await p.stop();
  });

  it('who took it over before we saw that it was put back is no older state', async () => {
    const { p, found } = await successor();
    p.store.edit(ref, ({ spec }) => ({ spec: { ...spec, leaseTransitions: 9 } }));
    await p.clock.advance(INTERVAL);
    // As with etcd away: nothing is heard or answered until both have happened.
    p.store.edit(ref, () => ({ spec: found.spec }));
    const now = MicroTime.fromEpochMicros(p.clock.wallMicros() + 1_000);
    p.store.edit(ref, ({ spec }) => ({
      spec: { ...spec, holderIdentity: 'newer', leaseTransitions: 1, acquireTime: now, renewTime: now },
    }));
    await p.clock.advance(INTERVAL);
    assert.deepEqual([p.phase, p.count('restored')], ['superseded', 0]);
    await p.stop();
  });

  it('what is put back again, to a later state, after it was claimed is claimed at once too', async () => {
    const { p, found } = await successor();
    p.store.edit(ref, ({ spec }) => ({ spec: { ...spec, leaseTransitions: 9 } }));
    await p.clock.advance(INTERVAL);
    p.store.edit(ref, () => ({ spec: found.spec }));
    await p.clock.advance(1);
    assert.deepEqual([p.count('restored'), p.lease()?.spec.holderIdentity], [1, 'me']);
    p.store.edit(ref, ({ spec }) => ({ spec: { ...spec, leaseTransitions: 9 } }));
    await p.clock.advance(INTERVAL);
    p.store.edit(ref, () => ({ spec: { ...found.spec, holderIdentity: 'long ago', leaseTransitions: 5 } }));
    await p.clock.advance(1);
    assert.deepEqual([p.count('restored'), p.lease()?.spec.holderIdentity], [2, 'me']);
    await p.stop();
  });

  it('one version that was put back is reported once, however often the claim is refused', async () => {
    const { p, found } = await successor();
    p.store.faults = ({ verb }) => (verb === 'update' ? { fail: 'Timeout' } : undefined);
    p.store.edit(ref, () => ({ spec: found.spec }));
    await p.clock.advance(INTERVAL);
    assert.ok(p.count('failed') > 1);
    assert.equal(p.count('restored'), 1);
    p.store.faults = undefined;
    await p.clock.advance(INTERVAL);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    await p.stop();
  });

  it('a real successor is no older state, however far its clock is behind', async () => {
    const { p } = await successor();
    const behind = skewed(p.clock, -2 * HOUR);
    const newer = start({ clock: p.clock, store: p.store.client({}), holder: 'newer', options: { clock: behind } });
    await p.clock.advance(10 * INTERVAL);
    assert.deepEqual([p.phase, p.count('restored'), newer.phase], ['superseded', 0, 'holding']);
    await newer.stop();
    await p.stop();
  });

  it('two processes, and the older one put back as the holder: the newer claims, the older stays by', async () => {
    const older = start({ holder: 'older' });
    await older.clock.advance(INTERVAL);
    const then = older.lease()!;
    const newer = start({ clock: older.clock, store: older.store.client({}), holder: 'newer' });
    await older.clock.advance(3 * INTERVAL);
    older.store.edit(ref, () => ({ spec: then.spec }));
    await older.clock.advance(3 * INTERVAL);
    assert.deepEqual([older.phase, newer.phase], ['superseded', 'holding']);
    assert.equal(older.lease()?.spec.leaseTransitions, 1);
    await older.stop();
    await newer.stop();
  });
});

describe('a process that is started beside a running one, for half a minute', () => {
  it('the running one claims again once nobody has renewed for its window, whatever duration was published', async () => {
    for (const leaseDurationSeconds of [20, 3600, 2_147_483_647]) {
      const p = start({ holder: 'running' });
      await p.clock.advance(INTERVAL);
      const other = start({
        clock: p.clock,
        store: p.store.client({}),
        holder: 'by hand',
        options: { leaseDurationSeconds },
      });
      await p.clock.advance(3 * INTERVAL);
      assert.equal(p.phase, 'superseded');
      await other.stop();
      await p.clock.advance(WINDOW + INTERVAL);
      assert.deepEqual([p.phase, p.lease()?.spec.holderIdentity], ['holding', 'running']);
      await p.stop();
    }
  });

  for (const [a, b] of [
    [10_000, 10_000],
    [10_000, 1_000],
    [2_000, 120_000],
  ] as const) {
    it(`renewing every ${a} and ${b} ms, cut off again and again: one change of hands for each silence of a window`, async () => {
      const clock = new ManualClock();
      const store = new MemoryStore({ clock });
      const processes = [
        start({ clock, store, holder: 'a', options: { renewIntervalMs: a } }),
        start({ clock, store: store.client({}), holder: 'b', options: { renewIntervalMs: b } }),
      ];
      const timeout = (intervalMs: number): number => Math.min(5_000, intervalMs / 2);
      const windowOf = (intervalMs: number): number => Math.max(30_000, 3 * intervalMs + timeout(intervalMs));
      const windows = { a: windowOf(a), b: windowOf(b) };
      await clock.advance(HOUR / 6);
      for (let cut = 0; cut < 6; cut++) {
        const begun = store.history.length;
        const one = processes[cut % 2]!;
        one.store.faults = () => ({ fail: 'Unavailable' });
        await clock.advance(400_000);
        one.store.faults = undefined;
        await clock.advance(400_000);
        let changes = 0;
        for (const [i, { before, after, at }] of store.history.entries()) {
          if (i < begun || before?.spec.holderIdentity === after?.spec.holderIdentity) continue;
          changes++;
          const silentMs = at - store.history[i - 1]!.at;
          const window = windows[after!.spec.holderIdentity as 'a' | 'b'];
          assert.ok(silentMs >= window, `changed hands after ${silentMs} ms`);
        }
        assert.ok(changes <= (a === b ? 1 : 2), `${changes} changes of hands in cut ${cut}`);
        assert.deepEqual(processes.map((p) => p.phase).sort(), ['holding', 'superseded']);
      }
      for (const p of processes) await p.stop();
    });
  }
});

describe('marks of others on the lease', () => {
  const annotate = (lease: Lease, annotations: Record<string, string>): Lease => ({
    ...lease,
    metadata: { ...lease.metadata, annotations: { ...lease.metadata.annotations, ...annotations } },
  });

  it('another hostname is not believed and taken off; what kubectl annotate sets stays, through restarts too', async () => {
    const p = start();
    await settle();
    p.store.edit(ref, (l) => annotate(l, { [HOSTNAME_ANNOTATION]: 'master-2', note: 'x' }));
    assert.equal(hostnameOf(p.lease()!), 'master-1');
    await p.clock.advance(INTERVAL);
    assert.deepEqual(p.lease()?.metadata.annotations, { note: 'x' });
    await p.stop();
    p.store.edit(ref, (l) => annotate(l, { [HOSTNAME_ANNOTATION]: 'master-2' }));
    const again = start({ clock: p.clock, store: p.store.client({}), holder: 'again' });
    await settle();
    assert.deepEqual(p.lease()?.metadata.annotations, { note: 'x' });
    await again.stop();
  });

  it('marked for deletion and held by finalizers: said once, renewed on, and said at the stop', async () => {
    const p = start({ policy: 'delete' });
    await settle();
    p.store.edit(ref, (l) => ({
      ...l,
      metadata: {
        ...l.metadata,
        finalizers: ['example.com/hold'],
        deletionTimestamp: MicroTime.fromEpochMicros(p.clock.wallMicros()),
      },
    }));
    await p.clock.advance(5 * INTERVAL);
    assert.equal(p.count('terminating'), 1);
    assert.deepEqual(p.publisher.status.finalizers, ['example.com/hold']);
    assert.equal(p.lease()?.spec.renewTime?.epochMs, p.clock.wallMicros() / 1000);
    assert.equal((await p.stop()).outcome, 'terminating');
  });

  it('a lease with a finalizer is not called deleted at the stop; one that went is made again', async () => {
    const p = start({ policy: 'delete' });
    await settle();
    p.store.edit(ref, (l) => ({ ...l, metadata: { ...l.metadata, finalizers: ['example.com/hold'] } }));
    await p.clock.advance(INTERVAL);
    assert.equal(p.publisher.status.finalizers, undefined);
    assert.equal((await p.stop()).outcome, 'terminating');
    assert.ok(p.lease()?.metadata.deletionTimestamp);
    const next = start({ clock: p.clock, store: p.store.client({}), holder: 'next' });
    await p.clock.advance(INTERVAL);
    assert.equal(next.count('terminating'), 1);
    p.store.remove(ref);
    await p.clock.advance(1);
    assert.deepEqual([next.publisher.status.finalizers, p.lease()?.spec.holderIdentity], [undefined, 'next']);
    await next.stop();
  });
});

describe('a clock that is off', () => {
  it('a warning when it begins, and a word when it ends', async () => {
    let distanceMs: number | undefined;
    const p = start({ options: { clockDistanceMs: () => distanceMs, maxSkewMs: 60_000 } });
    const said: boolean[] = [];
    for (const [ms, exceeded] of [
      [undefined, []],
      [59_000, []],
      [-7_200_000, [true]],
      [-7_199_000, [true]],
      [0, [true, false]],
      [61_000, [true, false, true]],
    ] as const) {
      distanceMs = ms;
      await p.clock.advance(INTERVAL);
      said.length = 0;
      for (const event of p.events) if (event.type === 'clockDistance') said.push(event.exceeded);
      assert.deepEqual(said, exceeded, String(ms));
    }
    await p.stop();
  });

  it('renewTime waits for a small step back, follows a great one, and that is said once', async () => {
    const p = start();
    await p.clock.advance(INTERVAL);
    const renewed = async (): Promise<number> => {
      await p.clock.advance(INTERVAL);
      return p.lease()!.spec.renewTime!.epochMicros;
    };
    const before = await renewed();
    p.clock.stepWall(-55_000);
    assert.equal(await renewed(), before + 1, 'behind by 45 s: every renewal is one all the same');
    assert.equal(await renewed(), before + 2);
    for (let i = 0; i < 4; i++) await renewed();
    assert.equal(await renewed(), p.clock.wallMicros(), 'it has come again');
    assert.equal(p.count('clockSteppedBack'), 0);
    p.clock.stepWall(-HOUR);
    for (let i = 0; i < 3; i++) assert.equal(await renewed(), p.clock.wallMicros());
    assert.equal(p.count('clockSteppedBack'), 1);
    nothingFalse(p);
    await p.stop();
  });

  it('a renewal that fails says until when the lease holds', async () => {
    const p = start();
    await p.clock.advance(INTERVAL);
    const until = p.lease()!.spec.renewTime!.epochMs + HOUR;
    p.store.faults = () => ({ fail: 'Unavailable' });
    await p.clock.advance(INTERVAL);
    assert.equal(p.last('failed')?.holdsUntil?.epochMs, until);
    await p.stop();
  });
});
