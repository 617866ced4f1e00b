/**
 * Runs the world that a seed stands for, and judges it.
 *
 * Guarantees: the same seed, with the same things left out, gives the same history, to the last digit of its digest.
 */
import { MemoryApi } from '../support/memory-api.ts';
import type { Commit } from '../support/memory-api.ts';
import { startActor } from './actors.ts';
import type { Actor, Stage } from './actors.ts';
import { stream } from './chance.ts';
import { Chaos } from './chaos.ts';
import type { FaultKind } from './chaos.ts';
import { drill } from './drills.ts';
import { calmDown, happen } from './happenings.ts';
import type { Scene } from './happenings.ts';
import { Judge, Violation } from './judge.ts';
import { FAIR, Network, WEATHERS } from './network.ts';
import type { Weather } from './network.ts';
import { furnish } from './furniture.ts';
import { Nodes } from './nodes.ts';
import { drawPlan } from './plan.ts';
import { RECIPES, startRecipe } from './recipe-actors.ts';
import { drawRecipePlan } from './recipe-plan.ts';
import type { Phase, Plan, Slot } from './plan-types.ts';
import { CensusRules } from './rules/census.ts';
import { ElectionRules, isElection } from './rules/election.ts';
import { HeartbeatRules } from './rules/heartbeat.ts';
import { IdentityRules } from './rules/identity.ts';
import { checkLiveness } from './rules/liveness.ts';
import { RecipeRules } from './rules/recipes.ts';
import { World } from './world.ts';

/** What is left out of a seed's plan. */
export interface Without {
  readonly faults: ReadonlySet<FaultKind>;
  readonly slots: ReadonlySet<string>;
  /** By index. */
  readonly happenings: ReadonlySet<number>;
  /** Phases from this one on. */
  readonly phases: number;
}

export const NOTHING: Without = { faults: new Set(), slots: new Set(), happenings: new Set(), phases: Infinity };

export interface Outcome {
  readonly worlds: Worlds;
  readonly seed: number;
  readonly plan: Plan;
  readonly violation: { readonly rule: string; readonly message: string } | undefined;
  readonly log: readonly string[];
  /** The same for the same history. */
  readonly digest: string;
  readonly simulatedMs: number;
  readonly events: number;
  readonly faults: ReadonlyMap<FaultKind, number>;
  /** What was there to be judged: a run in which nothing happens proves nothing. */
  readonly seen: Readonly<
    Record<
      'terms' | 'guarded' | 'takeOvers' | 'sweeps' | 'heartbeats' | 'counts' | 'commits' | 'hands' | 'steps' | 'fires',
      number
    >
  >;
}

/** Worlds of the services, and worlds of the recipes: each seed stands for one of each. */
export type Worlds = 'services' | 'recipes';

/** @param keep how many of the last lines are kept for the log */
export async function simulate(
  seed: number,
  without: Without = NOTHING,
  keep = 40,
  worlds: Worlds = 'services',
): Promise<Outcome> {
  const run = new Run(worlds === 'recipes' ? drawRecipePlan(seed) : drawPlan(seed), without, keep);
  let violation: Violation | undefined;
  try {
    await run.live();
  } catch (error) {
    violation =
      error instanceof Violation
        ? error
        : new Violation('the run comes to its end', (error as Error).stack ?? String(error));
  }
  return run.outcome(violation);
}

/** By one process, in ten seconds: several times what any of them needs. */
const MOST_REQUESTS = 120;

class Run implements Scene {
  readonly plan: Plan;
  readonly stage: Stage;
  readonly random;
  readonly #world = new World();
  readonly #api = new MemoryApi(this.#world);
  readonly #chaos: Chaos;
  readonly #judge: Judge;
  readonly #network: Network;
  readonly #actors = new Map<string, Actor>();
  readonly #current = new Map<string, Actor>();
  readonly #starts = new Map<string, number>();
  readonly #slots: readonly Slot[];
  readonly #phases: readonly Phase[];
  readonly #without: Without;
  readonly #identity: IdentityRules;
  readonly #election: ElectionRules;
  readonly #heartbeat: HeartbeatRules;
  readonly #census: CensusRules;
  readonly #recipes: RecipeRules;
  /** Slots whose process stays dead through the quiet. */
  #dead: ReadonlySet<string> = new Set();
  /** Nobody is started any more. */
  #over = false;
  chaosEnd = 0;

