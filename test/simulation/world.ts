/**
 * True time, in milliseconds, and what falls due in it: the clock of the network and of the API server.
 *
 * Guarantees: what falls due is done in the order of its time, then of its asking; after each one, everything that it set
 * off has settled before the next begins. Nothing here reads a real clock.
 */
import type { Clock } from '../../src/runtime/clock.ts';

interface Timer {
  readonly at: number;
  readonly order: number;
  fire: (() => void) | undefined;
}

/** The first moment of every world, as its wall clocks should tell it. */
export const EPOCH_MS = Date.UTC(2026, 0, 1);
/** More than any world needs; a service that never rests must not hang the run. */
const MAX_EVENTS = 400_000;

export class World implements Clock {
  now = 0;
  events = 0;
  readonly #heap: Timer[] = [];
  #order = 0;

  monotonic(): number {
    return this.now;
  }

  wallMicros(): number {
    return Math.floor((EPOCH_MS + this.now) * 1000);
  }

  schedule(ms: number, fire: () => void): () => void {
    const timer: Timer = { at: this.now + Math.max(0, ms), order: this.#order++, fire };
    this.#push(timer);
    return () => void (timer.fire = undefined);
  }

  /** Lives until then; after each event, once all it set off has settled, `after` is called. */
  async live(until: number, after: () => void): Promise<void> {
    await turn();
    for (;;) {
      const next = this.#heap[0];
      if (!next || next.at > until) break;
      this.#pop();
      if (!next.fire) continue;
      this.now = Math.max(this.now, next.at);
      if (++this.events > MAX_EVENTS) throw new Error(`more than ${MAX_EVENTS} events: something never rests`);
      next.fire();
      await turn();
      after();
    }
    this.now = until;
    after();
  }

  #push(timer: Timer): void {
    const heap = this.#heap;
    let i = heap.push(timer) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(timer, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = timer;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
  }
}

const before = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** All microtasks have run when the next macrotask does; nothing here waits for anything else. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
