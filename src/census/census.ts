/**
 * The census kept in memory: one list and one watch, no polling.
 *
 * Guarantees: `snapshot` costs the same however many leases there are. A lease is silent only as far as a proof says that
 * nothing was missed: without one no state changes, and past `maxAgeMs` there is no answer but the last one with its age.
 * A watch that tells nothing for half of `maxAgeMs`, or when silence would make a lease stale or expired, is replaced, so
 * that a dead one is noticed. `run` settles when its signal aborts, leaving no timer and no watch.
 * Does not guarantee: that the memory is up to date before `run` has told `synced`.
 */
import { MicroTime } from '../lease/micro-time.ts';
import type { LeaseEvent, LeaseQuery, LeaseStore, LeaseStoreError } from '../lease/store.ts';
import { isStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { sleep } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Census } from './count.ts';
import { census } from './count.ts';
import type { Answer, CensusEvent, CensusSnapshot, UnknownReason } from './census-events.ts';
import { CENSUS_ROWS } from './census-options.ts';
import type { CensusOptions } from './census-options.ts';
import { Register } from './census-register.ts';

/** How long silence may wait for the next event to prove it before the watch is replaced, in milliseconds. */
const PROOF_SLACK_MS = 1_000;
/**
 * How long after a proof silence is acted upon, in milliseconds: what a stalled process finds in its socket is read by
 * then. It also spaces the looks at every lease.
 */
const LOOK_AFTER_MS = 100;
/** How long after a loss what the watch tells may have happened during it, in milliseconds. */
const CATCH_UP_MS = 1_000;
/** Waits before a watch that ended with an error is opened again, in milliseconds. */
const REOPEN_FIRST_MS = 500;
const REOPEN_CAP_MS = 4_000;

/** What a kept census is made of. */
export interface CensusServiceOptions {
  readonly store: Pick<LeaseStore, 'watch'>;
  readonly query: LeaseQuery;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  readonly options: CensusOptions;
  readonly observe?: Observe<CensusEvent> | undefined;
  /** Keeps each lease as it was read, for output that shows all of it; default false: a summary takes half the memory (1.2 of 2.1 KB). */
  readonly keepSource?: boolean | undefined;
}

/** The census kept in memory by one list and one watch. */
export class CensusService {
  readonly #given: CensusServiceOptions;
  readonly #clock: Clock;
  readonly #freshForMs: number;
  readonly #register: Register;
  readonly #backoff;
  /** Monotonic milliseconds of the last proof that nothing was missed; `undefined` before the first list. */
  #proof: number | undefined;
  #lost: LeaseStoreError | undefined;
  /** The last loss that ended: its first moment, and the one until which its events may still arrive. */
  #gap = { from: 0, until: -Infinity };
  /** Since the loss the watch told something, but not that nothing was missed. */
  #heard = false;
  #turn: AbortController | undefined;
  #answer: Omit<Answer, 'asOf' | 'ageMs'> | undefined;
  #answeredAt = 0;
  #armedFor = Infinity;
  /** The last timer fired late, and was put off. */
  #putOff = false;
  #disarm: () => void = () => {};

