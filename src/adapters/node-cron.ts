/**
 * `leasekeeper/node-cron`: the run coordinator for `distributed: true` tasks of node-cron, over a Lease.
 *
 * Guarantees: those of the recipe: of many replicas one runs each fire, at most once.
 */
import { openLeases } from '../leases.ts';
import type { OpenOptions } from '../leases.ts';
import type { Cron } from '../recipes/cron.ts';

/** A coordinator with the connection that it stands on. */
export interface LeaseCoordinator extends Pick<Cron, 'shouldRun' | 'onComplete' | 'term'> {
  /** No further fire is claimed; works that run are asked to end by their terms; the connection is closed. */
  close(): Promise<void>;
}

/**
 * A coordinator, ready for `cron.setRunCoordinator`. The cluster is found as `openLeases` does.
 * @param lease the Lease that records the fires: `name` in the context's or pod's namespace, or `namespace/name`; default
 *   `node-cron`
 * @throws KubeConfigError when the configuration cannot be used; OptionsError
 * @example
 * cron.setRunCoordinator(await leaseCoordinator());
 * cron.schedule('0 3 * * *', backup, { name: 'backup', distributed: true });
 */
export async function leaseCoordinator(lease = 'node-cron', options: OpenOptions = {}): Promise<LeaseCoordinator> {
  const leases = await openLeases(options);
  const cron = leases.cron(lease);
  return {
    shouldRun: (key) => cron.shouldRun(key),
    onComplete: (key) => cron.onComplete(key),
    term: (job, fireTime) => cron.term(job, fireTime),
    close: () => leases.close(),
  };
}
