/**
 * The objects of one type: see object-store.ts for what it guarantees.
 *
 * Reading one object is a lookup; the order of keys is kept sorted, so that a page is a slice; a watch of one object is
 * found by its key, so that ten thousand of them cost a write nothing.
 */
import { History } from './history.ts';
import { formatTime } from '../objects/time-formats.ts';
import type { ObjectMeta } from '../objects/validation.ts';
import { Version, atRevision, copyRest, isHeld, keyOf, pick } from '../objects/object-version.ts';
import type { Change, KubeObject } from '../objects/object-version.ts';
import { Watchers } from './watchers.ts';
import type { Listener, Scope } from './watchers.ts';

export type { Listener, Scope } from './watchers.ts';

type StoreErrorCode =
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

/** What all collections of a store have in common. */
interface Shared {
  /** Wall clock, microseconds since the epoch. */
  now(): number;
  newUid(): string;
  /** Of the latest change to anything. */
  readonly revision: number;
  /** Takes the revision of the change about to be made. */
  nextRevision(): number;
}

export interface Preconditions {
  readonly uid?: string | undefined;
  readonly resourceVersion?: string | undefined;
}

interface DeleteHow {
  readonly dryRun?: boolean;
  /** What the object looks like from the moment that it is being deleted. */
  readonly mark?: ((object: KubeObject) => KubeObject) | undefined;
  /** Those that hold it from then on, from those that do; default the same. */
  readonly finalizers?: ((held: readonly string[]) => readonly string[]) | undefined;
}

interface ListQuery extends Scope {
  /** Sees what was there at this revision; the latest when left out. */
  readonly revision?: number | undefined;
  /** Starts after this key. */
  readonly after?: string | undefined;
  /** Versions at the most; no limit when left out or 0. */
  readonly limit?: number | undefined;
  readonly matches?: ((object: KubeObject) => boolean) | undefined;
}

interface Listing {
  readonly versions: Version[];
  readonly revision: number;
  /** The last key given, when more match. */
  readonly next?: string | undefined;
  /** How many keys come after it (matching or not). */
  readonly remaining: number;
}

export class Collection {
  readonly #store: Shared;
  readonly #history: History<Change>;
  readonly #versions = new Map<string, Version>();
  /** The keys of #versions, sorted. */
  readonly #keys: string[] = [];
  readonly #watchers = new Watchers();

  constructor(store: Shared, historySize: number, floor: number) {
    this.#store = store;
    this.#history = new History(historySize, floor);
  }

  get size(): number {
    return this.#versions.size;
  }

  get(namespace: string | undefined, name: string): Version | undefined {
    return this.#versions.get(keyOf(namespace, name));
  }

  /** The objects of a namespace, or all, sorted by key. */
  objects(scope: Scope = {}): KubeObject[] {
    return this.list(scope).versions.map((v) => v.object);
  }

