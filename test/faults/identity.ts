/**
 * Publishers and a sweeper under a fault: every living lease stays the one it was, and the dead one goes.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { PublisherEvent } from '../../src/identity/publisher-events.ts';
import { Publisher } from '../../src/identity/publisher.ts';
import { holderIdentity, leaseName } from '../../src/lease/names.ts';
import type { Connection } from '../../src/kube/connection.ts';
import type { SweepEvent } from '../../src/sweep/sweep-events.ts';
import { Sweeper } from '../../src/sweep/sweeper.ts';
import type { LeaseJson } from '../e2e/support.ts';
import { until } from '../e2e/support.ts';
import type { Capability, World } from './world.ts';
import { INTERVAL_MS, PACE, SLACK_MS, STEADY_MS, TIMEOUT_MS } from './world.ts';

const LABEL = 'leasekeeper.dev/faults';
/** Two looks are three of the publishers' intervals apart, jitter included. */
const CONFIRM_MS = 3 * 1.04 * INTERVAL_MS;
/** How often a pass is due, and a list's own time. */
const SWEEP_EVERY_MS = 200 * PACE;

export const COUNTED = 'counted';
const SWEPT = 'swept';
export const selector = (value: string): string => `${LABEL}=${value}`;

const path = (world: World, host: string): string =>
  `/apis/coordination.k8s.io/v1/namespaces/${world.namespace}/leases/${leaseName(host)}`;

async function read(world: World, host: string): Promise<LeaseJson | undefined> {
  const { status, text } = await world.api.request('GET', path(world, host));
  if (status === 404) return undefined;
  assert.equal(status, 200, text);
  return JSON.parse(text) as LeaseJson;
}

interface Published {
  readonly host: string;
  readonly events: PublisherEvent[];
  before: LeaseJson;
}

/** Starts a publisher and waits for its lease. */
export async function publish(
  world: World,
  connection: Connection,
  host: string,
  { labelValue, leaseDurationSeconds }: { labelValue: string; leaseDurationSeconds: number },
): Promise<Published> {
  const events: PublisherEvent[] = [];
  const publisher = new Publisher({
    store: connection.store,
    clock: world.clock,
    random: Math.random,
    holder: holderIdentity(leaseName(host), randomUUID()),
    hostname: host,
    namespace: world.namespace,
    labelKey: LABEL,
    labelValue,
    leaseDurationSeconds,
    renewIntervalMs: INTERVAL_MS,
    requestTimeoutMs: TIMEOUT_MS,
    shutdownPolicy: 'keep',
    shutdownTimeoutMs: 1_000 * PACE,
    observe: (event) => void events.push(Object.assign({ at: Math.round(world.clock.monotonic()) }, event)),
  });
  world.runs(publisher.run(world.signal));
  const before = await until(`the lease of ${host}`, () => read(world, host), STEADY_MS);
  return { host, events, before };
}

/** It is renewed again, and is the lease that it was. */
async function renewedAgain(world: World, one: Published, healedAt: number): Promise<void> {
  const { host, before, events } = one;
  const atHeal = await read(world, host);
  assert.ok(atHeal, `the lease of ${host} is gone`);
  // One attempt that hangs, the longest wait, one interval.
  const bound = TIMEOUT_MS + 2 * 1.04 * INTERVAL_MS + SLACK_MS;
  const left = healedAt + bound - world.clock.monotonic();
  const after = await until(
    `${host} to be renewed within ${bound} ms; ${JSON.stringify(events.slice(-6))} healed ${Math.round(healedAt)}`,
    async () => {
      const now = await read(world, host);
      return now?.spec.renewTime === atHeal.spec.renewTime ? undefined : now;
    },
    left,
  );
  assert.equal(after.metadata.uid, before.metadata.uid, `the lease of ${host} was recreated`);
  assert.equal(after.spec.holderIdentity, before.spec.holderIdentity);
  assert.equal(after.spec.leaseTransitions, before.spec.leaseTransitions);
  const strange = events.filter(({ type }) => ['superseded', 'foreign', 'secondWriter', 'disturbed'].includes(type));
  assert.deepEqual(strange, []);
}

/** One behind the fault and one beside it, of leases that outlast it. */
export async function publishersUnder(world: World): Promise<Capability> {
  const how = { labelValue: COUNTED, leaseDurationSeconds: 3600 };
  const both = [
    await publish(world, await world.through(), 'behind', how),
    await publish(world, await world.beside(), 'beside', how),
  ];
  return {
    name: 'publisher',
    ready: () => Promise.resolve(),
    recovered: async (healedAt) => {
      await Promise.all(both.map((one) => renewedAgain(world, one, healedAt)));
    },
  };
}

/** Leases of a second: when the fault ends, those behind it look as dead as the one that is. */
export async function sweeperUnder(world: World): Promise<Capability> {
  const how = { labelValue: SWEPT, leaseDurationSeconds: PACE };
  const living = [
    await publish(world, await world.through(), 'short-behind', how),
    await publish(world, await world.beside(), 'short-beside', how),
  ];
  const events: SweepEvent[] = [];
  const sweeper = new Sweeper({
    store: (await world.through()).store,
    clock: world.clock,
    random: Math.random,
    namespace: world.namespace,
    labelSelector: selector(SWEPT),
    confirmAfterMs: CONFIRM_MS,
    requestTimeoutMs: 2 * TIMEOUT_MS,
    observe: (event) => void events.push(event),
    ticks: (onTick) => {
      const timer = setInterval(onTick, SWEEP_EVERY_MS);
      return () => clearInterval(timer);
    },
  });
  world.runs(sweeper.run(world.signal));
  const unhurt = (): void => {
    const deleted = events.flatMap((event) => (event.type === 'deleted' ? [event.lease.hostname] : []));
    assert.deepEqual(
      deleted.filter((host) => host !== 'dead'),
      [],
    );
  };
  return {
    name: 'sweeper',
    ready: async () => {
      await until(
        'a whole pass',
        () => events.some((e) => e.type === 'passFinished' && e.result.outcome === 'completed'),
        STEADY_MS,
      );
      await world.api.json(
        'POST',
        path(world, '')
          .replace(/[^/]*$/, '')
          .slice(0, -1),
        {
          metadata: {
            name: leaseName('dead'),
            labels: { [LABEL]: SWEPT, 'kubernetes.io/hostname': 'dead' },
          },
          spec: { holderIdentity: 'dead', leaseDurationSeconds: 1, renewTime: '2026-01-01T00:00:00.000000Z' },
        },
      );
    },
    recovered: async (healedAt) => {
      await Promise.all(living.map((one) => renewedAgain(world, one, healedAt)));
      if (world.fault.readOnly) {
        const guarded = events.some((e) => e.type === 'passFinished' && e.result.because === 'noneUnexpired');
        assert.ok(guarded, 'a pass that finds nobody alive deletes nothing');
      }
      // A pass that the fault spoiled, a pause that the server asked for, and a whole pass.
      const bound = 2 * (CONFIRM_MS + SWEEP_EVERY_MS + 4 * TIMEOUT_MS) + SLACK_MS;
      const left = healedAt + bound - world.clock.monotonic();
      await until(
        `the dead lease to go within ${bound} ms; ${JSON.stringify(events.slice(-4))}`,
        async () => (await read(world, 'dead')) === undefined,
        left,
      );
      unhurt();
      for (const { host, before } of living) assert.equal((await read(world, host))?.metadata.uid, before.metadata.uid);
    },
  };
}
