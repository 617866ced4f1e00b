/**
 * The shapes of objects, declared once: decoding foreign JSON, merging, the ownership of fields and protobuf all follow
 * from them.
 *
 * Guarantees: what a codec decodes has exactly the declared fields, in their declared order, each of its declared type;
 * unknown fields are dropped and named in the context; a wrong type throws DecodeError in Kubernetes' words. Absent,
 * null and (where Kubernetes omits them) empty values are left out. The input is never changed nor kept.
 */
import { parseMicroTime, parseTime } from './time-formats.ts';

export type Json = Record<string, unknown>;

export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly code = 'DecodeError';
}

export class DecodeContext {
  /** Names of fields, and `[0]` for an item of a list. */
  readonly path: string[] = [];
  /** Fields that were dropped. */
  readonly unknown: string[] = [];
  /** Go's name of the struct whose field is decoded. */
  owner = '';
  /** See ParsedBody. */
  readonly floats: WeakMap<object, Map<string, string>> | undefined;

  /** Says what is wrong as Kubernetes does of what was decoded from JSON before. */
  readonly unstructured: boolean;

  constructor(floats?: WeakMap<object, Map<string, string>>, unstructured = false) {
    this.floats = floats;
    this.unstructured = unstructured;
  }

  /** @param written a number as it is in the text */
  wrongType(value: unknown, goType: string, written?: string): never {
    if (this.unstructured) throw new DecodeError(unconverted(value, goType));
    const field = this.path.filter((part) => !part.startsWith('['));
    const into = field.length > 0 ? `Go struct field ${this.owner}.${field.join('.')}` : 'Go value';
    throw new DecodeError(
      `json: cannot unmarshal ${goKind(value)}${isInt(value, goType) ? ` ${written ?? JSON.stringify(value)}` : ''} into ${into} of type ${goType}`,
    );
  }

  dropped(key: string): void {
    this.unknown.push([...this.path, key].reduce((at, part) => at + (part.startsWith('[') ? part : `.${part}`)));
  }
}

export interface Codec {
  /** What protobuf and merging make of it. `free` is JSON of any kind. */
  readonly kind: 'text' | 'flag' | 'int' | 'time' | 'microTime' | 'map' | 'struct' | 'list' | 'free';
  readonly goType: string;
  /** Returns `undefined` when the value is to be left out. Is never called with undefined or null. */
  decode(value: unknown, context: DecodeContext): unknown;
  /** Of a struct, in Go's order; of a free object those that are not what they look like. */
  readonly fields?: Readonly<Record<string, Codec>>;
  /** Of a struct: protobuf's number of each field that is not its place in `fields`. */
  readonly numbers?: Readonly<Record<string, number>>;
  /** Of a struct: what is shown although it was not given: `{}`, null or ''. */
  readonly always?: Json;
  /** Of a list or map. */
  readonly item?: Codec;
  /** Owned and replaced as a whole. */
  readonly atomic?: boolean;
  /** A list that is merged: plain values as a set, objects by the value of this field. */
  readonly mergedBy?: 'value' | { readonly key: string };
}

export const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);

/** Array.isArray, without turning unknown into any. */
export const isList = (v: unknown): v is unknown[] => Array.isArray(v);

export const asObject = (v: unknown): Json => (isObject(v) ? v : {});

/** What a client wrote, where text belongs: anything else reads as ''. An object of JSON may have a `toString` that is none. */
export const asText = (v: unknown): string => (typeof v === 'string' ? v : '');

/** Text that may be absent or null. @throws DecodeError for anything else */
export function textField(object: Json, struct: string, name: string): string | undefined {
  const value = object[name] ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw new DecodeError(
    `json: cannot unmarshal ${goKind(value)} into Go struct field ${struct}.${name} of type string`,
  );
}

/** Assigns also a key named `__proto__`, which must stay an ordinary key. */
export function setKey(target: Json, key: string, value: unknown): void {
  if (key === '__proto__') {
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  } else target[key] = value;
}

const isInt = (value: unknown, goType: string): boolean => typeof value === 'number' && goType.startsWith('int');

