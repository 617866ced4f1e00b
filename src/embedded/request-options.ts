/** The options that requests carry in their query, checked as Kubernetes checks them. */
import { ApiError, badRequest, expired, forbiddenValue, internal, invalid, unsupportedValue } from './status-errors.ts';
import type { FieldError } from './status-errors.ts';
import type { ResourceType } from './objects/resources.ts';
import { isTrue } from './routes.ts';
import type { RequestInfo } from './routes.ts';
import { SelectorError, matchesFields, parseFieldSelector, parseLabelSelector } from './store/selectors.ts';
import type { KubeObject } from './objects/object-version.ts';

const OPTIONS_KIND: Readonly<Record<string, string>> = {
  create: 'CreateOptions',
  update: 'UpdateOptions',
  patch: 'PatchOptions',
  delete: 'DeleteOptions',
  deletecollection: 'DeleteOptions',
};

const refuse = (kind: string, error: FieldError): ApiError => invalid('meta.k8s.io', kind, '', [error]);

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldValidation: 'Ignore' | 'Warn' | 'Strict';
}

const FIELD_VALIDATIONS = ['Ignore', 'Strict', 'Warn'] as const;

/** @throws ApiError 422 */
export function writeOptions(info: RequestInfo): WriteOptions {
  const kind = OPTIONS_KIND[info.verb ?? ''] ?? 'UpdateOptions';
  const dryRun = info.query.getAll('dryRun').filter((v) => v !== '');
  checkDryRun(kind, dryRun);
  const asked = info.query.get('fieldValidation') || 'Warn';
  const fieldValidation = FIELD_VALIDATIONS.find((v) => v === asked);
  if (!fieldValidation) throw refuse(kind, unsupportedValue('fieldValidation', asked, FIELD_VALIDATIONS));
  return { dryRun: dryRun.length > 0, fieldValidation };
}

/** @throws ApiError 422 */
export function checkDryRun(kind: string, values: readonly unknown[]): void {
  if (values.some((v) => v !== 'All')) throw refuse(kind, unsupportedValue('dryRun', values, ['All']));
}

export interface Selection {
  /** Undefined when everything matches. */
  readonly matches: ((object: KubeObject) => boolean) | undefined;
  /** The one name, or namespace, that can match. */
  readonly name: string | undefined;
  readonly namespace: string | undefined;
  readonly selective: boolean;
}

const NO_LABELS = {};

/** @throws ApiError 400 */
export function selection(info: RequestInfo, type: ResourceType): Selection {
  const labelText = info.query.get('labelSelector') ?? '';
  const fieldText = info.query.get('fieldSelector') ?? '';
  try {
    const labels = parseLabelSelector(labelText);
    const supported = ['metadata.name', ...(type.namespaced ? ['metadata.namespace'] : []), ...type.fields];
    const fields = parseFieldSelector(fieldText, supported);
    const valueOf = (object: KubeObject, field: string): string => {
      if (field === 'metadata.name') return object.metadata.name;
      return field === 'metadata.namespace' ? (object.metadata.namespace ?? '') : type.fieldValue(object, field);
    };
    const one = (field: string): string | undefined => fields.find((f) => f.field === field && f.equal)?.value;
    const matches =
      labels === undefined && fields.length === 0
        ? undefined
        : (object: KubeObject): boolean =>
            (labels === undefined || labels(object.metadata.labels ?? NO_LABELS)) &&
            (fields.length === 0 ||
              matchesFields(fields, Object.fromEntries(fields.map((f) => [f.field, valueOf(object, f.field)]))));
    return {
      matches,
      name: one('metadata.name'),
      namespace: one('metadata.namespace'),
      selective: matches !== undefined,
    };
  } catch (error) {
    if (error instanceof SelectorError) throw badRequest(error.message);
    throw error;
  }
}

export interface ListOptions {
  readonly limit: number;
  readonly continue: ContinueToken | undefined;
  /** '' when not given. */
  readonly resourceVersion: string;
  readonly exact: boolean;
}

export interface ContinueToken {
  /** -1 for whatever is there now. */
  readonly revision: number;
  readonly after: string;
}

