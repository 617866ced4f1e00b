/** One leadership: `elect` three times and client-go, each command stepping every 20 ms; see judge.ts. */
import { judge } from './judge.ts';
import { spread } from './rounds.ts';
import type { Contest, Settings } from './rounds.ts';
import { ELECTIONS } from './scenarios.ts';
import { World } from './world.ts';

export async function contendForLeadership({ contenders, random }: Settings): Promise<Contest> {
  const world = await World.start(contenders || 3, random);
  await world.heal();
  const verdict = () => judge(world.steps, world.frozen, world.epochs);
  return {
    world,
    scenarios: ELECTIONS,
    ready: (withinMs) => world.awaitLeader(withinMs),
    judge: verdict,
    summary() {
      const { terms, gaps } = verdict();
      return [`${terms} terms, ${world.steps.length} steps; without a leader: ${spread(gaps)}`];
    },
  };
}
