/**
 * Creating, updating and patching objects.
 *
 * Guarantees: nothing is stored that breaks a rule of its type; a write happens as a whole or not at all; with a dry run
 * everything is checked and answered as if, and nothing is stored.
 */
import { serverSideApply } from './objects/apply.ts';
import type { Collection } from './store/collection.ts';
import { adoptPath, decodeObject } from './objects/object-body.ts';
import type { Decoded } from './objects/object-body.ts';
import {
  ApiError,
  alreadyExists,
  badRequest,
  conflict,
  internal,
  invalid,
  invalidValue,
  notFound,
  unsupportedMediaType,
} from './status-errors.ts';
import type { Namespaces } from './objects/namespaces.ts';
import { mediaType, parseBody, parseObject } from './negotiate.ts';
import type { ObjectStore } from './store/object-store.ts';
import { writeOptions } from './request-options.ts';
import type { WriteOptions } from './request-options.ts';
import { PatchError, jsonPatch, mergePatch, strategicMergePatch } from './objects/patch.ts';
import type { ResourceType } from './objects/resources.ts';
import type { RequestInfo } from './routes.ts';
import { isObject } from './objects/schema.ts';
import type { Json } from './objects/schema.ts';
import { StoreError } from './store/collection.ts';
import { formatTime } from './objects/time-formats.ts';
import { validateMeta, validateMetaUpdate } from './objects/validation.ts';
import type { KubeObject, Version } from './objects/object-version.ts';

export interface WriteRequest {
  readonly info: RequestInfo;
  readonly type: ResourceType;
  readonly contentType: string | undefined;
  readonly body: string;
  /** Who writes, where nothing else says so. */
  readonly manager: string;
}

export interface Written {
  readonly version: Version;
  readonly created: boolean;
  readonly warnings: readonly string[];
}

export class Writer {
  readonly #store: ObjectStore;
  readonly #namespaces: Namespaces;
  readonly #random: () => number;

  constructor(store: ObjectStore, namespaces: Namespaces, random: () => number) {
    this.#store = store;
    this.#namespaces = namespaces;
    this.#random = random;
  }

  create(request: WriteRequest): Written {
    const { info, type } = request;
    const options = writeOptions(info);
    const decoded = decodeObject(parseObject(request.body, request.contentType), type, options.fieldValidation);
    adoptPath(decoded.object.metadata, info, type);
    if (decoded.object.metadata.resourceVersion !== undefined) {
      throw internal('resourceVersion should not be set on objects to be created');
    }
    return this.#create(decoded, type, options);
  }

  update(request: WriteRequest): Written {
    const { info, type } = request;
    const options = writeOptions(info);
    const decoded = decodeObject(parseObject(request.body, request.contentType), type, options.fieldValidation);
    const { metadata } = decoded.object;
    adoptPath(metadata, info, type);
    const old = this.#collection(type).get(info.namespace, info.name);
    if (old === undefined || (metadata.uid !== undefined && metadata.uid !== old.object.metadata.uid)) {
      if (metadata.uid !== undefined) throw wrongUid(type, info, metadata.uid, old?.object.metadata.uid ?? '');
      if (!type.createOnUpdate || info.subresource !== '') throw notFound(type, info.name);
      return this.#create(decoded, type, options);
    }
    const { resourceVersion = '0' } = metadata;
    if (resourceVersion === '0') {
      if (!type.unconditionalUpdate) {
        const error = invalidValue('metadata.resourceVersion', 0, 'must be specified for an update');
        throw invalid(type.group, type.resource, info.name, [error]);
      }
    } else if (resourceVersion !== old.object.metadata.resourceVersion) {
      if (!/^\d+$/.test(resourceVersion))
        throw badRequest(`invalid resource version ${JSON.stringify(resourceVersion)}`);
      throw conflict(type, info.name);
    }
    return this.#replace(request, old, decoded, options);
  }

  patch(request: WriteRequest): Written {
    const { info, type } = request;
    const media = mediaType(request.contentType);
    const apply = media === 'application/apply-patch+yaml';
    const patch = PATCHES.get(media);
    if (!patch && !apply) {
      throw unsupportedMediaType([...PATCHES.keys(), 'application/apply-patch+yaml'].join(', '), {});
    }
    const options = writeOptions(info);
    const body = parseBody(request.body, media);
    const old = this.#collection(type).get(info.namespace, info.name);
    if (!old && !apply) throw notFound(type, info.name);
    const current = old && toJson(old.object, type);
    const patched = patch ? runPatch(patch, current, body) : this.#apply(request, current, body);
    const decoded = decodeObject(patched, type, options.fieldValidation);
    const { metadata } = decoded.object;
    adoptPath(metadata, info, type);
    if (!old) {
      delete metadata.resourceVersion;
      return this.#create(decoded, type, options);
    }
    const { resourceVersion } = metadata;
    if (resourceVersion !== undefined && resourceVersion !== old.object.metadata.resourceVersion) {
      throw conflict(type, info.name);
    }
    return this.#replace(request, old, decoded, options);
  }

