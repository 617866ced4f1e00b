/**
 * Objects in memory, as etcd and the API machinery over it keep them: one counter of revisions, collections of objects
 * by namespace and name, a bounded history, watches. Knows nothing of HTTP or of what the objects mean.
 *
 * Guarantees: every change gets a revision of its own, one higher than the last; a write that changes nothing makes no
 * revision and no event; preconditions and the write are one step; a reader at a revision sees exactly what was there; a
 * watch misses nothing and sees every change once, in order. Objects that were stored are never changed any more.
 */
import { randomUUID } from 'node:crypto';
import { Collection } from './collection.ts';

interface ObjectStoreOptions {
  /** Wall clock, microseconds since the epoch. */
  readonly now: () => number;
  /** Changes kept for each collection. Default 10,000. */
  readonly historySize?: number | undefined;
  /** Default: a random UUID. */
  readonly newUid?: (() => string) | undefined;
}

/** Ten seconds of a thousand writes a second; about as much as a watch cache of kube-apiserver holds. */
const DEFAULT_HISTORY = 10_000;

/** The objects of the embedded server, with their revisions and history. */
export class ObjectStore {
  /** Wall clock, microseconds since the epoch. */
  readonly now: () => number;
  /** A uid for a new object. */
  readonly newUid: () => string;
  readonly #historySize: number;
  #compacted = 0;
  readonly #collections = new Map<string, Collection>();
  #revision = 0;

  constructor(options: ObjectStoreOptions) {
    this.now = options.now;
    this.newUid = options.newUid ?? randomUUID;
    this.#historySize = options.historySize ?? DEFAULT_HISTORY;
  }

  /** Of the latest change to anything. */
  get revision(): number {
    return this.#revision;
  }

  /** For collections alone: the revision of the change about to be made. */
  nextRevision(): number {
    return ++this.#revision;
  }

  /** The collection of this name; made when first asked for. */
  collection(name: string): Collection {
    let found = this.#collections.get(name);
    if (!found) {
      found = new Collection(this, this.#historySize, this.#compacted);
      this.#collections.set(name, found);
    }
    return found;
  }

  /** All collections by name. */
  get collections(): ReadonlyMap<string, Collection> {
    return this.#collections;
  }

  /** Forgets the history: older revisions can be neither listed nor watched from, as after etcd's compaction. */
  compact(): void {
    // A revision that stands for the compaction itself, so that even a reader who is up to date finds his version gone.
    this.#compacted = ++this.#revision;
    for (const collection of this.#collections.values()) collection.compact(this.#compacted);
  }
}
