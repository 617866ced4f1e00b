/** What the publisher's tests share: one publisher over a store in memory, its clock moved by hand, its events kept. */
import assert from 'node:assert/strict';
import type { PublisherEvent } from '../../src/identity/publisher-events.ts';
import { Publisher } from '../../src/identity/publisher.ts';
import type { PublisherOptions } from '../../src/identity/publisher.ts';
import { ServerHealth } from '../../src/identity/server-health.ts';
import type { HealthProbe } from '../../src/identity/server-health.ts';
import { leaseName } from '../../src/lease/names.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';

export const hostname = 'master-1';
export const ref = { namespace: 'kube-system', name: leaseName(hostname) };
export const INTERVAL = 10_000;
/** Silence after which another's lease is claimed. */
export const WINDOW = 35_000;

export interface Setup {
  readonly clock?: ManualClock;
  readonly store?: MemoryStore;
  readonly holder?: string;
  readonly options?: Partial<PublisherOptions>;
  readonly health?: HealthProbe;
  readonly policy?: PublisherOptions['shutdownPolicy'];
}

export function start(setup: Setup = {}) {
  const clock = setup.clock ?? new ManualClock();
  const store = setup.store ?? new MemoryStore({ clock });
  const events: PublisherEvent[] = [];
  const health =
    setup.health && new ServerHealth({ probe: setup.health, clock, intervalMs: 1000, timeoutMs: 500, threshold: 3 });
  const publisher = new Publisher({
    store,
    clock,
    random: () => 0,
    holder: setup.holder ?? 'me',
    hostname,
    ...setup.options,
    ...(setup.policy && { shutdownPolicy: setup.policy }),
    observe: (event) => events.push(event),
    health,
  });
  const stop = new AbortController();
  const done = publisher.run(stop.signal);
  let settled = false;
  done.then(
    () => (settled = true),
    () => (settled = true),
  );
  return {
    clock,
    store,
    events,
    publisher,
    types: () => events.map((e) => e.type),
    count: (type: PublisherEvent['type']) => events.filter((e) => e.type === type).length,
    last: <T extends PublisherEvent['type']>(type: T) =>
      events.findLast((e): e is Extract<PublisherEvent, { type: T }> => e.type === type),
    get phase() {
      return publisher.status.phase;
    },
    lease: () => store.peek({ namespace: 'kube-system', name: publisher.status.lease }),
    get settled() {
      return settled;
    },
    /** Asks it to stop, moves time until it has, and gives the outcome and how long that took. */
    async stop(maxMs = 10_000) {
      const began = clock.monotonic();
      stop.abort();
      await settle();
      while (!settled && clock.monotonic() - began < maxMs) {
        const next = clock.next;
        await clock.advance(Math.min(next ?? maxMs, maxMs));
      }
      assert.ok(settled, `still running ${maxMs} ms after the stop`);
      return { outcome: await done, tookMs: clock.monotonic() - began };
    },
  };
}
