/**
 * Creating, updating, patching and applying objects.
 *
 * Guarantees: nothing is stored that breaks a rule of its type; a write happens as a whole or not at all; with a dry run
 * everything is checked and answered as if, and nothing is stored. Every write records whose fields it set.
 */
import { ApplyError, managedByUpdate, serverSideApply } from './objects/managed-fields.ts';
import type { FieldConflict, FieldWriter } from './objects/managed-fields.ts';
import { StoreError } from './store/collection.ts';
import type { Collection } from './store/collection.ts';
import { decodeObject, mediaType, objectMediaType, parseBody } from './objects/object-body.ts';
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
  unprocessable,
  unsupportedMediaType,
} from './status-errors.ts';
import type { Namespaces } from './objects/namespaces.ts';
import type { ObjectStore } from './store/object-store.ts';
import { isVersion, writeOptions } from './request-options.ts';
import type { WriteOptions } from './request-options.ts';
import { PatchError, jsonPatch, mergePatch, strategicMergePatch } from './objects/patch.ts';
import type { ResourceType } from './objects/resources.ts';
import type { RequestInfo } from './routes.ts';
import { asText, isList, isObject } from './objects/schema.ts';
import type { Codec, Json } from './objects/schema.ts';
import { formatTime } from './objects/time-formats.ts';
import { validateMeta, validateMetaUpdate } from './objects/validation.ts';
import type { ObjectMeta } from './objects/validation.ts';
import type { KubeObject, Version } from './objects/object-version.ts';

export interface WriteRequest {
  readonly info: RequestInfo;
  readonly type: ResourceType;
  readonly contentType: string | undefined;
  readonly body: string;
  /** Whose the fields are that it sets, where the query does not say so. */
  readonly manager: string;
  /** To be sent to the client, also where the request is refused: added to. */
  readonly warnings: string[];
}

interface Written {
  readonly version: Version;
  readonly created: boolean;
}

