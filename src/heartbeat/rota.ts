/**
 * Whose turn it is: starts each beat when it is due, as far as pace and concurrency allow.
 *
 * Guarantees: each beat is started once an interval, at a place of its own that lies evenly among the others' and stays
 * whatever happens; at most `concurrency` are under way; those that have a lease to lose go first; what was held up is made
 * up for at a bounded rate (see pace.ts). One timer, and none once it was stopped.
 */
import type { Clock } from '../runtime/clock.ts';
import type { Beat } from './beat.ts';
import { Pace } from './pace.ts';
import { Wheel } from './wheel.ts';

/** Nodes that come at once and are written before their places come; many at once must not delay those that are due. */
const AT_ONCE = 16;
/** The share of the interval by which a renewal may be late before that is reported. */
const BEHIND = 0.1;

interface RotaTiming {
  readonly renewIntervalMs: number;
  readonly concurrency: number;
}

interface RotaParts {
  readonly clock: Clock;
  readonly timing: RotaTiming;
  /** Begins what is to be done; `done` is to be called when it has ended. */
  readonly start: (beat: Beat) => void;
  readonly observe: (
    event:
      { readonly type: 'behind'; readonly backlog: number; readonly lateMs: number } | { readonly type: 'caughtUp' },
  ) => void;
}

export class Rota {
  readonly pace: Pace;
  readonly #parts: RotaParts;
  readonly #clock: Clock;
  #timing: RotaTiming;
  /** Due: those that have a lease to lose, and after them those that have none yet. */
  readonly #due = new Queue<Beat>();
  readonly #claims = new Queue<Beat>();
  readonly #wheel: Wheel<Beat>;
  #inFlight = 0;
  #behind = false;
  #stopped = false;
  #idle: () => void = () => {};
  #armedFor = Infinity;
  #disarm: () => void = () => {};

  constructor(parts: RotaParts) {
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#timing = parts.timing;
    const now = this.#clock.monotonic();
    this.#wheel = new Wheel(parts.timing.renewIntervalMs, now);
    this.pace = new Pace(parts.timing.renewIntervalMs, now);
  }

  get backlog(): number {
    return this.#due.size + this.#claims.size;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  add(beat: Beat): void {
    this.#wheel.add(beat);
    if (this.#claims.size < AT_ONCE) this.enqueue(beat);
  }

  remove(beat: Beat): void {
    this.#wheel.remove(beat);
  }

  /** It is due, since now or for longer. */
  enqueue(beat: Beat, at = this.#clock.monotonic()): void {
    if (this.#stopped) return;
    if (Number.isNaN(beat.dueAt)) beat.dueAt = at;
    if (beat.queued || beat.inFlight) return;
    beat.queued = true;
    (beat.held ? this.#due : this.#claims).push(beat);
  }

  /** It is due once more, besides its place. */
  again(beat: Beat, inMs: number): void {
    this.#wheel.once(beat, this.#clock.monotonic() + inMs);
  }

  /** Takes in who is due, starts what may be started, and sees to it that it is called again. */
  turn(): void {
    if (this.#stopped) return;
    const now = this.#clock.monotonic();
    this.#wheel.due(now, (beat, at) => this.enqueue(beat, at));
    let paused = 0;
    while (this.backlog > 0 && this.#inFlight < this.#timing.concurrency) {
      if (!this.pace.take(now)) {
        paused = this.pace.wait(now);
        break;
      }
      const beat = (this.#due.shift() ?? this.#claims.shift()) as Beat;
      beat.queued = false;
      if (!beat.gone) this.#start(beat, now);
    }
    if (this.#behind && this.#due.size === 0) {
      this.#behind = false;
      this.#parts.observe({ type: 'caughtUp' });
    }
    const next = this.#wheel.next() ?? Infinity;
    this.#arm(paused > 0 ? Math.min(next, now + paused) : next);
  }

  #start(beat: Beat, now: number): void {
    const lateMs = now - beat.dueAt;
    const late = beat.held && beat.failures === 0 && lateMs > this.#timing.renewIntervalMs * BEHIND;
    if (late && !this.#behind) {
      this.#behind = true;
      this.#parts.observe({ type: 'behind', backlog: this.#due.size + 1, lateMs });
    }
    beat.inFlight = true;
    this.#inFlight++;
    this.#parts.start(beat);
  }

  /** What was started has ended. */
  done(beat: Beat): void {
    beat.inFlight = false;
    if (--this.#inFlight === 0) this.#idle();
    // While renewals follow one another, the timer does the rest.
    if (this.backlog > 0 || beat.failures > 0) this.turn();
  }

  /**
   * Other timing from now on: who was next stays next, and everybody is due once more within the shorter of the two
   * intervals, so that nothing that was written for the old one runs out.
   */
  update(timing: RotaTiming): void {
    this.turn();
    const now = this.#clock.monotonic();
    this.#timing = timing;
    this.#wheel.update(timing.renewIntervalMs, now);
    this.pace.update(timing.renewIntervalMs, now);
    this.turn();
  }

  /** Begins nothing new. */
  stop(): void {
    this.#stopped = true;
    this.#due.clear();
    this.#claims.clear();
    this.#arm(Infinity);
  }

  /** Settles as soon as nothing is under way. */
  idle(): Promise<void> {
    return this.#inFlight === 0 ? Promise.resolve() : new Promise((resolve) => (this.#idle = resolve));
  }

  #arm(at: number): void {
    if (at === this.#armedFor) return;
    this.#disarm();
    this.#armedFor = at;
    if (at === Infinity) return;
    // Timers have whole milliseconds, cut off: one that comes too early would find nothing due, again and again.
    this.#disarm = this.#clock.schedule(Math.max(1, Math.ceil(at - this.#clock.monotonic())), () => {
      this.#armedFor = Infinity;
      this.turn();
    });
  }
}

/**
 * First in, first out, each step at a constant cost; memory is that of the longest line it ever was, halved as it empties.
 */
class Queue<Item> {
  #items: (Item | undefined)[] = [];
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  push(item: Item): void {
    this.#items.push(item);
  }

  shift(): Item | undefined {
    const item = this.#items[this.#head];
    if (this.size === 0) return undefined;
    this.#items[this.#head++] = undefined;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
  }
}
