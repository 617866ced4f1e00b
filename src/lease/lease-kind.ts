/**
 * What a lease is for, by what stands on it. Pure.
 *
 * Guarantees: a lease that we made says its kind itself; any other is of a kind only where something proves it, else it is
 * `unknown`. So no heartbeat counts as an election: those of konnectivity or Open Cluster Management, say, have neither
 * transitions nor an acquireTime.
 */
import type { Lease } from './lease.ts';
import { KIND_LABEL, LEASE_KINDS } from './marks.ts';
import type { LeaseKind } from './marks.ts';
import { EARLIER_IDENTITY_LABEL, HOSTNAME_LABEL, IDENTITY_LABEL, IDENTITY_LABEL_VALUE, isProcessOf } from './names.ts';

/** Where kubelets keep their nodes' heartbeats. */
export const HEARTBEAT_NAMESPACE = 'kube-node-lease';

/** The words for them. */
export const KINDS = ['identity', 'heartbeat', ...LEASE_KINDS, 'unknown'] as const;
/**
 * What a lease is for: `identity` of a server, `heartbeat` of a Node, `election`, a recipe's (`lock`, `once`, `cron`, `semaphore`,
 * `member`, `shard`), or `unknown`.
 */
export type Kind = (typeof KINDS)[number];

/** What a lease is for; `unknown` where nothing proves it. */
export function kindOf({ metadata, spec }: Pick<Lease, 'metadata' | 'spec'>): Kind {
  const { labels, namespace } = metadata;
  const said = labels[KIND_LABEL];
  // A word that this version does not know is none of those that it does.
  if (said !== undefined) return (LEASE_KINDS as readonly string[]).includes(said) ? (said as LeaseKind) : 'unknown';
  if (isIdentity(metadata, spec)) return 'identity';
  if (namespace === HEARTBEAT_NAMESPACE) return 'heartbeat';
  return spec.leaseTransitions !== undefined || spec.acquireTime !== undefined ? 'election' : 'unknown';
}

/** Other products' identity leases have labels of their own: those have a hostname, and a holder that repeats the name. */
function isIdentity({ name, labels }: Lease['metadata'], { holderIdentity: holder }: Lease['spec']): boolean {
  if (labels[EARLIER_IDENTITY_LABEL] === IDENTITY_LABEL_VALUE) return true;
  if (labels[HOSTNAME_LABEL] === undefined) return false;
  return labels[IDENTITY_LABEL] !== undefined || (holder !== undefined && isProcessOf(name, holder));
}
