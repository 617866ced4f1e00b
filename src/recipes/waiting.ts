/**
 * One use of a lock or a semaphore, as its caller waits for it.
 *
 * Guarantees: `use` settles when the work has ended and what it held is released; before the work has begun it settles when
 * the time is up or the signal aborts, whatever hangs: the contention is asked to stop, and goes on behind until it has
 * given back what it may have acquired. The work never begins after that.
 */
import type { WatchLease } from '../election/lease-follower.ts';
import { recordOf, sameRecord } from '../lease/record.ts';
import type { LeaseRecord } from '../lease/record.ts';
import type { LeaseEvent } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { checkedOptions } from '../runtime/options.ts';
import { USE_ROWS } from './recipe-options.ts';

/** How long to wait, and what happens then. */
export interface UseOptions {
  /**
   * Milliseconds to wait for the lock; 0: only if it is free now. A holder whose published times say that it died is watched
   * for its duration first. Default: as long as it takes.
   */
  readonly waitMs?: number | undefined;
  /** Ends the waiting (`use` rejects with its reason), or asks the work to end by `term.signal`. */
  readonly signal?: AbortSignal | undefined;
  /** What happens when the lock was not free in time: `null` is returned (default), or RecipeError `NotAcquired` is thrown. */
  readonly otherwise?: 'null' | 'throw' | undefined;
}

/** How one contention for one term ended. */
export type UseOutcome<T> = { readonly ran: true; readonly value: T } | { readonly ran: false };

/** Milliseconds that a read and a write may take where nobody wants to wait. */
const NOW_MS = 5_000;

/**
 * Contends until it has run the work or the signal aborts.
 * @param begin runs the work, which has begun from then on; never called after the signal aborted
 * @param taken to be called when everything is seen to be another's
 * @param extend to be called when a holder may be dead, which its duration (in milliseconds) has to show
 */
type Contend<T> = (
  signal: AbortSignal,
  begin: (work: () => Promise<T>) => Promise<void>,
  taken: () => void,
  extend: (ms: number) => void,
) => Promise<void>;

export class Waiting {
  readonly #behind = new Set<Promise<void>>();

  async use<T>(clock: Clock, { waitMs, signal }: UseOptions, contend: Contend<T>): Promise<UseOutcome<T>> {
    checkedOptions('use', USE_ROWS, { waitMs });
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
    let cancel = waitMs === undefined ? () => {} : clock.schedule(waitMs === 0 ? NOW_MS : waitMs, timeOut);
    const running = contend(
      stop.signal,
      async (work) => {
        began = true;
        outcome = { ran: true, value: await work() };
      },
      () => waitMs === 0 && timeOut(),
      (ms) => {
        if (waitMs !== 0 || began || stop.signal.aborted) return;
        cancel();
        cancel = clock.schedule(ms + NOW_MS, timeOut);
      },
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

/**
 * For those who do not want to wait: whether another's Lease may be that of a dead holder. Published times only say whether
 * it is worth a read; that it is dead, the elector finds by its silence.
 */
export class Glance {
  readonly #clock: Clock;
  readonly #onAlive: () => void;
  #doubted: LeaseRecord | undefined;
  #alive = false;

  /** @param onAlive called when a holder that was in doubt has given a sign of life */
  constructor(clock: Clock, onAlive: () => void) {
    this.#clock = clock;
    this.#onAlive = onAlive;
  }

  /** The duration, in milliseconds, that has to pass in silence; undefined: the holder is not in doubt. */
  get doubtMs(): number | undefined {
    return this.#alive || !this.#doubted ? undefined : recordDurationMs(this.#doubted);
  }

  /** The watch, with an eye on who holds the Lease. */
  over(open: WatchLease, self: () => string): WatchLease {
    const see = (record: LeaseRecord): void => this.#see(record, self());
    return async function* (ref, signal): AsyncGenerator<LeaseEvent, void, undefined> {
      for await (const event of open(ref, signal)) {
        const leases =
          event.type === 'list' ? event.leases : event.type === 'deleted' || !('lease' in event) ? [] : [event.lease];
        const ours = leases.find(({ metadata }) => metadata.name === ref.name);
        if (ours) see(recordOf(ours));
        yield event;
      }
    };
  }

  #see(record: LeaseRecord, self: string): void {
    if (record.holder === undefined || record.holder === self || this.#alive) return;
    if (this.#doubted === undefined) {
      if (mayBeDead(record, this.#clock)) this.#doubted = record;
      else this.#alive = true;
    } else if (!sameRecord(this.#doubted, record)) {
      this.#alive = true;
      this.#onAlive();
    }
  }
}

/** Whether the published times say that the holder is silent; a clock that is far ahead says nothing of it either. */
export const mayBeDead = (record: LeaseRecord, clock: Clock): boolean =>
  Math.abs(clock.wallMicros() / 1000 - (record.renewTime?.epochMs ?? 0)) > recordDurationMs(record);

export const recordDurationMs = ({ leaseDurationSeconds = 60 }: LeaseRecord): number => leaseDurationSeconds * 1000;
