/**
 * A request's body: its media type, its text as a value, the value as an object of its resource.
 *
 * Guarantees: what Kubernetes would refuse throws ApiError; what it would warn of (a field that is unknown, or given
 * twice) is named, in its words.
 */
import { badRequest, unsupportedMediaType } from '../status-errors.ts';
import type { ResourceType } from './resources.ts';
import { DecodeContext, DecodeError, isList, isObject, textField } from './schema.ts';
import type { Json } from './schema.ts';
import type { KubeObject } from './object-version.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

const BODY_TYPES = ['application/json', 'application/yaml'] as const;
export const BODY_TYPE_NAMES = BODY_TYPES.join(', ');

/** Content-Type without its parameters. */
export const mediaType = (header: string | undefined): string => (header ?? '').split(';')[0]?.trim() ?? '';

/** Of a body that is an object of the API. @throws ApiError 415 */
export function objectMediaType(header: string | undefined): string {
  const type = mediaType(header || 'application/json').toLowerCase();
  if (!BODY_TYPES.some((known) => known === type)) throw unsupportedMediaType(BODY_TYPE_NAMES);
  return type;
}

export const isYaml = (type: string): boolean => type === 'application/yaml' || type === 'application/apply-patch+yaml';

let yaml: typeof import('yaml') | undefined;

/** To be awaited before YAML is read or written: the library is loaded when it is first needed. */
export async function loadYaml(): Promise<void> {
  yaml ??= await import('yaml');
}

export const canPrintYaml = (): boolean => yaml !== undefined;
/** Sorted, as Kubernetes prints it. */
export const printYaml = (value: unknown): string =>
  (yaml as typeof import('yaml')).stringify(value, {
    version: '1.1',
    lineWidth: 0,
    indentSeq: false,
    sortMapEntries: true,
  });

interface ParsedBody {
  readonly value: unknown;
  /** A warning for each key that an object has twice; the last one counts. */
  readonly duplicates: readonly string[];
  /** Whole numbers that are written as Go reads no integer, 5.0 and 1e3, by their object and key. */
  readonly floats?: WeakMap<object, Map<string, string>>;
}

/** @throws ApiError 400 */
export function parseBody(text: string, type: string, validation: FieldValidation = 'Ignore'): ParsedBody {
  const json = parseJson(text, isYaml(type) && yaml !== undefined);
  const body = json ?? parseYaml(text);
  const keys = keysOf(body.value);
  // Looking for keys that are there twice takes long: only where there are more in the text than in its value.
  const more = json && validation !== 'Ignore' && (text.match(/(?<!\\)"\s*:/g)?.length ?? 0) !== keys;
  return more ? { ...body, duplicates: duplicateKeys(text) } : body;
}

/** Undefined for what is no JSON, where it may be something else. */
function parseJson(text: string, lenient: boolean): ParsedBody | undefined {
  try {
    const floats = new WeakMap<object, Map<string, string>>();
    const value = (WHOLE_FLOAT.test(text) ? JSON.parse(text, noting(floats)) : JSON.parse(text)) as unknown;
    return { value, duplicates: [], floats };
  } catch (error) {
    if (lenient) return undefined;
    throw badRequest(`error decoding: ${(error as Error).message}`);
  }
}

/** YAML 1.1, as Go reads it, but times stay text. */
function parseYaml(text: string): ParsedBody {
  const isTime = ({ tag, format }: { tag: string; format?: string }): boolean =>
    format === 'TIME' || /:(timestamp|binary)$/.test(tag);
  const duplicates: string[] = [];
  try {
    const document = (yaml as typeof import('yaml')).parseDocument(text, {
      version: '1.1',
      // Warnings would go to this process's stderr.
      logLevel: 'error',
      customTags: (tags) => tags.filter((tag) => typeof tag === 'string' || !isTime(tag)),
    });
    for (const { code, message, linePos, pos } of document.errors) {
      if (code === 'DUPLICATE_KEY') {
        const key = /^(?:"[^"]*"|[^\s:,{}]+)/.exec(text.slice(pos[0]))?.[0] ?? '';
        duplicates.push(`line ${linePos?.[0].line}: key ${JSON.stringify(key)} already set in map`);
        // Of several documents the first one is read.
      } else if (code !== 'MULTIPLE_DOCS') throw new Error(message);
    }
    return { value: document.toJS() as unknown, duplicates };
  } catch (error) {
    throw badRequest(`error converting YAML to JSON: ${(error as Error).message}`);
  }
}

/** What is nested deeper is refused, before anything recursive could overflow the stack. */
const MAX_DEPTH = 500;

/** How many keys there are. @throws ApiError 400 for what is nested too deep */
function keysOf(value: unknown): number {
  let count = 0;
  let level = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) throw badRequest(`json: exceeded max depth of ${MAX_DEPTH}`);
    const inner: unknown[] = [];
    for (const item of level) {
      if (typeof item !== 'object' || item === null) continue;
      const items: unknown[] = Object.values(item);
      if (!isList(item)) count += items.length;
      for (const one of items) if (typeof one === 'object') inner.push(one);
    }
    level = inner;
  }
  return count;
}

