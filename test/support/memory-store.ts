/**
 * A LeaseStore in memory, with the answers of a Kubernetes API server, for unit tests and the simulation.
 *
 * Guarantees: nothing waits but by the clock given; without faults a call takes no timer, only microtasks; a call settles
 * at once when its signal aborts, and at its timeout. Several stores may share one MemoryApi: each is one client, with
 * its own clock, faults and journal. A write that a fault delays arrives even when its caller has given up meanwhile,
 * as on a real network.
 */
import type { Lease, LeaseSpec } from '../../src/lease/lease.ts';
import type {
  CallOptions,
  LeaseEvent,
  LeasePage,
  LeaseQuery,
  LeaseRef,
  LeaseStore,
  LeaseStoreErrorCode,
  PageQuery,
  Preconditions,
} from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import type { Commit, LeaseSketch } from './memory-api.ts';
import { MemoryApi, storeError } from './memory-api.ts';
import { MemoryWatch, Watchers } from './memory-watch.ts';

export type Verb = 'get' | 'create' | 'update' | 'delete' | 'list' | 'watch';

/** One call as it was made; `outcome` is missing while it is under way. */
export interface Call {
  readonly verb: Verb;
  readonly namespace: string;
  /** Empty for list and watch. */
  readonly name: string;
  /** Monotonic milliseconds of the store's clock. */
  readonly at: number;
  /** It was sent by the way that others' requests do not delay. */
  readonly urgent?: true;
  outcome?: 'ok' | LeaseStoreErrorCode;
}

/** What happens to one call. The parts combine; what is left out does not happen. */
export interface Fault {
  /** Milliseconds that the request is under way before the server acts on it. */
  readonly delayMs?: number;
  /** The server refuses, or is not reached: nothing is committed. A watch reports it as `lost` and tries again; `Forbidden` ends it. */
  readonly fail?: LeaseStoreErrorCode | LeaseStoreError;
  /** The server acts, and the answer gets lost: `Unavailable` at once, or nothing until the caller's timeout. */
  readonly lose?: 'Unavailable' | 'Timeout';
  /** Milliseconds that the answer is under way. */
  readonly answerDelayMs?: number;
  /** The request is never acted on nor answered: the caller's signal or timeout ends it. */
  readonly hang?: boolean;
  /**
   * A write arrives once more, this many milliseconds later, as when something on the way sends it again. `answer`: whether
   * its caller gets the answer to the first or to the last.
   */
  readonly repeat?: { readonly afterMs: number; readonly answer: 'first' | 'last' };
}

export type FaultPlan = (call: Readonly<Call>) => Fault | undefined;

export interface MemoryStoreOptions {
  /** This client's clock: timeouts, journal times. */
  readonly clock: Clock;
  /** Asked for each call that has no scripted fault. */
  readonly faults?: FaultPlan | undefined;
  /** The state to work on; default: a new one on the same clock. */
  readonly api?: MemoryApi | undefined;
  /** Who writes, in the history. Default `store`. */
  readonly by?: string | undefined;
  /** Milliseconds for a call without `timeoutMs`. Default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** Milliseconds that each watch event is under way; the order is kept. Default 0. */
  readonly watchDelayMs?: (() => number) | undefined;
}

export class MemoryStore implements LeaseStore {
  readonly api: MemoryApi;
  /** Every call made through this store, oldest first. */
  readonly journal: Call[] = [];
  /** Asked for each call that has no scripted fault. */
  faults: FaultPlan | undefined;
  /** The open watches, and what can happen to them. */
  readonly watches: Watchers;
  readonly #clock: Clock;
  readonly #by: string;
  readonly #timeoutMs: number;
  readonly #scripted = new Map<Verb, (Fault | undefined)[]>();

  constructor({ clock, faults, api, by, timeoutMs, watchDelayMs }: MemoryStoreOptions) {
    this.#clock = clock;
    this.api = api ?? new MemoryApi(clock);
    this.faults = faults;
    this.#by = by ?? 'store';
    this.#timeoutMs = timeoutMs ?? 10_000;
    this.watches = new Watchers({ api: this.api, clock, delayMs: watchDelayMs ?? (() => 0) });
  }

