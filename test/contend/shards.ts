/**
 * 64 keys shared among up to five members, which come and go.
 *
 * Judged: a key is never in two hands, and its tokens grow; sizes are within one of each other one duration, two seconds and
 * the drain after a change; a member that joins moves no more than its share.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { judgeHolds } from './holds.ts';
import type { Hold } from './holds.ts';
import { untilIt } from './recipes.ts';
import { spread } from './rounds.ts';
import type { Contest, Settings } from './rounds.ts';
import { CLOCKS, TROUBLES } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { LEASE_MS, World, now, pick } from './world.ts';
import type { Contender } from './world.ts';

const PROGRAM = fileURLToPath(new URL('shards-program.ts', import.meta.url));
const KEYS = 64;
/** One duration, two seconds and the drain; and what a start of a process takes on a busy machine. */
const SETTLE_MS = LEASE_MS + 2_000 + 100;
const START_MS = 5_000;

export async function shareKeys({ contenders, random }: Settings): Promise<Contest> {
  const world = await World.start(contenders || 5, random, ({ file, kubeconfig, id }) => ({
    script: PROGRAM,
    args: [file, kubeconfig, id, String(KEYS)],
  }));
  await world.heal();
  const problems: string[] = [];
  const figures = { join: [] as number[], leave: [] as number[], 'kill -9': [] as number[], SIGSTOP: [] as number[] };
  const handOvers: number[] = [];
  const all = (): Hold[] => world.contenders.flatMap((one) => one.held.holds);
  const sizes = (): Map<string, number> => {
    const open = Map.groupBy(
      all().filter((hold) => hold.open && hold.to > now() - 500),
      ({ who }) => who,
    );
    return new Map([...open].map(([who, holds]) => [who, holds.length]));
  };
  const balanced = (members: readonly Contender[]): boolean => {
    const now = sizes();
    const counts = members.map(({ id }) => now.get(id) ?? 0);
    return (
      counts.reduce((sum, n) => sum + n, 0) === KEYS &&
      Math.max(...counts) - Math.min(...counts) <= 1 &&
      now.size === members.length
    );
  };
  /** Does something, and waits until the keys are spread again. */
  const settle = async (
    what: keyof typeof figures,
    members: readonly Contender[],
    act: () => void,
  ): Promise<number> => {
    const from = now();
    act();
    const settled = await untilIt(() => balanced(members), SETTLE_MS + START_MS);
    if (settled) figures[what].push(now() - from);
    else problems.push(`${what} to ${members.length} at ${Math.round(from)}: ${JSON.stringify([...sizes()])}`);
    return from;
  };

  const steps: Scenario = {
    name: 'one member, 3, 5, and 2',
    async play() {
      const members = [...world.contenders];
      while (members.length > 1) {
        const one = members.pop()!;
        one.wanted = false;
        const from = await settle('leave', members, () => one.signal('SIGTERM', ['leasekeeper']));
        const holds = all();
        for (const left of holds.filter(({ who, to }) => who === one.id && to > from)) {
          const next = holds.find(({ resource, from: begun }) => resource === left.resource && begun > left.to);
          if (next) handOvers.push(next.from - left.to);
        }
      }
      for (const one of world.contenders.slice(1)) {
        members.push(one);
        one.wanted = true;
        const from = await settle('join', members, () => one.start());
        const moved = all().filter((hold) => hold.from > from).length;
        const share = Math.ceil(KEYS / members.length);
        if (moved > share)
          problems.push(`join of number ${members.length}: ${moved} keys moved, its share is ${share}`);
      }
      for (let i = 0; i < 2 && members.length > 2; i++) {
        const one = members.splice(Math.floor(random() * members.length), 1)[0]!;
        one.wanted = false;
        await settle('kill -9', members, () => one.signal('SIGKILL', ['leasekeeper']));
      }
      const one = members.splice(Math.floor(random() * members.length), 1)[0]!;
      const began = now();
      await settle('SIGSTOP', members, () => one.signal('SIGSTOP', ['leasekeeper']));
      world.frozen.push({ who: one.id, from: began, to: now() + 100 });
      one.signal('SIGCONT', ['leasekeeper']);
      for (const each of world.contenders) each.wanted = true;
    },
  };
  const churn: Scenario = {
    name: 'members come and go without a pause',
    async play() {
      for (let i = 0; i < 12; i++) {
        const one = pick(world.contenders, random);
        if (one.running) one.signal(pick(['SIGTERM', 'SIGKILL'], random), ['leasekeeper']);
        else one.start();
        await wait(random() * 1_500);
      }
    },
  };

  return {
    world,
    scenarios: [steps, churn, ...TROUBLES, CLOCKS],
    async ready(withinMs) {
      return (await untilIt(() => balanced(world.contenders), withinMs)) ? pick(world.contenders, random) : undefined;
    },
    judge() {
      const verdict = judgeHolds(all(), world.frozen);
      return { problems: [...problems, ...verdict.problems], refused: verdict.refused };
    },
    summary: () => [
      `${all().length} holds of ${KEYS} keys`,
      ...Object.entries(figures).map(([what, times]) => `spread again after ${what}: ${spread(times)}`),
      `a leaving member's key is free for: ${spread(handOvers)}`,
    ],
  };
}