  constructor(plan: Plan, without: Without, keep: number) {
    const { seed } = plan;
    this.plan = plan;
    this.#without = without;
    this.random = stream(seed, 'run');
    this.#slots = this.plan.slots.filter(({ name }) => !without.slots.has(name));
    this.#phases = this.plan.phases.slice(0, without.phases);
    this.#chaos = new Chaos(without.faults);
    this.#judge = new Judge(this.#world, keep);
    this.#network = new Network(this.#world, this.#api, this.#chaos);
    const serversDown = new Map<string, number>();
    const nodes = new Nodes(this.#world);
    for (const name of this.plan.nodes) nodes.add(name);
    this.#election = new ElectionRules(this.#world, this.#judge, this.#actors);
    this.#identity = new IdentityRules(this.#network, this.#judge, this.#actors, serversDown);
    this.#heartbeat = new HeartbeatRules(this.#judge, nodes, this.#actors);
    this.#census = new CensusRules(this.#judge, this.#actors, this.#identity);
    this.#recipes = new RecipeRules(this.#world, this.#judge, this.#api, this.#actors);
    this.stage = {
      seed,
      network: this.#network,
      nodes,
      judge: this.#judge,
      election: this.#election,
      recipes: this.#recipes,
      secondWriter: (publisher) => this.#identity.secondWriter(publisher),
      restored: (original) => this.#identity.restored(original),
      serversDown,
    };
    furnish(this.#api, this.plan);
    this.#api.onCommit((commit) => this.#onCommit(commit));
  }

  async live(): Promise<void> {
    const verify = (): void => this.#verify();
    for (const slot of this.#slots) {
      const twin = slot.kind === 'publisher' && slot.name.endsWith('b');
      if (twin && !this.#chaos.inject('duplicate hostname')) continue;
      this.#world.schedule(slot.startAt, () => this.#start(slot));
    }
    for (const phase of this.#phases) {
      this.#judge.calm = false;
      this.chaosEnd = this.#world.now + phase.chaosMs;
      this.#dead = new Set();
      for (const happening of phase.happenings) {
        if (this.#without.happenings.has(happening.index)) continue;
        this.#world.schedule(happening.at, () => happen(this, happening));
      }
      await this.#world.live(this.chaosEnd, verify);
      await this.#beQuiet(phase);
    }
    const parts = { world: this.#world, stage: this.stage, actors: this.#actors, election: this.#election, verify };
    const start = (slot: Slot): Actor => this.#start(slot);
    await drill({ ...parts, kind: this.plan.drill, api: this.#api, start });
    this.#over = true;
    for (const actor of this.#current.values()) if (actor.process.alive) actor.stop();
    await this.#world.live(this.#world.now + 45_000, verify);
    for (const actor of this.#current.values()) {
      if (actor.process.alive && !actor.settled) this.#judge.fail('services end when they are asked to', actor.name);
      if (actor.error) this.#judge.fail('services end without an error', `${actor.name}: ${actor.error.stack}`);
    }
    this.#election.check();
  }

  async #beQuiet(phase: Phase): Promise<void> {
    this.#judge.note('WORLD', 'quiet');
    this.#judge.calm = true;
    const quietSince = this.#world.now;
    this.#dead = new Set(phase.dead);
    calmDown(this, this.#actors.values());
    for (const slot of this.#slots) {
      const actor = this.#current.get(slot.name);
      if (!actor) continue;
      const gone = !actor.process.alive || actor.stopping;
      if (phase.dead.includes(slot.name)) actor.process.crash();
      else if (gone) this.restart(actor, 0);
    }
    await this.#world.live(quietSince + phase.quietMs, () => this.#verify());
    checkLiveness({
      network: this.#network,
      nodes: this.stage.nodes,
      judge: this.#judge,
      actors: this.#actors,
      identity: this.#identity,
      election: this.#election,
      heartbeat: this.#heartbeat,
      quietSince,
    });
    this.#recipes.check(quietSince);
  }

  #start(slot: Slot): Actor {
    const start = (this.#starts.get(slot.name) ?? 0) + 1;
    this.#starts.set(slot.name, start);
    const actor = slot.kind === 'recipe' ? startRecipe(this.stage, slot, start) : startActor(this.stage, slot, start);
    // The network is its machine's.
    const before = this.#current.get(slot.name);
    if (!this.#judge.calm) actor.link.weather = before?.link.weather ?? this.#firstWeather(slot);
    this.#actors.set(actor.name, actor);
    this.#current.set(slot.name, actor);
    return actor;
  }

  #firstWeather(slot: Slot): Weather {
    const random = stream(this.plan.seed, `${slot.name} weather`);
    if (slot.kind === 'publisher' && slot.hasty) return WEATHERS.find(({ name }) => name === 'writes come late')!;
    // Deletions that arrive when the lease has been renewed meanwhile.
    if (slot.kind === 'releaser' || (slot.kind === 'sweeper' && random.hit(0.35)))
      return WEATHERS.find(({ name }) => name === 'writes come late')!;
    if (this.plan.theme === 'outage' || this.plan.theme === 'full etcd') return FAIR;
    return random.hit(0.4) ? random.pick(WEATHERS) : FAIR;
  }

  current(slot: string): Actor | undefined {
    return this.#current.get(slot);
  }

  restart(actor: Actor, afterMs: number): void {
    const { slot } = actor;
    const again = (): void => {
      if (this.#current.get(slot.name) !== actor || this.#over || this.#dead.has(slot.name)) return;
      // One that takes its time to end is killed, as a supervisor would; but it may outlive the start of the next.
      if (!actor.settled && actor.stopping) actor.process.crash();
      this.#start(slot);
    };
    if (afterMs === 0) again();
    else this.#world.schedule(afterMs, again);
  }

  #onCommit(commit: Commit): void {
    const { by, verb, name, request, before, after } = commit;
    const holder = (after ?? before)?.spec.holderIdentity ?? '';
    const sent = request ? ` sent ${request.at.toFixed(1)}` : '';
    this.#judge.note(
      'API',
      `${verb} ${name.slice(-8)} by ${by}: ${holder.slice(-16)} ${after?.spec.leaseTransitions ?? ''}${sent}`,
    );
    try {
      if (commit.namespace === 'kube-node-lease') this.#heartbeat.commit(commit);
      else if (commit.namespace === RECIPES) this.#recipes.commit(commit);
      else if (isElection(commit)) this.#election.commit(commit);
      else {
        this.#census.commit(commit);
        this.#identity.commit(commit);
      }
    } catch (error) {
      // Thrown into the server's answer it would look like an error of the API; the next look stops the run.
      if (!(error instanceof Violation)) throw error;
    }
  }

  #verify(): void {
    this.#judge.verify();
    this.#election.verify();
    this.#recipes.verify();
    this.#heartbeat.verify(this.#world.now);
    this.#identity.verify();
    this.#census.verify(this.#world.now);
    for (const actor of this.#current.values()) {
      if (actor.error) this.#judge.fail('services end without an error', `${actor.name}: ${actor.error.stack}`);
      const { busiest } = actor.link;
      if (busiest > MOST_REQUESTS) this.#judge.fail('no storms', `${actor.name}: ${busiest} requests in ten seconds`);
    }
  }

  outcome(violation: Violation | undefined): Outcome {
    const { takeOvers, sweeps } = this.#identity;
    const { guarded, terms } = this.#election;
    return {
      worlds: this.plan.slots.some(({ kind }) => kind === 'recipe') ? 'recipes' : 'services',
      seed: this.plan.seed,
      plan: this.plan,
      violation: violation && { rule: violation.rule, message: violation.message },
      log: this.#judge.log,
      digest: this.#judge.digest,
      simulatedMs: this.#world.now,
      events: this.#world.events,
      faults: this.#chaos.counts,
      seen: {
        terms: terms.length,
        guarded,
        takeOvers,
        sweeps,
        heartbeats: this.#heartbeat.renewals,
        counts: this.#census.judged,
        commits: this.#api.history.length,
        hands: this.#recipes.hands,
        steps: this.#recipes.steps,
        fires: this.#recipes.fired,
      },
    };
  }
}
