/**
 * The patch formats of the Kubernetes API, over plain JSON values.
 *
 * Guarantees: pure (the input is never changed, the result shares nothing that a later patch could change); a patch that
 * cannot be read throws PatchError `Malformed`, one that does not fit the document `Failed`, one whose directives mean
 * nothing `Unknown`.
 */
import { FREE, asObject, equal, isList, isObject, memberCodec, setKey, textField } from './schema.ts';
import type { Codec, Json } from './schema.ts';

type PatchErrorCode = 'Malformed' | 'Failed' | 'Unknown';

export class PatchError extends Error {
  override readonly name = 'PatchError';
  readonly code: PatchErrorCode;
  constructor(code: PatchErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** RFC 7386. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const out: Json = {};
  if (isObject(target)) for (const key of Object.keys(target)) setKey(out, key, target[key]);
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null) delete out[key];
    else setKey(out, key, mergePatch(Object.hasOwn(out, key) ? out[key] : undefined, value));
  }
  return out;
}

const IN_LIST = '$deleteFromPrimitiveList/';
const ORDER = '$setElementOrder/';

/**
 * Kubernetes' strategic merge: like a merge patch, but lists are merged as the codec says, and `$patch`, `$retainKeys`,
 * `$deleteFromPrimitiveList` and `$setElementOrder` say otherwise.
 */
