/**
 * Removes one instance: deletes the identity leases of a host that is gone.
 *
 * Guarantees: nothing is deleted while somebody renews one of them, unless forced: that is judged by what changes,
 * never by clocks; each is deleted only in the version that was read (uid and resourceVersion). Other leases that carry the
 * hostname, an election's or another product's, are left alone.
 * Not guaranteed: that a publisher is seen which renews less often than `observeMs`.
 */
import type { Lease } from '../lease/lease.ts';
import { listPages } from '../lease/list-pages.ts';
import { HOSTNAME_LABEL, hostnameLabel, hostnameOf } from '../lease/names.ts';
import { recordOf, sameRecord } from '../lease/record.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseQuery, LeaseStore } from '../lease/store.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';

/** Milliseconds between two lists: who renews every 10 s is refused after the second, without waiting for the last. */
const LIST_EVERY_MS = 12_000;
/** Forced: how often a lease that was renewed in between is looked at again. */
const TRIES = 5;

export interface ReleaseOptions {
  readonly store: Pick<LeaseStore, 'list' | 'delete'>;
  readonly clock: Clock;
  /** The identity leases: of those found, all that match. */
  readonly query: LeaseQuery & { readonly matches?: ((lease: Lease) => boolean) | undefined };
  readonly hostname: string;
  /** Milliseconds from the first list to the last: longer than the slowest publisher's renew interval. */
  readonly observeMs: number;
  /** Deletes at once, even while somebody renews. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  /** Milliseconds for one request. */
  readonly timeoutMs?: number | undefined;
}

interface ReleasedLease {
  readonly lease: Lease;
  /** `renewed`: somebody renews it, and it was left alone. `gone`: another was faster. `terminating`: finalizers hold it. */
  readonly outcome: 'deleted' | 'terminating' | 'gone' | 'renewed';
}

/**
 * What became of each lease of the host; empty: there is none.
 * @throws LeaseStoreError, `Aborted` when the signal aborts
 */
export async function releaseHost(options: ReleaseOptions): Promise<readonly ReleasedLease[]> {
  const { clock, observeMs, force, signal } = options;
  let leases = await list(options);
  if (leases.length > 0 && !force) {
    const before = new Map(leases.map((lease) => [lease.metadata.name, recordOf(lease)]));
    let leftMs = observeMs;
    do {
      await sleep(clock, Math.min(leftMs, LIST_EVERY_MS), signal);
      leases = await list(options);
      const renewed = leases.filter((lease) => {
        const record = before.get(lease.metadata.name);
        return !record || !sameRecord(record, recordOf(lease));
      });
      if (renewed.length > 0) return renewed.map((lease) => ({ lease, outcome: 'renewed' }));
      leftMs -= LIST_EVERY_MS;
    } while (leftMs > 0);
  }
  const released: ReleasedLease[] = [];
  for (const lease of leases) released.push({ lease, outcome: await remove(options, lease) });
  return released;
}

async function list({ store, clock, query, hostname, signal, timeoutMs }: ReleaseOptions): Promise<readonly Lease[]> {
  const { namespace, labelSelector: ours, matches = () => true } = query;
  const ofHost = `${HOSTNAME_LABEL}=${hostnameLabel(hostname)}`;
  const labelSelector = ours ? `${ours},${ofHost}` : ofHost;
  const { items } = await listPages({
    ask: (part) => store.list({ namespace, labelSelector, ...part }, { signal, timeoutMs }),
    keep: ({ leases }) => leases.filter((lease) => matches(lease) && hostnameOf(lease) === hostname),
    now: () => clock.monotonic(),
  });
  return items;
}

async function remove(options: ReleaseOptions, seen: Lease): Promise<ReleasedLease['outcome']> {
  const { store, force, signal, timeoutMs } = options;
  let lease: Lease | undefined = seen;
  for (let tries = 1; lease; tries++) {
    const { namespace, name, uid, resourceVersion, finalizers }: Lease['metadata'] = lease.metadata;
    try {
      await store.delete({ namespace, name }, { uid, resourceVersion }, { signal, timeoutMs });
      return finalizers.length > 0 ? 'terminating' : 'deleted';
    } catch (error) {
      if (isStoreError(error, 'NotFound')) return 'gone';
      if (!isStoreError(error, 'Conflict')) throw error;
      if (!force || tries === TRIES) return 'renewed';
      lease = (await list(options)).find((one): boolean => one.metadata.name === name);
    }
  }
  return 'gone';
}
