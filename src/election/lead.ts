/**
 * Leading: runs the work of one term, renews and follows the lease while it runs, and lets go of it afterwards.
 *
 * Guarantees: every renewal counts from before it was sent, one whose answer was lost too; renewing goes on for exactly as
 * long as the work; that the lease was emptied, deleted or taken ends the term when the watch shows it; the lease is released
 * only after the work has ended, and only while it is ours; `lead` settles when the work has, except for work that does not
 * end within its time after the signal aborted.
 */
import { LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Backoff } from '../runtime/backoff.ts';
import type { Candidate } from './candidate.ts';
import { askedToStepDown, decideLeader, decideNews, renewPause, versionToken } from './decide.ts';
import type { LeaderAction, LeaderState, Observation } from './decide.ts';
import type { StopReason } from './election-events.ts';
import type { Acquired } from './standby.ts';
import { HeldTerm } from './term.ts';
import type { LossReason, Term } from './term.ts';

/** What a leader does; settles when `term.signal` aborts, once all that it began has ended. */
export type Work = (term: Term) => Promise<void>;

/** How a term ended. `ended`: its work did, by itself; with its error, where it failed. `abandoned`: its work did not. */
interface TermOutcome {
  readonly how: 'ended' | 'steppedDown' | 'lost' | 'stopped' | 'abandoned';
  readonly failure?: { readonly error: unknown } | undefined;
}

interface LeadOptions {
  readonly candidate: Candidate;
  readonly work: Work;
  /** Called at once when the term's end moves: with each renewal, and when it is lost. */
  readonly onDeadline: (term: Term) => void;
  /** Called with the term when it begins, and with undefined when all of it is over. */
  readonly onTerm: (term: Term | undefined) => void;
  readonly signal: AbortSignal;
  /** No term follows this one: work that returns has done what it was to do. */
  readonly once: boolean;
}

/** First wait after a failed renewal, as a share of the retry period; no wait is longer than the retry period. */
const FIRST_WAIT = 1 / 8;
/** Where this process stood still, the end of its work may be known and not yet read: milliseconds left for that. */
const UNREAD_MS = 100;
/** Waits of no end are made of these. */
const LONG_MS = 3_600_000;

export async function lead(options: LeadOptions, acquired: Acquired): Promise<TermOutcome> {
  const leader = new Leader(options, acquired);
  try {
    options.onTerm(leader.held.term);
    return await leader.run();
  } finally {
    options.onTerm(undefined);
  }
}

class Leader {
  readonly held: HeldTerm;
  readonly #options: LeadOptions;
  readonly #candidate: Candidate;
  readonly #why: Acquired['why'];
  readonly #backoff: Backoff;
  readonly #transitions: number;
  readonly #fencingToken: number;
  /** Aborts when the term is lost: a renewal under way is of no use any more. */
  readonly #lost = new AbortController();
  /** As last answered. */
  #lease: Acquired['lease'];
  #nextAt: number;
  /** True: the next request is a GET. */
  #mustRead = false;
  /** Since the last renewal. */
  #conflicts = 0;
  /** Another is to lead: the work was asked to end. */
  #steppingDown = false;
  /** The work listens. */
  #began = false;
  #stopped = false;
  #ended: { readonly error?: unknown } | undefined;
  #givenUp = false;

  constructor(options: LeadOptions, { lease, write, why }: Acquired) {
    const { candidate } = options;
    const { clock, random, timing, ref, holder } = candidate;
    this.#options = options;
    this.#candidate = candidate;
    this.#lease = lease;
    this.#why = why;
    this.#transitions = write.transitions;
    this.#fencingToken = versionToken(lease) ?? write.transitions;
    this.#nextAt = write.sentAt + timing.retryPeriodMs;
    this.#backoff = createBackoff({ firstMs: timing.retryPeriodMs * FIRST_WAIT, capMs: timing.retryPeriodMs, random });
    this.held = new HeldTerm({
      lease: ref,
      holder,
      fencingToken: this.#fencingToken,
      clock,
      timing,
      sentAt: write.sentAt,
      onLost: (reason) => this.#onLost(reason),
    });
  }