/** A new object, and how it came to be. */
interface Draft extends Pick<Decoded, 'object'> {
  readonly options: WriteOptions;
  /** Left out when the object has its managed fields already. */
  readonly writer?: FieldWriter;
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
    const draft = this.#draft(request);
    adoptPath(draft.object.metadata, info, type);
    const { resourceVersion = '0' } = draft.object.metadata;
    if (isVersion(resourceVersion) && Number(resourceVersion) > 0 && !draft.options.dryRun) {
      throw internal('resourceVersion should not be set on objects to be created');
    }
    return this.#create(request, draft);
  }

  update(request: WriteRequest): Written {
    const { info, type } = request;
    const draft = this.#draft(request);
    const { metadata } = draft.object;
    adoptPath(metadata, info, type);
    const old = this.#collection(type).get(info.namespace, info.name);
    if (old === undefined || (metadata.uid !== undefined && metadata.uid !== old.object.metadata.uid)) {
      if (metadata.uid !== undefined) throw wrongUid(type, info, metadata.uid, old?.object.metadata.uid ?? '');
      if (!type.createOnUpdate || info.subresource !== '') throw notFound(type, info.name);
      checkNumber(metadata.resourceVersion);
      return this.#create(request, draft);
    }
    checkVersion(metadata, old.object.metadata, type, info);
    return this.#replace(request, old, draft);
  }

  patch(request: WriteRequest): Written {
    const { info, type } = request;
    const old = this.#collection(type).get(info.namespace, info.name);
    const draft =
      mediaType(request.contentType) === APPLY ? this.#applied(request, old?.object) : this.#patched(request, old);
    const { metadata } = draft.object;
    adoptPath(metadata, info, type);
    if (!old) {
      delete metadata.resourceVersion;
      return this.#create(request, draft);
    }
    checkVersion(metadata, old.object.metadata, type, info);
    return this.#replace(request, old, draft);
  }

  #draft(request: WriteRequest): Draft {
    const options = writeOptions(request.info);
    const media = objectMediaType(request.contentType);
    const { fieldValidation } = options;
    const body = parseBody(request.body, media, fieldValidation);
    const { object, warnings } = decodeObject(body, request.type, fieldValidation);
    request.warnings.push(...warnings);
    return { object, options, writer: this.#writer(request, options) };
  }

  #patched(request: WriteRequest, old: Version | undefined): Draft {
    const { info, type } = request;
    const media = mediaType(request.contentType);
    const patch = PATCHES.get(media);
    if (!patch) throw unsupportedMediaType([...PATCHES.keys(), APPLY].join(', '), {});
    const options = writeOptions(info);
    if (!old) throw notFound(type, info.name);
    const { value, duplicates } = parseBody(request.body, media, options.fieldValidation);
    const patched = { value: runPatch(patch, toJson(old.object, type), value, type.codec), duplicates };
    const strategic = patch === strategicMerge;
    const refuse = (why: string): ApiError =>
      invalid('', '', '', [invalidValue('patch', strategic ? inGo(value) : JSON.stringify(patched.value), why)]);
    const { object, warnings } = decodeObject(patched, type, options.fieldValidation, refuse, strategic);
    request.warnings.push(...warnings);
    return { object, options, writer: this.#writer(request, options) };
  }

  #applied(request: WriteRequest, live: KubeObject | undefined): Draft {
    const { info, type } = request;
    const options = writeOptions(info, true);
    const { value, duplicates } = parseBody(request.body, APPLY, options.fieldValidation);
    const config = value ?? {};
    if (!isObject(config)) throw badRequest('error decoding YAML: the body must be an object');
    const { metadata } = config;
    const [apiVersion, kind] = [asText(config['apiVersion']), asText(config['kind'])];
    if (apiVersion !== type.apiVersion || kind !== type.kind) {
      throw badRequest(`invalid object type: ${apiVersion || '/'}, Kind=${kind}`);
    }
    if (isObject(metadata) && (metadata['managedFields'] ?? undefined) !== undefined) {
      throw badRequest('metadata.managedFields must be nil');
    }
    let applied: ReturnType<typeof serverSideApply>;
    try {
      applied = serverSideApply(live, config, this.#writer(request, options), options.force);
    } catch (error) {
      if (error instanceof ApplyError) throw internal(error.message);
      throw error;
    }
    if (Array.isArray(applied)) throw applyConflict(applied as readonly FieldConflict[]);
    if (options.fieldValidation === 'Strict' && duplicates.length > 0) {
      throw badRequest(`error strict decoding YAML: ${duplicates.join(', ')}`);
    }
    const object = applied as KubeObject;
    // The path's counts only where it names what is there.
    object.metadata.name ??= '';
    request.warnings.push(...duplicates);
    return { object, options };
  }

  #writer({ info, type, manager }: WriteRequest, { fieldManager }: WriteOptions): FieldWriter {
    const { subresource } = info;
    return { type, subresource, manager: fieldManager || manager, time: formatTime(this.#store.now()) };
  }

  #create(request: WriteRequest, { object, options, writer }: Draft): Written {
    const { type, warnings } = request;
    const { metadata } = object;
    for (const field of SERVERS_OWN) delete metadata[field];
    if (metadata.name === '' && metadata.generateName !== undefined) {
      metadata.name = metadata.generateName.slice(0, MAX_GENERATED_PREFIX) + this.#suffix();
    }
    if (type.namespaced) this.#namespaces.admit(type, metadata.namespace as string, metadata.name);
    warnings.push(...withoutDuplicateOwners(request, metadata));
    if (writer) metadata.managedFields = managedByUpdate(undefined, object, writer);
    type.prepare(object as unknown as Json, undefined);
    const errors = [...validateMeta(metadata, type.nameRule), ...type.validate(object, undefined)];
    if (errors.length > 0) throw invalid(type.group, type.kind, metadata.name, errors);
    if (!options.dryRun) checkSize(request, object);
    try {
      return { version: this.#collection(type).create(object, options), created: true };
    } catch (error) {
      if (!(error instanceof StoreError) || error.code !== 'AlreadyExists') throw error;
      const there = this.#collection(type).get(metadata.namespace, metadata.name);
      throw alreadyExists(type, metadata.name, there?.object.metadata.deletionTimestamp !== undefined);
    }
  }

  #replace(request: WriteRequest, old: Version, { object, options, writer }: Draft): Written {
    const { info, type, warnings } = request;
    warnings.push(...withoutDuplicateOwners(request, object.metadata));
    if (writer) object.metadata.managedFields = managedByUpdate(old.object, object, writer);
    const next = withinSubresource(object, old.object, info.subresource, type);
    type.prepare(next as unknown as Json, old.object);
    const errors = [
      ...validateMetaUpdate(next.metadata, old.object.metadata),
      ...validateMeta(next.metadata, type.nameRule),
      ...type.validate(next, old.object),
    ];
    if (errors.length > 0) throw invalid(type.group, type.kind, info.name, errors);
    if (!options.dryRun) checkSize(request, next);
    const version = this.#collection(type).replace(next, {}, options);
    if (!options.dryRun) this.#namespaces.finishOne(type.namespaced ? info.namespace : info.name);
    return { version, created: false };
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

/** What a new object is not asked for. */
const SERVERS_OWN = ['uid', 'creationTimestamp', 'deletionTimestamp', 'deletionGracePeriodSeconds'] as const;
/** So that prefix and suffix stay within 63 characters, as Kubernetes cuts them. */
const MAX_GENERATED_PREFIX = 58;
/** Without vowels and look-alikes: no words come out by accident. */
const SUFFIX_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

/**
 * Makes the object the one of the path.
 * @throws ApiError 400 when it says to be another one
 */
function adoptPath(meta: ObjectMeta, info: RequestInfo, type: ResourceType): void {
  if (info.verb !== 'create') {
    if (meta.name === '') {
      throw badRequest(`the name of the object (${info.name} based on URL) was undeterminable: name must be provided`);
    }
    if (meta.name !== info.name) {
      throw badRequest(`the name of the object (${meta.name}) does not match the name on the URL (${info.name})`);
    }
  }
  if (!type.namespaced) {
    delete meta.namespace;
    return;
  }
  if ((meta.namespace ?? info.namespace) !== info.namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  meta.namespace = info.namespace;
}

/** @throws ApiError 409, 422, 500 for what is no version, as Kubernetes does */
function checkVersion(meta: ObjectMeta, old: ObjectMeta, type: ResourceType, info: RequestInfo): void {
  const { resourceVersion = '0' } = meta;
  checkNumber(resourceVersion);
  if (/^0+$/.test(resourceVersion)) {
    if (!type.unconditionalUpdate) {
      const error = invalidValue('metadata.resourceVersion', 0, 'must be specified for an update');
      throw invalid(type.group, type.resource, info.name, [error]);
    }
  } else if (resourceVersion.replace(/^0+/, '') !== old.resourceVersion) {
    throw conflict(type, info.name);
  }
}

/** @throws ApiError 500 */
function checkNumber(resourceVersion = '0'): void {
  if (isVersion(resourceVersion)) return;
  throw internal(`strconv.ParseUint: parsing ${JSON.stringify(resourceVersion)}: invalid syntax`);
}

/** Bytes that etcd takes in one request. */
const MAX_STORED = 1.5 * 1024 * 1024;

/** @throws ApiError 500 */
function checkSize({ body }: WriteRequest, object: KubeObject): void {
  // What is written again and again is small; many patches may add up.
  if (body.length < MAX_STORED / 8) return;
  if (Buffer.byteLength(JSON.stringify(object)) > MAX_STORED) throw internal('etcdserver: request is too large');
}

/** @returns a warning, where it dropped some */
function withoutDuplicateOwners({ info }: WriteRequest, meta: ObjectMeta): string[] {
  const { ownerReferences: owners = [] } = meta;
  const same = (i: number, other: (typeof owners)[number]): boolean =>
    JSON.stringify(owners[i]) === JSON.stringify(other);
  const dropped = owners.filter((owner, i) => owners.findIndex((_, j) => same(j, owner)) < i);
  if (dropped.length === 0) return [];
  meta.ownerReferences = owners.filter((owner, i) => owners.findIndex((_, j) => same(j, owner)) === i);
  const uids = [...new Set(dropped.map((owner) => owner.uid))].join(', ');
  return [
    `.metadata.ownerReferences contains duplicate entries${info.verb === 'patch' ? ' after mutating admission happens' : ''}; ` +
      'API server dedups owner references in 1.20+, and may reject ' +
      `such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${uids}`,
  ];
}

type Patch = (target: unknown, patch: unknown, codec: Codec) => unknown;

const mapOnly =
  (patch: Patch): Patch =>
  (target, body, codec) => {
    if (!isObject(body ?? {})) throw new PatchError('Malformed', 'the patch must be an object');
    return patch(target, body, codec);
  };

const strategicMerge = mapOnly((target, patch, codec) => strategicMergePatch(target, patch ?? {}, codec));

/** A value of JSON as Go prints it. */
function inGo(value: unknown): string {
  if (value === null || value === undefined) return '<nil>';
  if (isList(value)) return `[${value.map(inGo).join(' ')}]`;
  if (!isObject(value)) return String(value as string | number | boolean);
  const keys = Object.keys(value).sort();
  return `map[${keys.map((key) => `${key}:${inGo(value[key])}`).join(' ')}]`;
}

const PATCHES: ReadonlyMap<string, Patch> = new Map([
  ['application/json-patch+json', jsonPatch],
  ['application/merge-patch+json', mapOnly(mergePatch)],
  ['application/strategic-merge-patch+json', strategicMerge],
]);
const APPLY = 'application/apply-patch+yaml';

function runPatch(patch: Patch, current: unknown, body: unknown, codec: Codec): unknown {
  try {
    return patch(current, body, codec);
  } catch (error) {
    if (!(error instanceof PatchError)) throw error;
    if (error.code === 'Malformed') throw badRequest(`error decoding patch: ${error.message}`);
    throw error.code === 'Failed' ? unprocessable() : internal(error.message);
  }
}

/** The object as a client of this resource sees it. */
export const toJson = (object: KubeObject, type: ResourceType): Json => ({
  kind: type.kind,
  apiVersion: type.apiVersion,
  ...(type.show ? type.show(object) : object),
});

/** The fields that this path may write from the new object, the others from the old one. */
function withinSubresource(object: KubeObject, old: KubeObject, subresource: string, type: ResourceType): KubeObject {
  const next: Json = { ...object };
  for (const [other, field] of Object.entries(type.subresources)) {
    if (other !== subresource) next[field] = old[field];
  }
  if (subresource === 'status') next['spec'] = old['spec'];
  return next as unknown as KubeObject;
}

const wrongUid = (type: ResourceType, info: RequestInfo, asked: string, found: string): ApiError =>
  conflict(
    type,
    info.name,
    `StorageError: invalid object, Code: 4, Key: /registry/${type.collection}/${info.namespace}/${info.name}, ` +
      `ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${asked}, UID in object meta: ${found}`,
  );

function applyConflict(conflicts: readonly FieldConflict[]): ApiError {
  const causes = conflicts.map(({ field, manager }) => ({
    reason: 'FieldManagerConflict',
    message: `conflict with ${manager}`,
    field,
  }));
  const managers = [...new Set(conflicts.map(({ manager }) => manager))];
  const fieldsOf = (manager: string): string[] => conflicts.filter((c) => c.manager === manager).map((c) => c.field);
  const [only] = conflicts;
  const text =
    conflicts.length === 1
      ? `1 conflict: conflict with ${only?.manager}: ${only?.field}`
      : `${conflicts.length} conflicts: ` +
        managers.map((m) => [`conflicts with ${m}:`, ...fieldsOf(m).map((f) => `- ${f}`)].join('\n')).join('\n');
  return new ApiError(409, `Apply failed with ${text}`, { reason: 'Conflict', details: { causes } });
}
