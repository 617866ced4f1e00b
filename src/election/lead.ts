/**
 * Leading: runs the work of one term, renews the lease while it runs, and lets go of it afterwards.
 *
 * Guarantees: every renewal counts from before it was sent, one whose answer was lost too; renewing goes on for exactly as
 * long as the work; the lease is released only after the work has ended, and only while it is ours; `lead` settles when
 * the work has, except for work that does not end within its time after the signal aborted.
 */
import { LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Backoff } from '../runtime/backoff.ts';
import type { Candidate } from './candidate.ts';
import { decideLeader, renewPause, renewTimeout } from './decide.ts';
import type { StopReason } from './election-events.ts';
import { release } from './release.ts';
import type { Acquired } from './standby.ts';
import { HeldTerm } from './term.ts';
import type { Term } from './term.ts';
import { Wake } from '../runtime/wake.ts';

/** What a leader does; ends when `term.signal` aborts. */
export type Work = (term: Term) => Promise<void> | void;

/** `ended`: by itself. `lost`: leadership. `stopped`: as the signal asked. `abandoned`: it did not end. */
export type TermOutcome = 'ended' | 'lost' | 'stopped' | 'abandoned';

/** First wait after a failed renewal, as a share of the retry period; no wait is longer than the retry period. */
const FIRST_WAIT = 1 / 8;

export async function lead(
  candidate: Candidate,
  acquired: Acquired,
  work: Work,
  signal: AbortSignal,
  onTerm: (term: Term | undefined) => void,
): Promise<TermOutcome> {
  const reign = new Reign(candidate, acquired);
  try {
    onTerm(reign.held.term);
    return await reign.run(work, signal);
  } finally {
    onTerm(undefined);
  }
}

class Reign {
  readonly held: HeldTerm;
  readonly #candidate: Candidate;
  readonly #why: Acquired['why'];
  readonly #wake = new Wake();
  readonly #backoff: Backoff;
  readonly #fencingToken: number;
  /** As last answered. */
  #lease: Acquired['lease'];
  #nextAt: number;
  /** True: the next request is a GET. */
  #look = false;
  /** Since the last renewal. */
  #conflicts = 0;
  #stopped = false;
  #ended: { readonly error?: unknown } | undefined;
  #givenUp = false;

  constructor(candidate: Candidate, { lease, attempt, why }: Acquired) {
    const { clock, random, timing, ref, holder } = candidate;
    this.#candidate = candidate;
    this.#lease = lease;
    this.#why = why;
    this.#fencingToken = attempt.fencingToken;
    this.#nextAt = attempt.sentAt + timing.retryPeriodMs;
    this.#backoff = createBackoff({ firstMs: timing.retryPeriodMs * FIRST_WAIT, capMs: timing.retryPeriodMs, random });
    this.held = new HeldTerm({
      lease: ref,
      holder,
      fencingToken: attempt.fencingToken,
      clock,
      timing,
      sentAt: attempt.sentAt,
      onLost: (reason) => {
        this.#stop(reason);
        this.#wake.now();
      },
    });
  }