/** @throws ApiError 400, 422 */
export function listOptions(info: RequestInfo): ListOptions {
  const { query } = info;
  const limit = numberOf(query.get('limit'), 'limit');
  const resourceVersion = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  const token = query.get('continue') ?? '';
  if (isTrue(query.get('sendInitialEvents'))) {
    throw refuse('ListOptions', forbiddenValue('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  }
  if (match !== '') {
    const why =
      resourceVersion === '' && token === ''
        ? 'resourceVersionMatch is forbidden unless resourceVersion is provided'
        : token !== ''
          ? 'resourceVersionMatch is forbidden when continue is provided'
          : match === 'Exact' && resourceVersion === '0'
            ? 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
            : undefined;
    if (why !== undefined) throw refuse('ListOptions', forbiddenValue('resourceVersionMatch', why));
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      throw refuse('ListOptions', unsupportedValue('resourceVersionMatch', match, ['Exact', 'NotOlderThan', '']));
    }
  }
  if (!/^\d*$/.test(resourceVersion)) throw badRequest(`invalid resource version ${JSON.stringify(resourceVersion)}`);
  if (token !== '' && resourceVersion !== '' && resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  return { limit, continue: token === '' ? undefined : readToken(token), resourceVersion, exact: match === 'Exact' };
}

function numberOf(text: string | null, name: string): number {
  if (text === null || text === '') return 0;
  if (!/^[+-]?\d+$/.test(text)) throw badRequest(`${name}: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Math.max(0, Number(text));
}

export const writeToken = (token: ContinueToken): string =>
  Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: token.revision, start: token.after })).toString('base64url');

function readToken(text: string): ContinueToken {
  try {
    const { v, rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>;
    if (v === 'meta.k8s.io/v1' && typeof rv === 'number' && typeof start === 'string')
      return { revision: rv, after: start };
  } catch {
    // No JSON: refused below like any other token that is not ours.
  }
  throw badRequest('invalid continue token: continue key is not valid');
}

/** 410 for a page whose version is gone; the token in it leads on from there, in the present. */
export const continueExpired = (token: ContinueToken): ApiError =>
  expired(
    'The provided continue parameter is too old to display a consistent list result. You can start a new list without ' +
      'the continue parameter, or use the continue token in this response to retrieve the remainder of the results. ' +
      'Continuing with the provided token results in an inconsistent list - objects that were created, modified, or ' +
      'deleted between the time the first chunk was returned and now may show up in the list.',
    writeToken({ revision: -1, after: token.after }),
  );

/** 504: the client has seen a version that this server has not (yet). */
export const versionTooLarge = (asked: number, current: number): ApiError =>
  new ApiError(504, `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    reason: 'Timeout',
    details: {
      causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
      retryAfterSeconds: 1,
    },
  });

export interface WatchQuery {
  /** Undefined: begin with what is there now. */
  readonly from: number | undefined;
  readonly bookmarks: boolean;
  readonly markInitialEnd: boolean;
  /** Milliseconds; undefined when the client leaves it to the server. */
  readonly timeoutMs: number | undefined;
}

/** @throws ApiError 400, 422, 500 (for a bad version, as Kubernetes does) */
export function watchOptions(info: RequestInfo): WatchQuery {
  const { query } = info;
  const version = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  const initial = query.get('sendInitialEvents');
  if (initial === null && match !== '') {
    const why = 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided';
    throw refuse('ListOptions', forbiddenValue('resourceVersionMatch', why));
  }
  if (initial !== null && match !== 'NotOlderThan') {
    const why = 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
    throw refuse('ListOptions', forbiddenValue('resourceVersionMatch', why));
  }
  if (!/^\d*$/.test(version)) throw internal(`strconv.ParseUint: parsing ${JSON.stringify(version)}: invalid syntax`);
  const fromNow = version === '' || version === '0';
  const wantsInitial = initial === null ? fromNow : isTrue(initial);
  const seconds = numberOf(query.get('timeoutSeconds'), 'timeoutSeconds');
  const bookmarks = isTrue(query.get('allowWatchBookmarks'));
  return {
    from: wantsInitial ? undefined : fromNow ? Infinity : Number(version),
    bookmarks,
    markInitialEnd: bookmarks && isTrue(initial),
    timeoutMs: seconds === 0 ? undefined : seconds * 1000,
  };
}
