/** Options that cannot be used never start anything: every constructor throws one error, with all that is wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeMonitor } from '../../src/availability/node-monitor.ts';
import { LiveCensus } from '../../src/census/live-census.ts';
import { LeaderElector } from '../../src/election/elector.ts';
import { Heartbeat } from '../../src/heartbeat/heartbeats.ts';
import { Publisher } from '../../src/identity/publisher.ts';
import { ServerHealth } from '../../src/identity/server-health.ts';
import { openLeases } from '../../src/leases.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { OptionsError } from '../../src/runtime/options.ts';
import { Sweeper } from '../../src/sweep/sweeper.ts';
import { MemoryStore } from '../support/memory-store.ts';

const clock = new ManualClock();
const store = new MemoryStore({ clock });
const parts = { store, clock, random: Math.random, observe: () => {} };
const nodes = { watch: () => assert.fail('nothing was to be started') };
const lease = { namespace: 'a', name: 'b' };

/** What makes each of them, with one bad number in two of its options. */
const MAKE: Record<string, readonly [bad: string[], make: (bad: number) => unknown]> = {
  Publisher: [
    ['leaseDurationSeconds', 'renewIntervalMs'],
    (bad) =>
      new Publisher({
        ...parts,
        holder: 'me',
        hostname: 'h',
        renewIntervalMs: bad,
        leaseDurationSeconds: bad,
      }),
  ],
  ServerHealth: [
    ['intervalMs', 'timeoutMs'],
    (bad) =>
      new ServerHealth({
        clock,
        probe: () => Promise.resolve(undefined),
        intervalMs: bad,
        timeoutMs: bad,
        threshold: 1,
      }),
  ],
  Sweeper: [
    ['confirmAfterMs', 'concurrency'],
    // None at all is allowed between the two looks.
    (bad) => new Sweeper({ ...parts, confirmAfterMs: bad === 0 ? -1 : bad, concurrency: bad }),
  ],
  LiveCensus: [
    ['freshForMs', 'maxAgeMs'],
    (bad) => new LiveCensus({ ...parts, query: { namespace: 'a' }, freshForMs: bad, maxAgeMs: bad }),
  ],
  LeaderElector: [
    ['renewDeadlineMs', 'retryPeriodMs'],
    (bad) =>
      new LeaderElector({
        ...parts,
        lease,
        id: 'a',
        uuid: 'b',
        work: async () => {},
        renewDeadlineMs: bad,
        retryPeriodMs: bad,
      }),
  ],
  Heartbeat: [
    ['renewIntervalMs', 'concurrency'],
    (bad) => new Heartbeat({ ...parts, nodes, renewIntervalMs: bad, requestTimeoutMs: 5_000, concurrency: bad }),
  ],
  NodeMonitor: [['namespace', 'graceMs'], (bad) => new NodeMonitor({ ...parts, nodes, namespace: '', graceMs: bad })],
};

for (const [name, [fields, make]] of Object.entries(MAKE)) {
  for (const bad of [Number.NaN, 0, -5]) {
    test(`${name}: ${bad}`, () => {
      assert.throws(
        () => make(bad),
        (error) => {
          assert(error instanceof OptionsError, String(error));
          assert.deepEqual([error.code, error.message.split(':')[0]], ['InvalidOptions', name]);
          assert.deepEqual(
            error.problems.map(({ field }) => field),
            fields,
          );
          return true;
        },
      );
    });
  }
}

test('a running service refuses changes that cannot be used, and keeps what it has', () => {
  const publisher = new Publisher({ ...parts, holder: 'me', hostname: 'h' });
  assert.throws(() => publisher.update({ renewIntervalMs: Number.NaN }), OptionsError);
  assert.equal(publisher.options.renewIntervalMs, 10_000);
  const heartbeat = new Heartbeat({ ...parts, nodes });
  assert.throws(() => heartbeat.update({ leaseDurationSeconds: 10 }), OptionsError);
  assert.equal(heartbeat.options.leaseDurationSeconds, 40);
});

test('a door whose numbers no request could use is not opened', async () => {
  const kubeConfig = {
    currentContext: 'c',
    contexts: [{ name: 'c', cluster: 'c', user: 'u' }],
    clusters: [{ name: 'c', server: 'http://127.0.0.1:1' }],
    users: [{ name: 'u' }],
  };
  for (const bad of [Number.NaN, 0, -5]) {
    await assert.rejects(openLeases({ kubeConfig, requestTimeoutMs: bad, maxConnections: bad }), (error) => {
      assert(error instanceof OptionsError, String(error));
      assert.deepEqual(
        error.problems.map(({ field }) => field),
        ['requestTimeoutMs', 'maxConnections'],
      );
      return true;
    });
  }
  await using _leases = await openLeases({ kubeConfig, requestTimeoutMs: 1, maxConnections: Number.POSITIVE_INFINITY });
});
