import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Publisher } from '../../src/identity/publisher.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE, leaseName } from '../../src/lease/names.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { CallOptions } from '../../src/lease/store.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { INTERVAL, WINDOW, hostname, ref, start } from './support.ts';

const other = (lease: Lease): Lease => ({ ...lease, spec: { ...lease.spec, holderIdentity: 'other' } });

describe('options and observer', () => {
  it('options that are left out are made again from those that change', () => {
    const { publisher } = start();
    publisher.update({ renewIntervalMs: 1_000 });
    assert.deepEqual([publisher.options.renewIntervalMs, publisher.options.requestTimeoutMs], [1_000, 500]);
  });

  it('an observer that throws changes nothing for the lease', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const warned: string[] = [];
    const onWarning = (warning: Error): void => void warned.push(warning.message);
    process.on('warning', onWarning);
    const observe = (): void => {
      throw new Error('observer is broken');
    };
    const publisher = new Publisher({ store, clock, random: () => 0, holder: 'me', hostname, observe });
    const stop = new AbortController();
    const done = publisher.run(stop.signal);
    await clock.advance(3 * INTERVAL);
    assert.equal(store.count('update'), 3);
    stop.abort();
    await done;
    await new Promise(setImmediate);
    process.off('warning', onWarning);
    assert.match(warned.join(), /observer is broken/);
  });
});

describe('claiming', () => {
  it('makes the lease with one GET and one POST', async () => {
    const p = start();
    await settle();
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    assert.deepEqual([p.store.count('get'), p.store.count('create'), p.store.count('update')], [1, 1, 0]);
    assert.equal(p.last('claimed')?.how, 'created');
    assert.equal(p.publisher.status.phase, 'holding');
    await p.stop();
  });

  it('takes over with one PUT: same object, one transition more, and no watcher sees it missing', async () => {
    const first = start({ holder: 'old' });
    await settle();
    const before = first.lease();
    await first.stop();
    const second = start({ clock: first.clock, store: first.store.client({}), holder: 'new' });
    await settle();
    const after = second.lease();
    assert.equal(after?.metadata.uid, before?.metadata.uid);
    assert.equal(after?.spec.holderIdentity, 'new');
    assert.equal(after?.spec.leaseTransitions, 1);
    assert.equal(second.store.count('update'), 1);
    const claimed = second.last('claimed');
    assert.deepEqual([claimed?.how, claimed?.from], ['takenOver', 'old']);
    assert.ok(first.store.history.every((commit) => commit.after !== undefined));
    await second.stop();
  });

  it('wins although the old process renews in between, and is never superseded while it claims', async () => {
    const old = start({ holder: 'old' });
    await settle();
    const store = old.store.client({});
    store.next('update', { delayMs: 100 });
    const p = start({ clock: old.clock, store, holder: 'new' });
    await settle();
    store.edit(ref, (lease) => lease); // the old process renews while our PUT is under way
    await p.clock.advance(100);
    assert.equal(p.lease()?.spec.holderIdentity, 'new');
    assert.equal(p.last('superseded'), undefined);
    await Promise.all([p.stop(), old.stop()]);
  });

  it('starts again from GET when another process makes the lease first', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    store.next('create', { delayMs: 100 });
    const p = start({ clock, store });
    await settle();
    const rival = start({ clock, store: store.client({}), holder: 'rival' });
    await settle();
    await clock.advance(100);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    assert.equal(p.last('claimed')?.how, 'takenOver');
    await clock.advance(INTERVAL);
    assert.equal(rival.publisher.status.phase, 'superseded');
    await Promise.all([p.stop(), rival.stop()]);
  });

  for (const operation of ['create', 'update'] as const) {
    it(`recognises its own claim when the answer to the ${operation} was lost`, async () => {
      const clock = new ManualClock();
      const store = new MemoryStore({ clock });
      if (operation === 'update')
        store.put({
          ...ref,
          labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver' },
          spec: { holderIdentity: 'old' },
        });
      store.next(operation, { lose: 'Unavailable' });
      const p = start({ clock, store });
      await clock.advance(1000);
      assert.equal(p.lease()?.spec.holderIdentity, 'me');
      assert.equal(p.last('claimed')?.how, operation === 'create' ? 'created' : 'takenOver');
      assert.equal(store.count('create') + store.count('update'), 1);
      await p.stop();
    });
  }

  it('refuses a lease without the identity label, and takes the name when it is free', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const theirs = store.put({ ...ref, spec: { holderIdentity: 'theirs' } });
    const p = start({ clock, store });
    await clock.advance(3 * INTERVAL);
    assert.deepEqual(p.lease(), theirs);
    assert.equal(p.types().filter((t) => t === 'foreign').length, 1);
    store.remove(ref);
    await clock.advance(INTERVAL);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    await p.stop();
  });
});

