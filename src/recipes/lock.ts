/**
 * Lock: runs work while this caller, and nobody else, holds a Lease.
 *
 * Guarantees, as an election's term has them: no two works at once; the work has a deadline to check and a fencing token;
 * the Lease is released after the work has ended, and the next waiter is woken by that; a holder that dies is followed once
 * its duration has passed. `use` returns when its time is up, also while a write hangs: what that write may still acquire
 * is released behind it.
 * Does not guarantee an order among waiters; that none waits forever is a matter of chance, drawn again each time.
 */
import { LeaderElector } from '../election/elector.ts';
import type { LeaderElectorOptions } from '../election/elector.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import { checkedWork } from '../election/election-options.ts';
import type { WatchLease } from '../election/lease-follower.ts';
import type { Term } from '../election/term.ts';
import type { LeaseStore } from '../lease/store.ts';
import { containedObserver } from '../runtime/observer.ts';
import { RecipeError } from './recipe-error.ts';
import { Glance, Waiting } from './waiting.ts';
import type { UseOptions, UseOutcome } from './waiting.ts';

/** What every recipe is made of: an elector's parts, without its work, and a source of names. */
export interface RecipeOptions extends Omit<LeaderElectorOptions, 'uuid' | 'work' | 'once' | 'kind' | 'onWorkError'> {
  /** A fresh uuid for each use: two uses in one process contend like any others. */
  readonly newId: () => string;
}

/** One work at a time, in all processes: `use` runs it while nobody else holds the Lease. */
export class Lock {
  readonly #options: RecipeOptions;
  readonly #kind: 'lock' | 'once' | 'cron' | 'semaphore';
  readonly #waiting = new Waiting();

  /** @throws OptionsError with everything that is wrong */
  constructor(options: RecipeOptions, kind: 'lock' | 'once' | 'cron' | 'semaphore' = 'lock') {
    this.#options = options;
    this.#kind = kind;
    // Checked now, not at the first use.
    this.#elector(
      async () => {},
      () => {},
    );
  }

  /**
   * Waits for the lock, runs the work once, gives the lock back, and returns what the work returned.
   * @returns null when the lock was not free within `waitMs`
   * @throws what the work threw; LeadershipError `LeadershipLost` when the term was lost before the work had ended well;
   *   RecipeError `NotAcquired`, where asked for; the reason of `signal`
   */
  async use<T>(work: (term: Term) => Promise<T>, options: UseOptions = {}): Promise<T | null> {
    const outcome = await this.tryUse(work, options);
    if (outcome.ran) return outcome.value;
    if (options.otherwise !== 'throw') return null;
    const { namespace, name } = this.#options.lease;
    throw new RecipeError('NotAcquired', `the lock ${namespace}/${name} was not free within ${options.waitMs} ms`);
  }

  /** As `use`, with an answer that tells a work that returned null from one that never ran. */
  async tryUse<T>(work: (term: Term) => Promise<T>, options: UseOptions = {}): Promise<UseOutcome<T>> {
    checkedWork('use', work);
    const { clock } = this.#options;
    return this.#waiting.use(clock, options, async (signal, begin, taken, extend) => {
      let failure: { readonly error: unknown } | undefined;
      let began = false;
      const glance = new Glance(clock, taken);
      const elector = this.#elector(
        async (term) => {
          // Won when nobody waits any more: given back at once.
          if (signal.aborted) return;
          began = true;
          await begin(() => work(term))
            .then(
              // A success in a term that was lost is none.
              () => term.check(),
              (error: unknown) => (failure = { error }),
            )
            .catch((error: unknown) => (failure = { error }));
        },
        (event) => {
          if (!isTaken(event)) return;
          const { doubtMs } = glance;
          if (event.type === 'raceLost' || doubtMs === undefined) taken();
          else extend(doubtMs);
        },
        options.waitMs === 0 ? glance : undefined,
      );
      // A term that is lost before its work began is none.
      while (!began && !signal.aborted) await elector.run(signal);
      if (failure) throw failure.error;
    });
  }

  /** Settles once what uses left behind has settled: a hanging write is over, and what it acquired is released. */
  idle(): Promise<void> {
    return this.#waiting.idle();
  }

  #elector(
    work: (term: Term) => Promise<void>,
    observe: (event: ElectionEvent) => void,
    glance?: Glance,
  ): LeaderElector {
    const { newId, observe: given, ...options } = this.#options;
    const contained = containedObserver(given);
    const elector: LeaderElector = new LeaderElector({
      ...options,
      ...(glance && { watch: glance.over(options.watch ?? ownWatch(options.store), () => elector.holder) }),
      uuid: newId(),
      kind: this.#kind,
      once: true,
      work,
      observe: (event) => {
        contained(event);
        observe(event);
      },
    });
    return elector;
  }
}

/** An elector's own, by the Lease's name. */
export const ownWatch =
  (store: LeaseStore): WatchLease =>
  ({ namespace, name }, signal) =>
    store.watch({ namespace, fieldSelector: `metadata.name=${name}` }, signal);

/** The lock is another's, or was taken by another just now. */
export const isTaken = (event: ElectionEvent): boolean =>
  event.type === 'raceLost' ||
  (event.type === 'leaderObserved' && event.leader !== undefined && event.leader !== event.holder);