  /** Another client of the same API. */
  client(options: Partial<Omit<MemoryStoreOptions, 'api'>>): MemoryStore {
    return new MemoryStore({ clock: this.#clock, ...options, api: this.api });
  }

  /** The next calls of this verb meet these faults, one each, in this order; `undefined` lets one pass. */
  next(verb: Verb, ...faults: (Fault | undefined)[]): void {
    this.#scripted.set(verb, [...(this.#scripted.get(verb) ?? []), ...faults]);
  }

  /** How many calls were made: of one verb, or all. */
  count(verb?: Verb): number {
    return verb === undefined ? this.journal.length : this.journal.filter((call) => call.verb === verb).length;
  }

  /** Every commit by whomever, oldest first. */
  get history(): readonly Commit[] {
    return this.api.history;
  }

  /** As somebody else, without a request: see MemoryApi. */
  put(sketch: LeaseSketch): Lease {
    return this.api.put(sketch);
  }

  edit(ref: LeaseRef, change: (lease: Lease) => Lease | { spec: LeaseSpec }): Lease {
    return this.api.edit(ref, change);
  }

  remove(ref: LeaseRef): boolean {
    return this.api.remove(ref);
  }

  peek(ref: LeaseRef): Lease | undefined {
    return this.api.peek(ref);
  }

  get(ref: LeaseRef, options?: CallOptions): Promise<Lease> {
    return this.#call('get', ref, options, () => this.api.get(ref));
  }

  create(lease: Lease, options?: CallOptions): Promise<Lease> {
    return this.#call('create', lease.metadata, options, () => this.api.create(lease, this.#by));
  }

  async update(lease: Lease, options?: CallOptions): Promise<Lease> {
    const { uid, resourceVersion } = lease.metadata;
    if (uid === '' || resourceVersion === '')
      throw new TypeError('update needs the uid and resourceVersion that were read');
    return this.#call('update', lease.metadata, options, () => this.api.update(lease, this.#by));
  }

  delete(ref: LeaseRef, preconditions: Preconditions, options?: CallOptions): Promise<void> {
    return this.#call('delete', ref, options, () => this.api.delete(ref, preconditions, this.#by));
  }

  list(query: PageQuery, options?: CallOptions): Promise<LeasePage> {
    return this.#call('list', { namespace: query.namespace, name: '' }, options, () => this.api.list(query));
  }

  watch(query: LeaseQuery, signal: AbortSignal): AsyncIterable<LeaseEvent> {
    return new MemoryWatch({
      query,
      signal,
      clock: this.#clock,
      watchers: this.watches,
      // Opening is one call, so that faults reach it as they reach any other.
      open: (act) => this.#call('watch', { namespace: query.namespace, name: '' }, { signal }, act),
    });
  }

  #call<T>(verb: Verb, ref: LeaseRef, options: CallOptions | undefined, work: () => T): Promise<T> {
    const urgent = options?.urgent === true && { urgent: true as const };
    const call: Call = { verb, namespace: ref.namespace, name: ref.name, at: this.#clock.monotonic(), ...urgent };
    this.journal.push(call);
    const act = (): T => this.api.serve(call, work);
    const script = this.#scripted.get(verb);
    const fault = script?.length ? script.shift() : this.faults?.(call);
    const answer = fault ? this.#faulty(call, fault, options, act) : direct(options?.signal, act);
    return answer.then(
      (value) => {
        call.outcome = 'ok';
        return value;
      },
      (error: unknown) => {
        if (error instanceof LeaseStoreError) call.outcome = error.code;
        throw error;
      },
    );
  }

  #faulty<T>(call: Call, fault: Fault, options: CallOptions | undefined, act: () => T): Promise<T> {
    const clock = this.#clock;
    const { signal, timeoutMs = this.#timeoutMs } = options ?? {};
    const write = isWrite(call.verb);
    return new Promise<T>((resolve, reject) => {
      if (signal?.aborted) return reject(storeError('Aborted'));
      let cancelArrival = (): void => {};
      let cancelAnswer = (): void => {};
      let settled = false;
      const settle = (how: () => void): void => {
        if (settled) return;
        settled = true;
        cancelTimeout();
        cancelAnswer();
        // A write that is under way will still arrive; a read that nobody waits for need not.
        if (!write || fault.hang) cancelArrival();
        signal?.removeEventListener('abort', onAbort);
        how();
      };
      const giveUp = (code: 'Aborted' | 'Timeout'): void =>
        settle(() => reject(storeError(code, code, { mayHaveCommitted: write })));
      const onAbort = (): void => giveUp('Aborted');
      signal?.addEventListener('abort', onAbort, { once: true });
      const cancelTimeout = clock.schedule(timeoutMs, () => giveUp('Timeout'));
      const answer = (how: () => void): void => {
        if (settled) return;
        if (fault.answerDelayMs === undefined) settle(how);
        else cancelAnswer = clock.schedule(fault.answerDelayMs, () => settle(how));
      };
      /** What the server does, and how its answer settles the call. */
      const outcome = (): (() => void) => {
        try {
          const value = act();
          return () => resolve(value);
        } catch (error) {
          return () => reject(error as Error);
        }
      };
      const arrive = (): void => {
        if (fault.hang) return;
        if (fault.fail !== undefined) return answer(() => reject(failure(fault.fail!, write)));
        let how = outcome();
        if (fault.repeat && write) {
          const { afterMs, answer: which } = fault.repeat;
          clock.schedule(afterMs, () => {
            const last = outcome();
            if (which === 'last') answer(last);
          });
          if (which === 'last') return;
        }
        if (fault.lose === 'Timeout') return;
        if (fault.lose) how = () => reject(storeError('Unavailable', 'connection reset', { mayHaveCommitted: write }));
        answer(how);
      };
      if (fault.delayMs === undefined) queueMicrotask(arrive);
      else cancelArrival = clock.schedule(fault.delayMs, arrive);
    });
  }
}

async function direct<T>(signal: AbortSignal | undefined, act: () => T): Promise<T> {
  if (signal?.aborted) throw storeError('Aborted');
  await Promise.resolve();
  if (signal?.aborted) throw storeError('Aborted');
  return act();
}

const isWrite = (verb: Verb): boolean => verb === 'create' || verb === 'update' || verb === 'delete';

/** A Timeout leaves open what became of a write, even though this fault committed nothing: no client could know. */
function failure(fail: LeaseStoreErrorCode | LeaseStoreError, write: boolean): LeaseStoreError {
  if (fail instanceof LeaseStoreError) return fail;
  return storeError(fail, `injected: ${fail}`, { mayHaveCommitted: write && fail === 'Timeout' });
}
