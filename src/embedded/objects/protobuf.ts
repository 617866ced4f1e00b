/**
 * Kubernetes' protobuf bodies, for reading only: Go clients send them unasked, and take JSON for an answer.
 *
 * Guarantees: answers the JSON that the same client would have sent; throws ApiError 400 for a body that is cut short or
 * malformed, and 415 for a kind that is not described here (Nodes). Unknown fields are skipped.
 */
import { badRequest, unsupportedMediaType } from '../status-errors.ts';
import { BODY_TYPES } from '../negotiate.ts';
import { setKey } from './schema.ts';
import type { Json } from './schema.ts';

export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

type Kind = 'string' | 'int' | 'bool' | 'time' | 'microTime' | 'map' | Message;
interface Field {
  readonly name: string;
  readonly kind: Kind;
  readonly repeated?: boolean;
}
interface Message {
  readonly fields: Readonly<Record<number, Field>>;
}

const f = (name: string, kind: Kind = 'string', repeated = false): Field => ({ name, kind, repeated });
const message = (fields: Readonly<Record<number, Field>>): Message => ({ fields });
/** Strings numbered from 1. */
const strings = (...names: string[]): Message => message(Object.fromEntries(names.map((name, i) => [i + 1, f(name)])));

const owner = message({
  1: f('kind'),
  3: f('name'),
  4: f('uid'),
  5: f('apiVersion'),
  6: f('controller', 'bool'),
  7: f('blockOwnerDeletion', 'bool'),
});
const metadata = f(
  'metadata',
  message({
    1: f('name'),
    2: f('generateName'),
    3: f('namespace'),
    5: f('uid'),
    6: f('resourceVersion'),
    7: f('generation', 'int'),
    8: f('creationTimestamp', 'time'),
    9: f('deletionTimestamp', 'time'),
    10: f('deletionGracePeriodSeconds', 'int'),
    11: f('labels', 'map'),
    12: f('annotations', 'map'),
    13: f('ownerReferences', owner, true),
    14: f('finalizers', 'string', true),
  }),
);
const reference = strings('kind', 'namespace', 'name', 'uid', 'apiVersion', 'resourceVersion', 'fieldPath');
const source = strings('component', 'host');
const series = message({ 1: f('count', 'int'), 2: f('lastObservedTime', 'microTime') });

const MESSAGES: Readonly<Record<string, Message>> = {
  'coordination.k8s.io/v1 Lease': message({
    1: metadata,
    2: f(
      'spec',
      message({
        1: f('holderIdentity'),
        2: f('leaseDurationSeconds', 'int'),
        3: f('acquireTime', 'microTime'),
        4: f('renewTime', 'microTime'),
        5: f('leaseTransitions', 'int'),
        6: f('strategy'),
        7: f('preferredHolder'),
      }),
    ),
  }),
  'v1 Namespace': message({
    1: metadata,
    2: f('spec', message({ 1: f('finalizers', 'string', true) })),
    3: f('status', strings('phase')),
  }),
  'v1 Event': message({
    1: metadata,
    2: f('involvedObject', reference),
    3: f('reason'),
    4: f('message'),
    5: f('source', source),
    6: f('firstTimestamp', 'time'),
    7: f('lastTimestamp', 'time'),
    8: f('count', 'int'),
    9: f('type'),
    10: f('eventTime', 'microTime'),
    11: f('series', series),
    12: f('action'),
    13: f('related', reference),
    14: f('reportingComponent'),
    15: f('reportingInstance'),
  }),
  'events.k8s.io/v1 Event': message({
    1: metadata,
    2: f('eventTime', 'microTime'),
    3: f('series', series),
    4: f('reportingController'),
    5: f('reportingInstance'),
    6: f('action'),
    7: f('reason'),
    8: f('regarding', reference),
    9: f('related', reference),
    10: f('note'),
    11: f('type'),
    12: f('deprecatedSource', source),
    13: f('deprecatedFirstTimestamp', 'time'),
    14: f('deprecatedLastTimestamp', 'time'),
    15: f('deprecatedCount', 'int'),
  }),
  DeleteOptions: message({
    1: f('gracePeriodSeconds', 'int'),
    2: f('preconditions', strings('uid', 'resourceVersion')),
    3: f('orphanDependents', 'bool'),
    4: f('propagationPolicy'),
    5: f('dryRun', 'string', true),
  }),
};

const ENVELOPE = message({ 1: f('type', strings('apiVersion', 'kind')), 2: f('raw') });
const MAGIC = Buffer.from('k8s\0');

/** @throws ApiError 400, 415 */
export function protobufToJson(body: Buffer): Json {
  if (!body.subarray(0, 4).equals(MAGIC)) throw badRequest('provided data does not appear to be a protobuf message');
  let raw = body.subarray(0, 0);
  const envelope = decode(body.subarray(4), ENVELOPE, (field, bytes) => {
    if (field === 'raw') raw = bytes;
  });
  const { apiVersion = '', kind = '' } = (envelope['type'] ?? {}) as Record<string, string>;
  // DeleteOptions come under the version of what they delete.
  const described = MESSAGES[kind === 'DeleteOptions' ? kind : `${apiVersion} ${kind}`];
  if (!described) throw unsupportedMediaType(`${BODY_TYPES.join(', ')} (for ${apiVersion} ${kind})`);
  return { apiVersion, kind, ...decode(raw, described) };
}

const CUT_SHORT = 'protobuf: unexpected end of the message';

function decode(bytes: Buffer, { fields }: Message, onBytes?: (field: string, bytes: Buffer) => void): Json {
  const out: Json = {};
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw badRequest(CUT_SHORT);
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asIntN(64, value);
    }
    throw badRequest('protobuf: a number is too long');
  };
  const skip = (length: number): Buffer => {
    if (length < 0 || at + length > bytes.length) throw badRequest(CUT_SHORT);
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const field = fields[Math.floor(tag / 8)];
    let value: unknown;
    switch (tag & 7) {
      case 0: {
        const number = varint();
        value = field?.kind === 'bool' ? number !== 0n : Number(number);
        break;
      }
      case 1:
        skip(8);
        continue;
      case 2: {
        const content = skip(Number(varint()));
        if (!field) continue;
        onBytes?.(field.name, content);
        if (field.kind === 'map') {
          const { key = '', value: text = '' } = decode(content, ENTRY) as Record<string, string>;
          setKey((out[field.name] ??= {}) as Json, key, text);
          continue;
        }
        value = contentOf(content, field.kind);
        break;
      }
      case 5:
        skip(4);
        continue;
      default:
        throw badRequest(`protobuf: wire type ${tag & 7} is not supported`);
    }
    if (!field || value === undefined) continue;
    if (field.repeated) ((out[field.name] ??= []) as unknown[]).push(value);
    else out[field.name] = value;
  }
  return out;
}

const ENTRY = strings('key', 'value');
const TIME = message({ 1: f('seconds', 'int'), 2: f('nanos', 'int') });

function contentOf(bytes: Buffer, kind: Kind): unknown {
  if (typeof kind === 'object') return decode(bytes, kind);
  if (kind !== 'time' && kind !== 'microTime') return bytes.toString();
  // Go's zero time is an empty message.
  const { seconds, nanos = 0 } = decode(bytes, TIME) as Record<string, number>;
  if (seconds === undefined) return undefined;
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) throw badRequest(`protobuf: ${seconds} seconds are no time`);
  const text = date.toISOString().slice(0, 19);
  return kind === 'time' ? `${text}Z` : `${text}.${String(Math.floor(nanos / 1000)).padStart(6, '0')}Z`;
}