  #apply({ info, type, manager }: WriteRequest, current: Json | undefined, body: unknown): Json {
    if (!isObject(body)) throw badRequest('the applied configuration must be an object');
    const owner = info.query.get('fieldManager') ?? '';
    if (owner === '') throw badRequest('PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value');
    const { object, conflicts } = serverSideApply(current, body, {
      manager: owner || manager,
      apiVersion: type.apiVersion,
      force: info.query.get('force') === 'true',
      time: formatTime(this.#store.now()),
    });
    if (conflicts.length > 0) throw applyConflict(conflicts);
    return {
      ...object,
      kind: body['kind'],
      apiVersion: body['apiVersion'],
      metadata: {
        ...(object['metadata'] as Json),
        name: (isObject(body['metadata']) && body['metadata']['name']) || info.name,
      },
    };
  }

  #create({ object, warnings }: Decoded, type: ResourceType, options: WriteOptions): Written {
    const { metadata } = object;
    if (metadata.name === '' && metadata.generateName !== undefined) {
      metadata.name = metadata.generateName.slice(0, MAX_GENERATED_PREFIX) + this.#suffix();
    }
    if (type.namespaced) this.#namespaces.admit(type, metadata.namespace as string, metadata.name);
    type.prepare(object as unknown as Json);
    const errors = [...validateMeta(metadata, type.nameRule), ...type.validate(object)];
    if (errors.length > 0) throw invalid(type.group, type.kind, metadata.name, errors);
    try {
      return { version: this.#collection(type).create(object, options), created: true, warnings };
    } catch (error) {
      if (error instanceof StoreError && error.code === 'AlreadyExists') throw alreadyExists(type, metadata.name);
      throw error;
    }
  }

  #replace(request: WriteRequest, old: Version, { object, warnings }: Decoded, options: WriteOptions): Written {
    const { info, type } = request;
    const next = withinSubresource(object, old.object, info.subresource, type);
    type.prepare(next as unknown as Json);
    const errors = [
      ...validateMetaUpdate(next.metadata, old.object.metadata),
      ...validateMeta(next.metadata, type.nameRule),
      ...type.validate(next),
    ];
    if (errors.length > 0) throw invalid(type.group, type.kind, info.name, errors);
    const version = this.#collection(type).replace(next, {}, options);
    if (!options.dryRun) this.#namespaces.finishOne(type.namespaced ? info.namespace : info.name);
    return { version, created: false, warnings };
  }

  #collection(type: ResourceType): Collection {
    return this.#store.collection(type.collection);
  }

  #suffix(): string {
    let out = '';
    for (let i = 0; i < 5; i++) out += SUFFIX_LETTERS[Math.floor(this.#random() * SUFFIX_LETTERS.length)];
    return out;
  }
}

/** So that prefix and suffix stay within 63 characters, as Kubernetes cuts them. */
const MAX_GENERATED_PREFIX = 58;
/** Without vowels and look-alikes: no words come out by accident. */
const SUFFIX_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

type Patch = (target: unknown, patch: unknown) => unknown;

const mapOnly =
  (patch: Patch): Patch =>
  (target, body) => {
    if (!isObject(body)) throw new PatchError('Malformed', 'the patch must be an object');
    return patch(target, body);
  };

const PATCHES: ReadonlyMap<string, Patch> = new Map([
  ['application/json-patch+json', jsonPatch],
  ['application/merge-patch+json', mapOnly(mergePatch)],
  ['application/strategic-merge-patch+json', mapOnly(strategicMergePatch)],
]);

function runPatch(patch: Patch, current: unknown, body: unknown): Json {
  try {
    const patched = patch(current, body);
    if (!isObject(patched)) throw new PatchError('Failed', 'the patched document is no object');
    return patched;
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    if (error.code === 'Malformed') throw badRequest(`error decoding patch: ${error.message}`);
    throw new ApiError(422, 'the server rejected our request due to an error in our request', {
      reason: 'Invalid',
      details: {},
    });
  }
}

/** The object as a client of this resource sees it. */
export const toJson = (object: KubeObject, type: ResourceType): Json => ({
  kind: type.kind,
  apiVersion: type.apiVersion,
  ...(type.show ? type.show(object) : object),
});

/** The part of the new object that this path may write, the rest from the old one. */
function withinSubresource(object: KubeObject, old: KubeObject, subresource: string, type: ResourceType): KubeObject {
  if (!type.statusSubresource) return object;
  if (subresource === '') return { ...object, status: old['status'] };
  if (subresource === 'status') return { ...object, spec: old['spec'] };
  return { ...old, metadata: { ...old.metadata }, spec: object['spec'] };
}

const wrongUid = (type: ResourceType, info: RequestInfo, asked: string, found: string): ApiError =>
  conflict(
    type,
    info.name,
    `StorageError: invalid object, Code: 4, Key: /registry/${type.collection}/${info.namespace}/${info.name}, ` +
      `ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${asked}, UID in object meta: ${found}`,
  );

function applyConflict(conflicts: readonly { field: string; manager: string }[]): ApiError {
  const causes = conflicts.map(({ field, manager }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with "${manager}"`,
    field,
  }));
  const told = conflicts.map(({ field, manager }) => `conflict with "${manager}": ${field}`).join(', ');
  return new ApiError(
    409,
    `Apply failed with ${conflicts.length} conflict${conflicts.length > 1 ? 's' : ''}: ${told}`,
    {
      reason: 'Conflict',
      details: { causes },
    },
  );
}
