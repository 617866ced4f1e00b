/** What recipes throw besides what the work throws and LeadershipError. Branch on `code`. */

export type RecipeErrorCode =
  /** The lock was not free within `waitMs`, and the caller asked for an error. */
  | 'NotAcquired'
  /** The record of keys has no room for another; none is forgotten. */
  | 'RecordFull'
  /** What stands on the Lease cannot be read: nothing is run, for nobody knows what was run before. */
  | 'BadRecord'
  /** The work ended well, but its term was lost before that could be recorded: another may run it, or have run it. */
  | 'NotRecorded';

/** A recipe could not do what it was asked: see `code`. */
export class RecipeError extends Error {
  override readonly name = 'RecipeError';
  readonly code: RecipeErrorCode;

  constructor(code: RecipeErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}
