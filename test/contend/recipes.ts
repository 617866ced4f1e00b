/**
 * A lock, a semaphore, a cron and a once in five processes, whose clocks are up to 60 s apart.
 *
 * Judged: no two hold the lock, or one slot, at once, and tokens grow; never more hold slots than the semaphore has, and never
 * holders of two counts at once; each fire runs at most once, and once at least unless the process whose claim was stored
 * died, stopped, or did not hear of it; no work for a key at the time of another's, or after its success.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { judgeCounts, judgeHolds } from './holds.ts';
import type { Hold, Note } from './holds.ts';
import { spread } from './rounds.ts';
import type { Contest, Settings } from './rounds.ts';
import { TROUBLES } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import type { Frozen } from './judge.ts';
import { World, faketime, now, pick } from './world.ts';
import type { Contender } from './world.ts';

const PROGRAM = fileURLToPath(new URL('recipes-program.ts', import.meta.url));
/** Clocks are this far apart, in seconds: what a cron allows by default. */
const APART_S = 58;
/** A claim may take so long, and is late by as much as clocks are apart, in milliseconds. */
const SETTLED_MS = 15_000;

export async function contendByRecipes({ contenders, random }: Settings): Promise<Contest> {
  let slots = 3;
  const slotsOf = new Map<Contender, number>();
  const world = await World.start(contenders || 5, random, (one) => {
    slotsOf.set(one, slots);
    return { script: PROGRAM, args: [one.file, one.kubeconfig, one.id, String(slots)] };
  });
  const share = APART_S / Math.max(1, world.contenders.length - 1);
  if (faketime())
    for (const [i, one] of world.contenders.entries()) one.homeClock = Math.round(i * share - APART_S / 2);
  await world.heal();
  const all = (): Hold[] => world.contenders.flatMap((one) => one.held.holds);
  const notes = (): Note[] => world.contenders.flatMap((one) => one.held.notes);
  let healed = now();

  const rollout: Scenario = {
    name: 'a rollout with another number of slots',
    async play() {
      slots = slots === 3 ? 5 : 3;
      for (const one of world.contenders) {
        one.signal('SIGTERM', ['leasekeeper']);
        await untilIt(() => !one.running, 10_000);
        one.start();
        await wait(300);
      }
    },
  };
  const runner: Scenario = {
    name: 'kill -9 of the runner of a fire',
    async play() {
      for (let i = 0; i < 3; i++) {
        await untilIt(() => {
          const one = world.contenders.find((each) =>
            each.held.holds.some(({ open, resource }) => open && /^fire/.test(resource)),
          );
          one?.signal('SIGKILL', ['leasekeeper']);
          return one !== undefined;
        }, 5_000);
        await wait(300);
      }
    },
  };

  return {
    world,
    scenarios: [...TROUBLES, rollout, runner],
    async ready(withinMs) {
      const since = Math.max(healed, now() - 1_000);
      const well = await untilIt(() => {
        const news = all().filter(({ from }) => from > since);
        return (['lock', 'slot', 'once', 'fire'] as const).every((kind) =>
          news.some(({ resource }) => resource.startsWith(kind)),
        );
      }, withinMs);
      healed = now();
      if (!well) return undefined;
      const holders = world.contenders.filter((one) => one.held.holds.some(({ open }) => open));
      return random() < 0.7 && holders.length > 0 ? pick(holders, random) : pick(world.contenders, random);
    },
    judge: () => judgeRecipes(all(), notes(), world.frozen, now()),
    summary() {
      const holds = all();
      const of = (kind: string): Hold[] => holds.filter(({ resource }) => resource.startsWith(kind));
      const gaps = between(of('lock'));
      const { fires, lost } = judgeFires(holds, notes(), now());
      return [
        `lock: held ${of('lock').length} times, free in between: ${spread(gaps)}`,
        `semaphore: ${of('slot').length} holds; at most at once: ${mostAtOnce(of('slot'))}`,
        `once: ${new Set(of('once').map(({ note }) => note)).size} keys, ${of('once').length} works`,
        `cron: ${fires} fires ran, ${lost} lost, clocks ${faketime() ? APART_S : 0} s apart`,
      ];
    },
  };
}

export function judgeRecipes(
  holds: readonly Hold[],
  notes: readonly Note[],
  frozen: readonly Frozen[],
  at: number,
): { readonly problems: string[]; readonly refused: number } {
  const slots = holds.filter(({ resource }) => resource.startsWith('slot'));
  const { problems, refused } = judgeHolds(
    holds.filter(({ resource }) => !resource.startsWith('fire')),
    frozen,
  );
  return {
    problems: [
      ...problems,
      ...judgeCounts(slots, frozen),
      ...judgeFires(holds, notes, at).problems,
      ...judgeKeys(holds, notes),
    ],
    refused,
  };
}

/** Each fire at most once; and once, but for those whose claimer never heard of it. */
function judgeFires(
  holds: readonly Hold[],
  notes: readonly Note[],
  at: number,
): { readonly problems: string[]; readonly fires: number; readonly lost: number } {
  const problems: string[] = [];
  const runs = Map.groupBy(
    holds.filter(({ resource }) => resource.startsWith('fire-')),
    ({ resource }) => resource.slice('fire-'.length),
  );
  for (const [fire, all] of runs) {
    if (all.length > 1) problems.push(`fire ${fire} ran ${all.length} times: ${all.map(({ who }) => who).join(', ')}`);
  }
  let lost = 0;
  const said = Map.groupBy(
    notes.filter(({ words }) => words[0] === 'fire'),
    ({ words }) => words[2] ?? '',
  );
  for (const [fire, all] of said) {
    if (runs.has(fire) || all.some((note) => note.at > at - SETTLED_MS)) continue;
    const tries = all.filter(({ words }) => words[1] === 'try').length;
    const refusals = all.filter(({ words }) => words[1] === 'refused').length;
    // Who did not answer died or stopped; who said that it is lost did not hear.
    if (tries > refusals) lost++;
    else
      problems.push(`fire ${fire} ran nowhere: ${all.map(({ who, words }) => `${who} ${words.join(' ')}`).join(', ')}`);
  }
  return { problems, fires: runs.size, lost };
}

/** No work for a key begins after its success was reported. */
function judgeKeys(holds: readonly Hold[], notes: readonly Note[]): string[] {
  const done = new Map<string, number>();
  for (const { at, words } of notes) {
    const [what, , key = ''] = words;
    if (what === 'key') done.set(key, Math.min(at, done.get(key) ?? Infinity));
  }
  return holds
    .filter(({ resource, note, from }) => resource === 'once' && from > (done.get(note) ?? Infinity))
    .map(({ who, note, from }) => `${who} began key ${note} at ${Math.round(from)}, after its success`);
}

function between(holds: readonly Hold[]): number[] {
  const sorted = holds.toSorted((a, b) => a.from - b.from);
  return sorted.slice(1).map((hold, i) => hold.from - sorted[i]!.to);
}

function mostAtOnce(holds: readonly Hold[]): number {
  return Math.max(
    0,
    ...holds.map(({ from }) => holds.filter((other) => other.from <= from && other.to >= from).length),
  );
}

/** Looks again and again; false: not within this time. */
export async function untilIt(what: () => boolean, withinMs: number): Promise<boolean> {
  const until = now() + withinMs;
  while (!what()) {
    if (now() > until) return false;
    await wait(20);
  }
  return true;
}
