/**
 * A term: a deadline, not a boolean.
 *
 * Guarantees: from the deadline on, `check` throws, whatever the event loop did or did not do meanwhile (a blocked loop, a
 * stopped process, a suspended machine), because it asks the monotonic clock; once over, a term never comes back, even if
 * a renewal succeeds after all. Not guaranteed: that what runs between a check and its effect is quick. Where that matters,
 * send `fencingToken` along and let the other side refuse a lower one than it has seen.
 */
import type { LeaseRef } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Timing } from './election-options.ts';

/** Why a term is over although its work had not ended. */
export type LossReason =
  /** No renewal succeeded in time. */
  | 'deadline'
  /** Another holder, or another process that writes in our name. */
  | 'taken'
  /** The lease was deleted, or deleted and created again. */
  | 'deleted'
  /** Somebody else emptied the holder. */
  | 'released';

/** Branch on these, never on a message. */
export type LeadershipErrorCode =
  /** `term.check()` and the reason of `term.signal`: see `reason`. */
  | 'LeadershipLost'
  /** `term.check()` after the term's work has ended. */
  | 'TermEnded'
  /**
   * The reason of `term.signal` when the elector is to stop. The term still holds, but may be lost before the
   * work has ended, and the signal aborts only once: keep calling `term.check()`.
   */
  | 'ShuttingDown'
  /**
   * The reason of `term.signal` when another is to lead (`preferredHolder`, or a request to step down). The term holds, and is renewed, until the work
   * has ended: as with `ShuttingDown`, keep calling `term.check()`.
   */
  | 'SteppingDown'
  /** `elector.run` rejects with it: the work did not end within `workTimeoutMs`; its lease is left to expire. */
  | 'WorkNotEnded';

/** The term is over, or about to be: see `code`, and `reason` for why it was lost. */
export class LeadershipError extends Error {
  override readonly name = 'LeadershipError';
  readonly code: LeadershipErrorCode;
  /** Set with `LeadershipLost` only. */
  readonly reason: LossReason | undefined;

  constructor(code: LeadershipErrorCode, message: string, reason?: LossReason) {
    super(message);
    this.code = code;
    this.reason = reason;
  }
}

/**
 * A term: a deadline, not a boolean. `check` before each guarded step; send `fencingToken` along where it
 * matters.
 */
export interface Term {
  readonly lease: LeaseRef;
  /** Our holder identity: `<id>_<uuid>`. */
  readonly holder: string;
  /**
   * Higher in every later term, of any leader: the lease's resourceVersion when this term was first seen as ours,
   * chosen once. It grows over deletions of the lease too. A safe integer. Where a server's versions are none, it is
   * the lease's transitions: those start at 0 again when the lease is deleted, and stay at 2147483647.
   */
  readonly fencingToken: number;
  /**
   * Aborts when the work must end: with LeadershipError `LeadershipLost` when the term is over (nothing guarded may happen
   * any more), with `ShuttingDown` when the elector is to stop, with `SteppingDown` when another is to lead (the term still
   * holds, and is renewed until the work ends; it may still be lost, which only `check` and `remainingMs` tell then: keep
   * calling `check`).
   */
  readonly signal: AbortSignal;
  /** Monotonic milliseconds of the elector's clock at which the term ends; moves on with each renewal. */
  readonly deadline: number;
  /** Monotonic milliseconds from which others may lead: what the work began must have ended by then. Moves on too. */
  readonly expires: number;
  /** Milliseconds left until the deadline; 0 when the term is over. */
  readonly remainingMs: number;
  /** Why the term was lost; undefined while it holds, and when it ended with its work. */
  readonly lost: LossReason | undefined;
  /**
   * Returns while the term holds. Call it right before each guarded step.
   * @throws LeadershipError `LeadershipLost` from the deadline on; `TermEnded` once the work has ended
   */
  check(): void;
}

interface HeldTermOptions {
  readonly lease: LeaseRef;
  readonly holder: string;
  readonly fencingToken: number;
  readonly clock: Clock;
  readonly timing: Timing;
  /** Monotonic milliseconds before the acquiring write was sent. */
  readonly sentAt: number;
  /** Called once when the term is lost, before its signal aborts; not when it ends with its work. */
  readonly onLost: (reason: LossReason) => void;
}