describe('renewing', () => {
  it('costs exactly one PUT each, at the interval', async () => {
    const p = start();
    await settle();
    const before = p.store.count();
    await p.clock.advance(20 * INTERVAL);
    assert.equal(p.store.count('update'), 20);
    assert.equal(p.store.count() - before, 20);
    await p.stop();
  });

  it('comes up to 4 % later at random, counted from the end of the last', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const publisher = new Publisher({
      store,
      clock,
      random: () => 1,
      holder: 'me',
      hostname,
    });
    const stop = new AbortController();
    const done = publisher.run(stop.signal);
    await clock.advance(10_399);
    assert.equal(store.count('update'), 0);
    await clock.advance(1);
    assert.equal(store.count('update'), 1);
    stop.abort();
    await done;
  });

  it('goes on after an answer lost behind the write, with nobody else noticing', async () => {
    for (const lose of ['Unavailable', 'Timeout'] as const) {
      const p = start();
      await settle();
      p.store.next('update', { lose });
      await p.clock.advance(2 * INTERVAL);
      assert.equal(p.types().filter((t) => t === 'adopted').length, 1, lose);
      assert.equal(p.last('secondWriter'), undefined);
      await p.clock.advance(INTERVAL);
      const renewTime = p.lease()?.spec.renewTime;
      assert.ok((renewTime?.epochMs ?? 0) >= p.clock.wallMicros() / 1000 - INTERVAL, lose);
      await p.stop();
    }
  });

  it('takes the conflict of a write that was sent twice on the way for what it is, not for a second writer', async () => {
    const p = start();
    await settle();
    p.store.next('update', { repeat: { afterMs: 5, answer: 'last' } });
    await p.clock.advance(2 * INTERVAL);
    assert.equal(p.types().filter((t) => t === 'adopted').length, 1);
    assert.equal(p.last('secondWriter'), undefined);
    await p.stop();
  });

  it('waits for its lost POST, also when another lease that came in between has gone again', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    store.next('create', { delayMs: 12_000 });
    store.next('update', { hang: true });
    const p = start({ clock, store, policy: 'delete' });
    await clock.advance(1_000);
    const labels = { [IDENTITY_LABEL]: IDENTITY_LABEL_VALUE };
    store.put({ ...ref, labels, spec: { holderIdentity: 'other', leaseDurationSeconds: 3600 } });
    // The POST has timed out, and the take-over is under way.
    await clock.advance(4_500);
    const stopped = p.stop();
    await clock.advance(5_500);
    store.remove(ref);
    assert.equal((await stopped).outcome, 'deleted');
    await clock.advance(30_000);
    assert.equal(store.peek(ref), undefined);
  });

  it('renews at once when somebody edited the lease meanwhile, keeping the edit', async () => {
    const p = start();
    await settle();
    p.store.edit(ref, (l) => ({ ...l, metadata: { ...l.metadata, annotations: { note: 'seen' } } }));
    await p.clock.advance(INTERVAL);
    assert.equal(p.lease()?.metadata.annotations['note'], 'seen');
    assert.equal(Math.floor(p.lease()?.spec.renewTime?.epochMs ?? 0), p.clock.wallMicros() / 1000);
    assert.equal(p.last('secondWriter'), undefined);
    await p.stop();
  });

  it('reports a second writer with its holder, and goes on', async () => {
    const p = start();
    await settle();
    p.store.edit(ref, (l) => ({ spec: { renewTime: l.spec.renewTime && otherTime(l) } }));
    await p.clock.advance(INTERVAL);
    assert.equal(p.types().filter((t) => t === 'secondWriter').length, 1);
    await p.clock.advance(INTERVAL);
    assert.equal(p.publisher.status.phase, 'holding');
    assert.equal(p.types().filter((t) => t === 'secondWriter').length, 1);
    await p.stop();
  });

  it('makes the lease again at once when somebody deleted it', async () => {
    const p = start();
    await settle();
    const uid = p.lease()?.metadata.uid;
    p.store.remove(ref);
    await p.clock.advance(1);
    assert.notEqual(p.lease()?.metadata.uid, uid);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    assert.equal(p.last('claimed')?.how, 'recreated');
    await p.stop();
  });

  it('makes it again at its next renewal where watching is not permitted', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    store.next('watch', { fail: 'Forbidden' });
    const p = start({ clock, store });
    await settle();
    store.remove(ref);
    await clock.advance(INTERVAL);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    assert.equal(p.last('failed')?.operation, 'watch');
    await p.stop();
  });

  it('survives an API that is gone for a minute, and is back within one interval', async () => {
    const p = start();
    await settle();
    p.store.faults = () => ({ fail: 'Unavailable' });
    await p.clock.advance(60_000);
    const calls = p.store.count('update') + p.store.count('get');
    assert.ok(calls > 5 && calls < 30, `${calls} attempts in a minute`);
    assert.equal(p.publisher.status.lastError?.code, 'Unavailable');
    p.store.faults = undefined;
    await p.clock.advance(INTERVAL);
    assert.equal(p.publisher.status.failures, 0);
    assert.ok(p.last('recovered'));
    assert.ok((p.lease()?.spec.renewTime?.epochMs ?? 0) >= p.clock.wallMicros() / 1000 - INTERVAL);
    await p.stop();
  });

  it('waits as long as a 429 asks, but never longer than the interval', async () => {
    for (const [asked, waits] of [
      [3000, 3000],
      [600_000, INTERVAL],
    ] as const) {
      const p = start();
      await settle();
      p.store.next('update', {
        fail: new LeaseStoreError('TooManyRequests', { message: 'slow down', status: 429, retryAfterMs: asked }),
      });
      await p.clock.advance(INTERVAL);
      assert.equal(p.last('failed')?.retryInMs, waits);
      await p.clock.advance(waits - 1);
      assert.equal(p.last('renewed'), undefined);
      await p.clock.advance(1);
      assert.ok(p.last('renewed'));
      await p.stop();
    }
  });

  for (const code of ['Forbidden', 'Unauthorized', 'Invalid', 'NamespaceTerminating', 'BadAnswer'] as const) {
    it(`tells of ${code} and tries again, no faster than the backoff`, async () => {
      const p = start();
      await settle();
      p.store.faults = (call) => (call.verb === 'update' ? { fail: code } : undefined);
      await p.clock.advance(7 * INTERVAL);
      const failed = p.last('failed');
      assert.equal(failed?.error.code, code);
      assert.ok((failed?.attempt ?? 0) > 3 && p.store.count('update') < 20);
      p.store.faults = undefined;
      await p.clock.advance(INTERVAL);
      assert.equal(p.publisher.status.phase, 'holding');
      assert.equal(p.publisher.status.failures, 0);
      await p.stop();
    });
  }

  it('gives up an attempt that is never answered, and holds the lease on', async () => {
    const p = start();
    await settle();
    p.store.next('update', { hang: true });
    await p.clock.advance(INTERVAL + 5000);
    assert.equal(p.last('failed')?.error.code, 'Timeout');
    await p.clock.advance(INTERVAL);
    assert.ok(p.last('renewed'));
    await p.stop();
  });
});

