/**
 * Once: of many replicas that start at once exactly one runs the work for a key; the others wait for its success and go on
 * without running it. When it fails or dies, the next one tries.
 *
 * Guarantees: no work for a key starts after its success was recorded, in any process, however old; no two works at once
 * under one Lease; every key that succeeded stays recorded, and where no further one fits it is refused before anything runs.
 * At least once by nature: a process that dies between the end of its work and the record leaves it to the next.
 * Deleting the Lease deletes the record: every key may run again.
 */
import { withChanges } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseEvent, LeaseStoreError } from '../lease/store.ts';
import type { ElectionEvent, ElectionOperation } from '../election/election-events.ts';
import { createBackoff } from '../runtime/backoff.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import { sleep } from '../runtime/clock.ts';
import { checkedWork } from '../election/election-options.ts';
import { LeadershipError } from '../election/term.ts';
import type { Term } from '../election/term.ts';
import { DONE_ANNOTATION, MAX_DONE_BYTES, parseDone, withDone } from './done-keys.ts';
import { Lock, ownWatch } from './lock.ts';
import type { RecipeOptions } from './lock.ts';
import { RecipeError } from './recipe-error.ts';
import { ONCE_ROWS } from './recipe-options.ts';

/** First wait between two tries to record a success, in milliseconds; the longest is the retry period of the election. */
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;

/** Who ran the work. */
export interface OnceOutcome<T> {
  /** True: this caller ran it. False: the key had succeeded, by anybody. */
  readonly ran: boolean;
  /** What the work returned, where this caller ran it. */
  readonly value?: T;
}

/** A work that succeeds once for each key, whichever process runs it. */
export class Once {
  readonly #options: RecipeOptions;
  readonly #observe: Observe<ElectionEvent>;
  readonly #behind = new Set<Promise<void>>();

  /** @throws OptionsError with everything that is wrong */
  constructor(options: RecipeOptions) {
    this.#options = options;
    this.#observe = containedObserver(options.observe);
    // Checked now, not at the first run.
    new Lock(options, 'once');
  }

  /**
   * Runs the work for this key, unless the key has succeeded; waits while somebody else runs a work under this Lease.
   * @param key 1 to 253 characters, a version or a digest say
   * @throws OptionsError for a key that is none; what the work threw; RecipeError `RecordFull`, `BadRecord`, `NotRecorded`;
   *   LeadershipError `LeadershipLost` from a work that noticed; the reason of the signal while it waits
   */
  async run<T>(key: string, work: (term: Term) => Promise<T>, signal?: AbortSignal): Promise<OnceOutcome<T>> {
    checkedOptions('once', ONCE_ROWS, { key });
    checkedWork('once', work);
    const succeeded = new AbortController();
    const stop = signal ? AbortSignal.any([signal, succeeded.signal]) : succeeded.signal;
    let began = false;
    // Once the work has begun it is its own success that is shown.
    const onDone = (): void => void (began || succeeded.abort());
    const lock = new Lock({ ...this.#options, watch: this.#watch(key, onDone) }, 'once');
    const use = (): Promise<OnceOutcome<T> | null> =>
      lock.use(
        async (term): Promise<OnceOutcome<T>> => {
          // The acquiring write was made over the last record, and nobody else records while this term holds.
          const done = this.#read(await this.#lease(term));
          if (done.has(key)) return { ran: false };
          if (withDone(done, key) === undefined) throw this.#full(key);
          term.check();
          term.signal.throwIfAborted();
          began = true;
          const result = await work(term);
          await this.#record(key, term);
          return { ran: true, value: result };
        },
        { signal: stop },
      );
    try {
      for (;;) {
        try {
          return (await use()) as OnceOutcome<T>;
        } catch (error) {
          if (began || !(error instanceof LeadershipError)) throw error;
          // A term that was over before the work began: the key is waited for again.
          stop.throwIfAborted();
        }
      }
    } catch (error) {
      if (succeeded.signal.aborted && error === succeeded.signal.reason) return { ran: false };
      throw error;
    } finally {
      const idle = lock.idle();
      this.#behind.add(idle);
      void idle.then(() => this.#behind.delete(idle));
    }
  }

  /** Settles once what runs left behind has settled: a hanging write is over, and what it acquired is released. */
  async idle(): Promise<void> {
    while (this.#behind.size > 0) await Promise.all(this.#behind);
  }

  /** The watch of a waiter, with an eye on the record: a success ends the waiting. */
  #watch(key: string, onDone: () => void): RecipeOptions['watch'] {
    const { store, watch } = this.#options;
    const open = watch ?? ownWatch(store);
    return async function* (ref, signal): AsyncGenerator<LeaseEvent, void, undefined> {
      for await (const event of open(ref, signal)) {
        const leases =
          event.type === 'list' ? event.leases : event.type === 'deleted' || !('lease' in event) ? [] : [event.lease];
        const ours = leases.find(({ metadata }) => metadata.name === ref.name);
        if (ours && parseDone(ours.metadata.annotations[DONE_ANNOTATION])?.has(key)) onDone();
        yield event;
      }
    };
  }

  #get(): Promise<Lease> {
    return this.#options.store.get(this.#options.lease, { urgent: true });
  }

  /** Reads the Lease, again and again while the term holds. */
  async #lease(term: Term): Promise<Lease> {
    const { clock, random } = this.#options;
    const backoff = createBackoff({ firstMs: FIRST_WAIT_MS, capMs: LONGEST_WAIT_MS, random });
    for (;;) {
      try {
        return await this.#get();
      } catch (error) {
        if (!isStoreError(error)) throw error;
        const retryInMs = backoff.next(error.retryAfterMs);
        this.#failed('get', error, retryInMs, term);
        await sleep(clock, retryInMs, term.signal);
        term.check();
        term.signal.throwIfAborted();
      }
    }
  }

  #read(lease: Lease): ReadonlySet<string> {
    const done = parseDone(lease.metadata.annotations[DONE_ANNOTATION]);
    if (done) return done;
    const { namespace, name } = this.#options.lease;
    throw new RecipeError(
      'BadRecord',
      `the annotation ${DONE_ANNOTATION} of ${namespace}/${name} cannot be read: it must be a JSON list of keys`,
    );
  }

