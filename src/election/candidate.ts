/**
 * One candidate for one lease: who it is, what it has seen of the lease, what it has written, and its requests.
 *
 * Guarantees: every write says a renewTime that no other write of ours says, so that it can be told from others when its
 * answer is lost; `sentAt` is taken before it is sent; every write but the first carries the version it was decided on.
 */
import { newLease, withChanges } from '../lease/lease.ts';
import type { Lease, LeaseSpec } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import type { LeaseRef, LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { MAX_TOKEN, observeLease } from './decide.ts';
import type { Attempt, Observation } from './decide.ts';
import type { ElectionEvent, ElectionHappening } from './election-events.ts';
import type { Timing } from './election-options.ts';

/** Writes without an answer that are remembered. What is forgotten counts as another's, which is safe, only slower. */
const MAX_ATTEMPTS = 64;

export interface CandidateOptions {
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  readonly ref: LeaseRef;
  readonly holder: string;
  readonly timing: Timing;
  readonly observe: Observe<ElectionEvent>;
}

/** A write that was answered: it is the lease's record now. */
export interface Written {
  readonly lease: Lease;
  readonly attempt: Attempt;
}

export class Candidate {
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly ref: LeaseRef;
  readonly holder: string;
  readonly timing: Timing;
  readonly #observe: Observe<ElectionEvent>;
  #seen: Observation | undefined;
  #leader: string | undefined;
  #attempts: readonly Attempt[] = [];

  constructor({ store, clock, random, ref, holder, timing, observe }: CandidateOptions) {
    this.store = store;
    this.clock = clock;
    this.random = random;
    this.ref = ref;
    this.holder = holder;
    this.timing = timing;
    this.#observe = observe;
  }

  /** The last sight of the lease; undefined before the first. */
  get seen(): Observation | undefined {
    return this.#seen;
  }

  /** Who was last seen to hold the lease; undefined: nobody, or not known yet. */
  get leader(): string | undefined {
    return this.#leader;
  }

  /** Writes of ours that may be the current record: the last that was answered, and every later one that was not. */
  get attempts(): readonly Attempt[] {
    return this.#attempts;
  }

  now(): number {
    return this.clock.monotonic();
  }

  tell(happening: ElectionHappening): void {
    this.#observe({ ...happening, lease: this.ref, holder: this.holder });
  }

  /** Notes a look at the lease, whichever way it came. */
  see(lease: Lease | undefined): void {
    this.#seen = observeLease(this.#seen, this.holder, lease, this.now(), this.timing.leaseDurationMs);
    const leader = lease?.spec.holderIdentity || undefined;
    if (leader === this.#leader) return;
    this.#leader = leader;
    this.tell({ type: 'leaderObserved', leader, transitions: this.#seen.transitions ?? 0 });
  }

  /**
   * Reads the lease and notes it.
   * @throws LeaseStoreError when it cannot be read; that there is none is an answer
   */
  async look(timeoutMs: number, signal?: AbortSignal): Promise<Lease | undefined> {
    let lease: Lease | undefined;
    try {
      lease = await this.store.get(this.ref, { timeoutMs, signal });
    } catch (error) {
      if (!isStoreError(error, 'NotFound')) throw error;
    }
    this.see(lease);
    return lease;
  }

  /**
   * Writes the record that begins a term.
   * @param base the version to take over; undefined: there is none
   * @throws LeaseStoreError
   */
  acquire(base: Lease | undefined, fencingToken: number, timeoutMs: number): Promise<Written> {
    if (fencingToken === MAX_TOKEN) this.tell({ type: 'tokenExhausted', fencingToken });
    const { holder, ref } = this;
    const attempt = this.#attempt(fencingToken, true, base);
    const spec: LeaseSpec = {
      holderIdentity: holder,
      leaseDurationSeconds: this.timing.leaseDurationSeconds,
      acquireTime: attempt.renewTime,
      renewTime: attempt.renewTime,
      leaseTransitions: fencingToken,
    };
    return this.#send(attempt, base ? withChanges(base, { spec }) : newLease({ ...ref }, spec), timeoutMs);
  }

  /**
   * Writes the record that renews a term.
   * @throws LeaseStoreError
   */
  renew(held: Lease, fencingToken: number, timeoutMs: number): Promise<Written> {
    const attempt = this.#attempt(fencingToken, false, held);
    const spec = { leaseDurationSeconds: this.timing.leaseDurationSeconds, renewTime: attempt.renewTime };
    return this.#send(attempt, withChanges(held, { spec }), timeoutMs);
  }

  /**
   * Writes what client-go writes: no holder, one second, both times now.
   * @throws LeaseStoreError
   */
  async release(held: Lease, timeoutMs: number): Promise<void> {
    const now = this.#wallTime(held);
    const spec = { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
    this.see(await this.store.update(withChanges(held, { spec }), { timeoutMs }));
  }

  #attempt(fencingToken: number, opens: boolean, base: Lease | undefined): Attempt {
    return { renewTime: this.#wallTime(base), sentAt: this.now(), fencingToken, opens };
  }

  async #send(attempt: Attempt, lease: Lease, timeoutMs: number): Promise<Written> {
    this.#attempts = [...this.#attempts, attempt].slice(-MAX_ATTEMPTS);
    try {
      const answer = await (lease.metadata.uid === ''
        ? this.store.create(lease, { timeoutMs })
        : this.store.update(lease, { timeoutMs }));
      // Each version takes one write: whatever we sent before can no longer become the record.
      this.#attempts = [attempt];
      this.see(answer);
      return { lease: answer, attempt };
    } catch (error) {
      // Where something on the way sends a request twice, a renewal's conflict is one with itself. What begins a term is
      // forgotten: in the same microsecond another process of our name may have written the same.
      const conflict = !attempt.opens && isStoreError(error, 'Conflict');
      if (!conflict && !(error instanceof LeaseStoreError && error.mayHaveCommitted)) {
        this.#attempts = this.#attempts.filter((a) => a !== attempt);
      }
      throw error;
    }
  }

  /** The wall clock's now, moved on by microseconds where a record of ours, or the one below, says the same already. */
  #wallTime(base: Lease | undefined): MicroTime {
    const taken = [base?.spec.renewTime, ...this.#attempts.map((a) => a.renewTime)];
    let micros = this.clock.wallMicros();
    for (let tries = 0; tries <= taken.length; tries++, micros++) {
      const time = MicroTime.fromEpochMicrosClamped(micros);
      if (!taken.some((t) => time.equals(t))) return time;
    }
    return MicroTime.fromEpochMicrosClamped(micros);
  }
}
