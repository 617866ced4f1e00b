/** Media types: what a client wants to read, and how what it sent is to be parsed. */
import { badRequest, notAcceptable, unsupportedMediaType } from './status-errors.ts';
import { isObject } from './objects/schema.ts';

/** In which form objects are shown. */
export type View = 'object' | 'Table' | 'PartialObjectMetadata';

const VIEWS: ReadonlyMap<string, View> = new Map([
  ['Table', 'Table'],
  ['PartialObjectMetadata', 'PartialObjectMetadata'],
  ['PartialObjectMetadataList', 'PartialObjectMetadata'],
]);

/**
 * The first form asked for that is served.
 * @throws ApiError 406
 */
export function negotiate(accept: string | undefined): View {
  if (accept === undefined || accept === '' || accept === '*/*' || accept === 'application/json') return 'object';
  for (const range of accept.split(',')) {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim());
    if (type !== 'application/json' && type !== '*/*' && type !== 'application/*') continue;
    const given = new Map(parameters.map((p) => p.split('=') as [string, string]));
    const as = given.get('as');
    if (as === undefined) return 'object';
    const view = VIEWS.get(as);
    if (view && given.get('g') === 'meta.k8s.io' && given.get('v') === 'v1') return view;
  }
  throw notAcceptable('application/json');
}

/** Of a body that is an object of the API. */
export const BODY_TYPES = ['application/json', 'application/yaml'] as const;

/** Content-Type without its parameters. */
export const mediaType = (header: string | undefined): string =>
  (header ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

export const isYaml = (type: string): boolean => type === 'application/yaml' || type === 'application/apply-patch+yaml';

let parseYaml: ((text: string, options: { logLevel: 'error' }) => unknown) | undefined;

/** To be awaited before a YAML body is handled: the parser is loaded when the first one comes. */
export async function loadYaml(): Promise<void> {
  parseYaml ??= (await import('yaml')).parse;
}

/** @throws ApiError 400 */
export function parseBody(text: string, type: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    if (!isYaml(type) || !parseYaml) throw badRequest(`error decoding: ${(error as Error).message}`);
  }
  try {
    // Warnings would go to this process's stderr; a client's YAML is no business of whoever reads that.
    return parseYaml(text, { logLevel: 'error' });
  } catch (error) {
    throw badRequest(`error converting YAML to JSON: ${(error as Error).message}`);
  }
}

/** @throws ApiError 415 for another media type, 400 for what is no object */
export function parseObject(text: string, contentType: string | undefined): Record<string, unknown> {
  const type = mediaType(contentType) || 'application/json';
  if (type !== 'application/json' && type !== 'application/yaml') throw unsupportedMediaType(BODY_TYPES.join(', '));
  const parsed = parseBody(text, type);
  if (!isObject(parsed)) throw badRequest('the body must be an object');
  return parsed;
}
