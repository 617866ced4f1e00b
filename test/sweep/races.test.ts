/**
 * The sweeper against everybody who writes at the same time: its promise is that a living holder's lease is never lost.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { publishedExpiry } from '../../src/lease/expiry.ts';
import type { SweepEvent } from '../../src/sweep/sweep-events.ts';
import type { Call } from '../support/memory-store.ts';
import { HOUR, NAMESPACE, World, seeded } from './world.ts';

const DAY = 24 * HOUR;
const EXPIRED = { age: HOUR + 300 };
const ALIVE = { age: 5 };

/** Something happens just before the n-th request of a kind reaches the server. */
function before(world: World, verb: Call['verb'], nth: number, what: () => void): void {
  let seen = 0;
  world.store.faults = (call) => {
    if (call.verb === verb && ++seen === nth) what();
    return undefined;
  };
}

function twoExpiredOneAlive(): World {
  const world = new World();
  world.put('alive', ALIVE);
  // Silent for so long that nobody's return says anything about it.
  world.put('dead', { age: 7 * DAY });
  world.put('late', EXPIRED);
  return world;
}

// With pages of one lease: requests 1 to 3 are the first look, 4 to 6 the second, in the order alive, dead, late.
const POINTS: [point: string, verb: Call['verb'], nth: number, kept: string][] = [
  ['before the first page', 'list', 1, 'unexpired'],
  ['within the first look, after its snapshot', 'list', 3, 'renewed'],
  ['before the second look', 'list', 4, 'renewed'],
  ['within the second look, after its snapshot', 'list', 6, 'conflict'],
  ['before its DELETE', 'delete', 2, 'conflict'],
];

for (const [point, verb, nth, kept] of POINTS) {
  test(`a lease renewed ${point} survives, the dead one goes`, async () => {
    const world = twoExpiredOneAlive();
    before(world, verb, nth, () => world.renew('late'));
    const result = await world.pass({ pageSize: 1, concurrency: 1 });
    assert.deepEqual(world.deletions(), ['dead']);
    assert.deepEqual(world.names(), ['alive', 'late']);
    const was = result.changed === 1 ? 'conflict' : result.kept.renewed === 1 ? 'renewed' : 'unexpired';
    assert.equal(was, kept);
    assert.equal(result.outcome, 'completed');
  });

  test(`a lease deleted and recreated ${point} survives`, async () => {
    const world = twoExpiredOneAlive();
    before(world, verb, nth, () => {
      world.store.remove({ namespace: NAMESPACE, name: 'late' });
      world.put('late', ALIVE);
    });
    await world.pass({ pageSize: 1, concurrency: 1 });
    assert.deepEqual(world.deletions(), ['dead']);
    assert.deepEqual(world.names(), ['alive', 'late']);
  });

  test(`a lease taken over ${point}, its renewTime still old, survives`, async () => {
    const world = twoExpiredOneAlive();
    before(world, verb, nth, () => {
      world.store.edit({ namespace: NAMESPACE, name: 'late' }, () => ({ spec: { holderIdentity: 'late_2' } }));
    });
    await world.pass({ pageSize: 1, concurrency: 1 });
    // Taken over before the first look it is the same lease in both, and as expired as its holder says.
    assert.deepEqual(world.deletions(), point === 'before the first page' ? ['dead', 'late'] : ['dead']);
  });
}

test('a renewal that overtakes a DELETE under way survives it', async () => {
  const world = twoExpiredOneAlive();
  world.store.next('delete', undefined, { delayMs: 2_000 });
  const sweeping = world.sweeper().sweepOnce(world.abort.signal);
  await world.clock.advance(31_000);
  world.renew('late');
  assert.deepEqual((await world.finish(sweeping)).changed, 1);
  assert.deepEqual(world.names(), ['alive', 'late']);
  assert.deepEqual(
    world.of('leftAlone').map(({ lease, because }) => [lease.name, because]),
    [['late', 'changed']],
  );
});

