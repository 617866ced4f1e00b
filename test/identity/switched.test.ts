/** Publishing switched off and on while requests are in flight: never two holders, never a lease left behind, the last value wins. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from '../support/fast-check.ts';
import type { PublisherEvent, ShutdownOutcome } from '../../src/identity/publisher-events.ts';
import type { IdentityOptions } from '../../src/identity/identity-options.ts';
import { Publisher } from '../../src/identity/publisher.ts';
import { leaseName } from '../../src/lease/names.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import type { Fault } from '../support/memory-store.ts';

const hostname = 'master-1';
const ref = { namespace: 'kube-system', name: leaseName(hostname) };

function start({
  enabled = true,
  holder = 'me',
  options = {},
  beside,
}: {
  enabled?: boolean;
  holder?: string;
  options?: Partial<IdentityOptions>;
  /** Another process on the same API. */
  beside?: { clock: ManualClock; store: MemoryStore };
} = {}) {
  const clock = beside?.clock ?? new ManualClock();
  const store = beside?.store.client({ by: holder }) ?? new MemoryStore({ clock, by: holder });
  const events: PublisherEvent[] = [];
  const publisher = new Publisher({
    store,
    clock,
    random: () => 0,
    holder,
    hostname,
    ...options,
    observe: (event) => events.push(event),
  });
  publisher.enable(enabled);
  const stop = new AbortController();
  let ended = false;
  let outcome: ShutdownOutcome | undefined;
  const done = publisher
    .run(stop.signal)
    .then((how) => (outcome = how))
    .finally(() => (ended = true));
  return {
    clock,
    store,
    events,
    publisher,
    get outcome() {
      const stopped = events.findLast((event) => event.type === 'stopped');
      return outcome ?? stopped?.outcome;
    },
    lease: () => store.peek(ref),
    /** SIGTERM; milliseconds until the end. */
    async stop(): Promise<number> {
      const began = clock.monotonic();
      stop.abort();
      while (!ended && clock.monotonic() - began < 10_000) await clock.advance(100);
      assert.ok(ended, 'still running 10 s after the stop');
      await done;
      assert.equal(store.watches.open, 0);
      return clock.monotonic() - began;
    },
  };
}

