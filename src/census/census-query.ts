/**
 * Which leases a census is of: those of one product's label, or whatever a selector or names say.
 */
import type { Lease } from '../lease/lease.ts';
import { EARLIER_IDENTITY_LABEL, IDENTITY_LABEL, IDENTITY_LABEL_VALUE } from '../lease/names.ts';
import type { LeaseQuery } from '../lease/store.ts';

/** Where kube-apiservers publish. */
const IDENTITY_NAMESPACE = 'kube-system';

/** Which leases a census is of. */
export interface CensusQuery extends LeaseQuery {
  /** Which of the leases found count; default all. */
  readonly matches?: ((lease: Lease) => boolean) | undefined;
  /** Which of those are in the numbers; default all. The others are only kept. */
  readonly counted?: ((lease: Lease) => boolean) | undefined;
  /** What `matches` asks for, as a selector would say it, for messages. */
  readonly matching?: string | undefined;
}

/** For messages: `label a=b in namespace kube-system`. */
export function queryText({ namespace, labelSelector = '', fieldSelector = '', matching }: CensusQuery): string {
  const label = matching ?? labelSelector;
  const what = [label && `label ${label}`, fieldSelector].filter((text) => text !== '').join(' and ');
  const where = namespace === '' ? 'in any namespace' : `in namespace ${namespace}`;
  return what === '' ? where : `with ${what} ${where}`;
}

/** The same leases, as one look at whatever lease says. */
export function isAmong({ namespace, labelSelector, matches }: CensusQuery): (lease: Lease) => boolean {
  const [key = '', value] = labelSelector?.split('=') ?? [];
  return (lease) =>
    lease.metadata.namespace === namespace &&
    (matches?.(lease) ?? true) &&
    (labelSelector === undefined || lease.metadata.labels[key] === value);
}

/**
 * The identity leases of one product. Those of kube-apiservers are read with both labels that they have had: no selector can
 * say so, and their namespace has few other leases.
 */
export function identityLeases(namespace: string, labelKey: string, labelValue: string): CensusQuery {
  if (namespace !== IDENTITY_NAMESPACE || labelKey !== IDENTITY_LABEL || labelValue !== IDENTITY_LABEL_VALUE)
    return { namespace, labelSelector: `${labelKey}=${labelValue}` };
  const matches = ({ metadata: { labels } }: Lease): boolean =>
    labels[IDENTITY_LABEL] === IDENTITY_LABEL_VALUE || labels[EARLIER_IDENTITY_LABEL] === IDENTITY_LABEL_VALUE;
  return { namespace, matches, matching: `${labelKey}=${labelValue}` };
}