test('a lease that its holder deletes first is no failure', async () => {
  const world = twoExpiredOneAlive();
  before(world, 'delete', 2, () => world.store.remove({ namespace: NAMESPACE, name: 'late' }));
  const result = await world.pass({ concurrency: 1 });
  assert.deepEqual([result.outcome, result.deleted, result.gone, result.failed], ['completed', 1, 1, 0]);
});

test('two sweepers at once delete each lease once', async () => {
  const world = new World();
  world.put('alive', ALIVE);
  for (let i = 0; i < 300; i++) world.put(`e${i}`, EXPIRED);
  const random = seeded(1);
  const stores = [0, 1].map((i) => {
    // Any request may take up to 200 ms.
    const faults = () => ({ delayMs: random() * 200 });
    return world.store.client({ by: `sweeper-${i}`, faults });
  });
  const passes = stores.map((store) => world.sweeper({ concurrency: 8, store, random }).sweepOnce(world.abort.signal));
  const [one, two] = await world.finish(Promise.all(passes));
  assert.deepEqual(world.names(), ['alive']);
  assert.equal(one!.deleted + two!.deleted, 300);
  assert.deepEqual([one!.failed + two!.failed, one!.left + two!.left], [0, 0]);
  for (const result of [one!, two!]) assert.equal(result.deleted + result.gone, 300);
  assert.ok(one!.gone > 0 && two!.gone > 0, 'they did meet');
});

test('aborted at any request it ends at once and leaves nothing; the next pass is right', async () => {
  for (let nth = 1; ; nth++) {
    const world = new World();
    for (let i = 0; i < 10; i++) world.put(`e${i}`, EXPIRED);
    world.put('alive', ALIVE);
    const abort = new AbortController();
    let sent = 0;
    world.store.faults = () => {
      // Half of the time the request is under way for good, half of the time it is about to be answered.
      if (++sent === nth) queueMicrotask(() => abort.abort());
      return sent === nth && nth % 2 === 0 ? { hang: true } : undefined;
    };
    const sweeping = world.sweeper({ concurrency: 3, pageSize: 4 }).sweepOnce(abort.signal);
    if (nth > 3) await world.clock.advance(30_000);
    const result = await sweeping;
    if (!abort.signal.aborted) {
      assert.equal(nth, 17, 'two lists of 3 pages and 10 DELETEs');
      return;
    }
    assert.equal(world.clock.pending, 0, `timers left after request ${nth}`);
    const after = world.store.count();
    await world.clock.advance(60_000);
    assert.equal(world.store.count(), after, `requests after the abort at ${nth}`);
    if (result.outcome !== 'completed') assert.equal(result.outcome, 'aborted', `request ${nth}`);
    assert.equal(result.deleted + result.failed + result.left, result.collectable);
    world.store.faults = undefined;
    const next = await world.finish(world.sweeper().sweepOnce(new AbortController().signal));
    assert.equal(next.outcome, 'completed');
    assert.deepEqual(world.names(), ['alive']);
  }
});

for (const code of [
  'ServerError',
  'Expired',
  'Timeout',
  'Unavailable',
  'Forbidden',
  'TooManyRequests',
  'BadAnswer',
] as const) {
  test(`${code} on any page of either list makes the pass void, is not repeated, and the next pass is right`, async () => {
    for (let page = 0; page < 6; page++) {
      const world = twoExpiredOneAlive();
      world.store.next('list', ...Array<undefined>(page), { fail: code });
      const result = await world.pass({ pageSize: 1 });
      assert.deepEqual(
        [result.outcome, result.because, result.error?.code],
        ['void', 'listFailed', code],
        String(page),
      );
      assert.equal(world.store.count(), page + 1);
      assert.deepEqual(world.deletions(), []);
      const next = await world.pass({ pageSize: 1 });
      assert.equal(next.outcome, 'completed');
      assert.deepEqual(world.names(), ['alive']);
    }
  });
}

