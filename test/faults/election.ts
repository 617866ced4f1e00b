/**
 * Two electors, one behind the fault and one beside it: never two leaders, and each leads again when it may.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { LeaderElector } from '../../src/election/elector.ts';
import type { ElectionEvent } from '../../src/election/election-events.ts';
import { until } from '../e2e/support.ts';
import type { Capability, World } from './world.ts';
import { PACE, SLACK_MS, STEADY_MS } from './world.ts';

const LEASE_S = 2 * PACE;
const OPTIONS = {
  leaseDurationSeconds: LEASE_S,
  renewDeadlineMs: 1_400 * PACE,
  retryPeriodMs: 300 * PACE,
  workTimeoutMs: 500,
};
/** The longest pause of a watch that is being repaired, see src/kube/list-watch.ts. */
const REOPEN_MS = 4_000;

class Candidate {
  readonly elector: LeaderElector;
  readonly events: ElectionEvent[] = [];
  readonly #stop = new AbortController();

  constructor(
    world: World,
    store: ConstructorParameters<typeof LeaderElector>[0]['store'],
    id: string,
    onTerm: (token: number) => void,
  ) {
    const { clock, namespace } = world;
    const lease = { namespace, name: 'leader' };
    const observe = (event: ElectionEvent): void => void this.events.push(event);
    this.elector = new LeaderElector({
      store,
      clock,
      random: Math.random,
      lease,
      id,
      uuid: randomUUID(),
      ...OPTIONS,
      observe,
      work: async (term) => {
        onTerm(term.fencingToken);
        await new Promise<void>((resolve) => term.signal.addEventListener('abort', () => resolve(), { once: true }));
      },
    });
    const signal = AbortSignal.any([world.signal, this.#stop.signal]);
    world.runs(this.elector.run(signal));
  }

  get leads(): boolean {
    return this.elector.term !== undefined;
  }

  stop(): void {
    this.#stop.abort();
  }

  get last(): string {
    return JSON.stringify(this.events.slice(-4));
  }
}

export async function electionUnder(world: World): Promise<Capability> {
  const problems: string[] = [];
  const tokens: number[] = [];
  const all: Candidate[] = [];
  const sample = (): void => {
    const leaders = all.filter((one) => one.leads).map(({ elector }) => elector.holder);
    if (leaders.length > 1) problems.push(`two leaders: ${leaders.join(' and ')}`);
  };
  const onTerm = (token: number): void => {
    sample();
    if (token <= (tokens.at(-1) ?? -1)) problems.push(`fencing token ${token} after ${tokens.join(', ')}`);
    tokens.push(token);
  };
  const timer = setInterval(sample, 5);
  world.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  const behind = new Candidate(world, (await world.through()).store, 'behind', onTerm);
  all.push(behind);
  await until('a leader', () => behind.leads, STEADY_MS);
  const beside = new Candidate(world, (await world.beside()).store, 'beside', onTerm);
  all.push(beside);
  return {
    name: 'elector',
    ready: async () => {
      await until('the standby to see who leads', () => beside.elector.leader === behind.elector.holder, STEADY_MS);
    },
    during: async () => {
      if (world.fault.local === false) return;
      // Who is behind the fault either goes on, or has somebody in its place when its lease has expired.
      const since = world.clock.monotonic();
      await until(
        `somebody to lead; ${behind.last} ${beside.last}`,
        () => world.clock.monotonic() - since > LEASE_S * 1_000 && (behind.leads || beside.leads),
        LEASE_S * 1_000 + SLACK_MS,
      );
    },
    recovered: async () => {
      await until(
        `somebody to lead; ${behind.last} ${beside.last}`,
        () => behind.leads || beside.leads,
        LEASE_S * 1_000 + REOPEN_MS + SLACK_MS,
      );
      beside.stop();
      await until(
        `the one behind the fault to lead again; ${behind.last}`,
        () => behind.leads && !beside.leads,
        LEASE_S * 1_000 + REOPEN_MS + SLACK_MS,
      );
      assert.deepEqual(problems, []);
      assert.ok(tokens.length > 0);
    },
  };
}
