/**
 * A wait that can be ended early, by anyone who has news. News that comes while nobody waits ends the next wait at once.
 */
import { sleep } from './clock.ts';
import type { Clock } from './clock.ts';

export class Wake {
  #waiting: AbortController | undefined;
  #pending = false;

  now(): void {
    this.#pending = true;
    this.#waiting?.abort();
  }

  /** Resolves after `ms` milliseconds, at `now()`, or when the signal aborts, whichever is first. */
  async wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
    if (this.#pending || signal?.aborted || ms <= 0) {
      this.#pending = false;
      return;
    }
    this.#waiting = new AbortController();
    const onAbort = (): void => this.#waiting?.abort();
    signal?.addEventListener('abort', onAbort, { once: true });
    await sleep(clock, ms, this.#waiting.signal);
    signal?.removeEventListener('abort', onAbort);
    this.#waiting = undefined;
    this.#pending = false;
  }
}
