/**
 * Kubernetes' protobuf, from and to the JSON that says the same: Go clients prefer it.
 *
 * Guarantees: throws ApiError 400 for a body that is cut short or malformed, and 415 for a kind that has no such form
 * here (Nodes). Unknown fields are skipped. Fields are numbered by the codec of their object.
 */
import { badRequest, unsupportedMediaType } from '../status-errors.ts';
import { BODY_TYPE_NAMES } from './object-body.ts';
import { RESOURCES, deleteOptions } from './resources.ts';
import { asObject, asText, count, int64, isList, list, setKey, struct, text } from './schema.ts';
import type { Codec, Json } from './schema.ts';

const listMeta = struct('ListMeta', {
  selfLink: text,
  resourceVersion: text,
  continue: text,
  remainingItemCount: int64,
});
const causes = list(struct('StatusCause', { reason: text, message: text, field: text }));
const status = struct('Status', {
  metadata: listMeta,
  status: text,
  message: text,
  reason: text,
  details: struct('StatusDetails', {
    name: text,
    group: text,
    kind: text,
    causes,
    retryAfterSeconds: count,
    uid: text,
  }),
  code: count,
});

const CODECS = new Map<string, Codec>([['v1 Status', status]]);
for (const { apiVersion, kind, codec, protobuf } of RESOURCES) {
  if (!protobuf) continue;
  CODECS.set(`${apiVersion} ${kind}`, codec);
  CODECS.set(`${apiVersion} ${kind}List`, struct(`${kind}List`, { metadata: listMeta, items: list(codec) }));
}

const envelope = struct('Unknown', { type: struct('TypeMeta', { apiVersion: text, kind: text }), raw: text });
const watchEvent = struct('WatchEvent', { type: text, object: struct('RawExtension', { raw: text }) });
const entry = struct('Entry', { key: text, value: text });
const timestamp = struct('Timestamp', { seconds: int64, nanos: int64 });
const jsonText = struct('FieldsV1', { raw: text });
const MAGIC = Buffer.from('k8s\0');

/** The number of each field: its place, unless the codec says another. */
const numbersOf = ({ fields = {}, numbers = {} }: Codec): (readonly [number, string, Codec])[] =>
  Object.entries(fields).map(([name, codec], i) => [numbers[name] ?? i + 1, name, codec]);

const NUMBERS = new Map<Codec, Map<number, readonly [string, Codec]>>();

function fieldAt(codec: Codec, number: number): readonly [string, Codec] | undefined {
  let byNumber = NUMBERS.get(codec);
  if (!byNumber) {
    byNumber = new Map(numbersOf(codec).map(([n, name, inner]) => [n, [name, inner]]));
    NUMBERS.set(codec, byNumber);
  }
  return byNumber.get(number);
}

/** @throws ApiError 400, 415 */
export function fromProtobuf(body: Buffer): Json {
  if (!body.subarray(0, 4).equals(MAGIC)) throw badRequest('provided data does not appear to be a protobuf message');
  let raw = body.subarray(0, 0);
  const { type } = read(body.subarray(4), envelope, (field, bytes) => {
    if (field === 'raw') raw = bytes;
  });
  const { apiVersion = '', kind = '' } = asObject(type) as Record<string, string>;
  // DeleteOptions come under the version of what they delete.
  const codec = kind === 'DeleteOptions' ? deleteOptions : CODECS.get(`${apiVersion} ${kind}`);
  if (!codec) throw unsupportedMediaType(`${BODY_TYPE_NAMES} (for ${apiVersion} ${kind})`);
  return { apiVersion, kind, ...read(raw, codec) };
}

/** An object, a list or a Status. */
export function toProtobuf(object: Json): Buffer {
  const { apiVersion, kind } = object as Record<string, string>;
  const codec = CODECS.get(`${apiVersion} ${kind}`) as Codec;
  const type = lengthPrefixed(1, write({ apiVersion, kind }, envelope.fields?.['type'] as Codec));
  return Buffer.concat([MAGIC, type, lengthPrefixed(2, write(object, codec))]);
}

/** Whether an object, or the list of its kind, has a form in protobuf. */
export const hasProtobuf = ({ apiVersion, kind }: Json): boolean => CODECS.has(`${asText(apiVersion)} ${asText(kind)}`);

