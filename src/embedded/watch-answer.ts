/**
 * One watch: the changes of a collection, through a selector, as lines of JSON.
 *
 * Guarantees: begins with what it was asked to begin with and misses nothing from there; an object that starts or stops
 * to match is sent as ADDED or DELETED; bookmarks, where wanted, carry a revision up to which everything was sent; ends
 * at its timeout, after a bookmark where the client does not know the newest revision; after it has ended it holds no timer and no listener.
 */
import type { Collection, Scope } from './store/collection.ts';
import { ApiError, expired } from './status-errors.ts';
import type { ObjectStore } from './store/object-store.ts';
import type { Json } from './objects/schema.ts';
import { StoreError } from './store/collection.ts';
import type { ServerClock } from './objects/time-formats.ts';
import { Version, atRevision } from './objects/object-version.ts';
import type { Change, KubeObject } from './objects/object-version.ts';

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';

interface WatchSink {
  write(chunk: Uint8Array): void;
  end(): void;
}

interface WatchOptions {
  readonly store: ObjectStore;
  readonly collection: Collection;
  readonly clock: ServerClock;
  readonly scope: Scope;
  readonly matches: ((object: KubeObject) => boolean) | undefined;
  /** Tells what happened after this revision; first what is there now, when left out. */
  readonly from: number | undefined;
  readonly bookmarks: boolean;
  /** A bookmark marks the end of what is there now. */
  readonly markInitialEnd: boolean;
  /** Milliseconds. */
  readonly timeoutMs: number;
  /** JSON of one version. */
  readonly encode: (version: Version) => string;
  /** Names the encoding, so that watches with the same one share its result; undefined when it cannot be shared. */
  readonly encoding: string | undefined;
  /** Makes of an event's JSON what is written; a line when left out. */
  readonly frame?: ((event: string) => Uint8Array) | undefined;
  /** An object without content, as stored: what a bookmark shows besides its metadata. */
  readonly bookmarkObject: Json;
}

/** As kube-apiserver's watch cache: about every minute. */
const BOOKMARK_MS = 60_000;

export class WatchStream {
  readonly #options: WatchOptions;
  #sink: WatchSink | undefined;
  #stopWatching: (() => void) | undefined;
  #cancelTimeout: (() => void) | undefined;
  #cancelBookmark: (() => void) | undefined;
  #ended = false;
  #withheld: Uint8Array[] | undefined;
  /** The client knows of everything up to this revision. */
  #sent = 0;

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Begins to write. To be called once. */
  start(sink: WatchSink): void {
    this.#sink = sink;
    this.#sent = this.#options.from ?? this.#options.store.revision;
    const { collection, scope, store, clock, from } = this.#options;
    try {
      if (from === undefined) {
        for (const version of collection.list({ ...scope, matches: this.#options.matches }).versions) {
          this.#write(this.#event('ADDED', version));
        }
        if (this.#options.markInitialEnd) this.#bookmark({ 'k8s.io/initial-events-end': 'true' });
      }
      this.#stopWatching = collection.watch(scope, from ?? store.revision, (change) => this.#tell(change));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#error(expired(`too old resource version: ${from} (${error.found})`));
      return;
    }
    // A sink that broke meanwhile has stopped us before there was anything to stop.
    if (this.#ended) {
      this.#stopWatching();
      return;
    }
    this.#cancelTimeout = clock.schedule(this.#options.timeoutMs, () => {
      if (this.#options.bookmarks && store.revision > this.#sent) this.#bookmark();
      this.end();
    });
    if (this.#options.bookmarks) this.#scheduleBookmark();
  }

  /** Ends the answer cleanly. */
  end(): void {
    if (this.#ended) return;
    this.stop();
    this.#sink?.end();
  }

  /** Lets go of everything without another word. */
  stop(): void {
    this.#ended = true;
    this.#stopWatching?.();
    this.#cancelTimeout?.();
    this.#cancelBookmark?.();
  }

  /** While silent nothing is written; what happened meanwhile is written, in order, when it ends. */
  silence(silent: boolean): void {
    if (silent) this.#withheld ??= [];
    else if (this.#withheld) {
      const chunks = this.#withheld;
      this.#withheld = undefined;
      for (const chunk of chunks) this.#write(chunk);
    }
  }

  /** Writes what is no event of ours, as it is. */
  inject(text: string): void {
    this.#write(Buffer.from(text));
  }

  /** Ends with an ERROR event. */
  #error(error: ApiError): void {
    this.#write(this.#frame(JSON.stringify({ type: 'ERROR', object: error })));
    this.end();
  }

  #tell(change: Change): void {
    const { matches } = this.#options;
    const { previous, version } = change;
    if (!matches) {
      const type = change.type === 'added' ? 'ADDED' : change.type === 'modified' ? 'MODIFIED' : 'DELETED';
      this.#send(change, type, version);
      return;
    }
    const before = previous !== undefined && matches(previous.object);
    if (change.type === 'deleted') {
      if (before) this.#send(change, 'DELETED', version);
      return;
    }
    const after = matches(version.object);
    if (after) this.#send(change, before ? 'MODIFIED' : 'ADDED', version);
    // Out of the selector's reach: as it was, at the revision of the change.
    else if (before) this.#send(change, 'DELETED', previous, true);
  }

  #send(change: Change, type: EventType, version: Version, moved = false): void {
    const { encoding } = this.#options;
    this.#sent = change.revision;
    const key = `${type} ${moved} ${encoding}`;
    let chunk = encoding === undefined ? undefined : change.encoded.get(key);
    if (!chunk) {
      chunk = this.#event(type, moved ? atRevision(version, change.revision) : version);
      if (encoding !== undefined) change.encoded.set(key, chunk);
    }
    this.#write(chunk);
  }

  #event(type: EventType, version: Version): Uint8Array {
    return this.#frame(`{"type":"${type}","object":${this.#options.encode(version)}}`);
  }

  #frame(event: string): Uint8Array {
    return this.#options.frame?.(event) ?? Buffer.from(`${event}\n`);
  }

  #bookmark(annotations?: Record<string, string>): void {
    const { store, bookmarkObject } = this.#options;
    this.#sent = store.revision;
    const metadata = { resourceVersion: String(store.revision), ...(annotations && { annotations }) };
    const object = { ...bookmarkObject, metadata } as unknown as KubeObject;
    this.#write(this.#event('BOOKMARK', new Version('', store.revision, object)));
  }

  #scheduleBookmark(): void {
    this.#cancelBookmark = this.#options.clock.schedule(BOOKMARK_MS, () => {
      this.#bookmark();
      if (!this.#ended) this.#scheduleBookmark();
    });
  }

  #write(chunk: Uint8Array): void {
    if (this.#withheld) this.#withheld.push(chunk);
    else this.#sink?.write(chunk);
  }
}