describe('two processes with one hostname', () => {
  it('exactly one renews; the older stands by, says so once, and claims again when the newer is silent', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const older = start({ clock, store, holder: 'older' });
    await settle();
    const newer = start({ clock, store: store.client({}), holder: 'newer' });
    await clock.advance(10 * INTERVAL);
    assert.equal(older.publisher.status.phase, 'superseded');
    assert.equal(older.publisher.status.heldBy, 'newer');
    assert.equal(older.types().filter((t) => t === 'superseded').length, 1);
    assert.equal(store.count('update'), 0, 'the older one writes nothing');
    assert.equal(newer.publisher.status.phase, 'holding');
    // The newer one dies without a word.
    newer.store.faults = () => ({ fail: 'Unavailable' });
    const silentSince = clock.monotonic();
    await clock.advance(WINDOW - INTERVAL - 1_000);
    assert.equal(older.phase, 'superseded');
    while (older.count('claimed') === 1 && clock.monotonic() - silentSince < 80_000) await clock.advance(500);
    const tookMs = clock.monotonic() - silentSince;
    assert.ok(tookMs > WINDOW - INTERVAL && tookMs <= WINDOW + 500, `claimed again after ${tookMs} ms`);
    assert.equal(older.lease()?.spec.leaseTransitions, 2);
    await Promise.all([older.stop(), newer.stop()]);
  });

  it('claims again although somebody annotates the lease of the newer one, which is dead', async () => {
    const p = start({ options: { leaseDurationSeconds: 60 } });
    await settle();
    p.store.edit(ref, other);
    for (let i = 0; i < 12; i++) {
      await p.clock.advance(INTERVAL);
      p.store.edit(ref, (l) => ({ ...l, metadata: { ...l.metadata, annotations: { i: String(i) } } }));
    }
    assert.equal(p.publisher.status.phase, 'holding');
    await p.stop();
  });

  it('the older one claims at once when the newer one leaves and deletes', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const older = start({ clock, store, holder: 'older' });
    await settle();
    const newer = start({ clock, store: store.client({}), holder: 'newer', policy: 'delete' });
    await clock.advance(INTERVAL);
    assert.equal(older.publisher.status.phase, 'superseded');
    assert.equal((await newer.stop()).outcome, 'deleted');
    await clock.advance(1);
    assert.equal(older.publisher.status.phase, 'holding');
    await older.stop();
  });

  it('does not take over by a wall clock that was stepped', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const older = start({ clock, store, holder: 'older' });
    await settle();
    const newer = start({ clock, store: store.client({}), holder: 'newer' });
    await clock.advance(INTERVAL);
    clock.stepWall(48 * 3_600_000);
    await clock.advance(INTERVAL);
    assert.equal(older.publisher.status.phase, 'superseded');
    assert.equal(newer.publisher.status.phase, 'holding');
    await Promise.all([older.stop(), newer.stop()]);
  });
});

