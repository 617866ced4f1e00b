/**
 * Who calls, and whether they may: bearer tokens, and for each user a predicate over what is asked.
 *
 * Without tokens everybody may do everything. With them, anyone who brings none, or one that is not known, gets 401; what
 * the user's `allow` refuses gets 403, in Kubernetes' words.
 */
import { forbidden, unauthorized } from './status-errors.ts';
import type { RequestInfo, Verb } from './routes.ts';

/** What a request asks for, as RBAC sees it. */
export interface Attributes {
  readonly verb: Verb;
  readonly group: string;
  readonly resource: string;
  /** '' for the resource itself. */
  readonly subresource: string;
  /** '' over all namespaces. */
  readonly namespace: string;
  /** '' when no object is named: by the path, or by a field selector for `metadata.name`. */
  readonly name: string;
}

/** Who a token stands for. */
export interface User {
  readonly user: string;
  /** May this be done? Everything may when left out. */
  readonly allow?: (attributes: Attributes) => boolean;
}

/** By token. Looked at for every request, so a test may add and remove tokens while the server runs. */
export type Tokens = ReadonlyMap<string, User> | Readonly<Record<string, User>>;

const OPEN_TO_ALL = new Set(['/livez', '/readyz', '/healthz', '/version']);

const lookUp = (tokens: Tokens, token: string): User | undefined =>
  tokens instanceof Map
    ? (tokens.get(token) as User | undefined)
    : Object.hasOwn(tokens, token)
      ? (tokens as Record<string, User>)[token]
      : undefined;

/** @throws ApiError 401, 403 */
export function authorize(tokens: Tokens, header: string | undefined, info: RequestInfo): void {
  const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
  const user = token === undefined ? undefined : lookUp(tokens, token);
  if (!user) {
    if (header === undefined && OPEN_TO_ALL.has(info.path)) return;
    throw unauthorized();
  }
  const { verb, type, group, resource, subresource, namespace, query } = info;
  const name = info.name || (/(?:^|,)metadata\.name==?([^,]*)/.exec(query.get('fieldSelector') ?? '')?.[1] ?? '');
  if (!verb || !type || !user.allow || user.allow({ verb, group, resource, subresource, namespace, name })) return;
  const where = namespace === '' ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const what = subresource === '' ? resource : `${resource}/${subresource}`;
  throw forbidden(type, name, `User "${user.user}" cannot ${verb} resource "${what}" in API group "${group}" ${where}`);
}

/** The first token there is: for a kubeconfig. */
export function firstToken(tokens: Tokens): string | undefined {
  const keys: Iterable<string> =
    tokens instanceof Map ? (tokens as ReadonlyMap<string, User>).keys() : Object.keys(tokens);
  for (const token of keys) return token;
  return undefined;
}
