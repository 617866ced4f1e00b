/**
 * The patch formats of the Kubernetes API, over plain JSON values.
 *
 * Guarantees: pure (the input is never changed, the result shares nothing that a later patch could change); a patch that
 * is malformed throws PatchError `Malformed`, one that does not fit the document `Failed`.
 */
import { isList, isObject, setKey } from './schema.ts';
import type { Json } from './schema.ts';

export class PatchError extends Error {
  override readonly name = 'PatchError';
  readonly code: 'Malformed' | 'Failed';
  constructor(code: 'Malformed' | 'Failed', message: string) {
    super(message);
    this.code = code;
  }
}

/** Lists of objects that are merged by a key instead of replaced, in the types served here. */
const MERGE_KEYS: Readonly<Record<string, string>> = { ownerReferences: 'uid', conditions: 'type', addresses: 'type' };
/** Lists of plain values that are merged as sets. */
const SETS: ReadonlySet<string> = new Set(['finalizers', 'podCIDRs']);

/** What a list is merged by, for its field's name; undefined when a new list replaces the old one. */
export const listKind = (field: string): { key: string } | 'set' | undefined =>
  SETS.has(field) ? 'set' : Object.hasOwn(MERGE_KEYS, field) ? { key: MERGE_KEYS[field] as string } : undefined;

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

/**
 * Kubernetes' strategic merge: like a merge patch, but some lists are merged by key or as sets, and `$patch`,
 * `$deleteFromPrimitiveList`, `$retainKeys` say otherwise. `$setElementOrder` is accepted; new elements go to the end.
 */
export function strategicMergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const directive = patch['$patch'];
  if (directive === 'delete') return {};
  const out: Json = {};
  if (directive !== 'replace' && isObject(target)) for (const key of Object.keys(target)) setKey(out, key, target[key]);
  if (directive !== undefined && directive !== 'replace' && directive !== 'merge') {
    throw new PatchError('Malformed', `unknown $patch directive ${JSON.stringify(directive)}`);
  }
  const retain = patch['$retainKeys'];
  if (isList(retain)) for (const key of Object.keys(out)) if (!retain.includes(key)) delete out[key];
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    const old = Object.hasOwn(out, key) ? out[key] : undefined;
    if (key.startsWith('$deleteFromPrimitiveList/')) {
      const field = key.slice('$deleteFromPrimitiveList/'.length);
      const list = out[field];
      if (isList(list) && isList(value)) out[field] = list.filter((item) => !value.includes(item));
    } else if (key.startsWith('$')) continue;
    else if (value === null) delete out[key];
    else if (isList(value)) setKey(out, key, mergeList(key, old, value));
    else setKey(out, key, strategicMergePatch(old, value));
  }
  return out;
}

function mergeList(field: string, old: unknown, patch: readonly unknown[]): unknown[] {
  const kind = listKind(field);
  if (kind === undefined) return [...patch];
  const list: unknown[] = isList(old) ? [...old] : [];
  if (kind === 'set') return [...new Set([...list, ...patch])];
  if (patch.some((item) => isObject(item) && item['$patch'] === 'replace')) {
    return patch.filter((item) => !(isObject(item) && item['$patch'] === 'replace'));
  }
  for (const item of patch) {
    if (!isObject(item) || item[kind.key] === undefined) {
      throw new PatchError('Malformed', `map: does not contain declared merge key: ${kind.key} (in ${field})`);
    }
    const at = list.findIndex((o) => isObject(o) && o[kind.key] === item[kind.key]);
    if (item['$patch'] === 'delete') {
      if (at >= 0) list.splice(at, 1);
    } else if (at >= 0) list[at] = strategicMergePatch(list[at], item);
    else list.push(strategicMergePatch({}, item));
  }
  return list;
}

interface Operation {
  readonly op: string;
  readonly path: string[];
  readonly from?: string[];
  readonly value?: unknown;
}

/** More operations than this are refused, as kube-apiserver does. */
const MAX_OPERATIONS = 10_000;

/** RFC 6902. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!isList(patch)) throw new PatchError('Malformed', 'a JSON patch must be a list of operations');
  if (patch.length > MAX_OPERATIONS) throw new PatchError('Malformed', `more than ${MAX_OPERATIONS} operations`);
  const operations = patch.map(parseOperation);
  // One wrapping level makes the document itself an ordinary member, so that the path '' needs no case of its own.
  const root: Json = { '': structuredClone(target) };
  for (const operation of operations) apply(root, operation);
  return root[''];
}

function parseOperation(json: unknown): Operation {
  if (!isObject(json)) throw new PatchError('Malformed', 'an operation must be an object');
  const { op, path, from } = json;
  if (typeof op !== 'string' || !['add', 'remove', 'replace', 'move', 'copy', 'test'].includes(op)) {
    throw new PatchError('Malformed', `unknown operation ${JSON.stringify(op)}`);
  }
  if (op !== 'remove' && op !== 'move' && op !== 'copy' && !Object.hasOwn(json, 'value')) {
    throw new PatchError('Malformed', `operation ${op} needs a value`);
  }
  const needsFrom = op === 'move' || op === 'copy';
  return { op, path: pointer(path), ...(needsFrom && { from: pointer(from) }), value: json['value'] };
}

function pointer(text: unknown): string[] {
  if (typeof text !== 'string' || (text !== '' && !text.startsWith('/')) || /~(?![01])/.test(text)) {
    throw new PatchError('Malformed', `${JSON.stringify(text)} is no JSON pointer`);
  }
  return text.split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
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
    default:
      if (!equal(get(root, path), value)) {
        throw new PatchError('Failed', `testing value ${path.join('/')} failed`);
      }
  }
}

const missing = (path: readonly string[]): PatchError =>
  new PatchError('Failed', `${JSON.stringify(path.join('/'))} does not exist`);

function parentOf(root: Json, path: readonly string[]): Json | unknown[] {
  const parent = get(root, path.slice(0, -1));
  if (!isObject(parent) && !isList(parent)) throw missing(path);
  return parent;
}

function index(part: string, last: number, path: readonly string[]): number {
  if (!/^(0|[1-9]\d*)$/.test(part) || Number(part) > last) throw missing(path);
  return Number(part);
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
  if (isList(parent)) parent.splice(Number(part), 1);
  else delete parent[part];
  return value;
}

function equal(a: unknown, b: unknown): boolean {
  if (isList(a)) return isList(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]));
  if (!isObject(a)) return a === b;
  if (!isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && equal(a[k], b[k]));
}
