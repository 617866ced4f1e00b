/**
 * One candidate for one lease: who it is, what it has seen of the lease, what it has written, and its requests.
 *
 * Guarantees: every write says a renewTime that no other write of ours says, so that it is known from others' when its
 * answer is lost; `sentAt` is taken before it is sent; every write but the first carries the version it was decided on. A
 * release empties only a record that is our own, and only the version that was seen to be; it takes our term's mark off.
 */
import { newLease, withChanges } from '../lease/lease.ts';
import type { Lease, LeaseSpec, MarkChanges, OwnerReference } from '../lease/lease.ts';
import { KIND_LABEL, STEP_DOWN_ANNOTATION, TERM_ANNOTATION, termMarkText } from '../lease/marks.ts';
import type { LeaseKind } from '../lease/marks.ts';
import { OwnWrites } from '../lease/own-writes.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import type { CallOptions, LeaseRef, LeaseStore } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { Wake } from '../runtime/wake.ts';
import { CallQueue } from './call-queue.ts';
import { NOBODY_ELSE, headStart, lostRace, sawSuccession } from './crowd.ts';
import { isNewer, observeLease, ownWrite, renewTimeout } from './decide.ts';
import type { ElectionWrite, Observation, TermWrite } from './decide.ts';
import type { ElectionEvent, ElectionHappening } from './election-events.ts';
import type { Timing } from './election-options.ts';

/** First wait after a failed release, in milliseconds. */
const FIRST_WAIT_MS = 100;

interface CandidateOptions {
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  readonly ref: LeaseRef;
  readonly holder: string;
  readonly timing: Timing;
  readonly marks: Marks;
  readonly observe: Observe<ElectionEvent>;
}

/** What stands on the lease besides its record. */
interface Marks {
  readonly kind: LeaseKind;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: () => MarkChanges;
  readonly owners: readonly OwnerReference[];
}

/** One request about the lease. */
interface Call {
  /** By when it should have been answered, in monotonic milliseconds: of those that wait the earliest goes first. */
  readonly deadline: number;
  /** Milliseconds that it may take; asked when it is sent. */
  readonly timeoutMs: () => number;
  readonly signal?: AbortSignal | undefined;
}

/** A write that was answered: it is the lease's record now. */
export interface Written {
  readonly lease: Lease;
  readonly write: ElectionWrite;
}

export class Candidate {
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly ref: LeaseRef;
  readonly holder: string;
  readonly timing: Timing;
  readonly writes = new OwnWrites<TermWrite>();
  /** Ends a wait for news of the lease. */
  readonly wake = new Wake();
  /** Called at once with what the watch has shown. */
  onNews: (seen: Observation) => void = () => {};
  /** It was reported that fencing tokens are transitions. */
  tokensReported = false;
  readonly #marks: Marks;
  readonly #observe: Observe<ElectionEvent>;
  readonly #queue: CallQueue;
  #seen: Observation | undefined;
  #leader: string | undefined;
  #crowd = NOBODY_ELSE;
  /** For the record that was seen at that instant. */
  #headStart: { readonly since: number; readonly ms: number } | undefined;

  constructor({ store, clock, random, ref, holder, timing, marks, observe }: CandidateOptions) {
    this.store = store;
    this.clock = clock;
    this.random = random;
    this.ref = ref;
    this.holder = holder;
    this.timing = timing;
    this.#marks = marks;
    this.#observe = observe;
    this.#queue = CallQueue.of(store);
  }

  /** What was last seen of the lease; undefined before the first read. */
  get seen(): Observation | undefined {
    return this.#seen;
  }

  /** Who was last seen to hold the lease; undefined: nobody, or not known yet. */
  get leader(): string | undefined {
    return this.#leader;
  }

