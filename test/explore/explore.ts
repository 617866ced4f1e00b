/**
 * Bounded exhaustive search: every way in which at most so many things go otherwise than by default in a scenario, each run
 * from the start. First those with one deviation, then those with two: what is found first is the shortest.
 *
 * Guarantees: where `complete` says so, every schedule with so many deviations was run, up to orders that no process and no
 * Lease can tell apart: a late message arrives only before a step that concerns the same process or the same Lease, and of runs
 * with the same history only the first goes on. Where time runs out within a bound, what was run is spread over all of it.
 */
import { createHash } from 'node:crypto';
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
  /** Schedules that wait with so many deviations, at most; of more, a part that chance chooses. Default 2,000,000: some 150 MB. */
  readonly waiting?: number;
}

/** Default of `Bounds.waiting`. */
const WAITING = 2_000_000;

/** A schedule: another one, and one deviation more. */
interface Node {
  readonly parent: Node | undefined;
  readonly at: number;
  readonly what: string;
}

function scheduleOf(node: Node | undefined): Deviation[] {
  const schedule: Deviation[] = [];
  for (let at = node; at; at = at.parent) schedule.unshift({ at: at.at, what: at.what });
  return schedule;
}

/** Schedules that wait, taken in an order that is random and the same each time: early and late deviations take turns. */
class Waiting {
  /** One did not fit. */
  full = false;
  readonly #nodes: (Node | undefined)[] = [];
  readonly #random = chance(1);
  readonly #most: number;
  #added = 0;

  constructor(most: number) {
    this.#most = most;
  }

  add(node: Node | undefined): void {
    const fits = this.#nodes.length < this.#most;
    this.full ||= !fits;
    const at = fits ? this.#nodes.length : Math.floor(this.#random() * this.#added);
    if (at < this.#most) this.#nodes[at] = node;
    this.#added++;
  }

  get size(): number {
    return this.#nodes.length;
  }

  take(): Node | undefined {
    const at = Math.floor(this.#random() * this.#nodes.length);
    const node = this.#nodes[at];
    const last = this.#nodes.pop();
    if (at < this.#nodes.length) this.#nodes[at] = last;
    return node;
  }
}

export async function runOnce(scenario: Scenario, schedule: Schedule): Promise<Scene> {
  const scene = new Scene(scenario);
  await scene.run(schedule);
  return scene;
}

export async function explore(scenario: Scenario, bounds: Bounds): Promise<Explored> {
  const { ms, runs: most = Infinity, atLeast = 0, waiting = WAITING } = bounds;
  const began = performance.now();
  const seen = new Map<string, number>();
  const texts = new Map<string, string>();
  let [runs, same, steps, complete, whole] = [0, 0, 0, -1, true];
  const result = (found?: Found): Explored => {
    return { scenario: scenario.name, runs, same, steps, complete, ms: performance.now() - began, found };
  };
  let level = new Waiting(waiting);
  level.add(undefined);
  for (let cost = 0; cost <= bounds.deviations && level.size > 0; cost++) {
    const next = new Waiting(waiting);
    while (level.size > 0) {
      const late = performance.now() - began > ms || runs >= most;
      if (runs > 0 && late && cost > atLeast) return result();
      const node = level.take();
      const schedule = scheduleOf(node);
      const scene = await runOnce(scenario, schedule);
      runs++;
      steps += scene.choices.length;
      const { failure, story } = scene;
      if (failure) return result({ rule: failure.rule, message: failure.message, schedule, story });
      const digest = createHash('sha1').update(scene.digest()).digest('base64');
      const from = scene.choices[0]?.done ?? Infinity;
      scene.end();
      if ((seen.get(digest) ?? Infinity) <= from) {
        same++;
        continue;
      }
      seen.set(digest, from);
      for (const { at, options } of scene.choices) {
        for (const { what, cost: more } of options) {
          // Few texts stand in millions of schedules.
          if (!texts.has(what)) texts.set(what, what);
          const child = { parent: node, at, what: texts.get(what)! };
          if (more === 0) level.add(child);
          else if (cost < bounds.deviations) next.add(child);
        }
      }
    }
    whole &&= !level.full;
    if (whole) complete = cost;
    whole &&= !next.full;
    level = next;
  }
  return result();
}
