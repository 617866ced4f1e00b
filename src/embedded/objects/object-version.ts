/**
 * One state of one object, and one change from state to state. Immutable: a Version and all in it is never changed
 * once it is stored, so that it may be shared with every reader.
 */
import type { Json } from './schema.ts';
import type { ObjectMeta } from './validation.ts';

/** An object as stored: without kind and apiVersion, which belong to the version it is shown in. */
export interface KubeObject {
  readonly metadata: ObjectMeta;
  readonly [field: string]: unknown;
}

/** One state of one object. Immutable. */
export class Version {
  readonly key: string;
  readonly revision: number;
  readonly object: KubeObject;
  #text: string | undefined;

  constructor(key: string, revision: number, object: KubeObject, text?: string) {
    this.key = key;
    this.revision = revision;
    this.object = object;
    this.#text = text;
  }

  /** JSON of the object without its opening brace, made once: a prefix may be put before it. */
  get text(): string {
    return (this.#text ??= JSON.stringify(this.object).slice(1));
  }
}

/** One change. `version` is the new state; of a deletion the last one, at the deletion's revision. */
export interface Change {
  readonly type: 'added' | 'modified' | 'deleted';
  readonly revision: number;
  readonly version: Version;
  readonly previous: Version | undefined;
  /** What watchers made of it, to be shared between them. */
  readonly encoded: Map<string, Uint8Array>;
}

/** The same state under another revision. */
export function atRevision(version: Version, revision: number): Version {
  const { object } = version;
  return new Version(version.key, revision, {
    ...object,
    metadata: { ...object.metadata, resourceVersion: String(revision) },
  });
}

export const keyOf = (namespace: string | undefined, name: string): string => `${namespace ?? ''}/${name}`;

/** Copies what clients may set. */
export function copyRest(target: ObjectMeta, from: ObjectMeta): void {
  if (from.labels !== undefined) target.labels = from.labels;
  if (from.annotations !== undefined) target.annotations = from.annotations;
  if (from.ownerReferences !== undefined) target.ownerReferences = from.ownerReferences;
  if (from.finalizers !== undefined && from.finalizers.length > 0) target.finalizers = from.finalizers;
  if (from.managedFields !== undefined && from.managedFields.length > 0) target.managedFields = from.managedFields;
}

export function pick(meta: ObjectMeta, fields: readonly (keyof ObjectMeta)[]): ObjectMeta {
  const out: Json = {};
  for (const field of fields) if (meta[field] !== undefined) out[field] = meta[field];
  return out as unknown as ObjectMeta;
}

/** True while something still has to be done before the object may go: finalizers, a namespace's own among them. */
export function isHeld(object: KubeObject): boolean {
  if ((object.metadata.finalizers?.length ?? 0) > 0) return true;
  const own = (object['spec'] as { finalizers?: unknown } | undefined)?.finalizers;
  return Array.isArray(own) && own.length > 0;
}