  /** How long others go first once the lease can be had; drawn once for each record. */
  get headStartMs(): number {
    const { since } = this.#seen ?? {};
    if (since === undefined) return 0;
    if (this.#headStart?.since !== since) this.#headStart = { since, ms: headStart(this.#crowd, this.random) };
    return this.#headStart.ms;
  }

  /** A write of ours that begins a term has got no answer: it may be the record, or become it. */
  get mayHaveAcquired(): boolean {
    return this.writes.lost.some(({ opens }) => opens);
  }

  /** Milliseconds for one of several attempts that have so long in all. */
  attemptMs(leftMs: number): number {
    return renewTimeout(leftMs, this.timing.retryPeriodMs, this.#queue.typicalMs);
  }

  now(): number {
    return this.clock.monotonic();
  }

  report(happening: ElectionHappening): void {
    this.#observe({ ...happening, lease: this.ref, holder: this.holder });
  }

  /** Notes what an answer shows, unless the watch has shown what followed since it was asked for. */
  #answered(lease: Lease | undefined, before: Observation | undefined): void {
    const known = this.#seen?.lease;
    if (this.#seen !== before && lease && known && isNewer(known, lease)) return;
    this.#see(lease);
  }

  #see(lease: Lease | undefined, deleted?: string): void {
    const now = this.now();
    const before = this.#seen;
    this.#seen = observeLease(this, before, lease, now, deleted);
    const holder = lease?.spec.holderIdentity || undefined;
    if (before && holder !== undefined && this.#seen.since !== before.since) {
      const late = now - before.since - before.durationMs;
      if (late > 0) this.#crowd = sawSuccession(this.#crowd, late);
    }
    if (holder === this.#leader) return;
    this.#leader = holder;
    this.report({ type: 'leaderObserved', leader: holder, transitions: lease?.spec.leaseTransitions ?? 0 });
  }

  /** Notes what a watch shows; an event that is older than what is known says nothing. */
  news(type: 'list' | 'added' | 'modified' | 'deleted', lease: Lease | undefined): void {
    const known = this.#seen?.lease;
    if (type !== 'list' && lease && known && isNewer(known, lease)) return;
    if (type === 'deleted') this.#see(undefined, lease?.metadata.uid);
    else this.#see(lease);
    this.onNews(this.#seen!);
  }

  /**
   * Reads the lease and notes it.
   * @throws LeaseStoreError when it cannot be read; that there is none is an answer
   */
  read(call: Call): Promise<Lease | undefined> {
    return this.#call(call, async (options) => {
      const before = this.#seen;
      let lease: Lease | undefined;
      try {
        lease = await this.store.get(this.ref, options);
      } catch (error) {
        if (!isStoreError(error, 'NotFound')) throw error;
      }
      this.writes.observed(lease, this.now());
      this.#answered(lease, before);
      return lease;
    });
  }

  /**
   * Writes the record that begins a term.
   * @param base the version to take over; undefined: there is none
   * @throws LeaseStoreError
   */
  acquire(base: Lease | undefined, transitions: number, call: Call): Promise<Written> {
    const { holder, ref } = this;
    return this.#call(call, async (options) => {
      const write = this.#sending(transitions, true, base);
      const spec: LeaseSpec = {
        ...this.#record(write),
        holderIdentity: holder,
        acquireTime: write.renewTime,
        leaseTransitions: transitions,
        preferredHolder: undefined,
      };
      const { kind, labels, owners } = this.#marks;
      const annotations = this.#mark(transitions);
      const lease = base
        ? withChanges(base, { spec, annotations: { ...annotations, [STEP_DOWN_ANNOTATION]: undefined }, labels })
        : withChanges(newLease({ ...ref, labels: { [KIND_LABEL]: kind, ...labels }, ownerReferences: owners }, spec), {
            annotations,
          });
      try {
        return await this.#send(write, lease, options);
      } catch (error) {
        if (isRefusal(error) && !this.mayHaveAcquired) this.#crowd = lostRace(this.#crowd, this.now() - write.sentAt);
        throw error;
      }
    });
  }

  /**
   * Writes the record that renews a term.
   * @throws LeaseStoreError
   */
  renew(held: Lease, transitions: number, call: Call): Promise<Written> {
    return this.#call(call, (options) => {
      const write = this.#sending(transitions, false, held);
      const lease = withChanges(held, { spec: this.#record(write), annotations: this.#mark(transitions) });
      return this.#send(write, lease, options);
    });
  }

  /**
   * Gives the lease back, so that others need not wait for it to expire; ends, whatever the API does, within a term's
   * length. After a conflict it is looked at again, and given up as soon as it is not ours any more.
   * @param known the version that we believe to hold; undefined: read first
   */
  async release(known: Lease | undefined): Promise<void> {
    const { clock, random, timing, holder } = this;
    const until = this.now() + timing.termMs;
    const backoff = createBackoff({ firstMs: FIRST_WAIT_MS, capMs: timing.retryPeriodMs, random });
    let lease = known;
    let answerLost = false;
    const call: Call = { deadline: until, timeoutMs: () => this.attemptMs(until - this.now()) };
    while (this.now() < until) {
      try {
        if (lease === undefined) {
          lease = await this.read(call);
          if (lease === undefined || !ownWrite(holder, this.writes, lease)) {
            if (answerLost && !lease?.spec.holderIdentity) this.report({ type: 'released' });
            return;
          }
        } else {
          const held = lease;
          await this.#call(call, async (options) => {
            const before = this.#seen;
            this.#answered(await this.store.update(this.#released(held), options), before);
          });
          this.report({ type: 'released' });
          return;
        }
      } catch (error) {
        if (!(error instanceof LeaseStoreError)) throw error;
        if (isRefusal(error)) {
          lease = undefined;
          continue;
        }
        answerLost ||= error.mayHaveCommitted;
        const retryInMs = Math.min(backoff.next(error.retryAfterMs), Math.max(until - this.now(), 0));
        this.report({ type: 'failed', operation: 'release', error, retryInMs });
        await sleep(clock, retryInMs);
      }
    }
    this.report({ type: 'leftToExpire' });
  }

  /** What client-go writes: no holder, one second, both times now. */
  #released(held: Lease): Lease {
    const now = this.writes.time(this.clock.wallMicros(), held.spec.renewTime);
    const spec = { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: now, renewTime: now };
    return withChanges(held, { spec, annotations: { [TERM_ANNOTATION]: undefined } });
  }

  #record({ renewTime }: ElectionWrite): LeaseSpec {
    return { leaseDurationSeconds: this.timing.leaseDurationSeconds, renewTime };
  }

  #mark(transitions: number): MarkChanges {
    const { holder, timing } = this;
    return {
      ...this.#marks.annotations(),
      [TERM_ANNOTATION]: termMarkText({ holder, transitions, durationSeconds: timing.leaseDurationSeconds }),
    };
  }

  #sending(transitions: number, opens: boolean, base: Lease | undefined): ElectionWrite {
    const renewTime = this.writes.time(this.clock.wallMicros(), base?.spec.renewTime);
    return this.writes.sending(renewTime, this.now(), base, { transitions, opens });
  }

  /** In its turn among the calls of all electors of this store; its own time begins then. */
  #call<T>({ deadline, timeoutMs, signal }: Call, make: (options: CallOptions) => Promise<T>): Promise<T> {
    return this.#queue.run(this.clock, deadline, signal, () => make({ timeoutMs: timeoutMs(), signal, urgent: true }));
  }

  async #send(write: ElectionWrite, lease: Lease, options: CallOptions): Promise<Written> {
    const before = this.#seen;
    try {
      const answer = await (write.baseUid !== undefined
        ? this.store.update(lease, options)
        : this.store.create(lease, options));
      this.writes.stored(write, answer);
      this.#answered(answer, before);
      return { lease: answer, write };
    } catch (error) {
      // Where something on the way sends a request twice, a renewal's conflict is one with itself. What begins a term is
      // forgotten: in the same microsecond another process of our name may have written the same.
      const conflict = !write.opens && isStoreError(error, 'Conflict');
      if (conflict || (error instanceof LeaseStoreError && error.mayHaveCommitted)) this.writes.answerLost(write);
      else this.writes.refused(write);
      throw error;
    }
  }
}

/** The lease had changed, or come to be, or gone. */
export const isRefusal = (error: unknown): boolean => isStoreError(error, 'Conflict', 'AlreadyExists', 'NotFound');
