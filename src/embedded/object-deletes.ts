/**
 * Deleting objects: preconditions, finalizers, collections.
 *
 * Guarantees: a deletion in the foreground, or one that orphans, is marked by its finalizer and finished a moment later,
 * as a garbage collector would that finds no dependents. Dependents are not looked for.
 */
import { StoreError } from './store/collection.ts';
import type { Collection, Preconditions } from './store/collection.ts';
import { conflict, notFound, preconditionFailed } from './status-errors.ts';
import type { ApiError } from './status-errors.ts';
import { Namespaces } from './objects/namespaces.ts';
import type { Later } from './objects/namespaces.ts';
import type { ObjectStore } from './store/object-store.ts';
import { readDeleteOptions } from './request-options.ts';
import type { DeleteOptions } from './request-options.ts';
import type { ResourceType } from './objects/resources.ts';
import type { KubeObject, Version } from './objects/object-version.ts';
import type { WriteRequest } from './object-writes.ts';

interface Deleted {
  readonly version: Version;
  /** False while finalizers hold it. */
  readonly gone: boolean;
}

export class Deleter {
  readonly #store: ObjectStore;
  readonly #namespaces: Namespaces;
  readonly #later: Later;

  constructor(store: ObjectStore, namespaces: Namespaces, later: Later) {
    this.#store = store;
    this.#namespaces = namespaces;
    this.#later = later;
  }

  /** @throws ApiError 404, 409 when a precondition does not hold */
  delete(request: WriteRequest): Deleted {
    const options = readDeleteOptions(request.info, request.body, request.contentType);
    return this.#delete(request.type, request.info.namespace, request.info.name, options);
  }

  /** @throws ApiError 409 when a precondition does not hold */
  deleteAll({ info, type, body, contentType }: WriteRequest, versions: readonly Version[]): void {
    const options = readDeleteOptions(info, body, contentType);
    for (const { object } of versions) this.#delete(type, info.namespace, object.metadata.name, options);
  }

  #delete(type: ResourceType, namespace: string, name: string, options: DeleteOptions): Deleted {
    const { preconditions, dryRun, propagationPolicy } = options;
    const isNamespace = type.kind === 'Namespace';
    if (isNamespace) this.#namespaces.checkDelete(name);
    const collection = this.#store.collection(type.collection);
    const mark = isNamespace ? Namespaces.mark : undefined;
    const finalizers =
      propagationPolicy === undefined || isNamespace
        ? undefined
        : (held: readonly string[]) => [...held.filter((f) => !COLLECTORS.has(f)), ...FINALIZERS[propagationPolicy]];
    try {
      const deleted = collection.delete(namespace, name, preconditions, { dryRun, mark, finalizers });
      if (!dryRun) {
        if (isNamespace) this.#namespaces.terminate(name);
        else this.#namespaces.finishOne(namespace);
        if (!deleted.gone && !isNamespace) this.#later(COLLECT_MS, () => this.#release(collection, deleted.version));
      }
      return deleted;
    } catch (error) {
      if (error instanceof StoreError) throw refused(error, type, name, preconditions);
      throw error;
    }
  }

  #release(collection: Collection, { object: { metadata } }: Version): void {
    const found = collection.get(metadata.namespace, metadata.name)?.object;
    if (found?.metadata.uid !== metadata.uid) return;
    const finalizers = found?.metadata.finalizers?.filter((f) => !COLLECTORS.has(f));
    collection.replace({ ...found, metadata: { ...found?.metadata, finalizers } } as KubeObject);
    this.#namespaces.finishOne(metadata.namespace ?? '');
  }
}

const FINALIZERS: Readonly<Record<NonNullable<DeleteOptions['propagationPolicy']>, readonly string[]>> = {
  Background: [],
  Foreground: ['foregroundDeletion'],
  Orphan: ['orphan'],
};
/** Those that the garbage collector takes off. */
const COLLECTORS = new Set(Object.values(FINALIZERS).flat());
/** About what a garbage collector takes to look for dependents. */
const COLLECT_MS = 100;

function refused(error: StoreError, type: ResourceType, name: string, preconditions: Preconditions): ApiError {
  if (error.code === 'NotFound') return notFound(type, name);
  const uid = error.code === 'UidMismatch';
  const [field, asked, then] = uid
    ? ['UID', preconditions.uid, 'deleted and then recreated']
    : ['ResourceVersion', preconditions.resourceVersion, 'modified'];
  if (type.kind === 'Namespace') {
    const why = `Precondition failed: ${field} in precondition: ${asked}, ${field} in object meta: ${error.found}`;
    return conflict(type, name, why);
  }
  return preconditionFailed(
    type,
    name,
    `the ${field} in the precondition (${asked}) does not match the ${field} in record (${error.found}). ` +
      `The object might have been ${then}`,
  );
}