describe('beside an API server that publishes the same hostname itself', () => {
  it('tells once, names it, and forgets it when it goes', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const labels = { 'apiserver.kubernetes.io/identity': 'kube-apiserver', 'kubernetes.io/hostname': hostname };
    const twin = { namespace: 'kube-system', name: leaseName(hostname, 'apiserver') };
    store.put({ ...twin, labels, spec: { holderIdentity: 'x' } });
    const p = start({ clock, store });
    await clock.advance(INTERVAL);
    store.edit(twin, (l) => l);
    await clock.advance(INTERVAL);
    assert.equal(p.types().filter((t) => t === 'twin').length, 1);
    assert.deepEqual(p.publisher.status.twins, [twin.name]);
    store.remove(twin);
    await clock.advance(1);
    assert.deepEqual(p.publisher.status.twins, []);
    await p.stop();
  });
});

describe('the server beside us', () => {
  it('is claimed for and renewed only while it answers', async () => {
    let problem: string | undefined = 'connection refused';
    const p = start({ health: () => Promise.resolve(problem) });
    await p.clock.advance(3 * INTERVAL);
    assert.equal(p.store.count('get'), 0);
    assert.equal(p.publisher.status.phase, 'waitingForServer');
    problem = undefined;
    await p.clock.advance(1000);
    assert.equal(p.publisher.status.phase, 'holding');
    problem = 'status 500';
    await p.clock.advance(2000);
    assert.equal(p.publisher.status.phase, 'holding', 'two bad answers are below the threshold');
    await p.clock.advance(1000);
    const writes = p.store.count('update');
    await p.clock.advance(5 * INTERVAL);
    assert.equal(p.store.count('update'), writes);
    assert.equal(p.publisher.status.phase, 'waitingForServer');
    problem = undefined;
    await p.clock.advance(1000);
    assert.equal(p.publisher.status.phase, 'holding');
    assert.equal(p.lease()?.spec.renewTime?.epochMs, p.clock.wallMicros() / 1000);
    await p.stop();
  });

  it('is claimed nothing for when it is found to be gone while we look', async () => {
    let problem: string | undefined;
    const p = start({ health: () => Promise.resolve(problem) });
    p.store.faults = ({ verb }) => (verb === 'get' ? { answerDelayMs: 4_900 } : undefined);
    while (p.store.count('get') === 0) await p.clock.advance(100);
    problem = 'connection refused';
    await p.clock.advance(3 * INTERVAL);
    assert.deepEqual([p.phase, p.store.count('create')], ['waitingForServer', 0]);
    await p.stop();
  });

  it('counts a probe that is never answered as a bad one', async () => {
    const p = start({
      health: (signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('no answer')))),
    });
    await p.clock.advance(5000);
    assert.equal(p.publisher.status.phase, 'waitingForServer');
    await p.stop();
  });

  it('that refuses our credentials counts apart from one that does not answer, also while it is away', async () => {
    let problem: string | { refused: string } | undefined = 'connection refused';
    const p = start({ health: () => Promise.resolve(problem) });
    const reasons = (): string[] => p.events.flatMap((e) => (e.type === 'serverHealth' ? [e.reason] : []));
    await p.clock.advance(5_000);
    problem = { refused: '401' };
    await p.clock.advance(1_500);
    assert.deepEqual(reasons(), ['connection refused'], 'two of the other badness are below the threshold');
    await p.clock.advance(60_000);
    problem = 'status 500';
    await p.clock.advance(60_000);
    assert.deepEqual(reasons(), ['connection refused', '401', 'status 500']);
    assert.equal(p.phase, 'waitingForServer');
    problem = undefined;
    await p.clock.advance(1_000);
    problem = { refused: '403' };
    await p.clock.advance(60_000);
    assert.deepEqual(reasons().slice(3), ['it answers', '403']);
    await p.stop();
  });

  it('decides under policy auto: kept while it answers, deleted when it does not', async () => {
    for (const [problem, outcome] of [
      [undefined, 'kept'],
      ['gone', 'deleted'],
      // It is alive, and our certificate has expired.
      [{ refused: '401' }, 'kept'],
    ] as const) {
      let now: string | { refused: string } | undefined;
      const p = start({ health: () => Promise.resolve(now) });
      await p.clock.advance(1000);
      now = problem;
      assert.equal((await p.stop()).outcome, outcome);
      assert.equal(p.lease() === undefined, outcome === 'deleted');
    }
  });
});

