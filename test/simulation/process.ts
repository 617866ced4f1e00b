/**
 * One process: the system clock as shipped, over sources that this process's machine tells; and whether it runs.
 *
 * It may stand still (SIGSTOP: time goes on, what falls due happens when it goes on), be suspended with its machine (timers
 * and the running time stand still, the time since boot does not), or crash (nothing of it happens any more).
 */
import { createSystemClock } from '../../src/runtime/clock.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import type { Chance } from './chance.ts';
import type { World } from './world.ts';

export type ProcessState = 'running' | 'stopped' | 'suspended' | 'crashed';

/** Timers fire a little late, never early. */
const TIMER_LAG_MS = 0.01;

export class Process implements Clock {
  readonly #world: World;
  readonly #rate: number;
  readonly #born: number;
  readonly #bornWall: number;
  readonly #clock: Clock;
  /** Reads the same sources, for anyone who looks on: asking must not change the process's own clock. */
  readonly #onlooker: Clock;
  readonly #queue: (() => void)[] = [];
  /** Timers that came due in true time while the machine was suspended. */
  readonly #asleep: (() => void)[] = [];
  #wallOffsetMs: number;
  #suspendedAt = 0;
  #suspendedMs = 0;
  /** Since when it has run without a break, in true milliseconds. */
  runningSince: number;
  /** When it last stood still, or was suspended, in true milliseconds. */
  stoodStillAt = -Infinity;
  state: ProcessState = 'running';

  /** @param rate how fast its clocks run: 1 is true */
  constructor(world: World, rate: number, wallOffsetMs: number) {
    this.#world = world;
    this.#rate = rate;
    this.#born = world.now;
    this.runningSince = world.now;
    this.#bornWall = world.wallMicros() / 1000;
    this.#wallOffsetMs = wallOffsetMs;
    const sources = {
      running: () => this.#running(),
      sinceBoot: () => Math.floor((1e6 + (world.now - this.#born) * rate) / 10) * 10,
      wall: () => Math.floor(this.#bornWall + (world.now - this.#born) * rate + this.#wallOffsetMs),
    };
    this.#clock = createSystemClock(sources);
    this.#onlooker = createSystemClock(sources);
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  wallMicros(): number {
    return this.#clock.wallMicros();
  }

  /** What `monotonic` would say, without asking it. */
  peek(): number {
    return this.#onlooker.monotonic();
  }

  /** How far its wall clock is off, in milliseconds. */
  get wallOffsetMs(): number {
    return this.#wallOffsetMs;
  }

  stepWall(ms: number): void {
    this.#wallOffsetMs += ms;
  }

  get alive(): boolean {
    return this.state !== 'crashed';
  }

  schedule(ms: number, callback: () => void): () => void {
    const due = this.#running() + Math.max(ms, 0);
    let cancelled = false;
    let cancel = (): void => {};
    const arm = (): void => {
      if (cancelled) return;
      const left = due - this.#running();
      if (left > TIMER_LAG_MS) cancel = this.#world.schedule(left / this.#rate, fire);
      else this.turn(() => cancelled || callback());
    };
    const fire = (): void => {
      if (this.state === 'suspended') this.#asleep.push(arm);
      else if (this.state !== 'crashed') arm();
    };
    cancel = this.#world.schedule(Math.max(ms, 0) / this.#rate + TIMER_LAG_MS, fire);
    return () => {
      cancelled = true;
      cancel();
    };
  }

  /** Does this as soon as the process runs; never if it crashed. */
  turn(what: () => void): void {
    if (this.state === 'running') what();
    else if (this.state !== 'crashed') this.#queue.push(what);
  }

  stop(): void {
    if (this.state !== 'running') return;
    this.state = 'stopped';
    this.stoodStillAt = this.#world.now;
  }

  suspend(): void {
    if (this.state !== 'running') return;
    this.state = 'suspended';
    this.#suspendedAt = this.#world.now;
    this.stoodStillAt = this.#world.now;
  }

  /** What waited is done one after another, in an order that is not that of its time, as an event loop may. */
  goOn(random: Chance): void {
    if (this.state === 'suspended') this.#suspendedMs += this.#world.now - this.#suspendedAt;
    else if (this.state !== 'stopped') return;
    this.state = 'running';
    this.runningSince = this.#world.now;
    for (const arm of this.#asleep.splice(0)) arm();
    const queue = this.#queue.splice(0);
    while (queue.length > 0) {
      const [what] = queue.splice(Math.floor(random() * queue.length), 1);
      this.#world.schedule(0, () => this.turn(what!));
    }
  }

  crash(): void {
    this.state = 'crashed';
    this.#queue.length = 0;
    this.#asleep.length = 0;
  }

  #running(): number {
    const suspended = this.#suspendedMs + (this.state === 'suspended' ? this.#world.now - this.#suspendedAt : 0);
    return (this.#world.now - this.#born - suspended) * this.#rate;
  }
}
