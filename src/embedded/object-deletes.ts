/** Deleting objects: preconditions, finalizers, collections. */
import type { Preconditions } from './store/collection.ts';
import { badRequest, notFound, preconditionFailed } from './status-errors.ts';
import type { ApiError } from './status-errors.ts';
import { Namespaces } from './objects/namespaces.ts';
import { BODY_TYPES, mediaType, parseBody } from './negotiate.ts';
import { unsupportedMediaType } from './status-errors.ts';
import type { ObjectStore } from './store/object-store.ts';
import { checkDryRun, listOptions, selection, writeOptions } from './request-options.ts';
import type { ResourceType } from './objects/resources.ts';
import type { RequestInfo } from './routes.ts';
import { DecodeContext, DecodeError, boolean, int64, isObject, list, string, struct } from './objects/schema.ts';
import { StoreError } from './store/collection.ts';
import type { Version } from './objects/object-version.ts';
import type { WriteRequest } from './object-writes.ts';

export interface Deleted {
  readonly version: Version;
  /** False while finalizers hold it. */
  readonly gone: boolean;
}

const deleteOptions = struct({
  kind: string,
  apiVersion: string,
  gracePeriodSeconds: int64,
  preconditions: struct({ uid: string, resourceVersion: string }),
  orphanDependents: boolean,
  propagationPolicy: string,
  dryRun: list(string),
  ignoreStoreReadErrorWithClusterBreakingPotential: boolean,
});

interface Options {
  readonly preconditions: Preconditions;
  readonly dryRun: boolean;
}

export class Deleter {
  readonly #store: ObjectStore;
  readonly #namespaces: Namespaces;

  constructor(store: ObjectStore, namespaces: Namespaces) {
    this.#store = store;
    this.#namespaces = namespaces;
  }

  /** @throws ApiError 404, 409 when a precondition does not hold */
  delete(request: WriteRequest): Deleted {
    const options = readOptions(request);
    return this.#delete(request.type, request.info.namespace, request.info.name, options);
  }

  /** Deletes what a list with the same query would show. Answers the objects as they were. */
  deleteCollection(request: WriteRequest): Version[] {
    const { info, type } = request;
    const options = readOptions(request);
    const { limit } = listOptions(info);
    const { matches } = selection(info, type);
    const { versions } = this.#store.collection(type.collection).list({ namespace: info.namespace, matches, limit });
    for (const { object } of versions) this.#delete(type, info.namespace, object.metadata.name, options);
    return versions;
  }

  #delete(type: ResourceType, namespace: string, name: string, { preconditions, dryRun }: Options): Deleted {
    const isNamespace = type.kind === 'Namespace';
    if (isNamespace) this.#namespaces.checkDelete(name);
    const collection = this.#store.collection(type.collection);
    const mark = isNamespace ? Namespaces.mark : undefined;
    try {
      const deleted = collection.delete(namespace, name, preconditions, { dryRun, mark });
      if (!dryRun) {
        if (isNamespace) this.#namespaces.terminate(name);
        else this.#namespaces.finishOne(namespace);
      }
      return deleted;
    } catch (error) {
      if (error instanceof StoreError) throw refused(error, type, name, preconditions);
      throw error;
    }
  }
}

function refused(error: StoreError, type: ResourceType, name: string, preconditions: Preconditions): ApiError {
  if (error.code === 'NotFound') return notFound(type, name);
  const uid = error.code === 'UidMismatch';
  const [field, asked, then] = uid
    ? ['UID', preconditions.uid, 'deleted and then recreated']
    : ['ResourceVersion', preconditions.resourceVersion, 'modified'];
  return preconditionFailed(
    type,
    name,
    `the ${field} in the precondition (${asked}) does not match the ${field} in record (${error.found}). ` +
      `The object might have been ${then}`,
  );
}

function readOptions({
  info,
  body,
  contentType,
}: {
  info: RequestInfo;
  body: string;
  contentType: string | undefined;
}): Options {
  const { dryRun } = writeOptions(info);
  if (body === '') return { preconditions: {}, dryRun };
  const media = mediaType(contentType) || 'application/json';
  if (media !== 'application/json' && media !== 'application/yaml') throw unsupportedMediaType(BODY_TYPES.join(', '));
  const parsed = parseBody(body, media);
  if (!isObject(parsed)) throw badRequest('the body must be DeleteOptions');
  try {
    const options = deleteOptions(parsed, new DecodeContext()) as {
      preconditions?: Preconditions;
      dryRun?: string[];
      kind?: string;
    };
    if ((options.kind ?? 'DeleteOptions') !== 'DeleteOptions') throw badRequest(`${options.kind} is no DeleteOptions`);
    checkDryRun('DeleteOptions', options.dryRun ?? []);
    return { preconditions: options.preconditions ?? {}, dryRun: dryRun || (options.dryRun?.length ?? 0) > 0 };
  } catch (error) {
    if (error instanceof DecodeError) throw badRequest(error.message);
    throw error;
  }
}