describe('its calls', () => {
  it('are urgent: a sweep of the same process that hangs holds none of them up', async () => {
    const asked: (boolean | undefined)[] = [];
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    for (const method of ['get', 'create', 'update', 'delete'] as const) {
      const inner = store[method].bind(store) as (...args: unknown[]) => Promise<never>;
      Object.assign(store, {
        [method]: (...args: unknown[]) => {
          asked.push((args.at(-1) as CallOptions).urgent);
          return inner(...args);
        },
      });
    }
    const p = start({ clock, store, policy: 'delete' });
    await clock.advance(3 * INTERVAL);
    await p.stop();
    assert.ok(asked.length >= 5, String(asked.length));
    assert.ok(asked.every((urgent) => urgent === true));
  });
});

describe('stopping', () => {
  it('keeps the lease by default, without another request', async () => {
    const p = start();
    await settle();
    const calls = p.store.count();
    assert.deepEqual(await p.stop(), { outcome: 'kept', tookMs: 0 });
    assert.equal(p.store.count(), calls);
    assert.ok(p.lease());
  });

  it('deletes with uid and version under policy delete', async () => {
    const p = start({ policy: 'delete' });
    await settle();
    assert.equal((await p.stop()).outcome, 'deleted');
    assert.equal(p.lease(), undefined);
    assert.equal(p.store.count('delete'), 1);
  });

  it('leaves no lease behind when a write in flight commits while stopping', async () => {
    for (const fault of [
      { delayMs: 400 },
      { answerDelayMs: 400 },
      { lose: 'Unavailable' },
      { lose: 'Timeout' },
      { delayMs: 6000 },
    ] as const) {
      // the first write (POST), the take-over, and a renewal
      for (const write of ['create', 'takeOver', 'renew'] as const) {
        const clock = new ManualClock();
        const store = new MemoryStore({ clock });
        if (write === 'takeOver')
          store.put({
            ...ref,
            labels: { 'apiserver.kubernetes.io/identity': 'kube-apiserver' },
            spec: { holderIdentity: 'old' },
          });
        if (write !== 'renew') store.next(write === 'create' ? 'create' : 'update', fault);
        const p = start({ clock, store, policy: 'delete' });
        await settle();
        if (write === 'renew') {
          store.next('update', fault);
          await clock.advance(INTERVAL);
        }
        const { outcome, tookMs } = await p.stop();
        const what = `${write} with ${JSON.stringify(fault)}: ${outcome}`;
        assert.ok(tookMs <= 10_000, what);
        await clock.advance(60_000);
        assert.equal(p.lease(), undefined, what);
      }
    }
  });

  it('never touches a successor', async () => {
    const p = start({ policy: 'delete' });
    await settle();
    p.store.next('delete', { delayMs: 100 });
    const stopped = p.stop();
    await settle();
    p.store.edit(ref, other);
    assert.equal((await stopped).outcome, 'notOurs');
    assert.equal(p.lease()?.spec.holderIdentity, 'other');
  });

  it('begins no claim any more when the stop comes with the answer to its read', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    const labels = { 'apiserver.kubernetes.io/identity': 'kube-apiserver' };
    const before = store.put({ ...ref, labels, spec: { holderIdentity: 'old' } });
    const get = store.get.bind(store);
    let stopped: Promise<{ outcome: string }> | undefined;
    store.get = async (...args) => {
      const answer = await get(...args);
      stopped = p.stop();
      return answer;
    };
    const p = start({ clock, store });
    await settle();
    assert.equal((await stopped)?.outcome, 'absent');
    assert.deepEqual(p.lease(), before);
    assert.equal(store.count('update'), 0);
  });

  it('does not delete while superseded', async () => {
    const p = start({ policy: 'delete' });
    await settle();
    p.store.edit(ref, other);
    await p.clock.advance(INTERVAL);
    assert.equal(p.publisher.status.phase, 'superseded');
    assert.equal((await p.stop()).outcome, 'notOurs');
    assert.equal(p.store.count('delete'), 0);
  });

  it('ends within ten seconds whatever the API does, at any moment of its life', async () => {
    for (const fault of [
      { hang: true },
      { fail: 'Unavailable' },
      { fail: 'Unauthorized' },
      { fail: 'TooManyRequests' },
      { delayMs: 1e9 },
    ] as const) {
      for (const at of [0, 1, 300, INTERVAL, INTERVAL + 1, INTERVAL + 5100, 65_000]) {
        for (const policy of ['keep', 'delete'] as const) {
          const p = start({ policy });
          if (at > 0) await settle();
          p.store.faults = () => fault;
          await p.clock.advance(at);
          const { tookMs } = await p.stop();
          assert.ok(tookMs <= 10_000, `${JSON.stringify(fault)} at ${at} ms, ${policy}: ${tookMs} ms`);
          // A write that is still under way on the simulated wire has a timer of its own.
          if (!('delayMs' in fault)) assert.equal(p.clock.pending, 0, 'no timer is left');
          assert.equal(p.store.watches.open, 0, 'no watch is left');
        }
      }
    }
  });

  it('may be run again with the same holder, and then does not fight one that came meanwhile', async () => {
    const p = start({ policy: 'delete' });
    await settle();
    await p.stop();
    const newer = start({ clock: p.clock, store: p.store.client({}), holder: 'newer' });
    await settle();
    const again = new AbortController();
    const done = p.publisher.run(again.signal);
    await p.clock.advance(INTERVAL);
    assert.equal(p.publisher.status.phase, 'superseded');
    again.abort();
    await done;
    await newer.stop();
  });
});