const WHOLE_FLOAT = /[:[,]\s*-?\d+(?:\.0+(?:[eE][+-]?\d+)?|(?:\.\d+)?[eE][+-]?\d+)\s*[,}\]]/;

/** A reviver, which is given each number as it is written. */
const noting = (floats: WeakMap<object, Map<string, string>>) =>
  function (this: object, key: string, value: unknown, { source }: { source?: string } = {}): unknown {
    if (Number.isInteger(value) && source !== undefined && /[.eE]/.test(source)) {
      floats.set(this, (floats.get(this) ?? new Map<string, string>()).set(key, source));
    }
    return value;
  };

const duplicateField = (path: string): string => `duplicate field ${JSON.stringify(path)}`;

/** A warning for each key that an object has twice. The text is valid JSON. */
function duplicateKeys(text: string): string[] {
  const found = new Set<string>();
  const outer: { path: string; keys: Set<string> | undefined; items: number }[] = [];
  let at = { path: '', keys: undefined as Set<string> | undefined, items: 0 };
  let key = '';
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    if (token === '{' || token === '[') {
      const path = at.keys
        ? `${at.path}${at.path === '' ? '' : '.'}${key}`
        : at.path + (outer.length > 0 ? `[${at.items}]` : '');
      outer.push(at);
      at = { path, keys: token === '{' ? new Set() : undefined, items: 0 };
    } else if (token === '}' || token === ']') at = outer.pop() ?? at;
    else if (token === ',') at.items++;
    else if (token !== ':') key = token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1);
    else if (at.keys?.has(key)) found.add(duplicateField(`${at.path}${at.path === '' ? '' : '.'}${key}`));
    else at.keys?.add(key);
  }
  return [...found];
}

export interface Decoded {
  /** In the form that is stored, without kind and apiVersion. The caller's own: not stored yet. */
  readonly object: KubeObject;
  readonly warnings: readonly string[];
}

/** What a body says to be, as far as it does. @throws the error that `refuse` makes where that is no text */
export function kindOf(
  body: Json,
  refuse: (why: string) => Error,
): Readonly<Record<'kind' | 'apiVersion', string | undefined>> {
  try {
    return { apiVersion: textField(body, '', 'apiVersion'), kind: textField(body, '', 'kind') };
  } catch (error) {
    throw refuse(`couldn't get version/kind; json parse error: ${(error as Error).message}`);
  }
}

export const unregistered = (kind: string, version: string): string =>
  `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(version)}`;

/**
 * @param refuse makes the error of a body that cannot be decoded, or not strictly
 * @param unstructured it was decoded from JSON before: its kind is known, and its errors are those of a conversion
 * @throws ApiError of another kind or version, a field of a wrong type, what `Strict` refuses
 */
export function decodeObject(
  { value, duplicates, floats }: ParsedBody,
  type: ResourceType,
  validation: FieldValidation,
  refuse: (why: string) => Error = (why) =>
    badRequest(`${type.kind} in version "${type.version}" cannot be handled as a ${type.kind}: ${why}`),
  unstructured = false,
): Decoded {
  const body = value ?? {};
  if (!isObject(body)) throw badRequest("couldn't get version/kind; json parse error: the body must be an object");
  if (!unstructured) {
    // Empty is as not given.
    const said = kindOf(body, refuse);
    const [kind, apiVersion] = [said.kind || type.kind, said.apiVersion || type.apiVersion];
    if (kind !== type.kind || apiVersion !== type.apiVersion) throw refuse(unregistered(kind, apiVersion));
  }
  const context = new DecodeContext(floats, unstructured);
  let decoded: Json;
  try {
    decoded = type.codec.decode(body, context) as Json;
  } catch (error) {
    if (!(error instanceof DecodeError)) throw error;
    throw refuse(error.message);
  }
  const { unknown } = context;
  // What is not read is not looked at for keys that are there twice.
  const unread = unknown.map((field) => duplicateField(field).slice(0, -1));
  const twice = duplicates.filter((text) => !unread.some((start) => /^["[.]/.test(text.replace(start, ''))));
  const warnings =
    validation === 'Ignore' ? [] : [...twice, ...unknown.map((field) => `unknown field ${JSON.stringify(field)}`)];
  if (validation === 'Strict' && warnings.length > 0) throw refuse(`strict decoding error: ${warnings.join(', ')}`);
  const { kind: _kind, apiVersion: _version, ...shown } = decoded;
  const { metadata } = shown as { metadata: Json };
  shown['metadata'] = { name: '', ...metadata };
  const object = (type.store ? type.store(shown) : shown) as unknown as KubeObject;
  type.defaults(object);
  return { object, warnings };
}