  async run(work: Work, signal: AbortSignal): Promise<TermOutcome> {
    const { held } = this;
    const { deadline, expires } = held;
    const fencingToken = this.#fencingToken;
    const { uid } = this.#lease.metadata;
    this.#candidate.tell({ type: 'leading', why: this.#why, uid, fencingToken, deadline, expires });
    let cancelBound = (): void => {};
    const onAbort = (): void => {
      cancelBound = this.#candidate.clock.schedule(this.#candidate.timing.workTimeoutMs, () => {
        this.#givenUp = true;
        this.#wake.now();
      });
      held.askToEnd();
    };
    // By an observer of `leading`, say. The work is told once it has begun, and listens.
    const stopped = signal.aborted;
    signal.addEventListener('abort', onAbort, { once: true });
    void this.#work(work);
    if (stopped) onAbort();
    try {
      while (!this.#ended && !this.#givenUp && held.holds()) {
        const pause = this.#nextAt - this.#candidate.now();
        if (pause > 0) await this.#wake.wait(this.#candidate.clock, pause);
        else await this.#renew();
      }
      if (!this.#ended && held.lost) await this.#outlive();
      return await this.#leave(signal);
    } finally {
      // Only a bug ends this early; then nothing renews, and the work must know.
      held.end();
      cancelBound();
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #work(work: Work): Promise<void> {
    try {
      await work(this.held.term);
      this.#ended = {};
    } catch (error) {
      this.#ended = { error };
    }
    this.#wake.now();
  }

  async #renew(): Promise<void> {
    const candidate = this.#candidate;
    const began = candidate.now();
    const { retryPeriodMs } = candidate.timing;
    const timeoutMs = renewTimeout(this.held.remainingMs, retryPeriodMs);
    const looking = this.#look;
    try {
      if (looking) {
        const action = decideLeader(this.#state(), await candidate.look(timeoutMs));
        this.#look = false;
        if (action.do === 'stop') return this.held.lose(action.reason);
        this.#lease = action.lease;
        const { sentAt } = action.attempt;
        if (sentAt > this.held.sentAt) this.#renewed(sentAt, began, true);
        else {
          // Not renewed, or somebody changed what is not the record (a label, say): again, the first time at once.
          const pause = this.#conflicts > 1 ? renewPause(this.#backoff.next(), this.held.remainingMs) : 0;
          this.#nextAt = candidate.now() + pause;
        }
      } else {
        const { lease, attempt } = await candidate.renew(this.#lease, this.#fencingToken, timeoutMs);
        this.#lease = lease;
        this.#renewed(attempt.sentAt, began, false);
      }
    } catch (error) {
      if (!(error instanceof LeaseStoreError)) throw error;
      if (!looking && (error.code === 'Conflict' || error.code === 'NotFound')) {
        candidate.tell({ type: 'slowPath', fencingToken: this.#fencingToken });
        this.#conflicts++;
        this.#look = true;
        return;
      }
      // Where answers get lost, a read tells whether the renewal took effect; another write might never.
      this.#look = looking || error.mayHaveCommitted;
      const { remainingMs } = this.held;
      const retryInMs = renewPause(this.#backoff.next(error.retryAfterMs), remainingMs);
      this.#nextAt = candidate.now() + retryInMs;
      candidate.tell({ type: 'failed', operation: looking ? 'get' : 'renew', error, retryInMs, remainingMs });
    }
  }

  #renewed(sentAt: number, began: number, adopted: boolean): void {
    if (!this.held.renewed(sentAt)) return;
    this.#backoff.reset();
    this.#conflicts = 0;
    this.#nextAt = sentAt + this.#candidate.timing.retryPeriodMs;
    const { deadline, expires } = this.held;
    const latencyMs = this.#candidate.now() - began;
    const fencingToken = this.#fencingToken;
    this.#candidate.tell({ type: 'renewed', fencingToken, deadline, expires, latencyMs, adopted });
  }

  /** Leadership is lost: waits for the work, without a bound unless the elector is to stop. */
  async #outlive(): Promise<void> {
    const { clock } = this.#candidate;
    const overdueAt = this.held.expires;
    let told = false;
    while (!this.#ended && !this.#givenUp) {
      const left = overdueAt - clock.monotonic();
      if (left <= 0 && !told) {
        told = true;
        this.#candidate.tell({ type: 'workOverdue', fencingToken: this.#fencingToken });
      }
      await this.#wake.wait(clock, left > 0 ? left : LONG_MS);
    }
  }

  async #leave(signal: AbortSignal): Promise<TermOutcome> {
    const { held } = this;
    const fencingToken = this.#fencingToken;
    const { lost } = held;
    if (!this.#ended) {
      held.end();
      this.#stop('abandoned');
      this.#candidate.tell({ type: 'leftToExpire', fencingToken });
      return 'abandoned';
    }
    held.end();
    const asked = signal.aborted;
    if (!lost) this.#stop(asked ? 'shutdown' : 'error' in this.#ended ? 'workFailed' : 'workEnded');
    // After a missed deadline the lease may still be ours; nobody needs to wait for it when we leave.
    if (!lost || (asked && lost === 'deadline')) {
      await release(this.#candidate, fencingToken, this.#look ? undefined : this.#lease);
    }
    return asked ? 'stopped' : lost ? 'lost' : 'ended';
  }

  #stop(reason: StopReason): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const failed = this.#ended && 'error' in this.#ended ? { error: this.#ended.error } : {};
    this.#candidate.tell({ type: 'stopped', reason, fencingToken: this.#fencingToken, ...failed });
  }

  #state(): Parameters<typeof decideLeader>[0] {
    const { holder, attempts } = this.#candidate;
    return { holder, attempts, fencingToken: this.#fencingToken, held: this.#lease };
  }
}

/** Waits of no end are made of these. */
const LONG_MS = 3_600_000;