function otherTime(lease: Lease) {
  const time = lease.spec.renewTime;
  assert.ok(time);
  return Object.getPrototypeOf(time).constructor.fromEpochMicros(time.epochMicros + 7);
}

describe('what goes wrong for long', () => {
  it('does not make a storm when writes fail and reads succeed (etcd out of space)', async () => {
    const p = start();
    await settle();
    p.store.faults = (call) =>
      call.verb === 'update'
        ? { fail: new LeaseStoreError('ServerError', { message: 'no space', mayHaveCommitted: true }) }
        : undefined;
    const before = p.store.count();
    await p.clock.advance(600_000);
    const calls = p.store.count() - before;
    assert.ok(calls < 300, `${calls} requests in ten minutes`);
    assert.equal(p.last('recovered'), undefined, 'nothing recovered');
    assert.equal(p.last('secondWriter'), undefined, 'the stored renewTime is our own');
    assert.ok(p.publisher.status.failures > 50);
    p.store.faults = undefined;
    await p.clock.advance(INTERVAL);
    assert.equal(p.publisher.status.failures, 0);
    assert.equal(p.types().filter((t) => t === 'recovered').length, 1);
    await p.stop();
  });

  it('does not make a storm when somebody edits the lease before every write', async () => {
    const p = start();
    await settle();
    p.store.faults = (call) => {
      if (call.verb === 'update')
        p.store.edit(ref, (l) => ({ ...l, metadata: { ...l.metadata, annotations: { n: String(p.store.count()) } } }));
      return undefined;
    };
    const before = p.store.count();
    await p.clock.advance(600_000);
    const calls = p.store.count() - before;
    assert.ok(calls < 300, `${calls} requests in ten minutes`);
    p.store.faults = undefined;
    await p.clock.advance(INTERVAL);
    assert.equal(p.publisher.status.phase, 'holding');
    await p.stop();
  });

  it('reads at most once a second when its successor writes like mad', async () => {
    const p = start();
    await settle();
    for (let i = 0; i < 1000; i++) {
      p.store.edit(ref, (l) => ({ ...other(l), metadata: { ...l.metadata, annotations: { i: String(i) } } }));
      await p.clock.advance(10);
    }
    assert.equal(p.publisher.status.phase, 'superseded');
    assert.ok(p.store.count('get') < 25, `${p.store.count('get')} reads in ten seconds`);
    await p.stop();
  });

  it('does not spin on a store that was closed under it', async () => {
    const p = start();
    await settle();
    p.store.faults = () => ({ fail: 'Aborted' });
    const before = p.store.count();
    await p.clock.advance(60_000);
    assert.ok(p.store.count() - before < 40);
    await p.stop();
  });

  it('leaves no lease behind when a POST that was given up lands after the DELETE', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    store.next('create', { delayMs: 7000 });
    const p = start({ clock, store, policy: 'delete' });
    await clock.advance(6000);
    assert.equal(p.lease()?.spec.holderIdentity, 'me', 'the second POST was faster');
    const { tookMs } = await p.stop();
    assert.ok(tookMs <= 10_000);
    await clock.advance(60_000);
    assert.equal(p.lease(), undefined);
  });

  for (const [how, leavesAt, outcome] of [
    ['leaves in time: what that POST makes is deleted', 1_000, 'deleted'],
    ['stays: nobody can know', Infinity, 'unknown'],
  ] as const) {
    it(`a POST under way when another holds the name, and ${how}`, async () => {
      const clock = new ManualClock();
      const store = new MemoryStore({ clock });
      // It lands 12 s after the start.
      store.next('create', { delayMs: 12_000 });
      const p = start({ clock, store, policy: 'delete' });
      await clock.advance(6_000);
      p.store.edit(ref, other);
      clock.schedule(leavesAt, () => store.remove(ref));
      assert.equal((await p.stop()).outcome, outcome);
      await clock.advance(60_000);
      assert.notEqual(p.lease()?.spec.holderIdentity, 'me');
    });
  }

  it('does not wait for a lost POST that the server has given up long ago', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    store.next('create', { hang: true });
    const p = start({ clock, store, policy: 'delete' });
    await clock.advance(100_000);
    assert.deepEqual(await p.stop(), { outcome: 'deleted', tookMs: 0 });
  });

  it('does not delete what another process writes with our holder', async () => {
    const p = start({ policy: 'delete' });
    await settle();
    p.store.faults = (call) => {
      if (call.verb === 'delete') p.store.edit(ref, (l) => ({ spec: { renewTime: otherTime(l) } }));
      return undefined;
    };
    assert.equal((await p.stop()).outcome, 'notOurs');
    assert.equal(p.store.count('delete'), 1);
  });

  it('never sends the same renewTime twice, however fast its writes follow', async () => {
    const p = start();
    await settle();
    for (let i = 0; i < 20; i++) {
      // At one instant: a conflict, a read, and a write again.
      p.store.edit(ref, (l) => ({ ...l, metadata: { ...l.metadata, annotations: { i: String(i) } } }));
      p.store.next('update', undefined, { lose: 'Unavailable' });
      await p.clock.advance(INTERVAL);
    }
    assert.equal(p.last('secondWriter'), undefined);
    const times = p.store.history.filter((c) => c.by === 'store').map((c) => c.lease.spec.renewTime?.toString());
    assert.equal(new Set(times).size, times.length);
    await p.stop();
  });

  it('goes on when the watch fails in an unknown way', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    store.watch = () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new RangeError('what is this')) }),
    });
    const p = start({ clock, store });
    await clock.advance(3 * INTERVAL);
    assert.equal(p.publisher.status.phase, 'holding');
    assert.equal(p.last('failed')?.operation, 'watch');
    await p.stop();
  });

  it('watches again when permission came later, and forgets twins that a new list lacks', async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock });
    store.next('watch', { fail: 'Forbidden' });
    const p = start({ clock, store });
    await clock.advance(300_000);
    const labels = { 'apiserver.kubernetes.io/identity': 'kube-apiserver', 'kubernetes.io/hostname': hostname };
    const twin = { namespace: 'kube-system', name: leaseName(hostname, 'apiserver') };
    store.put({ ...twin, labels, spec: { holderIdentity: 'x' } });
    await clock.advance(1);
    assert.deepEqual(p.publisher.status.twins, [twin.name]);
    store.watches.silence();
    store.remove(twin);
    store.watches.relist();
    await clock.advance(1);
    assert.deepEqual(p.publisher.status.twins, []);
    await p.stop();
  });

  it('tells when it last renewed: the moment before the renewal was sent', async () => {
    const p = start();
    await settle();
    assert.equal(p.publisher.status.renewedAt, 0);
    p.store.next('update', { answerDelayMs: 700 });
    await p.clock.advance(INTERVAL + 700);
    assert.equal(p.publisher.status.renewedAt, INTERVAL);
    await p.stop();
  });
});
