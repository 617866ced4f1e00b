/** Processes that use recipes, as they are shipped. */
import type { Term } from '../../src/election/term.ts';
import { Cron } from '../../src/recipes/cron.ts';
import { Lock } from '../../src/recipes/lock.ts';
import { Members } from '../../src/recipes/members.ts';
import { Once } from '../../src/recipes/once.ts';
import { RecipeError } from '../../src/recipes/recipe-error.ts';
import { Semaphore } from '../../src/recipes/semaphore.ts';
import { Shards } from '../../src/recipes/shards.ts';
import { LeadershipError } from '../../src/election/term.ts';
import { sleep } from '../../src/runtime/clock.ts';
import { Actor } from './actors.ts';
import type { Stage } from './actors.ts';
import { stream } from './chance.ts';
import type { Hand } from './hands.ts';
import type { RecipeSlot } from './plan-types.ts';

/** Where all recipes' Leases are. */
export const RECIPES = 'default';
/** The ring's keys. */
export const RING_KEYS = ['a', 'b', 'c', 'd', 'e'];
export const ONCE_KEYS = ['v1', 'v2', 'v3'];
/** A fire falls due this often, by each process's wall clock; milliseconds. */
export const FIRE_EVERY_MS = 15_000;

/** Two readers of one machine's clocks may differ by this after a suspend. */
const READERS_DIFFER_MS = 10;

/** What a work throws on purpose. */
class WorkFailed extends Error {}

export abstract class RecipeActor extends Actor<RecipeSlot> {
  readonly #hands = new Set<Hand>();
  #ids = 0;

  constructor(stage: Stage, slot: RecipeSlot, start: number) {
    super(stage, slot, start);
    this.link.mayWatch = slot.mayWatch;
  }

  protected newId(): string {
    return `${this.name}#${this.#ids++}`;
  }

  protected options(name: string) {
    const { process: clock, random, link: store, slot } = this;
    const observe = (event: { readonly type: string }): void => this.note(event.type);
    const lease = { namespace: RECIPES, name };
    return { store, clock, random, lease, id: slot.name, newId: () => this.newId(), observe };
  }

  override standStill(): void {
    for (const hand of this.#hands) hand.stoodStill = true;
  }

  /** The work of one term: guarded steps, until it has had enough or is asked to end. */
  protected async work(term: Term, what: string, most = 1): Promise<void> {
    const { process, slot, stage, name } = this;
    const { recipes, judge, network } = stage;
    // Chance of its own: what a work does must not change how its recipe waits.
    const random = stream(stage.seed, `${name} work ${what} ${term.fencingToken} ${network.world.now}`);
    const hand: Hand = {
      ...{ name, slot, process, term, what, most, beganAt: network.world.now },
      ...{ endedAt: undefined, working: true, stoodStill: false },
    };
    this.#hands.add(hand);
    recipes.began(hand);
    const steps = slot.recipe === 'shards' ? Infinity : random.whole(1, 8);
    for (let step = 0; step < steps && !term.signal.aborted; step++) {
      try {
        term.check();
      } catch {
        break;
      }
      recipes.stepped(hand);
      if (random.hit(0.01) && !judge.calm) break;
      await sleep(process, 100 + random() * 2_500, term.signal);
    }
    if (term.signal.aborted && !slot.tight) await sleep(process, random() * 4_000);
    hand.working = false;
    this.#hands.delete(hand);
    recipes.ended(hand);
    if (random.hit(0.2) && !judge.calm) throw new WorkFailed('the work failed');
  }

  protected fail(error: unknown): void {
    this.error ??= error as Error;
  }

  /** Runs `turn` again and again until it is to stop; what a recipe may throw ends the turn only. */
  protected async again(turn: () => Promise<unknown>): Promise<void> {
    while (!this.signal.aborted) {
      try {
        await turn();
      } catch (error) {
        const expected =
          error instanceof WorkFailed || error instanceof LeadershipError || error instanceof RecipeError;
        if (!expected && !this.signal.aborted) throw error;
        this.note(`turn ends: ${(error as Error).name} ${(error as { code?: string }).code ?? ''}`);
      }
      await sleep(this.process, 100 + this.random() * 4_000, this.signal);
    }
  }
}

class LockActor extends RecipeActor {
  constructor(stage: Stage, slot: RecipeSlot, start: number) {
    super(stage, slot, start);
    const lock = new Lock(this.options('lock'));
    const turn = async (): Promise<void> => {
      const waitMs = this.random.pick([undefined, undefined, 0, 2_000, 20_000]);
      let [over, heldAtEnd] = [false, true];
      const work = (term: Term): Promise<unknown> => {
        if (over) stage.recipes.late(this.name);
        return this.work(term, 'lock').then(
          () => (heldAtEnd = term.lost === undefined && this.process.peek() < term.deadline + READERS_DIFFER_MS),
        );
      };
      const answer = await lock.use(work, { waitMs, signal: this.signal }).finally(() => (over = true));
      if (answer === null) this.note('not had');
      else if (!heldAtEnd) stage.judge.fail('a success in a lost term is an error', this.name);
    };
    this.follow(this.again(turn).then(() => lock.idle()));
  }
}

export class OnceActor extends RecipeActor {
  /** Keys that succeeded, as it has learnt. */
  readonly done = new Set<string>();
  /** When it last learnt of a success, in true milliseconds. */
  succeededAt = -Infinity;

