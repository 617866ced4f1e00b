/**
 * Work for a wish that changes while it runs: a feature that is switched on and off, a service with new options.
 *
 * Guarantees: at most one piece of work runs at a time; when the wish changes the work is asked to stop, and the next one
 * begins only once it has ended, with the wish of then: of several wishes in between only the last one counts. Nothing
 * runs any more when `run` settles.
 */
import type { Service } from './services.ts';

export class Latest<Wish> implements Service {
  readonly name: string;
  readonly #work: (wish: Wish, signal: AbortSignal) => Promise<unknown>;
  readonly #same: (a: Wish, b: Wish) => boolean;
  #wish: Wish;
  #changed = new AbortController();

  /**
   * @param work for one wish, until its signal aborts; when it ends by itself, nothing is done until the next wish. What
   *   it throws ends `run`
   * @param same a wish like the one before disturbs nothing; default Object.is
   */
  constructor(
    name: string,
    wish: Wish,
    work: (wish: Wish, signal: AbortSignal) => Promise<unknown>,
    same: (a: Wish, b: Wish) => boolean = Object.is,
  ) {
    this.#same = same;
    this.name = name;
    this.#wish = wish;
    this.#work = work;
  }

  get wish(): Wish {
    return this.#wish;
  }

  set(wish: Wish): void {
    if (this.#same(wish, this.#wish)) return;
    this.#wish = wish;
    this.#changed.abort();
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#changed = new AbortController();
      const stop = AbortSignal.any([signal, this.#changed.signal]);
      await this.#work(this.#wish, stop);
      if (!stop.aborted) await aborted(stop);
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
