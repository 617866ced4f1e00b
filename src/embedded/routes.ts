/**
 * What a request is about, from its method and URL alone.
 *
 * Guarantees: never throws for what a client may send but ApiError (400 for a malformed escape, or an empty name; 405 for a
 * POST to that); the same words (verb,
 * group, resource, …) serve authorization, metrics, faults and the handler.
 */
import { badRequest, methodNotAllowed } from './status-errors.ts';
import { RESOURCES } from './objects/resources.ts';
import type { ResourceType } from './objects/resources.ts';

/** What RBAC calls it. */
export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

export interface RequestInfo {
  readonly method: string;
  /** Without the query, decoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Undefined where the method does not fit the path, and outside resources. */
  readonly verb: Verb | undefined;
  /** Undefined for what is no resource that is served. */
  readonly type: ResourceType | undefined;
  readonly group: string;
  /** '' when the path names no resource. */
  readonly resource: string;
  readonly subresource: string;
  /** '' over all namespaces, or for what has none. */
  readonly namespace: string;
  readonly name: string;
}

const NO_QUERY = new URLSearchParams();
const BY_PATH = new Map(RESOURCES.map((type) => [`${type.group}/${type.version}/${type.resource}`, type]));

export function requestInfo(method: string, url: string): RequestInfo {
  const mark = url.indexOf('?');
  const written = mark < 0 ? url : url.slice(0, mark);
  // As a whole, before it is split: %2F parts a path as a slash does.
  const path = written.includes('%') ? decode(written) : written;
  const query = mark < 0 ? NO_QUERY : new URLSearchParams(url.slice(mark + 1));
  const parts = path.split('/').slice(1);
  const none = { method, path, query, verb: undefined, type: undefined, group: '', resource: '', subresource: '' };
  const plain = { ...none, namespace: '', name: '' };
  const core = parts[0] === 'api';
  if (!core && parts[0] !== 'apis') return plain;
  const group = core ? '' : (parts[1] ?? '');
  const version = parts[core ? 1 : 2] ?? '';
  let rest = parts.slice(core ? 2 : 3);
  if (rest.length === 0 || rest[0] === '') return { ...plain, group };
  // The older form of a watch: /watch/ before the resource.
  const legacyWatch = rest[0] === 'watch' && rest.length > 1;
  if (legacyWatch) rest = rest.slice(1);
  let namespace = '';
  if (rest[0] === 'namespaces' && rest.length > 2 && !NAMESPACE_SUBRESOURCES.has(rest[2] as string)) {
    namespace = rest[1] as string;
    rest = rest.slice(2);
  }
  const [resource = '', name = '', subresource = '', ...more] = rest;
  const found = BY_PATH.get(`${group}/${version}/${resource}`);
  const fits =
    found &&
    more.length === 0 &&
    (found.namespaced || namespace === '') &&
    (subresource === '' || Object.hasOwn(found.subresources, subresource));
  if (fits && name === '' && rest.length === 2 && (namespace !== '' || !found.namespaced)) {
    throw method === 'POST' ? methodNotAllowed() : badRequest('name may not be empty');
  }
  // A slash too many names nothing.
  const type = fits && (rest.at(-1) as string) !== '' ? found : undefined;
  const about = { method, path, query, type, group, resource, subresource, namespace, name };
  return { ...about, verb: type && verbOf(about, type, legacyWatch) };
}

const NAMESPACE_SUBRESOURCES = new Set(['status', 'finalize']);

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badRequest(`malformed escape in ${JSON.stringify(text)}`);
  }
}

/** A flag of a query: given, and neither `0` nor `false`. */
export const isTrue = (text: string | null): boolean => text !== null && text !== '0' && text.toLowerCase() !== 'false';

function verbOf(
  about: Pick<RequestInfo, 'method' | 'query' | 'name' | 'subresource' | 'namespace'>,
  type: ResourceType,
  legacyWatch: boolean,
): Verb | undefined {
  const { method, name, subresource } = about;
  const everywhere = type.namespaced && about.namespace === '';
  if (name !== '' && everywhere) return undefined;
  if (method === 'GET') {
    if (legacyWatch || (name === '' && isTrue(about.query.get('watch')))) return 'watch';
    return name === '' ? 'list' : 'get';
  }
  if (legacyWatch) return undefined;
  if (name === '') {
    if (everywhere) return undefined;
    return method === 'POST'
      ? 'create'
      : method === 'DELETE' && type.deletesCollections
        ? 'deletecollection'
        : undefined;
  }
  if (method === 'PUT') return 'update';
  if (method === 'PATCH' && subresource !== 'finalize') return 'patch';
  return method === 'DELETE' && subresource === '' ? 'delete' : undefined;
}