/** The elector's side of a term. */
export class HeldTerm {
  /** What the work gets: it can look, and nothing more. */
  readonly term: Term;
  readonly #clock: Clock;
  readonly #timing: Timing;
  readonly #onLost: (reason: LossReason) => void;
  readonly #abort = new AbortController();
  #sentAt: number;
  #over: { readonly reason: LossReason | undefined } | undefined;
  #cancelTimer: () => void = () => {};

  constructor({ lease, holder, fencingToken, clock, timing, sentAt, onLost }: HeldTermOptions) {
    this.#clock = clock;
    this.#timing = timing;
    this.#onLost = onLost;
    this.#sentAt = sentAt;
    const held = this as HeldTerm;
    this.term = Object.freeze({
      lease,
      holder,
      fencingToken,
      signal: this.#abort.signal,
      get deadline() {
        return held.deadline;
      },
      get expires() {
        return held.expires;
      },
      get remainingMs() {
        return held.remainingMs;
      },
      get lost() {
        return held.lost;
      },
      check: () => held.check(),
    });
    this.#arm();
  }

  /** Monotonic milliseconds before the last write that is known to have succeeded was sent. */
  get sentAt(): number {
    return this.#sentAt;
  }

  get deadline(): number {
    return this.#sentAt + this.#timing.termMs;
  }

  get expires(): number {
    return this.#sentAt + this.#timing.holdMs;
  }

  get remainingMs(): number {
    return this.holds() ? this.deadline - this.#clock.monotonic() : 0;
  }

  /** Why the term was lost; undefined while it holds, or when it ended with its work. */
  get lost(): LossReason | undefined {
    return this.#over?.reason;
  }

  /** False once the term is over; notices the deadline, whether or not its timer has fired. */
  holds(): boolean {
    if (!this.#over && this.#clock.monotonic() >= this.deadline) this.lose('deadline');
    return this.#over === undefined;
  }

  check(): void {
    if (this.holds()) return;
    const reason = this.#over?.reason;
    throw reason === undefined ? endedError() : lostError(reason);
  }

  /**
   * A renewal that was sent then succeeded. False when it came too late: the term stays lost.
   * An earlier sending than the last one known moves nothing.
   */
  renewed(sentAt: number): boolean {
    if (!this.holds()) return false;
    this.#sentAt = Math.max(this.#sentAt, sentAt);
    this.#arm();
    return true;
  }

  /** Asks the work to end, while the term goes on. */
  askToEnd(why: 'ShuttingDown' | 'SteppingDown'): void {
    this.#abort.abort(
      new LeadershipError(why, why === 'ShuttingDown' ? 'the elector is to stop' : 'another is to lead'),
    );
  }

  lose(reason: LossReason): void {
    if (this.#over) return;
    this.#finish(reason);
    // First who follows the term: what the work does on abort may take its time.
    try {
      this.#onLost(reason);
    } finally {
      this.#abort.abort(lostError(reason));
    }
  }

  /** The work has ended, or was given up: no guarded step follows, and what it left behind is asked to end. */
  end(): void {
    if (this.#over) return;
    this.#finish(undefined);
    this.#abort.abort(endedError());
  }

  #finish(reason: LossReason | undefined): void {
    this.#over = { reason };
    this.#cancelTimer();
  }

  #arm(): void {
    this.#cancelTimer();
    // A timer may fire a little early; then it is set again.
    const left = Math.max(this.deadline - this.#clock.monotonic(), 1);
    this.#cancelTimer = this.#clock.schedule(left, () => {
      if (this.holds()) this.#arm();
    });
  }
}

const WHY: Record<LossReason, string> = {
  deadline: 'no renewal succeeded before the renew deadline',
  taken: 'somebody else holds the lease',
  deleted: 'the lease was deleted',
  released: 'somebody else emptied the lease',
};

function lostError(reason: LossReason): LeadershipError {
  return new LeadershipError('LeadershipLost', `leadership is lost: ${WHY[reason]}`, reason);
}

const endedError = (): LeadershipError => new LeadershipError('TermEnded', 'the work of this term has ended');
