/**
 * What a node's heartbeat says, and what to do with what is found under its name. Pure: no clock, no I/O.
 *
 * Guarantees: a lease made here has the fields that kubelet writes and no other; one that was there keeps what is not
 * ours to say. Its renewTime always grows, for nobody counts one that does not as a sign of life. The owner is the Node
 * of exactly this uid: the lease of a Node that was recreated is not collected as the old one's.
 */
import { newLease, withChanges } from '../lease/lease.ts';
import type { Lease, OwnerReference } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import type { NodeInfo } from '../lease/node-source.ts';
import type { OwnWrites } from '../lease/own-writes.ts';
import type { HeartbeatOptions } from './heartbeat-options.ts';

type LeaseOptions = Pick<HeartbeatOptions, 'namespace' | 'leaseDurationSeconds'>;

/** As kubelet writes it: no controller, no blockOwnerDeletion. */
const nodeReference = ({ name, uid }: NodeInfo): OwnerReference => ({ apiVersion: 'v1', kind: 'Node', name, uid });

/** The lease for a POST. */
export function firstHeartbeat(node: NodeInfo, options: LeaseOptions, renewTime: MicroTime): Lease {
  return newLease(
    { name: node.name, namespace: options.namespace, ownerReferences: [nodeReference(node)] },
    {
      holderIdentity: node.name,
      leaseDurationSeconds: options.leaseDurationSeconds,
      renewTime,
    },
  );
}

/**
 * The lease for a PUT, made from the version that is there. Also where another held it, it is this node's now: a name of a Node is
 * unique, and so is its heartbeat.
 */
export function nextHeartbeat(node: NodeInfo, options: LeaseOptions, from: Lease, renewTime: MicroTime): Lease {
  return withChanges(from, {
    ownerReferences: ownedBy(node, from.metadata.ownerReferences),
    spec: {
      holderIdentity: node.name,
      leaseDurationSeconds: options.leaseDurationSeconds,
      renewTime,
    },
  });
}

/**
 * What is kept of a lease until its next renewal. Of a lease with nothing but what we write that is its version alone:
 * whatever of ten thousand is kept for ten seconds outlives the young generation of the heap.
 */
export interface Held {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly renewTime: MicroTime | undefined;
  /** The whole lease, when there is more on it. */
  readonly whole: Lease | undefined;
}

/**
 * @param before what was kept until now: equal texts are kept once
 * @param ours our last renewTime: equal ones are kept once, too
 */
export function held(
  lease: Lease,
  node: NodeInfo,
  options: LeaseOptions,
  before: Held | undefined,
  ours: MicroTime | undefined,
): Held {
  const { uid, resourceVersion } = lease.metadata;
  const { renewTime } = lease.spec;
  return {
    uid: before?.uid === uid ? before.uid : uid,
    resourceVersion,
    renewTime: ours?.equals(renewTime) ? ours : renewTime,
    whole: isPlain(lease, node, options) ? undefined : lease,
  };
}

/** The lease that was kept. */
export function unheld({ uid, resourceVersion, renewTime, whole }: Held, node: NodeInfo, options: LeaseOptions): Lease {
  if (whole) return whole;
  const { namespace, leaseDurationSeconds } = options;
  return newLease(
    { name: node.name, namespace, uid, resourceVersion, ownerReferences: [nodeReference(node)] },
    { holderIdentity: node.name, leaseDurationSeconds, renewTime },
  );
}

function isPlain({ metadata: m, spec: s, unknown }: Lease, node: NodeInfo, options: LeaseOptions): boolean {
  return (
    isEmpty(m.labels) &&
    isEmpty(m.annotations) &&
    m.finalizers.length === 0 &&
    m.ownerReferences === ownedBy(node, m.ownerReferences) &&
    m.deletionTimestamp === undefined &&
    s.holderIdentity === node.name &&
    s.leaseDurationSeconds === options.leaseDurationSeconds &&
    s.acquireTime === undefined &&
    s.leaseTransitions === undefined &&
    isEmpty(unknown?.metadata) &&
    isEmpty(unknown?.spec)
  );
}

function isEmpty(object: object | undefined): boolean {
  for (const _ in object) return false;
  return true;
}

/** The same list when it is right already: renewals need no new one. */
function ownedBy(node: NodeInfo, owners: readonly OwnerReference[]): readonly OwnerReference[] {
  const [first] = owners;
  if (owners.length === 1 && first && isNode(first) && first.uid === node.uid && first.name === node.name)
    return owners;
  return [nodeReference(node), ...owners.filter((owner) => !isNode(owner))];
}

const isNode = ({ apiVersion, kind }: OwnerReference): boolean => apiVersion === 'v1' && kind === 'Node';

/**
 * The wall clock; where that stands behind the last renewTime (it was set back), a microsecond past that one. No two writes
 * that are remembered have the same.
 */
export function renewalTime(last: MicroTime | undefined, own: OwnWrites, wallMicros: number): MicroTime {
  return own.time(Math.max(wallMicros, last === undefined ? -Infinity : last.epochMicros + 1));
}

/** Who else wrote a lease that we did not expect to find changed; undefined: it was us, or only a repair is due. */
export type Disturbance =
  /** Somebody renews it under another holder. */
  | { readonly kind: 'otherHolder'; readonly holder: string }
  /** Somebody renews it as this node. */
  | { readonly kind: 'secondWriter' }
  /** Something else of it was changed, a label say. */
  | { readonly kind: 'changed' };

/** @param own undefined, or empty: we never wrote it, so what is there comes from a process before us */
export function disturbance(node: NodeInfo, seen: Lease, own: OwnWrites | undefined): Disturbance | undefined {
  const holder = seen.spec.holderIdentity ?? '';
  if (holder !== node.name && holder !== '') return { kind: 'otherHolder', holder };
  if (!own || own.find(seen)) return undefined;
  // What was refused is not ours, unless it is what stands there.
  const ours = own.acknowledged ? [own.acknowledged, ...own.lost] : own.lost;
  if (ours.length === 0) return undefined;
  const { renewTime } = seen.spec;
  const later = renewTime !== undefined && ours.every((write) => renewTime.compare(write.renewTime) > 0);
  return { kind: later ? 'secondWriter' : 'changed' };
}

/**
 * What a refused request asks for. `read`: read what is there and write again at once; `again`: write again at once;
 * `wait`: try again after a pause.
 */
type AfterFailure = 'read' | 'again' | 'wait';

export function afterFailure(operation: 'get' | 'create' | 'update', error: LeaseStoreError): AfterFailure {
  if (operation === 'get') return error.code === 'NotFound' ? 'again' : 'wait';
  const changed = error.code === 'Conflict' || error.code === 'AlreadyExists' || error.code === 'NotFound';
  return changed ? 'read' : 'wait';
}
