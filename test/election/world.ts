/**
 * A world of electors for the simulation: one true time, processes with clocks of their own that run a little fast or slow,
 * stand still, crash and restart, and a network that delays, drops, repeats nothing and loses answers.
 *
 * Everything follows from the seed. What is checked after every single event is in `Judge`.
 */
import { LeaderElector } from '../../src/election/elector.ts';
import type { ElectionEvent } from '../../src/election/events.ts';
import type { ElectionOptions } from '../../src/election/options.ts';
import type { Term } from '../../src/election/term.ts';
import type { Lease } from '../../src/lease/lease.ts';
import type { LeaseEvent, LeasePage, LeaseQuery, LeaseStore } from '../../src/lease/store.ts';
import { sleep } from '../../src/runtime/clock.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { MemoryApi } from '../support/memory-api.ts';
import { MemoryStore } from '../support/memory-store.ts';
import type { Call, Fault } from '../support/memory-store.ts';

export const REF = { namespace: 'kube-system', name: 'contended' };

/** mulberry32: 0 to 1, the same for the same seed. */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly fire: () => void;
}

/** True time, in milliseconds, and what falls due in it. Also the clock of the network and of the API server. */
export class World implements Clock {
  now = 0;
  readonly #timers = new Set<Timer>();
  #order = 0;

  monotonic(): number {
    return this.now;
  }

  wallMicros(): number {
    return Math.floor((Date.UTC(2026, 0, 1) + this.now) * 1000);
  }

  schedule(ms: number, fire: () => void): () => void {
    const timer = { at: this.now + Math.max(0, ms), order: this.#order++, fire };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  /** Lives until then; after each event, once all it set off has settled, `after` is called. */
  async live(until: number, after: () => void): Promise<void> {
    await turn();
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers) {
        if (timer.at <= until && (!next || timer.at < next.at || (timer.at === next.at && timer.order < next.order)))
          next = timer;
      }
      if (!next) break;
      this.#timers.delete(next);
      this.now = Math.max(this.now, next.at);
      next.fire();
      await turn();
      after();
    }
    this.now = until;
    after();
  }
}

/** All microtasks have run when the next macrotask does; nothing here waits for anything else. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** One process: its clock, and whether it runs. What falls due while it stands still happens when it goes on. */
export class Process implements Clock {
  readonly #world: World;
  readonly #rate: number;
  readonly #born: number;
  readonly #queue: (() => void)[] = [];
  #wallOffsetMs: number;
  state: 'running' | 'stopped' | 'crashed' = 'running';

  constructor(world: World, rate: number, wallOffsetMs: number) {
    this.#world = world;
    this.#rate = rate;
    this.#born = world.now;
    this.#wallOffsetMs = wallOffsetMs;
  }

  monotonic(): number {
    return (this.#world.now - this.#born) * this.#rate;
  }

  wallMicros(): number {
    return this.#world.wallMicros() + Math.floor(this.#wallOffsetMs * 1000);
  }

  stepWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  schedule(ms: number, callback: () => void): () => void {
    let cancelled = false;
    // A little late, as timers are, so that the clock has surely reached the instant.
    const cancel = this.#world.schedule(Math.max(ms, 0) / this.#rate + 0.01, () =>
      this.turn(() => cancelled || callback()),
    );
    return () => {
      cancelled = true;
      cancel();
    };
  }

  /** Does this as soon as the process runs; never if it crashed. */
  turn(what: () => void): void {
    if (this.state === 'running') what();
    else if (this.state === 'stopped') this.#queue.push(what);
  }

  stop(): void {
    if (this.state === 'running') this.state = 'stopped';
  }

  /** What waited is done one after another, in an order that is not that of its time, as an event loop may. */
  goOn(random: () => number): void {
    if (this.state !== 'stopped') return;
    this.state = 'running';
    const queue = this.#queue.splice(0);
    while (queue.length > 0) {
      const what = queue.splice(Math.floor(random() * queue.length), 1)[0]!;
      this.#world.schedule(0, () => this.turn(what));
    }
  }