  /**
   * Stores a new object with a fresh uid and creation time. The object is the store's from then on.
   * @throws StoreError `AlreadyExists`
   */
  create(object: KubeObject, options: { dryRun?: boolean } = {}): Version {
    const { metadata } = object;
    const key = keyOf(metadata.namespace, metadata.name);
    if (this.#versions.has(key)) throw new StoreError('AlreadyExists', `${key} already exists`);
    const meta: ObjectMeta = {
      name: metadata.name,
      ...(metadata.generateName !== undefined && { generateName: metadata.generateName }),
      ...(metadata.namespace !== undefined && { namespace: metadata.namespace }),
      uid: this.#store.newUid(),
    };
    if (options.dryRun !== true) meta.resourceVersion = String(this.#store.nextRevision());
    else if (metadata.resourceVersion !== undefined) meta.resourceVersion = metadata.resourceVersion;
    if (metadata.generation !== undefined) meta.generation = metadata.generation;
    meta.creationTimestamp = formatTime(this.#store.now());
    copyRest(meta, metadata);
    const version = new Version(key, Number(meta.resourceVersion ?? 0), { ...object, metadata: meta });
    if (options.dryRun !== true) {
      this.#keys.splice(position(this.#keys, key), 0, key);
      this.#versions.set(key, version);
      this.#commit('added', version, undefined);
    }
    return version;
  }

  /**
   * Puts an object in the place of the one that is there. What the server sets (uid, times) is carried over. An object
   * that is being deleted goes with its last finalizer; one that changes nothing stays at its revision.
   * @throws StoreError `NotFound`, `UidMismatch`, `RevisionMismatch`
   */
  replace(object: KubeObject, preconditions: Preconditions = {}, options: { dryRun?: boolean } = {}): Version {
    const key = keyOf(object.metadata.namespace, object.metadata.name);
    const old = this.#existing(key, preconditions);
    const was = old.object.metadata;
    const meta: ObjectMeta = { name: was.name };
    if (object.metadata.generateName !== undefined) meta.generateName = object.metadata.generateName;
    if (was.namespace !== undefined) meta.namespace = was.namespace;
    meta.uid = was.uid as string;
    meta.resourceVersion = was.resourceVersion as string;
    if (was.generation !== undefined) meta.generation = was.generation;
    meta.creationTimestamp = was.creationTimestamp as string;
    if (was.deletionTimestamp !== undefined) {
      meta.deletionTimestamp = was.deletionTimestamp;
      meta.deletionGracePeriodSeconds = was.deletionGracePeriodSeconds ?? 0;
    }
    copyRest(meta, object.metadata);
    const next = { ...object, metadata: meta };
    const text = JSON.stringify(next).slice(1);
    if (text === old.text) return old;
    if (meta.deletionTimestamp !== undefined && !isHeld(next)) {
      // What was stored last is what goes.
      this.#remove(old, options);
      return new Version(key, old.revision, next);
    }
    if (options.dryRun === true) return new Version(key, old.revision, next, text);
    const revision = this.#store.nextRevision();
    // The text was made with the old revision in order to compare; quotes inside values are escaped, so that the first
    // match is the field itself.
    const version = new Version(
      key,
      revision,
      next,
      text.replace(`"resourceVersion":"${meta.resourceVersion}"`, `"resourceVersion":"${revision}"`),
    );
    meta.resourceVersion = String(revision);
    this.#versions.set(key, version);
    this.#commit('modified', version, old);
    return version;
  }

  /**
   * Deletes; or, while there are finalizers, marks as being deleted. `gone` tells which.
   * @throws StoreError `NotFound`, `UidMismatch`, `RevisionMismatch`
   */
  delete(
    namespace: string | undefined,
    name: string,
    preconditions: Preconditions = {},
    options: DeleteHow = {},
  ): { gone: boolean; version: Version } {
    const key = keyOf(namespace, name);
    const old = this.#existing(key, preconditions);
    const held = old.object.metadata.finalizers ?? [];
    const finalizers = [...(options.finalizers?.(held) ?? held)];
    const metadata = { ...old.object.metadata, finalizers };
    if (!isHeld({ ...old.object, metadata })) {
      return { gone: true, version: this.#remove(old, options) };
    }
    // What is being deleted already may come to be held by others.
    const same = finalizers.join() === held.join();
    if (metadata.deletionTimestamp !== undefined && same) return { gone: false, version: old };
    const meta: ObjectMeta = {
      ...pick(metadata, [
        'name',
        'generateName',
        'namespace',
        'uid',
        'resourceVersion',
        'generation',
        'creationTimestamp',
      ]),
      deletionTimestamp: metadata.deletionTimestamp ?? formatTime(this.#store.now()),
      deletionGracePeriodSeconds: 0,
    };
    copyRest(meta, metadata);
    if (metadata.managedFields !== undefined) meta.managedFields = metadata.managedFields;
    const marked = { ...old.object, metadata: meta };
    const next = options.mark ? options.mark(marked) : marked;
    if (options.dryRun === true) return { gone: false, version: new Version(key, old.revision, next) };
    const revision = this.#store.nextRevision();
    meta.resourceVersion = String(revision);
    const version = new Version(key, revision, next);
    this.#versions.set(key, version);
    this.#commit('modified', version, old);
    return { gone: false, version };
  }

  /** @throws StoreError `Expired` */
  list(query: ListQuery = {}): Listing {
    const latest = this.#store.revision;
    const revision = query.revision ?? latest;
    const past = revision < latest ? this.#past(revision) : undefined;
    const keys = past?.keys ?? this.#keys;
    const prefix = query.namespace === undefined ? '' : keyOf(query.namespace, query.name ?? '');
    const versions: Version[] = [];
    let index = position(keys, query.after === undefined || query.after < prefix ? prefix : `${query.after}\0`);
    let next: string | undefined;
    for (; index < keys.length; index++) {
      const key = keys[index] as string;
      if (!key.startsWith(prefix)) break;
      const version = (past ? past.get(key) : this.#versions.get(key)) as Version;
      if (query.name !== undefined && version.object.metadata.name !== query.name) continue;
      if (query.matches && !query.matches(version.object)) continue;
      if (query.limit && versions.length === query.limit) {
        next = (versions.at(-1) as Version).key;
        break;
      }
      versions.push(version);
    }
    // "0" sorts directly after "/", so that this is the first key past the prefix.
    const end = prefix === '' ? keys.length : position(keys, `${query.namespace}0`);
    return { versions, revision, next, remaining: next === undefined ? 0 : end - index };
  }

  /**
   * Tells every change after a revision (from now on when left out), beginning before this returns.
   * @returns ends the watch
   * @throws StoreError `Expired`
   */
  watch(scope: Scope, from: number | undefined, listener: Listener): () => void {
    if (from !== undefined && from < this.#store.revision) {
      this.#checkFloor(from);
      for (const change of this.#history.after(from)) {
        const { namespace, name } = change.version.object.metadata;
        if (scope.namespace !== undefined && (namespace ?? '') !== scope.namespace) continue;
        if (scope.name === undefined || name === scope.name) listener(change);
      }
    }
    return this.#watchers.add(scope, from ?? 0, listener);
  }

  /** Watches that are open. */
  get watchers(): number {
    return this.#watchers.size;
  }

  compact(revision: number): void {
    this.#history.compact(revision);
  }

  #existing(key: string, preconditions: Preconditions): Version {
    const version = this.#versions.get(key);
    if (!version) throw new StoreError('NotFound', `${key} not found`);
    const { uid, resourceVersion } = preconditions;
    const found = version.object.metadata;
    if (uid !== undefined && uid !== found.uid)
      throw new StoreError('UidMismatch', `${key} has another uid`, found.uid);
    if (resourceVersion !== undefined && resourceVersion !== found.resourceVersion) {
      throw new StoreError('RevisionMismatch', `${key} has another revision`, found.resourceVersion);
    }
    return version;
  }

  #remove(last: Version, options: { dryRun?: boolean }): Version {
    if (options.dryRun === true) return last;
    const previous = this.#versions.get(last.key);
    const revision = this.#store.nextRevision();
    const version = atRevision(last, revision);
    this.#versions.delete(last.key);
    this.#keys.splice(position(this.#keys, last.key), 1);
    this.#commit('deleted', version, previous);
    return version;
  }

  #commit(type: Change['type'], version: Version, previous: Version | undefined): void {
    const change: Change = { type, revision: version.revision, version, previous, encoded: new Map() };
    this.#history.push(change);
    this.#watchers.tell(change);
  }

  /** What was there at an earlier revision, found by undoing what came after. */
  #past(revision: number): { keys: string[]; get: (key: string) => Version | undefined } | undefined {
    this.#checkFloor(revision);
    const undone = new Map<string, Version | undefined>();
    for (const { version, previous } of this.#history.after(revision)) {
      if (!undone.has(version.key)) undone.set(version.key, previous);
    }
    if (undone.size === 0) return undefined;
    const keys = this.#keys.filter((key) => !undone.has(key) || undone.get(key) !== undefined);
    for (const [key, version] of undone)
      if (version && !this.#versions.has(key)) keys.splice(position(keys, key), 0, key);
    return { keys, get: (key) => (undone.has(key) ? undone.get(key) : this.#versions.get(key)) };
  }

  #checkFloor(revision: number): void {
    if (revision < this.#history.floor) {
      throw new StoreError('Expired', `revision ${revision} is compacted away`, String(this.#history.floor));
    }
  }
}

/** Where the key is, or would be, in the sorted list. */
function position(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