  constructor(stage: Stage, slot: RecipeSlot, start: number) {
    super(stage, slot, start);
    const once = new Once(this.options('once'));
    const turn = async (): Promise<void> => {
      const key = ONCE_KEYS.find((one) => !this.done.has(one));
      if (key === undefined) return this.done.clear();
      let token = 0;
      const { ran } = await once.run(
        key,
        (term) => {
          token = term.fencingToken;
          stage.recipes.starts(this.name, key);
          return this.work(term, 'once');
        },
        this.signal,
      );
      if (ran) stage.recipes.succeeded(this.name, key, token);
      this.done.add(key);
      this.succeededAt = stage.network.world.now;
      this.note(`${key} ${ran ? 'ran' : 'had succeeded'}`);
    };
    this.follow(this.again(turn).then(() => once.idle()));
  }
}

class CronActor extends RecipeActor {
  constructor(stage: Stage, slot: RecipeSlot, start: number) {
    super(stage, slot, start);
    const overlap = slot.skip ? 'skip' : 'allow';
    const cron = new Cron({ ...this.options('cron'), overlap });
    const running = new Set<Promise<void>>();
    const fire = async (atMs: number): Promise<void> => {
      const time = new Date(atMs);
      const term = await cron.claimFire('job', time, this.signal);
      if (!term) return;
      stage.recipes.fires(this.name, atMs, term.fencingToken);
      try {
        await this.work(term, slot.skip ? 'job' : `fire ${atMs}`);
      } catch {
        // A work that fails has run.
      } finally {
        cron.complete('job', time);
      }
    };
    const ticks = async (): Promise<void> => {
      let next = 0;
      while (!this.signal.aborted) {
        const now = this.process.wallMicros() / 1000;
        const due = Math.floor(now / FIRE_EVERY_MS) * FIRE_EVERY_MS;
        if (due > next && next > 0) {
          // A violation within is the judge's; it stops the run at its next look.
          const one = fire(due)
            .catch((error: unknown) => void (stage.judge.failure ?? this.fail(error)))
            .finally(() => running.delete(one));
          running.add(one);
        }
        next = due;
        await sleep(this.process, due + FIRE_EVERY_MS - now, this.signal);
      }
      await cron.close();
      await Promise.all(running);
    };
    this.follow(ticks());
  }
}

class SemaphoreActor extends RecipeActor {
  constructor(stage: Stage, slot: RecipeSlot, start: number) {
    super(stage, slot, start);
    const { count } = slot;
    const semaphore = new Semaphore({ ...this.options('slots'), count });
    const turn = async (): Promise<void> => {
      const waitMs = this.random.pick([undefined, undefined, 0, 5_000, 30_000]);
      let over = false;
      const work = (term: Term): Promise<void> => {
        if (over) stage.recipes.late(this.name);
        return this.work(term, 'slots', count);
      };
      const answer = await semaphore.use(work, { waitMs, signal: this.signal }).finally(() => (over = true));
      if (answer === null) this.note('not had');
    };
    this.follow(this.again(turn).then(() => semaphore.idle()));
  }
}

export class ShardsActor extends RecipeActor {
  readonly shards: Shards;

  constructor(stage: Stage, slot: RecipeSlot, start: number) {
    super(stage, slot, start);
    const { lease: ring, newId, ...options } = this.options('ring');
    this.shards = new Shards({
      ...options,
      ring,
      uuid: newId(),
      keys: RING_KEYS,
      work: (term) => this.work(term, `key ${term.key}`),
    });
    this.follow(this.shards.run(this.signal));
  }
}

export class MembersActor extends RecipeActor {
  readonly members: Members;
  readonly start: number;

  constructor(stage: Stage, slot: RecipeSlot, start: number) {
    super(stage, slot, start);
    this.start = start;
    const { lease: ring, newId, ...options } = this.options('chat');
    this.members = new Members({ ...options, ring, uuid: newId(), payload: { start } });
    this.follow(this.members.run(this.signal));
  }
}

const ACTORS = {
  lock: LockActor,
  once: OnceActor,
  cron: CronActor,
  semaphore: SemaphoreActor,
  shards: ShardsActor,
  members: MembersActor,
};

export const startRecipe = (stage: Stage, slot: RecipeSlot, start: number): RecipeActor =>
  new ACTORS[slot.recipe](stage, slot, start);