  /** @throws OptionsError with everything that is wrong */
  constructor(given: CensusServiceOptions) {
    const options = checkedOptions('CensusService', CENSUS_ROWS, given.options);
    this.#given = { ...given, options };
    this.#clock = given.clock;
    this.#freshForMs = options.freshForMs;
    this.#backoff = createBackoff({ firstMs: REOPEN_FIRST_MS, capMs: REOPEN_CAP_MS, random: given.random });
    this.#register = new Register({
      freshForMs: this.#freshForMs,
      keepSource: given.keepSource ?? false,
      observe: (event) => this.#tell(event),
    });
  }

  /** Keeps the census until the signal aborts. Whatever the store reports is told as `lost`, and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => this.#turn?.abort();
    signal.addEventListener('abort', stop, { once: true });
    try {
      while (!signal.aborted) {
        const replaced = await this.#follow();
        if (!replaced && !signal.aborted) await sleep(this.#clock, this.#backoff.next(), signal);
      }
    } finally {
      signal.removeEventListener('abort', stop);
      this.#setTimer(Infinity);
    }
  }

  /** What is known now. Costs no request, and the same however many leases there are. */
  snapshot(): CensusSnapshot {
    const now = this.#clock.monotonic();
    const freshnessMs = this.#proof === undefined ? undefined : now - this.#proof;
    const head = {
      synced: this.#proof !== undefined && this.#lost === undefined,
      freshnessMs,
      error: this.#lost,
      clock: 'observed',
      freshForMs: this.#freshForMs,
    } as const;
    const answer = this.#answer && { ...this.#answer, ...this.#moment(this.#answeredAt, now) };
    const reason = this.#unknown(freshnessMs);
    if (reason === undefined && answer) return { ...head, known: true, answer };
    return { ...head, known: false, reason: reason ?? 'NotSynced', last: answer };
  }

  /** Every lease and instance as of the last proof; `undefined` before the first. Takes time with their number. */
  census(): Census | undefined {
    if (this.#proof === undefined) return undefined;
    const now = this.#clock.monotonic();
    const { asOf, ageMs } = this.#moment(this.#proof, now);
    const frame = { asOf, clock: 'observed', freshForMs: this.#freshForMs, freshnessMs: ageMs } as const;
    return census(this.#register.leases(this.#proof), frame);
  }

  #moment(at: number, now: number): { asOf: MicroTime; ageMs: number } {
    const ageMs = now - at;
    return { asOf: MicroTime.fromEpochMicrosClamped(this.#clock.wallMicros() - ageMs * 1000), ageMs };
  }

  #unknown(freshnessMs: number | undefined): UnknownReason | undefined {
    if (freshnessMs === undefined) return 'NotSynced';
    if (freshnessMs > this.#given.options.maxAgeMs) return 'TooOld';
    return this.#register.tally.counts() === undefined ? 'NoServerDate' : undefined;
  }

  /** One watch, until it ends; true when we ended it ourselves. */
  async #follow(): Promise<boolean> {
    const turn = new AbortController();
    this.#turn = turn;
    const { store, query } = this.#given;
    try {
      for await (const event of store.watch(query, turn.signal)) {
        if (turn.signal.aborted) break;
        this.#fold(event);
      }
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (!turn.signal.aborted) this.#lose(error);
    }
    return turn.signal.aborted;
  }

  #fold(event: LeaseEvent): void {
    const now = this.#clock.monotonic();
    // A change that arrives while lost, or just after, happened at some time since the last proof; else it is happening.
    const since = this.#lost ? (this.#proof ?? -Infinity) : now < this.#gap.until ? this.#gap.from : now;
    const sinceMs = now - since;
    switch (event.type) {
      case 'lost':
        return this.#lose(event.error);
      case 'list':
        this.#register.replace(event.leases, {
          now,
          sinceMs: now - (this.#proof ?? -Infinity),
          date: event.serverDate,
        });
        return this.#prove(now);
      case 'fresh':
        if (this.#proof !== undefined) this.#prove(now);
        return;
      case 'added':
      case 'modified':
        this.#register.put(event.lease, now, sinceMs);
        break;
      case 'deleted':
        this.#register.remove(event.lease, now);
    }
    if (!this.#lost) this.#prove(now);
    else this.#hear(now);
  }

  /** Nothing was missed until now: silence up to now counts. */
  #prove(now: number): void {
    const first = this.#proof === undefined;
    const again = first || this.#lost !== undefined;
    if (this.#lost && this.#proof !== undefined) this.#gap = { from: this.#proof, until: now + CATCH_UP_MS };
    this.#proof = now;
    this.#lost = undefined;
    this.#heard = false;
    this.#backoff.reset();
    this.#settle(now);
    if (again) this.#tell({ type: 'synced', first });
    this.#arm(now);
  }

  /** Makes the numbers, as of a proof, the answer. */
  #settle(proof: number): void {
    const { tally, estimated, changed } = this.#register;
    const counts = tally.counts();
    if (!counts) return;
    if (changed || !this.#answer) this.#answer = { counts, leaseCounts: { ...tally.leases }, estimated };
    this.#register.changed = false;
    this.#answeredAt = proof;
  }

  #lose(error: LeaseStoreError): void {
    const known = this.#lost?.code === error.code;
    this.#lost = error;
    if (!known) this.#tell({ type: 'lost', error });
    this.#heard = false;
    this.#setTimer(Infinity);
  }

  #hear(now: number): void {
    if (this.#heard) return;
    this.#heard = true;
    this.#setTimer(now + PROOF_SLACK_MS);
  }

  /** Wakes up when a proof will be missing. While one event follows another this is a comparison. */
  #arm(now: number): void {
    const quiet = now + this.#given.options.maxAgeMs / 2;
    const { deadline } = this.#register;
    const look = deadline < now ? now + LOOK_AFTER_MS : deadline + PROOF_SLACK_MS;
    const at = Math.min(quiet, look);
    if (at < this.#armedFor) this.#setTimer(at);
  }

  #setTimer(at: number): void {
    this.#disarm();
    this.#armedFor = at;
    this.#disarm = at === Infinity ? () => {} : this.#clock.schedule(at - this.#clock.monotonic(), () => this.#wake());
  }

  #wake(): void {
    const now = this.#clock.monotonic();
    // A timer this late is that of a stalled process: the first of what waits in its socket may be all that was read.
    this.#putOff = !this.#putOff && now - this.#armedFor > LOOK_AFTER_MS;
    this.#armedFor = Infinity;
    if (this.#putOff) return this.#setTimer(now + LOOK_AFTER_MS);
    const proof = this.#proof ?? -Infinity;
    if (this.#lost && !this.#heard) return;
    if (!this.#lost && now > this.#register.deadline) {
      // The deadline is that of leases as they were: most have been renewed since.
      this.#register.look(proof);
      this.#settle(proof);
    }
    const silent = now >= this.#register.deadline + PROOF_SLACK_MS || now - proof >= this.#given.options.maxAgeMs / 2;
    if (!silent && !this.#lost) return this.#arm(proof);
    // No timer until the next proof: replacing a watch that is being answered again and again would never get a list.
    this.#tell({ type: 'restarted', silentMs: now - proof });
    this.#turn?.abort();
  }

  #tell(event: CensusEvent): void {
    // The first list is no news: whoever wants it asks for the census when `synced` is told.
    if (this.#proof !== undefined || event.type === 'lost') this.#given.observe?.(event);
  }
}
