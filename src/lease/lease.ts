/**
 * The Lease of coordination.k8s.io/v1, parsed once at the border.
 *
 * Guarantees: what `parseLease` returns has the declared types whatever the input was; an optional field of a wrong type
 * or out of range is read as absent; fields that this code does not know are kept and written back, so that
 * read-modify-write loses nothing. `managedFields` are left out: an API server keeps its own when a PUT brings none.
 * Objects are treated as immutable; nothing here mutates its arguments.
 */
import { MicroTime } from './micro-time.ts';

export const API_VERSION = 'coordination.k8s.io/v1';
const KIND = 'Lease';

/** An owner of the lease: when it goes, the garbage collector of Kubernetes deletes the lease. */
export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** What Kubernetes knows of every object, as far as leases need it. */
export interface LeaseMetadata {
  readonly name: string;
  readonly namespace: string;
  /** Empty for a lease that was not stored yet. */
  readonly uid: string;
  /** Empty for a lease that was not stored yet. Compare for equality, or by `versionNumber`. */
  readonly resourceVersion: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly ownerReferences: readonly OwnerReference[];
  readonly finalizers: readonly string[];
  readonly creationTimestamp?: MicroTime | undefined;
  readonly deletionTimestamp?: MicroTime | undefined;
}

/** Who holds the lease, since when, and for how long; every field may be absent. */
export interface LeaseSpec {
  readonly holderIdentity?: string | undefined;
  /** Whole seconds, 1 to 2147483647. */
  readonly leaseDurationSeconds?: number | undefined;
  readonly acquireTime?: MicroTime | undefined;
  readonly renewTime?: MicroTime | undefined;
  /** 0 to 2147483647. */
  readonly leaseTransitions?: number | undefined;
  /** Coordinated election: who should hold the lease next. The holder ends its term and releases. */
  readonly preferredHolder?: string | undefined;
}

/** A Lease of coordination.k8s.io/v1 as `parseLease` reads it. Immutable: change it with `withChanges`. */
export interface Lease {
  readonly metadata: LeaseMetadata;
  readonly spec: LeaseSpec;
  /** What was read and is not known here, to be written back unchanged. */
  readonly unknown?: { readonly metadata: object; readonly spec: object } | undefined;
}

/** What was read is no Lease. `field` is the path of the first thing missing. */
export class LeaseParseError extends Error {
  override readonly name = 'LeaseParseError';
  readonly code = 'InvalidLease';
  readonly field: string;
  constructor(field: string, rule: string) {
    super(`not a Lease: ${field} ${rule}`);
    this.field = field;
  }
}

const INT32_MAX = 2_147_483_647;
type Json = Record<string, unknown>;
const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);
const text = (v: unknown): string | undefined => (typeof v === 'string' ? v : undefined);
const int32 = (v: unknown, min: number): number | undefined =>
  typeof v === 'number' && Number.isInteger(v) && v >= min && v <= INT32_MAX ? v : undefined;

/**
 * Reads a Lease from untrusted JSON.
 * @throws LeaseParseError when it is no object, has no name, or is of another kind
 */
export function parseLease(json: unknown): Lease {
  if (!isObject(json)) throw new LeaseParseError('the value', 'must be an object');
  if (json['kind'] !== undefined && json['kind'] !== KIND) throw new LeaseParseError('kind', 'must be Lease');
  if (!isObject(json['metadata'])) throw new LeaseParseError('metadata', 'must be an object');
  const {
    name,
    namespace,
    uid,
    resourceVersion,
    labels,
    annotations,
    ownerReferences,
    finalizers,
    creationTimestamp,
    deletionTimestamp,
    managedFields: _managedFields,
    ...otherMetadata
  } = json['metadata'];
  if (typeof name !== 'string' || name === '') throw new LeaseParseError('metadata.name', 'must be a non-empty string');
  const spec = isObject(json['spec']) ? json['spec'] : {};
  const {
    holderIdentity,
    leaseDurationSeconds,
    acquireTime,
    renewTime,
    leaseTransitions,
    preferredHolder,
    ...otherSpec
  } = spec;
  return {
    metadata: {
      name,
      namespace: text(namespace) ?? '',
      uid: text(uid) ?? '',
      resourceVersion: text(resourceVersion) ?? '',
      labels: stringMap(labels),
      annotations: stringMap(annotations),
      ownerReferences: Array.isArray(ownerReferences) ? ownerReferences.filter(isOwnerReference) : [],
      finalizers: Array.isArray(finalizers) ? finalizers.filter((f) => typeof f === 'string') : [],
      creationTimestamp: MicroTime.parse(creationTimestamp),
      deletionTimestamp: MicroTime.parse(deletionTimestamp),
    },
    spec: {
      holderIdentity: text(holderIdentity),
      leaseDurationSeconds: int32(leaseDurationSeconds, 1),
      acquireTime: MicroTime.parse(acquireTime),
      renewTime: MicroTime.parse(renewTime),
      leaseTransitions: int32(leaseTransitions, 0),
      preferredHolder: text(preferredHolder),
    },
    unknown: { metadata: otherMetadata, spec: otherSpec },
  };
}