test('nothing is carried over: after a void pass a lease must be seen expired twice again', async () => {
  const world = twoExpiredOneAlive();
  world.store.next('list', undefined, { fail: 'ServerError' });
  const sweeper = world.sweeper();
  assert.equal((await world.finish(sweeper.sweepOnce(world.abort.signal))).outcome, 'void');
  const sweeping = sweeper.sweepOnce(world.abort.signal);
  await world.clock.advance(29_000);
  assert.deepEqual(world.deletions(), []);
  await world.finish(sweeping);
  assert.deepEqual(world.deletions(), ['dead', 'late']);
});

/** Five publishers with leases of 40 s, renewed every 10 s; the API answers or not, as set up. */
function cluster() {
  const world = new World();
  const stop = new AbortController();
  let down = false;
  let full = false;
  const publishers = world.store.client({
    by: 'publisher',
    faults: ({ verb }) => {
      if (down) return { fail: 'Unavailable' };
      return full && (verb === 'update' || verb === 'create') ? { fail: 'ServerError' } : undefined;
    },
  });
  world.store.faults = () => (down ? { fail: 'Unavailable' } : undefined);
  for (let i = 0; i < 5; i++) {
    world.put(`alive-${i}`, { age: i * 2, duration: 40 });
    void world.clock.schedule((5 - i) * 1_000, () => {
      void world.keepAlive(`alive-${i}`, publishers, 10_000, stop.signal);
    });
  }
  return {
    world,
    publishers,
    setDown: (value: boolean) => (down = value),
    setFull: (value: boolean) => (full = value),
    stop: () => stop.abort(),
  };
}

test('after an outage longer than the duration, with all publishers alive, nothing is deleted', async () => {
  // Wherever in the publishers' rhythm the API comes back.
  for (let phase = 0; phase < 10_000; phase += 1_000) {
    const { world, setDown, stop } = cluster();
    await world.clock.advance(20_000);
    setDown(true);
    await world.clock.advance(180_000 + phase);
    setDown(false);
    const result = await world.pass();
    assert.deepEqual(world.deletions(), []);
    assert.equal(result.outcome, 'completed');
    assert.ok(result.kept.renewed > 0, 'they all looked expired at first');
    assert.equal(result.kept.unexpired + result.kept.renewed, 5);
    stop();
  }
});

test('after such an outage the dead one still goes, with the second pass', async () => {
  const { world, setDown, stop } = cluster();
  world.put('dead', { age: 100, duration: 40 });
  setDown(true);
  await world.clock.advance(180_000);
  setDown(false);
  const first = await world.pass();
  assert.deepEqual([first.outcome, first.because, first.kept.recovering], ['void', 'recovering', 1]);
  await world.pass();
  assert.deepEqual(world.deletions(), ['dead']);
  stop();
});

test('an outage between the two looks, longer than the duration: nothing is deleted', async () => {
  // The machine is suspended meanwhile, or confirmAfter is that long: the second look comes right at the end of it.
  for (const confirmAfterMs of [60_000, 120_000, 300_000]) {
    const { world, setDown, stop } = cluster();
    await world.clock.advance(20_000);
    world.put('dead', { age: 100, duration: 40 });
    const sweeping = world.sweeper({ confirmAfterMs }).sweepOnce(world.abort.signal);
    await world.clock.advance(1_000);
    setDown(true);
    await world.clock.advance(confirmAfterMs - 1_001);
    setDown(false);
    const result = await world.finish(sweeping);
    assert.deepEqual([result.outcome, result.because], ['void', 'noneUnexpired']);
    assert.equal(result.kept.expiredOnce, 5);
    assert.deepEqual(world.deletions(), []);
    stop();
  }
});