function unconverted(value: unknown, goType: string): string {
  const number = Number.isInteger(value) ? 'int64' : 'float64';
  if (goType.startsWith('v1.')) return `cannot restore struct from: ${kindInGo(value, number)}`;
  const whole = /^(?:map|\[)/.exec(goType)?.[0];
  if (whole) return `cannot restore ${whole === 'map' ? 'map' : 'slice'} from ${kindInGo(value, number)}`;
  return typeof value === 'number' ? `cannot convert ${number} to ${goType}` : `unrecognized type: ${goType}`;
}

function kindInGo(value: unknown, number: string): string {
  if (typeof value === 'number') return number;
  return isList(value) ? 'slice' : isObject(value) ? 'map' : goKind(value);
}

function goKind(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function scalar(kind: Codec['kind'], goType: string, accept: (value: unknown) => unknown): Codec {
  return { kind, goType, decode: (v, c) => accept(v) ?? c.wrongType(v, goType) };
}

/** Text; empty is kept (a `*string`). */
export const optionalText = scalar('text', 'string', (v) => (typeof v === 'string' ? v.toWellFormed() : undefined));
/** Text; empty is left out. */
export const text: Codec = { ...optionalText, decode: (v, c) => optionalText.decode(v, c) || undefined };
export const flag = scalar('flag', 'bool', (v) => (typeof v === 'boolean' ? v : undefined));
export const int32 = scalar('int', 'int32', (v) =>
  typeof v === 'number' && Number.isInteger(v) && v >= -2_147_483_648 && v <= 2_147_483_647 ? v : undefined,
);
export const int64 = scalar('int', 'int64', (v) => (Number.isSafeInteger(v) ? v : undefined));
/** An integer that is left out when 0. */
const nonZero = (codec: Codec): Codec => ({ ...codec, decode: (v, c) => codec.decode(v, c) || undefined });
export const count = nonZero(int32);
export const generation = nonZero(int64);

const timestamp = (kind: 'time' | 'microTime', parse: (value: string) => string | null): Codec => ({
  kind,
  goType: 'string',
  decode(v) {
    if (typeof v !== 'string')
      throw new DecodeError(`json: cannot unmarshal ${goKind(v)} into Go value of type string`);
    try {
      return parse(v);
    } catch (error) {
      throw new DecodeError((error as Error).message);
    }
  },
});
export const microTime = timestamp('microTime', parseMicroTime);
export const time = timestamp('time', parseTime);

/** Sorted by key, as Kubernetes prints maps; empty is left out. */
export const textMap: Codec = {
  kind: 'map',
  goType: 'map[string]string',
  item: optionalText,
  decode(v, c) {
    if (!isObject(v)) return c.wrongType(v, this.goType);
    const keys = Object.keys(v);
    if (keys.length === 0) return undefined;
    const out: Json = {};
    for (const key of keys.sort()) setKey(out, key, optionalText.decode(v[key] ?? '', c));
    return out;
  },
};

function withoutNulls(value: unknown): unknown {
  if (isList(value)) return value.map(withoutNulls);
  if (!isObject(value)) return value;
  const out: Json = {};
  for (const key of Object.keys(value)) if (value[key] !== null) setKey(out, key, withoutNulls(value[key]));
  return out;
}

/** An object whose content is taken as it is. `fields` says which lists in it are merged. */
export const freeObject = (fields: Readonly<Record<string, Codec>> = {}): Codec => ({
  kind: 'free',
  goType: 'map[string]interface {}',
  fields,
  decode(v, c) {
    return isObject(v) ? withoutNulls(v) : c.wrongType(v, this.goType);
  },
});

/** Empty is left out; an item that is null is what Go makes of it: the empty text, or an object without fields. */
export function list(item: Codec, mergedBy?: Codec['mergedBy']): Codec {
  return {
    kind: 'list',
    goType: `[]${item.goType}`,
    item,
    ...(mergedBy === undefined ? { atomic: true } : { mergedBy }),
    decode(v, c) {
      if (!isList(v)) return c.wrongType(v, this.goType);
      if (v.length === 0) return undefined;
      return v.map((value, i) => {
        c.path.push(`[${i}]`);
        const decoded = item.decode(value ?? (item.kind === 'text' ? '' : {}), c);
        c.path.pop();
        return decoded ?? '';
      });
    },
  };
}

/** An object of declared fields. Empty is kept. `goType` is Go's name of it. */
export function struct(
  goType: string,
  fields: Readonly<Record<string, Codec>>,
  more: Pick<Codec, 'always' | 'atomic' | 'numbers'> = {},
): Codec {
  const names = Object.keys(fields);
  const places = new Map(names.map((name, i) => [name, i]));
  const always = Object.keys(more.always ?? {});
  return {
    kind: 'struct',
    goType: `v1.${goType}`,
    fields,
    ...more,
    decode(v, c) {
      if (!isObject(v)) return c.wrongType(v, this.goType);
      const owner = c.owner;
      let decoded: Json = {};
      let last = -1;
      let ordered = true;
      for (const key in v) {
        const place = places.get(key);
        if (place === undefined) {
          c.dropped(key);
          continue;
        }
        const value = v[key];
        if (value === undefined || value === null) continue;
        c.owner = goType;
        c.path.push(key);
        const codec = fields[key] as Codec;
        const written = codec.kind === 'int' ? c.floats?.get(v)?.get(key) : undefined;
        if (written !== undefined) c.wrongType(value, codec.goType, written);
        const field = codec.decode(value, c);
        c.path.pop();
        if (field === undefined) continue;
        decoded[key] = field;
        ordered &&= place > last;
        last = place;
      }
      c.owner = owner;
      for (const key of always) {
        if (key in decoded) continue;
        const value = (more.always as Json)[key];
        decoded[key] = isObject(value) ? {} : value;
        ordered = false;
      }
      if (!ordered)
        decoded = Object.fromEntries(names.flatMap((name) => (name in decoded ? [[name, decoded[name]]] : [])));
      return decoded;
    },
  };
}

/** JSON of any kind. */
export const FREE = freeObject();

/** Of a field of an object, or of any field of a map. */
export const memberCodec = (codec: Codec, name: string): Codec =>
  (codec.fields && Object.hasOwn(codec.fields, name) ? codec.fields[name] : codec.item) ?? FREE;

/** Of two values of JSON. */
export function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isList(a)) return isList(b) && a.length === b.length && a.every((item, i) => equal(item, b[i]));
  if (!isObject(a) || !isObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((k) => Object.hasOwn(b, k) && equal(a[k], b[k]));
}
