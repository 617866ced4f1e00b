/** What the object store refuses. */

export type StoreErrorCode =
  | 'AlreadyExists'
  | 'NotFound'
  /** The object's uid is not the one asked for. */
  | 'UidMismatch'
  /** The object's revision is not the one asked for. */
  | 'RevisionMismatch'
  /** The revision asked for was compacted away. */
  | 'Expired';

/** What the store refuses; branch on `code`. `found` is the uid or revision that was there. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: StoreErrorCode;
  readonly found: string;
  constructor(code: StoreErrorCode, message: string, found = '') {
    super(message);
    this.code = code;
    this.found = found;
  }
}
