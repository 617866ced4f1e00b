/** The options that requests carry in their query, checked as Kubernetes checks them. */
import {
  ApiError,
  badRequest,
  expired,
  forbiddenValue,
  internal,
  invalid,
  invalidValue,
  requiredValue,
  unsupportedValue,
} from './status-errors.ts';
import type { FieldError } from './status-errors.ts';
import { kindOf, objectMediaType, parseBody, unregistered } from './objects/object-body.ts';
import type { FieldValidation } from './objects/object-body.ts';
import { deleteOptions } from './objects/resources.ts';
import type { ResourceType } from './objects/resources.ts';
import { DecodeContext, DecodeError, isObject } from './objects/schema.ts';
import type { Json } from './objects/schema.ts';
import type { Preconditions } from './store/collection.ts';
import { isTrue } from './routes.ts';
import type { RequestInfo } from './routes.ts';
import { SelectorError, matchesFields, parseFieldSelector, parseLabelSelector } from './store/selectors.ts';
import type { KubeObject } from './objects/object-version.ts';

const OPTIONS_KIND: Readonly<Record<string, string>> = {
  create: 'CreateOptions',
  update: 'UpdateOptions',
  patch: 'PatchOptions',
};

const META_GROUP = 'meta.k8s.io';
const refuse = (kind: string, ...errors: FieldError[]): ApiError => invalid(META_GROUP, kind, '', errors);

export interface WriteOptions {
  readonly dryRun: boolean;
  readonly fieldValidation: FieldValidation;
  /** '' when the client leaves it to its User-Agent. */
  readonly fieldManager: string;
  /** Of an apply: takes what others own. */
  readonly force: boolean;
}

const FIELD_VALIDATIONS = ['Ignore', 'Strict', 'Warn'] as const;
/** Bytes. */
const MAX_FIELD_MANAGER = 128;

