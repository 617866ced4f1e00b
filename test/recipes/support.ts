/** Several processes over one API in memory, on a clock that is moved by hand. */
import { chance } from '../simulation/chance.ts';
import { MemoryStore } from '../support/memory-store.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';

export const REF = { namespace: 'default', name: 'job' };

export class Cluster {
  readonly clock = new ManualClock();
  readonly store = new MemoryStore({ clock: this.clock });
  #ids = 0;

  /** What a recipe of one process is made of. @param watchDelayMs how long each piece of news is under way; default 0 */
  process(id: string, watchDelayMs?: () => number) {
    const store = this.store.client({ by: id, watchDelayMs });
    const random = chance(id.length * 7919 + id.charCodeAt(id.length - 1));
    return { store, clock: this.clock, random, lease: REF, id, newId: () => `uuid-${++this.#ids}` };
  }

  peek(name = REF.name): Lease | undefined {
    return this.store.peek({ namespace: REF.namespace, name });
  }

  /** Moves time on until the promise has settled; fails after so many milliseconds. */
  async until<T>(promise: Promise<T>, mostMs = 120_000): Promise<T> {
    let settled = false;
    void promise.then(
      () => (settled = true),
      () => (settled = true),
    );
    const end = this.clock.monotonic() + mostMs;
    await settle();
    while (!settled) {
      if (this.clock.monotonic() >= end) throw new Error(`not settled within ${mostMs} ms`);
      await this.clock.advance(Math.min(100, this.clock.next ?? 100));
    }
    return promise;
  }
}

/** A promise, and its ends. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