export function strategicMergePatch(target: unknown, patch: unknown, codec: Codec): unknown {
  if (!isObject(patch)) return patch;
  const { $patch: directive, $retainKeys: retain, ...changes } = patch;
  if (directive === 'delete') return {};
  if (directive !== undefined && directive !== 'replace') {
    throw new PatchError('Unknown', `unknown patch type: ${JSON.stringify(directive)}`);
  }
  const out: Json = {};
  const kept = directive === 'replace' ? {} : asObject(target);
  if (retain !== undefined && !isList(retain)) throw new PatchError('Malformed', 'invalid patch format of retainKeys');
  for (const key of Object.keys(kept)) if (!retain || retain.includes(key)) setKey(out, key, kept[key]);
  if (retain && Object.keys(changes).some((key) => !key.startsWith('$') && !retain.includes(key))) {
    throw new PatchError('Malformed', 'invalid patch format of retainKeys');
  }
  for (const [key, value] of Object.entries(changes)) {
    const field = key.replace(/^\$[^/]*\//, '');
    const inner = memberCodec(codec, field);
    const old = Object.hasOwn(out, field) ? out[field] : undefined;
    const order = changes[ORDER + field];
    if (key.startsWith(IN_LIST)) {
      if (isList(old) && isList(value)) out[field] = old.filter((item) => !value.includes(item));
    } else if (key.startsWith(ORDER)) {
      if (!isList(value) || !isList(changes[field] ?? [])) {
        throw new PatchError('Unknown', 'expected a list for setElementOrder');
      }
      const alone = !Object.hasOwn(changes, field) && inner.mergedBy !== undefined;
      if (alone && isList(old)) out[field] = mergeList(inner, old, [], value);
    } else if (value === null) delete out[key];
    else if (isList(value)) setKey(out, key, mergeList(inner, old, value, isList(order) ? order : undefined));
    else setKey(out, key, strategicMergePatch(old, value, inner));
  }
  return out;
}

/** @param order how the items named in it follow each other, default those of the patch; the others keep their places */
function mergeList(
  { mergedBy, item: codec = FREE }: Codec,
  old: unknown,
  patch: readonly unknown[],
  order?: readonly unknown[],
): unknown[] {
  if (mergedBy === undefined) return [...patch];
  const id = (item: unknown): unknown => (mergedBy === 'value' ? item : asObject(item)[mergedBy.key]);
  const directive = (item: unknown): unknown => (mergedBy === 'value' ? undefined : asObject(item)['$patch']);
  if (patch.some((item) => directive(item) === 'replace')) return patch.filter((item) => directive(item) !== 'replace');
  const plain = patch.filter((item) => directive(item) === undefined);
  if (!isList(old)) return plain;
  const places = order ? plain.map((item) => order.map(id).indexOf(id(item))) : [];
  if (places.some((place, i) => place < (places[i - 1] ?? 0))) {
    throw new PatchError('Unknown', "the order in the patch list doesn't match that of setElementOrder");
  }
  const merged = new Map(old.map((item) => [id(item), item]));
  for (const item of patch) {
    if (mergedBy === 'value') {
      merged.set(item, item);
      continue;
    }
    if (id(item) === undefined) {
      throw new PatchError(
        'Unknown',
        `map: ${JSON.stringify(item)} does not contain declared merge key: ${mergedBy.key}`,
      );
    }
    if (directive(item) === 'delete') merged.delete(id(item));
    else merged.set(id(item), strategicMergePatch(merged.get(id(item)), item, codec));
  }
  const place = new Map(old.map((item, i) => [id(item), i]));
  const named = [...new Set((order ?? patch).map(id))].filter((one) => merged.has(one));
  const others = old.map(id).filter((one) => merged.has(one) && !named.includes(one));
  const ids: unknown[] = [];
  while (named.length + others.length > 0) {
    const [next, other] = [place.get(named[0]), place.get(others[0])];
    const otherFirst = named.length === 0 || (next !== undefined && other !== undefined && other < next);
    ids.push(otherFirst ? others.shift() : named.shift());
  }
  return ids.map((one) => merged.get(one));
}

interface Operation {
  readonly op: string;
  readonly path: string[];
  readonly from?: string[];
  readonly value?: unknown;
}

/** More operations than this are refused, as kube-apiserver does. */
const MAX_OPERATIONS = 10_000;
/** Characters that all copies of a patch may add, kube-apiserver's limit of a body: each may double the document. */
const MAX_COPIED = 3 * 1024 * 1024;

/** RFC 6902. */
export function jsonPatch(target: unknown, operations: unknown): unknown {
  const patch = operations ?? [];
  if (!isList(patch)) throw new PatchError('Malformed', 'a JSON patch must be a list of operations');
  if (patch.length > MAX_OPERATIONS) throw new PatchError('Malformed', `more than ${MAX_OPERATIONS} operations`);
  const root = structuredClone(target) as Json;
  let copied = 0;
  for (const operation of patch.map(parseOperation)) {
    if (operation.op === 'copy') copied += JSON.stringify(get(root, operation.from as string[])).length;
    if (copied > MAX_COPIED) throw new PatchError('Failed', 'the copies are too large');
    apply(root, operation);
  }
  return root;
}

function parseOperation(json: unknown): Operation {
  if (!isObject(json)) throw new PatchError('Malformed', 'an operation must be an object');
  const [op = '', path, from] = ['op', 'path', 'from'].map((name) => operationText(json, name));
  const pointers =
    op === 'move' || op === 'copy' ? { path: pointer(path), from: pointer(from) } : { path: pointer(path) };
  return { op, ...pointers, value: json['value'] ?? null };
}

function operationText(operation: Json, name: string): string | undefined {
  try {
    return textField(operation, 'jsonPatchOp', name);
  } catch (error) {
    throw new PatchError('Malformed', (error as Error).message);
  }
}

/** The document itself cannot be named: no operation applies to it. */
function pointer(text = ''): string[] {
  const parts = text.split('/').slice(1);
  if (parts.length === 0) throw new PatchError('Failed', `${JSON.stringify(text)} names no field`);
  return parts.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function apply(root: Json, { op, path, from, value }: Operation): void {
  switch (op) {
    case 'add':
      return add(root, path, structuredClone(value));
    case 'remove':
      return void remove(root, path);
    case 'replace':
      remove(root, path);
      return add(root, path, structuredClone(value));
    case 'copy':
      return add(root, path, structuredClone(get(root, from as string[])));
    case 'move': {
      const source = from as string[];
      if (path.length > source.length && source.every((part, i) => part === path[i])) {
        throw new PatchError('Failed', 'a value cannot be moved into itself');
      }
      return add(root, path, remove(root, source));
    }
    case 'test': {
      const parent = parentOf(root, path);
      const present = isList(parent) || Object.hasOwn(parent, path.at(-1) as string);
      if (!equal(present ? get(root, path) : null, value)) {
        throw new PatchError('Failed', `testing value ${path.join('/')} failed`);
      }
      return;
    }
    default:
      throw new PatchError('Failed', `Unexpected kind: ${op}`);
  }
}

const missing = (path: readonly string[]): PatchError =>
  new PatchError('Failed', `${JSON.stringify(path.join('/'))} does not exist`);

function parentOf(root: Json, path: readonly string[]): Json | unknown[] {
  const parent = get(root, path.slice(0, -1));
  if (!isObject(parent) && !isList(parent)) throw missing(path);
  return parent;
}

/** A negative one counts from the end. */
function index(part: string, last: number, path: readonly string[]): number {
  const at = /^[+-]?\d+$/.test(part) ? Number(part) : Number.NaN;
  if (!(at <= last && at >= -last - 1)) throw missing(path);
  return at < 0 ? at + last + 1 : at;
}

function get(root: unknown, path: readonly string[]): unknown {
  let at = root;
  for (const part of path) {
    if (isList(at)) at = at[index(part, at.length - 1, path)];
    else if (isObject(at) && Object.hasOwn(at, part)) at = at[part];
    else throw missing(path);
  }
  return at;
}

function add(root: Json, path: readonly string[], value: unknown): void {
  const parent = parentOf(root, path);
  const part = path.at(-1) as string;
  if (!isList(parent)) setKey(parent, part, value);
  else parent.splice(part === '-' ? parent.length : index(part, parent.length, path), 0, value);
}

function remove(root: Json, path: readonly string[]): unknown {
  const parent = parentOf(root, path);
  const value = get(root, path);
  const part = path.at(-1) as string;
  if (isList(parent)) parent.splice(index(part, parent.length - 1, path), 1);
  else delete parent[part];
  return value;
}
