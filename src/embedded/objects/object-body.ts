/** A request's body as an object of its resource. */
import { badRequest } from '../status-errors.ts';
import type { RequestInfo } from '../routes.ts';
import type { ResourceType } from './resources.ts';
import { DecodeContext, DecodeError } from './schema.ts';
import type { Json } from './schema.ts';
import type { ObjectMeta } from './validation.ts';
import type { KubeObject } from './object-version.ts';

export interface Decoded {
  /** In the form that is stored, without kind and apiVersion. The caller's own: not stored yet. */
  readonly object: KubeObject;
  /** To be told to the client: the fields that were dropped. */
  readonly warnings: readonly string[];
}

/**
 * @throws ApiError 400: of another kind or version, a field of a wrong type, an unknown field under `Strict`
 */
export function decodeObject(body: Json, type: ResourceType, validation: 'Ignore' | 'Warn' | 'Strict'): Decoded {
  const { kind, apiVersion } = body;
  if ((kind ?? type.kind) !== type.kind || (apiVersion ?? type.apiVersion) !== type.apiVersion) {
    throw badRequest(
      `${String(kind)} in version ${JSON.stringify(apiVersion)} cannot be handled as a ${type.kind}: ` +
        `the resource is ${type.kind} in version "${type.apiVersion}"`,
    );
  }
  const context = new DecodeContext();
  let decoded: Json;
  try {
    decoded = type.codec(body, context) as Json;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw badRequest(`${type.kind} in version "${type.version}" cannot be handled as a ${type.kind}: ${error.message}`);
  }
  const warnings = validation === 'Ignore' ? [] : context.unknown.map((field) => `unknown field "${field}"`);
  if (validation === 'Strict' && warnings.length > 0) {
    throw badRequest(`strict decoding error: ${warnings.join(', ')}`);
  }
  const { kind: _kind, apiVersion: _version, metadata = {}, ...rest } = decoded;
  (metadata as Json)['name'] ??= '';
  const shown: Json = { metadata, ...rest };
  return { object: (type.store ? type.store(shown) : shown) as unknown as KubeObject, warnings };
}

/**
 * Makes the object the one of the path.
 * @throws ApiError 400 when it says to be another one
 */
export function adoptPath(meta: ObjectMeta, info: RequestInfo, type: ResourceType): void {
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
