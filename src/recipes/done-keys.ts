/**
 * The keys that succeeded, as a Lease of kind `once` records them. Pure.
 *
 * Guarantees: what was recorded is never dropped: a text that cannot be read is an error, and a key that does not fit any
 * more is refused; equal sets give equal texts.
 */

/** Where they stand. */
export const DONE_ANNOTATION = 'leasekeeper.dev/done';

/**
 * Bytes that the record may take. An API server allows 256 KiB for all annotations of an object; half of it is left to
 * others. With keys like `v1.42.0` that is some ten thousand.
 */
export const MAX_DONE_BYTES = 131_072;
/** As of the name of an object. */
const MAX_KEY_LENGTH = 253;

/** Why a text cannot be a key; undefined when it can. */
export function keyProblem(key: string): string | undefined {
  if (typeof key !== 'string' || key === '') return 'must not be empty';
  if (key.length > MAX_KEY_LENGTH) return `must be at most ${MAX_KEY_LENGTH} characters long`;
  return /\p{C}/u.test(key) ? 'must not contain control or invisible characters' : undefined;
}

/** The keys that an annotation records; undefined: it cannot be read. No annotation: no keys. */
export function parseDone(text: string | undefined): ReadonlySet<string> | undefined {
  if (text === undefined || text === '') return new Set();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  return Array.isArray(json) && json.every((key) => typeof key === 'string') ? new Set<string>(json) : undefined;
}

/** The record with one key more; undefined: it does not fit. */
export function withDone(done: ReadonlySet<string>, key: string): string | undefined {
  const text = JSON.stringify([...new Set([...done, key])].sort());
  return Buffer.byteLength(text) > MAX_DONE_BYTES ? undefined : text;
}