test('an outage that lasts into the second look makes the pass void', async () => {
  const { world, setDown, stop } = cluster();
  await world.clock.advance(20_000);
  world.put('dead', { age: 100, duration: 40 });
  const sweeping = world.sweeper().sweepOnce(world.abort.signal);
  await world.clock.advance(1_000);
  setDown(true);
  const result = await world.finish(sweeping);
  assert.deepEqual([result.outcome, result.because], ['void', 'listFailed']);
  assert.equal(world.store.count('list'), 2);
  stop();
});

test('two outages in a row, the API back for a moment at each look: who has not renewed yet is spared', async () => {
  // Wherever in the publishers' rhythm, and however short before the second look the API comes back.
  let held = 0;
  for (let phase = 0; phase < 10_000; phase += 1_000) {
    for (const momentMs of [500, 2_500, 5_500, 9_500]) {
      const { world, setDown, stop } = cluster();
      await world.clock.advance(20_000);
      setDown(true);
      await world.clock.advance(180_000 + phase);
      setDown(false);
      const sweeping = world.sweeper().sweepOnce(world.abort.signal);
      await world.clock.advance(100);
      setDown(true);
      await world.clock.advance(29_900 - momentMs);
      setDown(false);
      const result = await world.finish(sweeping);
      const when = `phase ${phase}, back for ${momentMs} ms`;
      assert.deepEqual(world.deletions(), [], when);
      if (result.kept.recovering > 0) {
        held++;
        assert.deepEqual([result.outcome, result.because], ['void', 'recovering'], when);
      }
      // What is held back is for the next pass: by then all have renewed, and one that did die goes.
      world.put('dead', { age: 1_000, duration: 40 });
      await world.pass();
      assert.deepEqual(world.deletions(), ['dead'], when);
      stop();
    }
  }
  assert.ok(held > 10, 'there were such moments');
});

test('two such outages, and a lease of a day that never expired: its coming back tells as much', async () => {
  const { world, publishers, setDown, stop } = cluster();
  world.put('day', { age: 1, duration: 86_400 });
  await world.clock.advance(20_000);
  setDown(true);
  await world.clock.advance(180_000);
  setDown(false);
  const sweeping = world.sweeper().sweepOnce(world.abort.signal);
  await world.clock.advance(100);
  setDown(true);
  await world.clock.advance(29_800);
  setDown(false);
  // The first to be back, a moment before the second look.
  world.renew('day');
  const result = await world.finish(sweeping);
  assert.deepEqual([result.outcome, result.because, result.kept.recovering], ['void', 'recovering', 5]);
  assert.deepEqual(world.deletions(), []);
  assert.ok(publishers.count() > 0);
  stop();
});

test('a server back after a week holds nobody up for longer than three durations, where others were renewed meanwhile', async () => {
  const world = new World();
  world.put('alive', ALIVE);
  world.put('back', { age: 7 * DAY });
  world.put('dead-for-hours', { age: 2 * HOUR });
  world.put('dead-for-days', { age: 2 * DAY });
  const sweeping = world.sweeper().sweepOnce(world.abort.signal);
  await world.clock.advance(10_000);
  world.renew('back');
  const result = await world.finish(sweeping);
  assert.deepEqual(world.deletions(), ['dead-for-days']);
  assert.deepEqual([result.outcome, result.kept.recovering], ['completed', 1]);
  await world.pass();
  assert.deepEqual(world.deletions(), ['dead-for-days', 'dead-for-hours']);
});

test('one lease of 68 years whose renewTime jumps holds no pass back', async () => {
  const world = new World();
  const ref = { namespace: NAMESPACE, name: 'jumps' };
  world.put('alive', ALIVE);
  world.put('jumps', { age: 30 * 365 * DAY, duration: 2 ** 31 - 1 });
  for (let i = 0; i < 3; i++) {
    world.renew('alive');
    world.put(`dead-${i}`, { age: 4 * HOUR });
    world.store.edit(ref, () => ({ spec: { renewTime: world.minutesAgo(30 * 365 * 24 * 60) } }));
    const pass = world.sweeper().sweepOnce(world.abort.signal);
    await world.clock.advance(20_000);
    world.renew('jumps');
    await world.finish(pass);
    assert.ok(world.deletions().includes(`dead-${i}`), `pass ${i}`);
  }
});

