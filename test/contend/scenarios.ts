/**
 * What happens to contenders: one row each. A row disturbs a world in which all is well, one contender of it above all: the
 * leader, or one that holds something. The world is healed afterwards, and all must be well again.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { TcpFault } from '../support/tcp-proxy.ts';
import { LEASE_MS, PARTS, RENEW_MS, faketime, pick } from './world.ts';
import type { Contender, Part, World } from './world.ts';

export interface Scenario {
  readonly name: string;
  /** Why it cannot run here; undefined when it can. */
  readonly skip?: () => string | undefined;
  readonly play: (world: World, one: Contender) => Promise<void>;
}

/** From a moment to well past a lease. */
const someTime = (world: World, most = 2 * LEASE_MS): number => 200 + world.random() * most;

const faults = (name: string, fault: TcpFault, whom: 'one' | 'another' | 'all' = 'one'): Scenario => ({
  name: `${name}, ${whom}`,
  async play(world, one) {
    const hit = whom === 'one' ? [one] : whom === 'another' ? [world.other(one)] : world.contenders;
    for (const { proxy } of hit) proxy.set(fault);
    await wait(someTime(world));
  },
});

const signals = (name: string, signal: NodeJS.Signals, parts: readonly Part[]): Scenario => ({
  name,
  async play(world, one) {
    one.signal(signal, parts);
    await wait(someTime(world));
  },
});

const noPeer = (): string | undefined => (process.env['GO_PEER'] ? undefined : 'GO_PEER names no client-go program');

/** client-go leads: it starts first, and then the others. */
async function peerLeads(world: World): Promise<Awaited<ReturnType<World['startPeer']>>> {
  const started = await world.startPeer();
  // What leads now leaves; client-go takes the lease as one of several.
  for (const contender of world.contenders) contender.proxy.set('pause');
  const until = performance.now() + 3 * LEASE_MS;
  while (!started.peer.leads && performance.now() < until) await wait(20);
  for (const contender of world.contenders) contender.proxy.set('pass');
  await wait(500);
  return started;
}

/** client-go is cut off, one of ours leads, and client-go is at its release when it is heard again. */
const lateRelease = (name: string, meanwhile: (successor: Contender) => void): Scenario => ({
  name,
  skip: noPeer,
  async play(world) {
    const { proxy } = await peerLeads(world);
    proxy.set('pause');
    const successor = await world.awaitLeader(3 * LEASE_MS);
    if (successor) meanwhile(successor);
    await wait(world.random() * 300);
    proxy.set('pass');
    await wait(2 * LEASE_MS);
  },
});

/** For contenders of any kind. */
export const TROUBLES: readonly Scenario[] = [
  faults('cut off both ways', { kind: 'pause' }),
  faults('cut off both ways', { kind: 'pause' }, 'another'),
  faults('cut off both ways', { kind: 'pause' }, 'all'),
  faults('requests do not arrive', { kind: 'pause', only: 'requests' }),
  faults('answers do not arrive', { kind: 'pause', only: 'answers' }),
  faults('half-open', { kind: 'swallow' }),
  faults('refused', { kind: 'refuse' }),
  faults('delayed by 300 ms', { kind: 'delay', ms: 300 }, 'all'),
  faults('delayed by 900 ms', { kind: 'delay', ms: 900 }),
  faults('answers are cut off', { kind: 'reset', afterBytes: 300 }),
  {
    name: 'connections reset again and again',
    async play(world) {
      for (let i = 0; i < 20; i++) {
        for (const { proxy } of world.contenders) if (world.random() < 0.5) proxy.cut();
        await wait(150);
      }
    },
  },
  signals('SIGTERM', 'SIGTERM', ['leasekeeper']),
  signals('kill -9', 'SIGKILL', ['leasekeeper']),
  {
    name: 'one stands still',
    play: (world, one) => world.freeze(one, someTime(world, 3 * LEASE_MS)),
  },
  {
    name: 'another stands still',
    play: (world, one) => world.freeze(world.other(one), someTime(world)),
  },
  {
    name: 'the API server is killed',
    async play({ api }) {
      await api.apiServer.kill();
      api.apiServer.start();
      await api.ready();
    },
  },
  {
    name: 'etcd is killed',
    async play(world) {
      await world.api.etcd.kill();
      await wait(someTime(world));
      world.api.etcd.start();
      await world.api.ready();
    },
  },
  {
    name: 'etcd stands still',
    async play(world) {
      world.api.etcd.pause();
      await wait(someTime(world));
      world.api.etcd.continue();
      await world.api.ready();
    },
  },
  {
    name: 'several at once',
    async play(world, one) {
      for (let i = 0; i < 4; i++) {
        const hit = world.random() < 0.5 ? one : world.other(one);
        const dice = world.random();
        if (dice < 0.3) hit.proxy.set(pick(['pause', 'refuse', 'swallow'] as const, world.random));
        else if (dice < 0.5) hit.proxy.cut();
        else if (dice < 0.7) hit.signal('SIGKILL', [pick(PARTS, world.random)]);
        else if (dice < 0.85) hit.signal('SIGTERM', ['leasekeeper']);
        else await world.freeze(hit, someTime(world, LEASE_MS));
        await wait(world.random() * 1_000);
      }
    },
  },
];

