/**
 * One use of a lock or a semaphore, as its caller waits for it.
 *
 * Guarantees: `use` settles when the work has ended and what it held is released; before the work has begun it settles when
 * the time is up or the signal aborts, whatever hangs: the contention is asked to stop, and goes on behind until it has
 * given back what it may have acquired. The work never begins after that.
 */
import type { Clock } from '../runtime/clock.ts';

/** How long to wait, and what happens then. */
export interface UseOptions {
  /** Milliseconds to wait for the lock; 0: only if it is free now. Default: as long as it takes. */
  readonly waitMs?: number | undefined;
  /** Ends the waiting (`use` rejects with its reason), or asks the work to end by `term.signal`. */
  readonly signal?: AbortSignal | undefined;
  /** What happens when the lock was not had in time: `null` is returned (default), or RecipeError `NotAcquired` is thrown. */
  readonly otherwise?: 'null' | 'throw' | undefined;
}

/** How one contention for one term ended. */
export type UseOutcome<T> = { readonly ran: true; readonly value: T } | { readonly ran: false };

/** Milliseconds that a look and a write may take where nobody wants to wait. */
const NOW_MS = 5_000;

/**
 * Contends until it has run the work or the signal aborts.
 * @param begin runs the work, which has begun from then on; never called after the signal aborted
 * @param taken to be called when everything is seen to be another's
 */
export type Contend<T> = (
  signal: AbortSignal,
  begin: (work: () => Promise<T>) => Promise<void>,
  taken: () => void,
) => Promise<void>;

export class Waiting {
  readonly #behind = new Set<Promise<void>>();

  async use<T>(clock: Clock, { waitMs, signal }: UseOptions, contend: Contend<T>): Promise<UseOutcome<T>> {
    signal?.throwIfAborted();
    const stop = new AbortController();
    let outcome: UseOutcome<T> = { ran: false };
    let began = false;
    let giveUp = (): void => {};
    const gaveUp = new Promise<void>((resolve) => (giveUp = resolve));
    const timeOut = (): void => {
      if (began) return;
      giveUp();
      stop.abort();
    };
    const onAbort = (): void => {
      if (!began) giveUp();
      stop.abort(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    const cancel = waitMs === undefined ? () => {} : clock.schedule(waitMs === 0 ? NOW_MS : waitMs, timeOut);
    const running = contend(
      stop.signal,
      async (work) => {
        began = true;
        outcome = { ran: true, value: await work() };
      },
      () => waitMs === 0 && timeOut(),
    );
    const settled = running.catch(() => {});
    this.#behind.add(settled);
    void settled.finally(() => this.#behind.delete(settled));
    try {
      await Promise.race([running, gaveUp]);
      if (!began) signal?.throwIfAborted();
      return outcome;
    } finally {
      cancel();
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Settles once all that was left behind has settled. */
  async idle(): Promise<void> {
    while (this.#behind.size > 0) await Promise.all(this.#behind);
  }
}