test('a lease shorter than its renewals, expired and renewed in every pass for ever, holds nobody up', async () => {
  const world = new World();
  world.put('flips', { age: 30, duration: 5 });
  for (let i = 0; i < 10; i++) {
    world.put(`dead-${i}`, { age: 41, duration: 40 });
    const pass = world.sweeper().sweepOnce(world.abort.signal);
    await world.clock.advance(29_000);
    world.renew('flips');
    assert.equal((await world.finish(pass)).kept.renewed, 1);
    await world.clock.advance(30_000);
  }
  // The last of them has not been silent for three times as long as that one is again and again.
  assert.deepEqual(world.names(), ['dead-9', 'flips']);
});

test('a publisher whose clock is far behind, so that it seems to come back in every pass, holds nobody up', async () => {
  const world = new World();
  const behind = (): void => {
    const renewTime = world.minutesAgo(50);
    world.store.edit({ namespace: NAMESPACE, name: 'behind' }, () => ({ spec: { renewTime } }));
  };
  world.put('alive', ALIVE);
  world.put('behind', { age: 50 * 60 });
  world.put('dead', { age: HOUR + 60 });
  const pass = world.sweeper().sweepOnce(world.abort.signal);
  for (let i = 0; i < 3; i++) {
    await world.clock.advance(9_000);
    behind();
  }
  assert.equal((await world.finish(pass)).outcome, 'completed');
  assert.deepEqual(world.deletions(), ['dead']);
});

test('who came back first has a clock that is far ahead: it tells of the outage all the same', async () => {
  const world = new World();
  const ahead = (): void => {
    world.store.edit({ namespace: NAMESPACE, name: 'ahead' }, () => ({ spec: { renewTime: world.minutesAgo(-90) } }));
  };
  world.put('ahead', { age: -90 * 60, duration: 50 });
  // Nobody could renew for 80 s, up to a moment before the second look; this one has not had its turn yet.
  world.put('late', { age: 5, duration: 40 });
  await world.clock.advance(50_000);
  const pass = world.sweeper().sweepOnce(world.abort.signal);
  await world.clock.advance(29_000);
  ahead();
  const result = await world.finish(pass);
  assert.deepEqual([result.because, result.kept.recovering, world.deletions()], ['recovering', 1, []]);
});

for (const day of [false, true]) {
  const who = day ? ', and a lease of a day has long to go' : '';
  test(`etcd out of space: renewals are refused, DELETEs would work${who}, and nothing is deleted`, async () => {
    const { world, publishers, setFull, stop } = cluster();
    const stopDay = new AbortController();
    if (day) {
      world.put('day', { age: 1, duration: 86_400 });
      void world.keepAlive('day', publishers, 10_000, stopDay.signal);
    }
    await world.clock.advance(20_000);
    setFull(true);
    let collectable = 0;
    const reasons = new Set<string | undefined>();
    // A pass every 10 s, through the time in which the leases expire one after another and long after.
    for (let minute = 0; minute < 12; minute++) {
      const result = await world.pass();
      collectable += result.kept.passVoid + result.kept.unproven;
      reasons.add(result.because);
      assert.deepEqual(world.deletions(), []);
      await world.clock.advance(10_000);
    }
    assert.ok(collectable >= 5, 'they all looked dead');
    assert.ok(reasons.has(day ? 'noneRenewed' : 'noneUnexpired'));
    setFull(false);
    await world.clock.advance(15_000);
    world.put('dead', { age: 100, duration: 40 });
    await world.pass();
    assert.deepEqual(world.deletions(), ['dead'], 'with room again sweeping goes on');
    stop();
    stopDay.abort();
  });
}

