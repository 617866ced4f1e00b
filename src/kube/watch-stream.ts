/**
 * The bytes of a watch, as lines and then as what each line tells. Pure.
 *
 * Guarantees: never throws on foreign bytes; keeps no more than one line and one piece; what cannot be read is reported as
 * `bad`, never left out, for it may have been a change.
 */
import type { LeaseStoreError } from '../lease/store.ts';
import { Chunks } from './wire/chunks.ts';
import { statusEventError } from './wire/api-errors.ts';

/** Bytes of one line at the most: etcd takes objects of 1.5 MiB, JSON may make a few times that of them. */
export const MAX_LINE_BYTES = 8 * 1024 * 1024;

const NEWLINE = 10;

export class LineSplitter {
  readonly #limit: number;
  readonly #begun = new Chunks();

  constructor(limit: number = MAX_LINE_BYTES) {
    this.#limit = limit;
  }

  /** The whole lines that this piece completes, without empty ones; undefined when a line grew past the limit. */
  push(piece: Buffer): string[] | undefined {
    const lines: string[] = [];
    let from = 0;
    for (let to = piece.indexOf(NEWLINE); to >= 0; to = piece.indexOf(NEWLINE, from)) {
      if (this.#begun.size + to - from > this.#limit) return undefined;
      // Joined as bytes: a character may be cut in two by the pieces.
      this.#begun.push(piece.subarray(from, to));
      const line = this.#begun.take().toString('utf8').trim();
      if (line !== '') lines.push(line);
      from = to + 1;
    }
    if (from < piece.length) {
      this.#begun.push(piece.subarray(from));
      if (this.#begun.size > this.#limit) return undefined;
    }
    return lines;
  }
}

type WatchLine<Item> =
  | { readonly kind: 'change'; readonly type: 'added' | 'modified' | 'deleted'; readonly item: Item }
  /** `initialEnd`: what there was when the watch began has all been sent. */
  | { readonly kind: 'bookmark'; readonly resourceVersion: string; readonly initialEnd?: true }
  | { readonly kind: 'error'; readonly error: LeaseStoreError }
  | { readonly kind: 'bad'; readonly why: string };

const CHANGES: Readonly<Record<string, 'added' | 'modified' | 'deleted'>> = {
  ADDED: 'added',
  MODIFIED: 'modified',
  DELETED: 'deleted',
};

/**
 * @param what in words, for instance `watch leases`
 * @param parse an object of the kind that is watched; throws when it is none
 */
export function parseWatchLine<Item>(line: string, what: string, parse: (json: unknown) => Item): WatchLine<Item> {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return { kind: 'bad', why: 'a line that is no JSON' };
  }
  if (typeof json !== 'object' || json === null) return { kind: 'bad', why: 'a line that is no object' };
  const { type, object } = json as { type?: unknown; object?: unknown };
  if (type === 'ERROR') return { kind: 'error', error: statusEventError(what, object) };
  if (type === 'BOOKMARK') {
    type Bookmark = { metadata?: { resourceVersion?: unknown; annotations?: Record<string, unknown> | null } };
    const { resourceVersion: version, annotations } = (object as Bookmark | null | undefined)?.metadata ?? {};
    const initialEnd = annotations?.['k8s.io/initial-events-end'] === 'true';
    return typeof version === 'string' && version !== ''
      ? { kind: 'bookmark', resourceVersion: version, ...(initialEnd && { initialEnd }) }
      : { kind: 'bad', why: 'a bookmark without a resourceVersion' };
  }
  const change = typeof type === 'string' && Object.hasOwn(CHANGES, type) ? CHANGES[type] : undefined;
  if (change === undefined) return { kind: 'bad', why: 'an event of an unknown type' };
  try {
    return { kind: 'change', type: change, item: parse(object) };
  } catch {
    return { kind: 'bad', why: 'an event without an object of its kind' };
  }
}