describe('a publisher that is switched off and on', () => {
  it('does nothing while it is off, and claims when it is switched on', async () => {
    const p = start({ enabled: false });
    await p.clock.advance(60_000);
    assert.equal(p.store.count(), 0);
    assert.ok(p.publisher.status.phase === 'disabled');
    p.publisher.enable(true);
    await settle();
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    assert.ok(p.publisher.status.phase !== 'disabled');
    await p.stop();
    assert.equal(p.lease()?.spec.holderIdentity, 'me', 'kept, as the policy says');
    assert.equal(p.outcome, 'kept');
  });

  it('switched off it deletes its lease with preconditions, renews no more and is disabled', async () => {
    const p = start();
    await p.clock.advance(25_000);
    p.publisher.enable(false);
    await settle();
    assert.equal(p.lease(), undefined);
    assert.ok(p.publisher.status.phase === 'disabled');
    const calls = p.store.count();
    await p.clock.advance(120_000);
    assert.equal(p.store.count(), calls);
    assert.equal(p.clock.pending, 0);
    p.publisher.enable(true);
    await settle();
    assert.equal(p.lease()?.spec.holderIdentity, 'me', 'the same holder');
    await p.stop();
  });

  it('does not delete a lease that a newer process holds, and does not take it back when switched on', async () => {
    const p = start();
    await p.clock.advance(5_000);
    const newer = start({ beside: p, holder: 'newer' });
    await p.clock.advance(11_000);
    assert.equal(p.publisher.status.phase, 'superseded');
    p.publisher.enable(false);
    await p.clock.advance(1_000);
    assert.equal(p.lease()?.spec.holderIdentity, 'newer');
    p.publisher.enable(true);
    await p.clock.advance(60_000);
    assert.equal(p.lease()?.spec.holderIdentity, 'newer');
    assert.equal(p.publisher.status.phase, 'superseded');
    await newer.stop();
    await p.stop();
  });

  it('a process that claims while this one is off is not fought when it is on again', async () => {
    const p = start();
    await settle();
    p.publisher.enable(false);
    await settle();
    const newer = start({ beside: p, holder: 'newer' });
    await settle();
    p.publisher.enable(true);
    await p.clock.advance(60_000);
    assert.equal(p.lease()?.spec.holderIdentity, 'newer');
    await newer.stop();
    await p.stop();
  });

  it('off while it looks whether it may claim: it claims nothing', async () => {
    const p = start();
    p.store.faults = ({ verb }) => (verb === 'get' ? { answerDelayMs: 1_000 } : undefined);
    await p.clock.advance(500);
    assert.equal(p.store.count('get'), 1, 'it looks');
    p.publisher.enable(false);
    await p.clock.advance(20_000);
    assert.equal(p.store.count('create'), 0);
    assert.equal(p.publisher.status.phase, 'disabled');
    await p.stop();
  });

  it('off while it looks, and finds that a write of its own was stored after all: that goes', async () => {
    const p = start();
    await p.clock.advance(5_000);
    p.store.faults = ({ verb }) => (verb === 'update' ? { lose: 'Timeout' } : { answerDelayMs: 1_000 });
    const gets = p.store.count('get');
    while (p.store.count('get') === gets) await p.clock.advance(500);
    p.publisher.enable(false);
    await p.clock.advance(20_000);
    assert.equal(p.lease(), undefined);
    assert.equal(p.outcome, 'deleted');
    await p.stop();
  });

  it('off while it looks, and its own older record was put back: that goes', async () => {
    const p = start();
    await p.clock.advance(5_000);
    const { renewTime } = p.lease()!.spec;
    await p.clock.advance(25_000);
    p.store.faults = ({ verb }) => (verb === 'get' ? { answerDelayMs: 1_000 } : undefined);
    const gets = p.store.count('get');
    p.store.edit(ref, () => ({ spec: { renewTime } }));
    while (p.store.count('get') === gets) await p.clock.advance(100);
    p.publisher.enable(false);
    await p.clock.advance(20_000);
    assert.deepEqual([p.outcome, p.lease()], ['deleted', undefined]);
    await p.stop();
  });

  it('off while it looks, and the look fails: no failure is reported', async () => {
    const p = start();
    p.store.faults = ({ verb }) => (verb === 'get' ? { delayMs: 1_000, fail: 'Unavailable' } : undefined);
    while (p.store.count('get') === 0) await p.clock.advance(100);
    p.publisher.enable(false);
    await p.clock.advance(10_000);
    assert.equal(p.events.filter(({ type }) => type === 'failed').length, 0);
    await p.stop();
  });

  it('off while a renewal is in flight: the lease goes all the same', async () => {
    const p = start();
    await settle();
    p.store.next('update', { delayMs: 2_000 });
    await p.clock.advance(10_500);
    p.publisher.enable(false);
    await p.clock.advance(5_000);
    assert.equal(p.lease(), undefined);
    await p.stop();
  });

  it('off and on while a renewal is in flight: the lease is never missing', async () => {
    const p = start();
    await settle();
    const uid = p.lease()?.metadata.uid;
    p.store.next('update', { delayMs: 2_000 });
    await p.clock.advance(10_500);
    p.publisher.enable(false);
    p.publisher.enable(true);
    await p.clock.advance(5_000);
    assert.equal(p.lease()?.metadata.uid, uid);
    assert.ok(!p.store.history.some(({ verb }) => verb === 'delete'));
    const renewTime = p.lease()?.spec.renewTime;
    await p.clock.advance(11_000);
    assert.ok(!p.lease()?.spec.renewTime?.equals(renewTime), 'renewed on');
    await p.stop();
  });

  it('off during an outage: it goes on until the lease is gone, however long that takes', async () => {
    const p = start();
    await settle();
    p.store.faults = () => ({ fail: 'Unavailable' });
    p.publisher.enable(false);
    await p.clock.advance(60_000);
    assert.ok(p.lease());
    p.store.faults = undefined;
    await p.clock.advance(2_000);
    assert.equal(p.lease(), undefined);
    assert.equal(p.outcome, 'deleted');
    await p.stop();
  });

  it('off when the answer to its POST was lost: the lease it may have made goes too', async () => {
    const p = start();
    p.store.next('create', { lose: 'Timeout' });
    await settle();
    assert.ok(p.lease());
    p.store.faults = () => ({ hang: true });
    p.publisher.enable(false);
    await p.clock.advance(30_000);
    p.store.faults = undefined;
    await p.clock.advance(10_000);
    assert.equal(p.lease(), undefined);
    await p.stop();
  });

  it('off during an outage and on before its end: it goes on with the lease', async () => {
    const p = start();
    await settle();
    p.store.faults = () => ({ hang: true });
    p.publisher.enable(false);
    await p.clock.advance(30_000);
    p.publisher.enable(true);
    await p.clock.advance(5_000);
    p.store.faults = undefined;
    await p.clock.advance(30_000);
    assert.equal(p.lease()?.spec.holderIdentity, 'me');
    assert.equal(p.publisher.status.phase, 'holding');
    await p.stop();
  });

  it('SIGTERM while the API hangs: the withdrawal goes on for as long as a stop may take, and ends with the lease', async () => {
    // At 5 s the publisher itself is stopping, from 8 s on its withdrawal goes on alone. A request that hangs takes 5 s.
    for (const at of [5_000, 7_900, 8_100, 9_900, 13_000, 20_000]) {
      for (const backAfterMs of [100, 2_000]) {
        const p = start();
        await settle();
        p.store.faults = () => ({ hang: true });
        p.publisher.enable(false);
        await p.clock.advance(at);
        const stopping = p.stop();
        p.clock.schedule(backAfterMs, () => (p.store.faults = undefined));
        const tookMs = await stopping;
        const when = `SIGTERM at ${at}, back after ${backAfterMs}`;
        assert.equal(p.lease(), undefined, when);
        assert.equal(p.outcome, 'deleted', when);
        assert.ok(tookMs <= 10_000, when);
        assert.equal(p.clock.pending, 0);
      }
    }
  });

  it('SIGTERM while its last DELETE is on the way: that is waited for, and none is sent after it', async () => {
    const p = start();
    await settle();
    p.store.faults = () => ({ fail: 'Unavailable' });
    p.publisher.enable(false);
    await p.clock.advance(15_000);
    p.store.faults = ({ verb }) => (verb === 'delete' ? { delayMs: 1_000, answerDelayMs: 1_000 } : undefined);
    await p.clock.advance(1_500);
    const sent = p.store.count('delete');
    assert.ok((await p.stop()) <= 2_000);
    assert.equal(p.outcome, 'deleted');
    assert.equal(p.store.count('delete'), sent);
  });

  it('SIGTERM ends it within 10 s in any of these moments', async () => {
    const faults: (Fault | undefined)[] = [undefined, { hang: true }, { fail: 'Unavailable' }, { delayMs: 3_000 }];
    for (const fault of faults) {
      for (const at of [0, 1, 500, 7_900, 8_100, 20_000]) {
        for (const on of [false, true]) {
          const p = start();
          await settle();
          p.store.faults = () => fault;
          p.publisher.enable(false);
          await p.clock.advance(at);
          if (on) p.publisher.enable(true);
          assert.ok((await p.stop()) <= 10_000);
        }
      }
    }
  });

  it('any switches at any moments, with any faults: at the end the last value holds, and no other process was disturbed', async () => {
    const step = fc.record({
      enabled: fc.boolean(),
      ms: fc.constantFrom(0, 1, 50, 900, 5_000, 12_000),
      fault: fc.constantFrom<Fault | undefined>(
        undefined,
        undefined,
        { hang: true },
        { fail: 'Unavailable' },
        { delayMs: 700 },
        { answerDelayMs: 700 },
        { lose: 'Unavailable' },
        { lose: 'Timeout' },
      ),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 8 }), fc.boolean(), async (steps, rival) => {
        const p = start();
        for (const { enabled, ms, fault } of steps) {
          p.store.faults = fault && (() => fault);
          p.publisher.enable(enabled);
          await p.clock.advance(ms);
        }
        p.store.faults = undefined;
        // Quiet first: of two that claim at once either may be the newer.
        await p.clock.advance(60_000);
        const newer = rival ? start({ beside: p, holder: 'newer' }) : undefined;
        await p.clock.advance(60_000);
        const on = steps.at(-1)!.enabled;
        assert.equal(p.lease()?.spec.holderIdentity, rival ? 'newer' : on ? 'me' : undefined);
        await newer?.stop();
        await p.stop();
      }),
      { numRuns: 150 },
    );
  });
});

