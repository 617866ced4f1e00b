/**
 * The census kept in memory: one list and one watch, no polling.
 *
 * Guarantees: `snapshot` costs the same however many leases there are. A lease is silent only as far as a proof says that
 * nothing was missed (see freshness.ts): without one no state changes, and past `maxAgeMs` there is no answer but the last
 * one with its age. A watch that tells nothing for half of `maxAgeMs` is replaced. `run` settles when its signal aborts,
 * leaving no timer and no watch.
 * Does not guarantee: that the memory is up to date before `run` has reported `synced`.
 */
import type { Lease } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';
import type { LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { Freshness } from '../runtime/freshness.ts';
import type { LeaseNews } from '../runtime/freshness.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Given } from '../runtime/options.ts';
import type { Census, CensusLease } from './census.ts';
import { census } from './census.ts';
import type { Answer, CensusEvent, CensusSnapshot, UnknownReason } from './census-events.ts';
import type { CensusQuery } from './census-query.ts';
import { CENSUS_ROWS } from './census-options.ts';
import type { CensusOptions } from './census-options.ts';
import { CensusRegister } from './census-register.ts';
import { Elections } from './elections.ts';
import type { ElectionStanding } from './elections.ts';

/** What a kept census is made of. */
export interface LiveCensusOptions extends Given<CensusOptions> {
  readonly store: Pick<LeaseStore, 'watch'>;
  readonly query: CensusQuery;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** Default: nobody listens. */
  readonly observe?: Observe<CensusEvent> | undefined;
  /** Keeps each lease as it was read, for output that shows all of it; default false: a summary takes half the memory (1.2 of 2.1 KB). */
  readonly keepSource?: boolean | undefined;
  /** Follows the elections among the leases, and reports their switches; default false. */
  readonly elections?: boolean | undefined;
}

/** The census kept in memory by one list and one watch. */
export class LiveCensus {
  readonly #clock: Clock;
  readonly #options: CensusOptions;
  readonly #observe: Observe<CensusEvent>;
  readonly #matches: (lease: Lease) => boolean;
  readonly #register: CensusRegister;
  readonly #elections: Elections | undefined;
  readonly #freshness: Freshness;
  /** The monotonic millisecond up to which silence was judged; `undefined` before the first list. */
  #judgedAt: number | undefined;
  #answer: Omit<Answer, 'asOf' | 'ageMs'> | undefined;
  #answeredAt = 0;

  /** @throws OptionsError with everything that is wrong */
  constructor(given: LiveCensusOptions) {
    const { store, clock, random, keepSource = false } = given;
    const { matches = () => true, matching: _, counted, ...query } = given.query;
    this.#elections = given.elections ? new Elections() : undefined;
    this.#matches = matches;
    this.#options = checkedOptions('LiveCensus', CENSUS_ROWS, given);
    this.#clock = clock;
    this.#observe = containedObserver(given.observe);
    const { freshForMs, maxAgeMs } = this.#options;
    this.#register = new CensusRegister({
      freshForMs,
      keepSource,
      counted,
      // The first list is no news: who wants it asks for the census when `synced` is reported. But wrong clocks are.
      observe: (event) => {
        if (this.#freshness.proof !== undefined || event.type === 'ahead') this.#observe(event);
        const switched = event.type === 'lease' ? this.#elections?.fold(event) : undefined;
        if (switched) this.#observe({ type: 'switched', ...switched });
      },
    });
    this.#freshness = new Freshness({
      clock,
      random,
      open: (signal) => store.watch(query, signal),
      watched: this.#register,
      quietMs: maxAgeMs / 2,
      onNews: (news, now, sinceMs, quietMs) => this.#fold(news, now, sinceMs, quietMs),
      onProof: (proof, after) => {
        this.#settle(proof);
        if (after) this.#observe({ type: 'synced', first: after === 'start' });
      },
      onLost: (error, before) => {
        if (before?.code !== error.code) this.#observe({ type: 'lost', error });
      },
      onReplaced: (silentMs) => this.#observe({ type: 'restarted', silentMs }),
    });
  }

  /** Keeps the census until the signal aborts. Every failure of the store is reported as `lost`, and tried again. */
  run(signal: AbortSignal): Promise<void> {
    return this.#freshness.run(signal);
  }

  /** What is known now. Costs no request, and the same however many leases there are. */
  snapshot(): CensusSnapshot {
    const now = this.#clock.monotonic();
    const { proof, lost: error } = this.#freshness;
    const freshnessMs = proof === undefined ? undefined : now - proof;
    const synced = proof !== undefined && error === undefined;
    const head = { synced, freshnessMs, error, clock: 'observed', freshForMs: this.#options.freshForMs } as const;
    const answer = this.#answer && { ...this.#answer, ...this.#moment(this.#answeredAt, now) };
    const reason = this.#unknown(answer);
    if (reason === undefined && answer) return { ...head, known: true, answer };
    return { ...head, known: false, reason: reason ?? 'NotSynced', last: answer };
  }

  /** How each election stands; undefined while that is not known, or not followed. */
  elections(): readonly ElectionStanding[] | undefined {
    const { proof } = this.#freshness;
    const now = this.#clock.monotonic();
    if (proof === undefined || now - proof > this.#options.maxAgeMs) return undefined;
    return this.#elections?.standings(now);
  }

  /** All leases as of the last proof, those that are not in the numbers too; `undefined` before the first. */
  leases(): { readonly leases: readonly CensusLease[]; readonly asOf: MicroTime; readonly ageMs: number } | undefined {
    if (this.#judgedAt === undefined) return undefined;
    const leases = [...this.#register.leases(this.#judgedAt, 'all')];
    return { leases, ...this.#moment(this.#judgedAt, this.#clock.monotonic()) };
  }

  /** Every lease and instance as of the last proof; `undefined` before the first. Takes time with their number. */
  census(): Census | undefined {
    if (this.#judgedAt === undefined) return undefined;
    const { asOf, ageMs } = this.#moment(this.#judgedAt, this.#clock.monotonic());
    const frame = { asOf, clock: 'observed', freshForMs: this.#options.freshForMs, freshnessMs: ageMs } as const;
    return census(this.#register.leases(this.#judgedAt, 'counted'), frame);
  }

  #moment(at: number, now: number): { asOf: MicroTime; ageMs: number } {
    const ageMs = now - at;
    return { asOf: MicroTime.fromEpochMicrosClamped(this.#clock.wallMicros() - ageMs * 1000), ageMs };
  }

  #unknown(answer: Answer | undefined): UnknownReason | undefined {
    if (this.#freshness.proof === undefined) return 'NotSynced';
    if (this.#register.tally.counts() === undefined) return 'NoServerDate';
    return answer && answer.ageMs > this.#options.maxAgeMs ? 'TooOld' : undefined;
  }

  #fold(news: LeaseNews, now: number, sinceMs: number, quietMs: number): void {
    if (news.type === 'list') {
      const leases = news.leases.filter(this.#matches);
      this.#register.replace(leases, { now, sinceMs, date: news.serverDate, delayMs: quietMs });
    } else if (news.type === 'deleted' || !this.#matches(news.lease)) this.#register.remove(news.lease, now);
    else this.#register.put(news.lease, now, sinceMs);
  }

  /**
   * Makes the numbers the answer, as of a proof. Where it must first be worked out who has fallen silent by then, the moment of
   * the answer stays the one before: what has changed since is in it, what silence changes is not yet.
   */
  #settle(proof: number): void {
    const { tally, estimated, changed, deadline } = this.#register;
    const judged = deadline >= proof;
    if (judged) this.#judgedAt = proof;
    const counts = tally.counts();
    if (!counts || (!judged && !this.#answer)) return;
    if (changed || !this.#answer) this.#answer = { counts, leaseCounts: { ...tally.leases }, estimated };
    this.#register.changed = false;
    if (judged) this.#answeredAt = proof;
  }
}