/** One event of a watch, from its JSON. */
export function protobufFrame(event: string): Buffer {
  const { type, object } = JSON.parse(event) as { type: string; object: Json };
  const raw = lengthPrefixed(2, lengthPrefixed(1, toProtobuf(object)));
  const message = Buffer.concat([write({ type }, watchEvent), raw]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(message.length);
  return Buffer.concat([length, message]);
}

function varint(number: number | bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(number));
  do {
    const more = rest > 0x7fn;
    bytes.push(Number(rest & 0x7fn) | (more ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}

const lengthPrefixed = (field: number, content: Buffer): Buffer =>
  Buffer.concat([varint(field * 8 + 2), varint(content.length), content]);

function write(object: Json, codec: Codec): Buffer {
  const parts: Buffer[] = [];
  for (const [number, name, inner] of numbersOf(codec)) {
    const value = object[name];
    if (number === 0 || value === undefined || value === null) continue;
    for (const item of inner.kind === 'list' && isList(value) ? value : [value]) {
      const one = inner.kind === 'list' ? (inner.item as Codec) : inner;
      if (one.kind === 'int') parts.push(varint(number * 8), varint(item as number));
      else if (one.kind === 'flag') parts.push(varint(number * 8), varint(item === true ? 1 : 0));
      else if (one.kind === 'map') {
        for (const [key, text] of Object.entries(asObject(item))) {
          parts.push(lengthPrefixed(number, write({ key, value: text }, entry)));
        }
      } else parts.push(lengthPrefixed(number, contentOf(item, one)));
    }
  }
  return Buffer.concat(parts);
}

function contentOf(value: unknown, codec: Codec): Buffer {
  if (codec.kind === 'struct') return write(value as Json, codec);
  if (codec.kind === 'free') return write({ raw: JSON.stringify(value) }, jsonText);
  if (codec.kind === 'text') return Buffer.from(value as string);
  const at = value as string;
  const nanos = codec.kind === 'microTime' ? Number(at.slice(20, 26)) * 1000 : 0;
  return write({ seconds: Date.parse(`${at.slice(0, 19)}Z`) / 1000, nanos }, timestamp);
}

const CUT_SHORT = 'protobuf: unexpected end of the message';

function read(bytes: Buffer, codec: Codec, onBytes?: (field: string, bytes: Buffer) => void): Json {
  const out: Json = {};
  let at = 0;
  const number = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw badRequest(CUT_SHORT);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw badRequest('protobuf: a number is too long');
  };
  const take = (length: number): Buffer => {
    if (length < 0 || at + length > bytes.length) throw badRequest(CUT_SHORT);
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(number());
    const wire = tag & 7;
    if (wire > 2 && wire !== 5) throw badRequest(`protobuf: wire type ${wire} is not supported`);
    const content = wire === 0 ? number() : wire === 1 ? take(8) : wire === 2 ? take(Number(number())) : take(4);
    const [name, field] = fieldAt(codec, Math.floor(tag / 8)) ?? [];
    if (name === undefined || !field) continue;
    const one = field.kind === 'list' ? (field.item as Codec) : field;
    const value = typeof content === 'bigint' ? scalarOf(content, one) : bytesOf(content, one);
    if (Buffer.isBuffer(content)) onBytes?.(name, content);
    if (value === undefined) continue;
    if (field.kind === 'list') ((out[name] ??= []) as unknown[]).push(value);
    else if (field.kind === 'map') {
      const { key = '', value: said = '' } = value as Record<string, string>;
      setKey((out[name] ??= {}) as Json, key, said);
    } else out[name] = value;
  }
  return out;
}

const scalarOf = (value: bigint, { kind }: Codec): unknown =>
  kind === 'flag' ? value !== 0n : kind === 'int' ? Number(value) : undefined;

function bytesOf(bytes: Buffer, codec: Codec): unknown {
  switch (codec.kind) {
    case 'struct':
      return read(bytes, codec);
    case 'map':
      return read(bytes, entry);
    case 'text':
      return bytes.toString();
    case 'free': {
      const { raw = '{}' } = read(bytes, jsonText) as Record<string, string>;
      try {
        return JSON.parse(raw) as unknown;
      } catch {
        throw badRequest('protobuf: FieldsV1 is no JSON');
      }
    }
    case 'time':
    case 'microTime': {
      // Go's zero time is an empty message.
      const { seconds, nanos = 0 } = read(bytes, timestamp) as Record<string, number>;
      if (seconds === undefined) return undefined;
      const date = new Date(seconds * 1000);
      if (Number.isNaN(date.getTime())) throw badRequest(`protobuf: ${seconds} seconds are no time`);
      const text = date.toISOString().slice(0, 19);
      return codec.kind === 'time' ? `${text}Z` : `${text}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
    }
    default:
      return undefined;
  }
}