/** @throws ApiError 422 */
export function writeOptions({ verb, query }: RequestInfo, apply = false): WriteOptions {
  const dryRun = query.getAll('dryRun');
  const fieldManager = query.get('fieldManager') ?? '';
  const asked = query.get('fieldValidation') || 'Warn';
  const fieldValidation = FIELD_VALIDATIONS.find((v) => v === asked);
  const errors: FieldError[] = [];
  if (apply && fieldManager === '') errors.push(requiredValue('fieldManager', 'is required for apply patch'));
  if (!apply && verb === 'patch' && query.has('force')) {
    errors.push(forbiddenValue('force', 'may not be specified for non-apply patch'));
  }
  if (Buffer.byteLength(fieldManager) > MAX_FIELD_MANAGER) {
    errors.push({
      field: 'fieldManager',
      reason: 'FieldValueTooLong',
      message: `Too long: may not be more than ${MAX_FIELD_MANAGER} bytes`,
    });
  }
  for (const { 0: hidden, index } of fieldManager.matchAll(/[\p{C}\p{Zl}\p{Zp}]/gu)) {
    const code = (hidden.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0');
    errors.push(invalidValue('fieldManager', fieldManager, `invalid character U+${code} (at position ${index})`));
  }
  errors.push(...dryRunErrors(dryRun));
  if (!fieldValidation) errors.push(unsupportedValue('fieldValidation', asked, ['', ...FIELD_VALIDATIONS]));
  if (errors.length > 0 || !fieldValidation) throw refuse(OPTIONS_KIND[verb ?? ''] ?? 'UpdateOptions', ...errors);
  return { dryRun: dryRun.length > 0, fieldValidation, fieldManager, force: isTrue(query.get('force')) };
}

const dryRunErrors = (values: readonly unknown[]): FieldError[] =>
  values.some((v) => v !== 'All') ? [unsupportedValue('dryRun', values, ['All'])] : [];

export interface DeleteOptions {
  readonly preconditions: Preconditions;
  readonly dryRun: boolean;
  /** What is done about the objects that this one owns; undefined: what its finalizers say. */
  readonly propagationPolicy: 'Background' | 'Foreground' | 'Orphan' | undefined;
}

const PROPAGATION_POLICIES = ['Foreground', 'Background', 'Orphan'] as const;

/** Given in the body, or where there is none in the query. @throws ApiError 400, 415, 422 */
export function readDeleteOptions(
  { query }: RequestInfo,
  body: string,
  contentType: string | undefined,
): DeleteOptions {
  let given: Json;
  if (body === '') {
    given = {
      gracePeriodSeconds: numberOf(query.get('gracePeriodSeconds')),
      ...(query.has('orphanDependents') && { orphanDependents: isTrue(query.get('orphanDependents')) }),
      ...(query.has('propagationPolicy') && { propagationPolicy: query.get('propagationPolicy') }),
      preconditions: {
        ...(query.has('uid') && { uid: query.get('uid') }),
        ...(query.has('resourceVersion') && { resourceVersion: query.get('resourceVersion') }),
      },
      dryRun: query.getAll('dryRun'),
    };
  } else {
    const parsed = parseBody(body, objectMediaType(contentType)).value ?? {};
    if (!isObject(parsed)) throw badRequest('the body must be DeleteOptions');
    const { kind, apiVersion = 'v1' } = kindOf(parsed, badRequest);
    // Empty is as not given.
    if (kind && kind !== 'DeleteOptions') throw badRequest(unregistered(kind, apiVersion));
    try {
      given = deleteOptions.decode(parsed, new DecodeContext()) as Json;
    } catch (error) {
      if (error instanceof DecodeError) throw badRequest(error.message);
      throw error;
    }
  }
  const { preconditions = {}, orphanDependents, propagationPolicy, dryRun = [] } = given as Partial<DeleteOptionsBody>;
  const policy = PROPAGATION_POLICIES.find((p) => p === propagationPolicy);
  const errors: FieldError[] = [];
  if (propagationPolicy !== undefined && orphanDependents !== undefined) {
    const rule = 'orphanDependents and deletionPropagation cannot be both set';
    errors.push(invalidValue('propagationPolicy', propagationPolicy, rule));
  }
  if (propagationPolicy !== undefined && !policy) {
    errors.push(unsupportedValue('propagationPolicy', propagationPolicy, [...PROPAGATION_POLICIES, 'nil']));
  }
  errors.push(...dryRunErrors(dryRun));
  if (errors.length > 0) throw refuse('DeleteOptions', ...errors);
  return {
    preconditions,
    dryRun: dryRun.length > 0,
    propagationPolicy:
      policy ?? (orphanDependents === undefined ? undefined : orphanDependents ? 'Orphan' : 'Background'),
  };
}

interface DeleteOptionsBody {
  readonly preconditions: Preconditions;
  readonly orphanDependents: boolean;
  readonly propagationPolicy: string;
  readonly dryRun: readonly string[];
}

interface Selection {
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

interface ListOptions {
  readonly limit: number;
  readonly continue: ContinueToken | undefined;
  /** '' when not given. */
  readonly resourceVersion: string;
  readonly exact: boolean;
}

interface ContinueToken {
  /** -1 for whatever is there now. */
  readonly revision: number;
  readonly after: string;
}

/** @throws ApiError 400, 422 */
export function listOptions({ query }: RequestInfo): ListOptions {
  const limit = Math.max(0, numberOf(query.get('limit')));
  numberOf(query.get('timeoutSeconds'));
  const resourceVersion = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  const token = query.get('continue') ?? '';
  const errors: FieldError[] = [];
  if (match !== '') {
    if (resourceVersion === '') errors.push(matchForbidden('unless resourceVersion is provided'));
    if (token !== '') errors.push(matchForbidden('when continue is provided'));
    if (match !== 'Exact' && match !== 'NotOlderThan') {
      errors.push(unsupportedValue(MATCH, match, ['Exact', 'NotOlderThan', '']));
    }
    if (match === 'Exact' && resourceVersion === '0') {
      errors.push(forbiddenValue(MATCH, `${MATCH} "exact" is forbidden for resourceVersion "0"`));
    }
  }
  if (query.has('sendInitialEvents')) {
    errors.push(forbiddenValue('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  }
  if (errors.length > 0) throw refuse('ListOptions', ...errors);
  if (!isVersion(resourceVersion)) throw badRequest(`invalid resource version ${JSON.stringify(resourceVersion)}`);
  if (token !== '' && resourceVersion !== '' && resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  // A page of a list at a version is of that version, unless it may be newer.
  const exact = match === 'Exact' || (match === '' && limit > 0 && Number(resourceVersion) > 0);
  return { limit, continue: token === '' ? undefined : readToken(token), resourceVersion, exact };
}

/** Whether a text is a resourceVersion, or empty: an unsigned number of 64 bits. */
export const isVersion = (text: string): boolean =>
  /^\d*$/.test(text) && (text.length < MAX_UINT64.length || BigInt(text) <= BigInt(MAX_UINT64));
const MAX_UINT64 = String(2n ** 64n - 1n);

const MATCH = 'resourceVersionMatch';
const matchForbidden = (why: string): FieldError => forbiddenValue(MATCH, `${MATCH} is forbidden ${why}`);

const MAX_INT64 = 2n ** 63n - 1n;

function numberOf(text: string | null): number {
  if (text === null) return 0;
  const wrong = (why: string): ApiError => badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: ${why}`);
  if (!/^[+-]?\d+$/.test(text)) throw wrong('invalid syntax');
  const number = BigInt(text.replace(/^\+/, ''));
  if (number > MAX_INT64 || number < -MAX_INT64 - 1n) throw wrong('value out of range');
  return Number(text);
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

interface WatchQuery {
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
  const fromNow = version === '' || version === '0';
  const given = query.get('resourceVersionMatch') ?? '';
  const asked = query.get('sendInitialEvents');
  // Who names no version gets what is there, as one who asks for it.
  const [initial, match] =
    asked === null && given === '' && fromNow ? ['true', 'NotOlderThan'] : ([asked, given] as const);
  const errors: FieldError[] = [];
  if (initial !== null && match !== 'NotOlderThan') {
    errors.push(forbiddenValue(MATCH, `sendInitialEvents requires setting ${MATCH} to NotOlderThan`));
  }
  if (match !== '') {
    if (initial === null) errors.push(matchForbidden('for watch unless sendInitialEvents is provided'));
    if (match !== 'NotOlderThan') errors.push(unsupportedValue(MATCH, match, ['NotOlderThan']));
    if (query.get('continue')) errors.push(matchForbidden('when continue is provided'));
  }
  if (errors.length > 0) throw refuse('ListOptions', ...errors);
  if (!isVersion(version)) {
    const text = JSON.stringify(version);
    throw internal(`resourceVersion: Invalid value: ${text}: strconv.ParseUint: parsing ${text}: invalid syntax`);
  }
  const wantsInitial = isTrue(initial);
  const seconds = numberOf(query.get('timeoutSeconds'));
  const bookmarks = isTrue(query.get('allowWatchBookmarks'));
  return {
    from: wantsInitial ? undefined : fromNow ? Infinity : Number(version),
    bookmarks,
    markInitialEnd: bookmarks && isTrue(initial),
    timeoutMs: seconds <= 0 ? undefined : seconds * 1000,
  };
}
