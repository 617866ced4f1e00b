/**
 * A wait that can be ended early, by anyone who has news. News that comes while nobody waits ends the next wait at once.
 */
import type { Clock } from './clock.ts';

export class Wake {
  /** Ends the wait that is under way. */
  #end: (() => void) | undefined;
  #pending = false;

  now(): void {
    this.#pending = true;
    this.#end?.();
  }

  /** Resolves after `ms` milliseconds, at `now()`, or when the signal aborts, whichever is first. */
  async wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
    if (!this.#pending && !signal?.aborted && ms > 0) {
      // Without an AbortController: of a thousand candidates in one process each wakes at each change of the lease.
      await new Promise<void>((resolve) => {
        const end = (): void => {
          this.#end = undefined;
          cancel();
          signal?.removeEventListener('abort', end);
          resolve();
        };
        const cancel = clock.schedule(ms, end);
        this.#end = end;
        signal?.addEventListener('abort', end, { once: true });
      });
    }
    this.#pending = false;
  }
}