  crash(): void {
    this.state = 'crashed';
    this.#queue.length = 0;
  }

  /** The store as this process sees it: answers reach it only while it runs; requests under way go on regardless. */
  reach(store: LeaseStore): LeaseStore {
    const answer = <T>(call: Promise<T>): Promise<T> =>
      new Promise<T>((resolve, reject) => {
        call.then(
          (value) => this.turn(() => resolve(value)),
          (error: unknown) => this.turn(() => reject(error as Error)),
        );
      });
    const watch = async function* (
      process: Process,
      query: LeaseQuery,
      signal: AbortSignal,
    ): AsyncGenerator<LeaseEvent, void, undefined> {
      for await (const event of store.watch(query, signal)) {
        await new Promise<void>((resolve) => process.turn(resolve));
        yield event;
      }
    };
    return {
      get: (...args): Promise<Lease> => answer(store.get(...args)),
      create: (...args): Promise<Lease> => answer(store.create(...args)),
      update: (...args): Promise<Lease> => answer(store.update(...args)),
      delete: (...args): Promise<void> => answer(store.delete(...args)),
      list: (...args): Promise<LeasePage> => answer(store.list(...args)),
      watch: (query, signal) => watch(this, query, signal),
    };
  }
}

/** How bad a process's network is; numbers are probabilities for one call. */
export interface Weather {
  /** Milliseconds that a request, and its answer, are under way. */
  readonly delay: () => number;
  readonly answer: () => number;
  readonly refuse: number;
  readonly lose: number;
  readonly hang: number;
  /** Takes up to half a minute to arrive, long after its caller gave up. */
  readonly late: number;
}

export const FAIR = (random: () => number): Weather => ({
  delay: () => random() * 20,
  answer: () => random() * 20,
  refuse: 0,
  lose: 0,
  hang: 0,
  late: 0,
});

export function faultOf(weather: Weather, random: () => number, call: Readonly<Call>): Fault {
  const { delay, answer, refuse, lose, hang, late } = weather;
  let dice = random();
  const hit = (share: number): boolean => (dice -= share) < 0;
  if (hit(refuse))
    return { fail: (['Unavailable', 'ServerError', 'TooManyRequests'] as const)[Math.floor(random() * 3)]! };
  if (hit(lose) && call.verb !== 'watch') return { delayMs: delay(), lose: random() < 0.5 ? 'Timeout' : 'Unavailable' };
  if (hit(hang) && call.verb !== 'watch') return { hang: true };
  if (hit(late)) return { delayMs: random() * 30_000, answerDelayMs: answer() };
  return { delayMs: delay(), answerDelayMs: answer() };
}

interface Reign {
  readonly runner: Runner;
  readonly term: Term;
  over: boolean;
  working: boolean;
  /** The process stood still within it: then its work may outlive it, and only the guard protects. */
  stoodStill: boolean;
}

/** Looks on, and throws at the first thing that must not be. */
export class Judge {
  readonly #world: World;
  readonly reigns: Reign[] = [];
  readonly log: string[] = [];
  guarded = 0;
  #highest = -1;
  /** The first; also where it was noticed within work, whose errors its elector catches. */
  #failure: Error | undefined;

  constructor(world: World) {
    this.#world = world;
  }

  note(who: string, what: string): void {
    this.log.push(`${this.#world.now.toFixed(1).padStart(9)} ${who}: ${what}`);
  }

  /** What the clock of its process, and nothing else, says of a term. Asking must not change anything. */
  holds({ over, term, runner }: Reign): boolean {
    return !over && runner.process.monotonic() < term.deadline;
  }

  leading(): Reign[] {
    return this.reigns.filter((reign) => this.holds(reign));
  }

  began(reign: Reign): void {
    const before = this.reigns.at(-1);
    const token = reign.term.fencingToken;
    if (before && token <= before.term.fencingToken) this.fail(`token ${token} after ${before.term.fencingToken}`);
    this.reigns.push(reign);
  }