test('publishers at the edge of expiry and four sweepers: what is deleted had expired, in every order of things', async () => {
  let deleted = 0;
  let lostRaces = 0;
  for (let seed = 1; seed <= 25; seed++) {
    const random = seeded(seed);
    const world = new World();
    const stop = new AbortController();
    const delay = () => ({ delayMs: random() * 3_000, answerDelayMs: random() * 1_000 });
    const publishers = world.store.client({ by: 'publisher', faults: delay });
    // Renewed every 6 s or so and good for 8: a slow request lets it expire for a moment.
    for (let i = 0; i < 20; i++) {
      world.put(`p${i}`, { age: random() * 6, duration: 8 });
      void world.keepAlive(`p${i}`, publishers, 5_000 + random() * 2_000, stop.signal);
    }
    for (let i = 0; i < 20; i++) world.put(`dead${i}`, { age: 10 + random() * 20, duration: 8 });
    world.put('steady', ALIVE);
    world.store.api.onCommit(({ verb, by, before: lease }) => {
      if (verb !== 'delete' || by === 'publisher') return;
      deleted++;
      // By the server's own clock, at the moment of the deletion, in the version that was deleted.
      assert.ok(publishedExpiry(lease!)!.compare(world.now) < 0, `seed ${seed}: ${lease!.metadata.name} was alive`);
    });
    const events: SweepEvent[] = [];
    const sweepers = [0, 1, 2, 3].map(async (i) => {
      const store = world.store.client({ by: `sweeper-${i}`, faults: delay });
      const observe = (event: SweepEvent): void => void events.push(event);
      const sweeper = world.sweeper({ confirmAfterMs: i * 500, concurrency: 4, store, random, observe });
      for (let pass = 0; pass < 3; pass++) await sweeper.sweepOnce(stop.signal);
    });
    await world.finish(Promise.all(sweepers));
    stop.abort();
    assert.ok(!world.names().some((name) => name.startsWith('dead')), `seed ${seed}: a dead one was left`);
    lostRaces += events.filter((event) => event.type === 'leftAlone' && event.because === 'changed').length;
  }
  assert.ok(deleted >= 25 * 20);
  assert.ok(lostRaces > 0, 'some renewals came between look and DELETE');
});

test('publishers that renew in time and four sweepers: none of theirs is ever deleted', async () => {
  for (let seed = 1; seed <= 10; seed++) {
    const random = seeded(seed);
    const world = new World();
    const stop = new AbortController();
    // Up to two of three requests meet a slow or a failing server; leases are good for four renewals.
    const faults = () =>
      random() < 0.2 ? ({ fail: 'ServerError' } as const) : { delayMs: random() * 500, answerDelayMs: random() * 500 };
    const publishers = world.store.client({ by: 'publisher', faults });
    for (let i = 0; i < 30; i++) {
      world.put(`p${i}`, { age: random() * 10, duration: 120 });
      void world.keepAlive(`p${i}`, publishers, 9_000 + random() * 1_000, stop.signal);
      world.put(`dead${i}`, { age: 130 + random() * 60, duration: 120 });
    }
    const sweepers = [0, 1, 2, 3].map(async (i) => {
      const slow = () => ({ delayMs: random() * 500 });
      const store = world.store.client({ by: `sweeper-${i}`, faults: slow });
      const sweeper = world.sweeper({ concurrency: 4, store, random });
      for (let pass = 0; pass < 4; pass++) await sweeper.sweepOnce(stop.signal);
    });
    await world.finish(Promise.all(sweepers));
    stop.abort();
    assert.equal(world.names().filter((name) => name.startsWith('p')).length, 30, `seed ${seed}`);
    assert.equal(new Set(world.deletions()).size, 30);
    assert.equal(world.deletions().length, 30, `seed ${seed}: each once`);
  }
});
