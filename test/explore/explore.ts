/**
 * Bounded exhaustive search: every way in which at most so many things go otherwise than by default in a scenario, each run
 * from the start. First those with one deviation, then those with two: what is found first is the shortest.
 *
 * Guarantees: where `complete` says so, every schedule with so many deviations was run, up to orders that no process and no
 * Lease can tell apart: a late message arrives only before a step that concerns the same process or the same Lease, and of runs
 * with the same history only the first goes on. Where time runs out within a bound, what was run is spread over all of it.
 */
import { chance } from '../simulation/chance.ts';
import { Scene } from './scene.ts';
import type { Deviation, Scenario, Schedule } from './scene.ts';

export interface Found {
  readonly rule: string;
  readonly message: string;
  readonly schedule: Schedule;
  readonly story: readonly string[];
}

export interface Explored {
  readonly scenario: string;
  readonly runs: number;
  /** Runs whose history another one had had before. */
  readonly same: number;
  readonly steps: number;
  /** The number of deviations up to which everything was run; -1: not even the default. */
  readonly complete: number;
  readonly ms: number;
  readonly found: Found | undefined;
}

export interface Bounds {
  /** Deviations at the most; those that only end another one (a release, a resumption) do not count. */
  readonly deviations: number;
  /** Real milliseconds, and runs; after either only what `atLeast` asks for is still run. */
  readonly ms: number;
  readonly runs?: number;
  /** Up to so many deviations everything is run, however long it takes. */
  readonly atLeast?: number;
}

/** Schedules that wait for the next level, at most: some 300 MB. Of more than can be run, a part that chance chooses. */
const WAITING = 2_000_000;

interface Node {
  readonly parent: Node | undefined;
  readonly deviation: Deviation | undefined;
}

function scheduleOf(node: Node): Deviation[] {
  const schedule: Deviation[] = [];
  for (let at: Node | undefined = node; at; at = at.parent) if (at.deviation) schedule.unshift(at.deviation);
  return schedule;
}

export async function runOnce(scenario: Scenario, schedule: Schedule): Promise<Scene> {
  const scene = new Scene(scenario);
  await scene.run(schedule);
  return scene;
}

export async function explore(scenario: Scenario, bounds: Bounds): Promise<Explored> {
  const began = performance.now();
  const seen = new Map<string, number>();
  let [runs, same, steps, complete, whole] = [0, 0, 0, -1, true];
  const result = (found?: Found): Explored => {
    return { scenario: scenario.name, runs, same, steps, complete, ms: performance.now() - began, found };
  };
  let level: Node[] = [{ parent: undefined, deviation: undefined }];
  for (let cost = 0; cost <= bounds.deviations; cost++) {
    const next: Node[] = [];
    const random = chance(level.length);
    let offered = 0;
    const offer = (child: Node): void => {
      const at = offered++ < WAITING ? next.length : Math.floor(random() * offered);
      if (at < WAITING) next[at] = child;
    };
    for (let i = 0; i < level.length; i++) {
      const node = level[i]!;
      const late = performance.now() - began > bounds.ms || runs >= (bounds.runs ?? Infinity);
      if (runs > 0 && late && cost > (bounds.atLeast ?? 0)) return result();
      const schedule = scheduleOf(node);
      const scene = await runOnce(scenario, schedule);
      runs++;
      steps += scene.choices.length;
      const { failure, story } = scene;
      if (failure) return result({ rule: failure.rule, message: failure.message, schedule, story });
      const digest = scene.digest();
      const from = scene.choices[0]?.done ?? Infinity;
      if ((seen.get(digest) ?? Infinity) <= from) {
        same++;
        continue;
      }
      seen.set(digest, from);
      for (const { at, options } of scene.choices) {
        for (const { what, cost: more } of options) {
          const child = { parent: node, deviation: { at, what } };
          if (more === 0) level.push(child);
          else if (cost < bounds.deviations) offer(child);
        }
      }
    }
    if (whole) complete = cost;
    whole &&= offered <= WAITING;
    level = shuffled(next);
    if (level.length === 0) break;
  }
  return result();
}

/** The same order each time, in which early and late deviations take turns. */
function shuffled<T>(items: T[]): T[] {
  const random = chance(items.length);
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
  return items;
}