  #full(key: string): RecipeError {
    const { namespace, name } = this.#options.lease;
    return new RecipeError(
      'RecordFull',
      `${namespace}/${name} has no room for the key ${JSON.stringify(key)}: its record would be larger than ${MAX_DONE_BYTES} bytes, and no key is forgotten. Use another Lease`,
    );
  }

  /** Writes the key into the record, over a version that shows our own term and nothing else. */
  async #record(key: string, term: Term): Promise<void> {
    const { store, clock, random } = this.#options;
    const backoff = createBackoff({ firstMs: FIRST_WAIT_MS, capMs: LONGEST_WAIT_MS, random });
    for (;;) {
      let cause: LeaseStoreError;
      try {
        const lease = await this.#get();
        const done = this.#read(lease);
        // Nobody but this term could have written it: the answer to our own write was lost.
        if (done.has(key)) return;
        term.check();
        if (lease.spec.holderIdentity !== term.holder) throw this.#unrecorded(key);
        const text = withDone(done, key);
        if (text === undefined) throw this.#full(key);
        await store.update(withChanges(lease, { annotations: { [DONE_ANNOTATION]: text } }), { urgent: true });
        return;
      } catch (error) {
        if (!isStoreError(error)) throw error instanceof RecipeError ? error : this.#unrecorded(key, error);
        cause = error;
      }
      // A conflict is one with our own renewal, as a rule.
      const retryInMs = isStoreError(cause, 'Conflict') ? 0 : backoff.next();
      if (retryInMs > 0) this.#failed('renew', cause, retryInMs, term);
      await sleep(clock, retryInMs, undefined);
      if (term.remainingMs === 0) throw this.#unrecorded(key, cause);
    }
  }

  /** What only the work's own requests meet: the elector reports its own. */
  #failed(operation: ElectionOperation, error: LeaseStoreError, retryInMs: number, term: Term): void {
    const { lease, holder, remainingMs } = term;
    this.#observe({ type: 'failed', operation, error, retryInMs, remainingMs, lease, holder });
  }

  #unrecorded(key: string, cause?: unknown): RecipeError {
    return new RecipeError(
      'NotRecorded',
      `the work for ${JSON.stringify(key)} ended well, but its term was lost before that was recorded`,
      cause,
    );
  }
}
