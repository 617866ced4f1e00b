/**
 * Decodes foreign JSON into objects of declared shape.
 *
 * Guarantees: what a codec returns has exactly the declared fields, in their declared order, each of its declared type;
 * unknown fields are dropped and named in the context; a wrong type throws DecodeError with the field's path. Absent,
 * null and (where Kubernetes omits them) empty values are left out. The input is never changed nor kept.
 */
import { parseMicroTime, parseTime } from './time-formats.ts';

export type Json = Record<string, unknown>;

/** Objects nested deeper than this are refused, before anything recursive could overflow the stack. */
const MAX_DEPTH = 500;

export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly code = 'DecodeError';
}

export class DecodeContext {
  readonly path: string[] = [];
  /** Paths of the fields that were dropped. */
  readonly unknown: string[] = [];

  fail(value: unknown, type: string): never {
    throw new DecodeError(`json: cannot unmarshal ${typeOf(value)} into field ${this.path.join('.')} of type ${type}`);
  }
}

/** Returns `undefined` when the value is to be left out. Is never called with undefined or null. */
export type Codec = (value: unknown, context: DecodeContext) => unknown;

export const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);

/** Array.isArray, without turning unknown into any. */
export const isList = (v: unknown): v is unknown[] => Array.isArray(v);

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

/** Assigns also a key named `__proto__`, which must stay an ordinary key. */
export function setKey(target: Json, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else target[key] = value;
}

/** Text; empty is kept (a `*string`). */
export const optionalString: Codec = (v, c) => (typeof v === 'string' ? v : c.fail(v, 'string'));
/** Text; empty is left out. */
export const string: Codec = (v, c) => (typeof v === 'string' ? v || undefined : c.fail(v, 'string'));
export const boolean: Codec = (v, c) => (typeof v === 'boolean' ? v : c.fail(v, 'bool'));
export const int32: Codec = (v, c) =>
  typeof v === 'number' && Number.isInteger(v) && v >= -2_147_483_648 && v <= 2_147_483_647 ? v : c.fail(v, 'int32');
export const int64: Codec = (v, c) => (Number.isSafeInteger(v) ? v : c.fail(v, 'int64'));
export const microTime: Codec = (v, c) =>
  (typeof v === 'string' ? parseMicroTime(v) : undefined) ?? c.fail(v, 'v1.MicroTime');
export const time: Codec = (v, c) => (typeof v === 'string' ? parseTime(v) : undefined) ?? c.fail(v, 'v1.Time');

/** Sorted by key, as Kubernetes prints maps; empty is left out. */
export const stringMap: Codec = (v, c) => {
  if (!isObject(v)) return c.fail(v, 'map[string]string');
  const keys = Object.keys(v);
  if (keys.length === 0) return undefined;
  const out: Json = {};
  for (const key of keys.sort()) {
    const value = v[key] ?? '';
    if (typeof value !== 'string') {
      c.path.push(key);
      c.fail(value, 'string');
    }
    setKey(out, key, value);
  }
  return out;
};

/** Whatever it is, copied; refused when nested too deep. */
export const anything: Codec = (v, c) => copy(v, c, 0);

function copy(value: unknown, c: DecodeContext, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth > MAX_DEPTH) throw new DecodeError(`${c.path.join('.')} is nested deeper than ${MAX_DEPTH} levels`);
  if (Array.isArray(value)) return value.map((item) => copy(item, c, depth + 1));
  const out: Json = {};
  for (const key of Object.keys(value)) {
    const item = (value as Json)[key];
    if (item !== null) setKey(out, key, copy(item, c, depth + 1));
  }
  return out;
}

/** An object whose content is taken as it is. */
export const freeObject: Codec = (v, c) => (isObject(v) ? anything(v, c) : c.fail(v, 'object'));

/** Empty is left out; an item that is null is what Go makes of it: the empty text, or an object without fields. */
export const list =
  (item: Codec): Codec =>
  (v, c) => {
    if (!Array.isArray(v)) return c.fail(v, 'list');
    if (v.length === 0) return undefined;
    return v.map((value, i) => {
      c.path.push(String(i));
      const decoded = value === null ? (item === string ? '' : {}) : item(value, c);
      c.path.pop();
      return decoded ?? '';
    });
  };

/** An object of declared fields. Empty is kept. */
export function struct(fields: Readonly<Record<string, Codec>>): Codec {
  const names = Object.keys(fields);
  const known = new Set(names);
  return (v, c) => {
    if (!isObject(v)) return c.fail(v, 'object');
    for (const key in v) if (!known.has(key)) c.unknown.push([...c.path, key].join('.'));
    const out: Json = {};
    for (const name of names) {
      const value = v[name];
      if (value === undefined || value === null) continue;
      c.path.push(name);
      const decoded = (fields[name] as Codec)(value, c);
      c.path.pop();
      if (decoded !== undefined) out[name] = decoded;
    }
    return out;
  };
}
