/**
 * One fault against every capability, as shipped, over src/kube, on a real API server.
 *
 * Each fault has a namespace of its own, so that faults on the way to the server can be tried side by side; the
 * capabilities have a connection each, as processes would have, through the place where the fault happens. Others of
 * their kind are connected beside it: a fault between one process and the server is none to the rest of the world.
 */
import { randomUUID } from 'node:crypto';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { Connection } from '../../src/kube/connection.ts';
import { connect } from '../../src/kube/connection.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { record } from '../support/proof.ts';
import type { RealApi } from '../support/real-api.ts';
import { censusUnder } from './census.ts';
import { electionUnder } from './election.ts';
import { heartbeatsUnder } from './heartbeats.ts';
import { publishersUnder, sweeperUnder } from './identity.ts';
import type { FaultCase, World } from './world.ts';
import { PACE } from './world.ts';

type Outcome = { readonly ms: number } | { readonly error: unknown };

/** The whole story of one fault, with a subtest for each capability. */
export async function survive(t: TestContext, api: RealApi, fault: FaultCase): Promise<void> {
  const namespace = `fault-${fault.name.replaceAll(/[^a-z0-9]+/g, '-').slice(0, 40)}-${randomUUID().slice(0, 8)}`;
  await api.createNamespace(namespace);
  const clock = createSystemClock();
  const stop = new AbortController();
  const connections: Connection[] = [];
  const running: Promise<unknown>[] = [];
  const open = async (kubeconfig: string): Promise<Connection> => {
    const connection = await connect({ kubeconfig, clock, random: Math.random, requestTimeoutMs: 800 * PACE });
    connections.push(connection);
    return connection;
  };
  const world: World = {
    api,
    fault,
    namespace,
    clock,
    signal: stop.signal,
    through: () => open(fault.through),
    beside: () => open(fault.local === false ? fault.through : fault.beside),
    runs: (service) => {
      // What fails is reported at the end, by the one who waits for it.
      service.catch(() => {});
      running.push(service);
    },
  };
  try {
    const all = await Promise.all(
      [publishersUnder, electionUnder, sweeperUnder, censusUnder, heartbeatsUnder].map((start) => start(world)),
    );
    await Promise.all(all.map((one) => one.ready()));
    const heal = await fault.begin();
    const during = Promise.allSettled(all.map(async (one) => one.during?.()));
    await wait((fault.holdMs ?? 3_200) * PACE);
    const disturbed = await during;
    await heal();
    const healedAt = clock.monotonic();
    const outcomes = await Promise.all(
      all.map(async (one, i): Promise<Outcome> => {
        try {
          const before = disturbed[i];
          if (before?.status === 'rejected') throw before.reason;
          await one.recovered(healedAt);
          return { ms: clock.monotonic() - healedAt };
        } catch (error) {
          return { error };
        }
      }),
    );
    for (const [i, outcome] of outcomes.entries()) {
      const capability = all[i]!.name;
      record({
        kind: 'fault',
        fault: fault.name,
        capability,
        survived: 'ms' in outcome,
        ...('ms' in outcome && { backAfterMs: Math.round(outcome.ms) }),
      });
      await t.test(capability, () => {
        if ('error' in outcome) throw outcome.error;
        t.diagnostic(`${fault.name}: ${capability} well again after ${Math.round(outcome.ms)} ms`);
      });
    }
  } finally {
    stop.abort();
    await Promise.all(running).finally(() => Promise.all(connections.map((each) => each.close())));
  }
}