  /** A guarded step has passed its check. */
  step(reign: Reign): void {
    this.guarded++;
    const token = reign.term.fencingToken;
    if (token < this.#highest) this.fail(`${reign.runner.name} passed its check with ${token} after ${this.#highest}`);
    this.#highest = token;
    if (!this.holds(reign)) this.fail(`${reign.runner.name} passed its check after its deadline`);
  }

  look(): void {
    if (this.#failure) throw this.#failure;
    const leading = this.leading();
    if (leading.length > 1) this.fail(`${leading.map((reign) => reign.runner.name).join(' and ')} lead at once`);
    for (const reign of this.reigns.slice(-8)) {
      if (!reign.working || reign.stoodStill || reign.runner.process.state === 'crashed') continue;
      const other = leading.find((l) => l !== reign && l.runner !== reign.runner);
      if (other) this.fail(`${other.runner.name} leads while ${reign.runner.name} still works`);
    }
  }

  fail(what: string): never {
    this.note('JUDGE', what);
    throw (this.#failure ??= new Error(what));
  }
}

/** One elector in one process, from its start to its stop or crash. */
export class Runner {
  readonly name: string;
  readonly process: Process;
  readonly store: MemoryStore;
  readonly abort = new AbortController();
  weather: Weather;
  working = 0;
  error: Error | undefined;
  settled = false;
  #reign: Reign | undefined;

  constructor(options: {
    name: string;
    uuid: string;
    world: World;
    api: MemoryApi;
    judge: Judge;
    random: () => number;
    options: Partial<ElectionOptions>;
    mayWatch: boolean;
    /** Milliseconds that the work takes to end. */
    windUp: () => number;
    /** Chance that work ends by itself, each time it looks. */
    quits: number;
  }) {
    const { name, uuid, world, api, judge, random, mayWatch, windUp, quits } = options;
    this.name = name;
    this.weather = FAIR(random);
    this.process = new Process(world, 1 + (random() - 0.5) * 0.009, (random() - 0.5) * 1e9);
    this.store = new MemoryStore({
      clock: world,
      api,
      by: name,
      watchDelayMs: () => random() * 30,
      faults: (call) =>
        !mayWatch && call.verb === 'watch' ? { fail: 'Forbidden' } : faultOf(this.weather, random, call),
    });
    const elector = new LeaderElector({
      store: this.process.reach(this.store),
      clock: this.process,
      random,
      lease: REF,
      id: name.split('.')[0]!,
      uuid,
      options: options.options,
      observe: (event) => this.#see(event, judge),
    });
    const work = async (term: Term): Promise<void> => {
      const reign: Reign = { runner: this, term, over: false, working: true, stoodStill: false };
      this.#reign = reign;
      judge.began(reign);
      judge.look();
      if (this.working++ > 0) judge.fail(`${name} works twice at once`);
      const pause = (ms: number, signal?: AbortSignal): Promise<unknown> => sleep(this.process, ms, signal);
      while (!term.signal.aborted) {
        // What is due first after a standstill is checked first.
        try {
          term.check();
        } catch {
          break;
        }
        judge.step(reign);
        if (random() < quits) break;
        await pause(50 + random() * 1_500, term.signal);
      }
      if (term.signal.aborted) await pause(windUp());
      this.working--;
      reign.working = false;
      if (random() < 0.5) throw new Error('work failed');
    };
    void elector.run(this.abort.signal, work).then(
      () => (this.settled = true),
      (error: unknown) => {
        this.settled = true;
        this.error = error as Error;
      },
    );
    judge.note(name, 'start');
  }

  standStill(): void {
    if (this.#reign) this.#reign.stoodStill = true;
    this.process.stop();
  }

  #see(event: ElectionEvent, judge: Judge): void {
    const token = 'fencingToken' in event ? ` ${event.fencingToken}` : '';
    const more =
      'reason' in event ? ` ${event.reason}` : 'operation' in event ? ` ${event.operation} ${event.error.code}` : '';
    judge.note(this.name, `${event.type}${token}${more}`);
    if (event.type === 'stopped' && this.#reign) this.#reign.over = true;
    if (event.type === 'released' && this.working > 0) judge.fail(`${this.name} released while it works`);
  }
}
