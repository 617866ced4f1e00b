/**
 * What an elector throws. Branch on `code`; `reason` says why leadership was lost.
 */

/** Why a term is over although its work had not ended. */
export type LossReason =
  /** No renewal succeeded in time. */
  | 'deadline'
  /** Another holder, or another process that writes in our name. */
  | 'taken'
  /** The lease was deleted, or deleted and made anew. */
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
  /** `elector.run` rejects with it: the work did not end within `workTimeoutMs`; its lease is left to expire. */
  | 'WorkNotEnded';

/** Leadership is over, or about to be: see `code`, and `reason` for why it was lost. */
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