/** A Lease that was not stored yet. */
export function newLease(
  metadata: Partial<LeaseMetadata> & Pick<LeaseMetadata, 'name' | 'namespace'>,
  spec: LeaseSpec,
): Lease {
  return {
    metadata: {
      uid: '',
      resourceVersion: '',
      labels: {},
      annotations: {},
      ownerReferences: [],
      finalizers: [],
      ...metadata,
    },
    spec,
  };
}

/**
 * The number of a resourceVersion: of two versions of one server the newer has the greater one (etcd's revisions; since
 * Kubernetes 1.35 a promise of its API). Undefined: this server's versions are no numbers.
 */
export const versionNumber = (resourceVersion: string): bigint | undefined =>
  /^\d{1,39}$/.test(resourceVersion) ? BigInt(resourceVersion) : undefined;

/** Labels or annotations to be set; undefined removes one. */
export type MarkChanges = Readonly<Record<string, string | undefined>>;

/** The lease with these parts replaced; labels and annotations are merged key by key. */
export function withChanges(
  lease: Lease,
  changes: {
    labels?: MarkChanges;
    annotations?: MarkChanges;
    ownerReferences?: readonly OwnerReference[];
    spec?: LeaseSpec;
  },
): Lease {
  return {
    ...lease,
    metadata: {
      ...lease.metadata,
      labels: merged(lease.metadata.labels, changes.labels),
      annotations: merged(lease.metadata.annotations, changes.annotations),
      ownerReferences: changes.ownerReferences ?? lease.metadata.ownerReferences,
    },
    spec: { ...lease.spec, ...changes.spec },
  };
}

function merged(
  old: Readonly<Record<string, string>>,
  changes: MarkChanges | undefined,
): Readonly<Record<string, string>> {
  if (changes === undefined) return old;
  const all: Record<string, string> = { ...old };
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) delete all[key];
    else all[key] = value;
  }
  return all;
}

/** The JSON object that an API server takes. Empty and absent fields are left out. */
export function leaseToJson(lease: Lease): Record<string, unknown> {
  const { metadata: m, spec: s } = lease;
  const metadata: Json = { ...lease.unknown?.metadata, name: m.name };
  if (m.namespace !== '') metadata['namespace'] = m.namespace;
  if (m.uid !== '') metadata['uid'] = m.uid;
  if (m.resourceVersion !== '') metadata['resourceVersion'] = m.resourceVersion;
  if (notEmpty(m.labels)) metadata['labels'] = m.labels;
  if (notEmpty(m.annotations)) metadata['annotations'] = m.annotations;
  if (m.ownerReferences.length > 0) metadata['ownerReferences'] = m.ownerReferences;
  if (m.finalizers.length > 0) metadata['finalizers'] = m.finalizers;
  // metav1.Time has whole seconds only; both are set by the server, which ignores what a client sends.
  if (m.creationTimestamp) metadata['creationTimestamp'] = wholeSeconds(m.creationTimestamp);
  if (m.deletionTimestamp) metadata['deletionTimestamp'] = wholeSeconds(m.deletionTimestamp);
  const spec: Json = { ...lease.unknown?.spec };
  if (s.holderIdentity !== undefined) spec['holderIdentity'] = s.holderIdentity;
  if (s.leaseDurationSeconds !== undefined) spec['leaseDurationSeconds'] = s.leaseDurationSeconds;
  if (s.acquireTime) spec['acquireTime'] = s.acquireTime.toString();
  if (s.renewTime) spec['renewTime'] = s.renewTime.toString();
  if (s.leaseTransitions !== undefined) spec['leaseTransitions'] = s.leaseTransitions;
  if (s.preferredHolder) spec['preferredHolder'] = s.preferredHolder;
  return { apiVersion: API_VERSION, kind: KIND, metadata, spec };
}

const wholeSeconds = (t: MicroTime): string => `${t.toString().slice(0, 19)}Z`;

function notEmpty(o: object): boolean {
  for (const _ in o) return true;
  return false;
}

function stringMap(v: unknown): Record<string, string> {
  if (!isObject(v)) return {};
  const out: Record<string, string> = {};
  // Object.defineProperty semantics: a label named __proto__ must stay a label.
  for (const [key, value] of Object.entries(v)) {
    if (typeof value === 'string') Object.defineProperty(out, key, { value, enumerable: true, configurable: true });
  }
  return out;
}

function isOwnerReference(v: unknown): v is OwnerReference {
  return isObject(v) && ['apiVersion', 'kind', 'name', 'uid'].every((k) => typeof v[k] === 'string' && v[k] !== '');
}