  async run(): Promise<TermOutcome> {
    const { held } = this;
    const { signal } = this.#options;
    const { clock, timing, wake } = this.#candidate;
    this.#reportLeading();
    let cancelBound = (): void => {};
    const onAbort = (): void => {
      cancelBound = clock.schedule(timing.workTimeoutMs, () => {
        this.#givenUp = true;
        wake.now();
      });
      held.askToEnd('ShuttingDown');
    };
    // By an observer of `leading`, say. The work is asked once it has begun, and listens.
    const stopped = signal.aborted;
    signal.addEventListener('abort', onAbort, { once: true });
    this.#candidate.onNews = (seen) => this.#news(seen);
    try {
      // The watch may have shown what followed before the answer to our write came.
      if (this.#candidate.seen) this.#news(this.#candidate.seen);
      // A term that was found again, its answer lost, may have been asked to end meanwhile.
      this.#stepDownIfAsked();
      if (held.holds()) void this.#work();
      else this.#ended = {};
      this.#began = true;
      if (stopped) onAbort();
      if (this.#steppingDown) held.askToEnd('SteppingDown');
      while (!this.#ended && !this.#givenUp && held.holds()) {
        const pause = this.#nextAt - this.#candidate.now();
        if (pause > 0) await wake.wait(clock, pause);
        else await this.#renew();
      }
      if (!this.#ended && held.lost) await this.#outlive();
      return await this.#leave();
    } finally {
      this.#candidate.onNews = () => {};
      // Only a bug ends this early; then nothing renews, and the work must know.
      held.end();
      cancelBound();
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #work(): Promise<void> {
    try {
      await this.#options.work(this.held.term);
      this.#ended = {};
    } catch (error) {
      this.#ended = { error };
    }
    this.#candidate.wake.now();
  }

  #onLost(reason: LossReason): void {
    this.#lost.abort();
    this.#candidate.wake.now();
    try {
      this.#options.onDeadline(this.held.term);
    } finally {
      this.#stop(reason);
    }
  }

  /** What the watch shows; it may be older than our last write. */
  #news(seen: Observation): void {
    const action = decideNews(this.#state(), seen);
    if (action.do === 'stop' || action.do === 'adopt') this.#take(action);
    else if (action.do === 'read') {
      this.#mustRead = true;
      this.#nextAt = this.#candidate.now();
    }
  }

  #take(action: LeaderAction): void {
    if (action.do === 'stop') return this.held.lose(action.reason);
    const { lease, write } = action;
    this.#lease = lease;
    this.#candidate.writes.stored(write, lease);
    if (write.sentAt > this.held.sentAt) this.#renewed(write.sentAt, true);
    this.#stepDownIfAsked();
  }

  /** What the lease asks of its leader. */
  #stepDownIfAsked(): void {
    const asked = askedToStepDown(this.#lease, { holder: this.#candidate.holder, transitions: this.#transitions });
    if (asked === undefined || this.#steppingDown || !this.held.holds()) return;
    this.#steppingDown = true;
    this.#candidate.report({ type: 'steppingDown', fencingToken: this.#fencingToken, to: asked.to });
    if (this.#began) this.held.askToEnd('SteppingDown');
  }

  async #renew(): Promise<void> {
    const candidate = this.#candidate;
    const { held } = this;
    const timeoutMs = (): number => candidate.attemptMs(held.remainingMs);
    const call = { deadline: held.deadline, timeoutMs, signal: this.#lost.signal };
    const mustRead = this.#mustRead;
    try {
      if (mustRead) {
        const action = decideLeader(this.#state(), await candidate.read(call));
        this.#mustRead = false;
        const { sentAt } = held;
        this.#take(action);
        if (!held.holds() || held.sentAt > sentAt) return;
        // Not renewed, or somebody changed what is not the record (a label, say): again, the first time at once.
        this.#nextAt = candidate.now() + (this.#conflicts > 1 ? renewPause(this.#backoff.next(), held.remainingMs) : 0);
      } else {
        const { lease, write } = await candidate.renew(this.#lease, this.#transitions, call);
        this.#lease = lease;
        this.#renewed(write.sentAt, false);
        // What the watch has shown of a later version, while this answer was under way, counts from now on.
        if (candidate.seen) this.#news(candidate.seen);
      }
    } catch (error) {
      if (!(error instanceof LeaseStoreError)) throw error;
      if (held.lost) return;
      if (!mustRead && (error.code === 'Conflict' || error.code === 'NotFound')) {
        candidate.report({ type: 'slowPath', fencingToken: this.#fencingToken });
        this.#conflicts++;
        this.#mustRead = true;
        return;
      }
      // Where answers get lost, a read tells whether the renewal took effect; another write might never.
      this.#mustRead = mustRead || error.mayHaveCommitted;
      const { remainingMs } = held;
      const retryInMs = renewPause(this.#backoff.next(error.retryAfterMs), remainingMs);
      this.#nextAt = candidate.now() + retryInMs;
      candidate.report({ type: 'failed', operation: mustRead ? 'get' : 'renew', error, retryInMs, remainingMs });
    }
  }

  #renewed(sentAt: number, adopted: boolean): void {
    if (!this.held.renewed(sentAt)) return;
    this.#options.onDeadline(this.held.term);
    this.#backoff.reset();
    this.#conflicts = 0;
    this.#nextAt = sentAt + this.#candidate.timing.retryPeriodMs;
    const { deadline, expires } = this.held;
    const latencyMs = this.#candidate.now() - sentAt;
    const fencingToken = this.#fencingToken;
    this.#candidate.report({ type: 'renewed', fencingToken, deadline, expires, latencyMs, adopted });
  }

  /** The term is lost: waits for the work, without a bound unless the elector is to stop. */
  async #outlive(): Promise<void> {
    const { clock, wake } = this.#candidate;
    const { expires } = this.held;
    let reportAt: number | undefined;
    let reported = false;
    while (!this.#ended && !this.#givenUp) {
      const now = this.#candidate.now();
      if (now >= expires) reportAt ??= now + UNREAD_MS;
      if (reportAt !== undefined && now >= reportAt && !reported) {
        reported = true;
        this.#candidate.report({ type: 'workOverdue', fencingToken: this.#fencingToken });
      }
      await wake.wait(clock, reported ? LONG_MS : (reportAt ?? expires) - now);
    }
  }

  async #leave(): Promise<TermOutcome> {
    const { held } = this;
    const { lost } = held;
    const ended = this.#ended;
    const askedBefore = held.term.signal.aborted;
    held.end();
    if (!ended) {
      this.#stop('abandoned');
      this.#candidate.report({ type: 'leftToExpire' });
      return { how: 'abandoned' };
    }
    const asked = this.#options.signal.aborted;
    const failure = 'error' in ended ? { error: ended.error } : undefined;
    if (!lost) {
      if (!askedBefore && !failure && !this.#options.once)
        this.#candidate.report({ type: 'workReturned', fencingToken: this.#fencingToken });
      this.#stop(asked ? 'shutdown' : this.#steppingDown ? 'steppedDown' : failure ? 'workFailed' : 'workEnded');
    }
    // After a missed deadline the lease may still be ours; nobody needs to wait for it when we leave.
    if (!lost || (asked && lost === 'deadline')) {
      await this.#candidate.release(this.#mustRead ? undefined : this.#lease);
    }
    const how = asked ? 'stopped' : lost ? 'lost' : this.#steppingDown ? 'steppedDown' : 'ended';
    return { how, failure: askedBefore ? undefined : failure };
  }

  #reportLeading(): void {
    const { deadline, expires } = this.held;
    const [fencingToken, transitions] = [this.#fencingToken, this.#transitions];
    const { uid } = this.#lease.metadata;
    if (versionToken(this.#lease) === undefined && !this.#candidate.tokensReported) {
      this.#candidate.tokensReported = true;
      this.#candidate.report({ type: 'tokensFromTransitions', fencingToken });
    }
    this.#candidate.report({ type: 'leading', why: this.#why, uid, transitions, fencingToken, deadline, expires });
  }

  #stop(reason: StopReason): void {
    if (this.#stopped) return;
    this.#stopped = true;
    const failed = this.#ended && 'error' in this.#ended ? { error: this.#ended.error } : {};
    this.#candidate.report({ type: 'stopped', reason, fencingToken: this.#fencingToken, ...failed });
  }

  #state(): LeaderState {
    const { holder, writes } = this.#candidate;
    return { holder, writes, transitions: this.#transitions, held: this.#lease };
  }
}