/** For those to whom wall clocks mean nothing. */
export const CLOCKS: Scenario = {
  name: 'wall clocks are stepped and run fast, kill -9',
  skip: () => (faketime() ? undefined : 'libfaketime is not installed'),
  async play(world, one) {
    for (let i = 0; i < 3; i++) {
      for (const contender of world.contenders) {
        contender.stepClock(pick([-3_600, 0, 3_600], world.random), pick([1, 2], world.random));
      }
      if (i === 1) one.signal('SIGKILL', PARTS);
      await wait(someTime(world));
    }
  },
};

/** For one leadership, client-go among those who want it. */
export const ELECTIONS: readonly Scenario[] = [
  ...TROUBLES,
  CLOCKS,
  signals('kill -9 of the watchdog', 'SIGKILL', ['watchdog']),
  signals('kill -9 of the command', 'SIGKILL', ['command']),
  signals('kill -9 of leasekeeper, then the watchdog', 'SIGKILL', ['leasekeeper', 'watchdog']),
  signals('kill -9 of the watchdog, then leasekeeper', 'SIGKILL', ['watchdog', 'leasekeeper']),
  signals('kill -9 of all three', 'SIGKILL', PARTS),
  signals('SIGSTOP of leasekeeper', 'SIGSTOP', ['leasekeeper']),
  signals('SIGSTOP of the watchdog', 'SIGSTOP', ['watchdog']),
  signals('SIGSTOP of the command', 'SIGSTOP', ['command']),
  {
    name: 'the lease is emptied by somebody',
    play: async (world) => {
      await world.edit({ holderIdentity: '' });
      await wait(someTime(world));
    },
  },
  {
    name: 'the lease is given to somebody',
    play: async (world) => {
      await world.edit({ holderIdentity: 'somebody' });
      await wait(someTime(world));
    },
  },
  {
    name: 'the lease is emptied while its leader is cut off',
    play: async (world, leader) => {
      leader.proxy.set('pause');
      await wait(world.random() * RENEW_MS);
      await world.edit({ holderIdentity: '' });
      await wait(someTime(world));
    },
  },
  {
    name: "etcd's data is put back",
    play: (world) =>
      world.setBack(async () => {
        await wait(1_000);
        world.leader()?.signal('SIGTERM', ['leasekeeper']);
        await wait(someTime(world));
      }),
  },
  lateRelease("client-go's late release empties its successor's lease", () => {}),
  lateRelease("client-go's late release, and its successor is cut off", ({ proxy }) => proxy.set('pause')),
  {
    name: 'client-go releases',
    skip: noPeer,
    async play(world) {
      const { peer } = await peerLeads(world);
      await peer.end('SIGTERM');
    },
  },
  {
    name: 'client-go is killed',
    skip: noPeer,
    async play(world) {
      const { peer } = await peerLeads(world);
      await peer.end();
    },
  },
];