describe('new times while it runs', () => {
  it('a new duration and interval count at once: renewed with them, and no write but that', async () => {
    const p = start();
    await p.clock.advance(3_000);
    p.publisher.update({ leaseDurationSeconds: 60, renewIntervalMs: 2_000, requestTimeoutMs: 1_000 });
    await settle();
    assert.equal(p.lease()?.spec.leaseDurationSeconds, 60);
    assert.equal(p.store.count('update'), 1);
    await p.clock.advance(10_000);
    assert.equal(p.store.count('update'), 6);
    assert.equal(p.store.count('get'), 1);
    await p.stop();
  });

  it('during a renewal in flight: the next one comes at once', async () => {
    const p = start();
    await settle();
    p.store.next('update', { delayMs: 1_000 });
    await p.clock.advance(10_100);
    p.publisher.update({ leaseDurationSeconds: 60, renewIntervalMs: 10_000 });
    await p.clock.advance(1_000);
    assert.equal(p.lease()?.spec.leaseDurationSeconds, 60);
    assert.equal(p.store.count('update'), 2);
    await p.stop();
  });

  it('a superseded process stays so', async () => {
    const p = start();
    await settle();
    const newer = start({ beside: p, holder: 'newer' });
    await p.clock.advance(11_000);
    p.publisher.update({ leaseDurationSeconds: 20, renewIntervalMs: 1_000, requestTimeoutMs: 500 });
    await p.clock.advance(60_000);
    assert.equal(p.lease()?.spec.holderIdentity, 'newer');
    await newer.stop();
    await p.stop();
  });

  it('an API that is away is asked as often as the new interval says', async () => {
    const p = start();
    await settle();
    p.store.faults = () => ({ fail: 'Unavailable' });
    await p.clock.advance(60_000);
    p.publisher.update({ renewIntervalMs: 1_000, requestTimeoutMs: 500 });
    await p.clock.advance(5_000);
    const before = p.store.count('update');
    await p.clock.advance(10_000);
    assert.ok(p.store.count('update') - before >= 9);
    await p.stop();
  });

  it('the shutdown policy of the moment of leaving counts', async () => {
    const p = start();
    await settle();
    p.publisher.update({ shutdownPolicy: 'delete' });
    await p.stop();
    assert.equal(p.lease(), undefined);
  });
});
