/**
 * Which heartbeats a pass may delete because their Node is gone: two looks at the leases and the Nodes go in, a plan comes
 * out. Only the first function waits.
 *
 * Guarantees: a lease goes only when in both looks no Node had its name, and nobody wrote it in between; the Nodes are
 * listed after the leases, so that a lease is never older than the Nodes it is compared with. Where there is no Node at all,
 * nothing goes unless all may: the Nodes are probably not to be seen, not all gone. What says or shows that it is no
 * heartbeat never goes, whatever the selector finds: a key of a ring is not written while it is held.
 */
import { kindOf } from '../lease/lease-kind.ts';
import type { Lease } from '../lease/lease.ts';
import { KIND_LABEL } from '../lease/marks.ts';
import type { NodeSource } from '../lease/node-source.ts';
import { LeaseStoreError } from '../lease/store.ts';
import { withTimeout } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { noneKept } from './decide.ts';
import type { Plan } from './decide.ts';

/**
 * The names of all Nodes there are now.
 * @throws LeaseStoreError what ended or hindered the look
 */
export async function nodeNames(
  nodes: NodeSource,
  { clock, timeoutMs, signal }: { clock: Clock; timeoutMs: number; signal: AbortSignal },
): Promise<ReadonlySet<string>> {
  const look = new AbortController();
  try {
    return await withTimeout(clock, timeoutMs, signal, async (until) => {
      for await (const event of nodes.watch(AbortSignal.any([until, look.signal]))) {
        if (event.type === 'list') return new Set(event.nodes.map(({ name }) => name));
        if (event.type === 'lost') throw event.error;
      }
      const code = signal.aborted ? 'Aborted' : 'Timeout';
      throw new LeaseStoreError(code, { message: `list nodes: no answer within ${timeoutMs} ms` });
    });
  } finally {
    look.abort();
  }
}

/** Versions by uid of the leases that no Node has. */
export const ownerless = (leases: readonly Lease[], nodes: ReadonlySet<string>): ReadonlyMap<string, string> =>
  new Map(
    leases
      .filter(({ metadata }) => !nodes.has(metadata.name))
      .map(({ metadata }) => [metadata.uid, metadata.resourceVersion]),
  );

/** @param first `ownerless` of the first look */
export function planOwnerless(
  first: ReadonlyMap<string, string>,
  leases: readonly Lease[],
  nodes: ReadonlySet<string>,
  allowAll: boolean,
): Plan {
  const kept = noneKept();
  const collect: Plan['collect'][number][] = [];
  for (const lease of leases) {
    const { metadata, spec } = lease;
    const { name, uid, resourceVersion, finalizers } = metadata;
    // Heartbeats that are kept outside kube-node-lease have no kind.
    if (!['heartbeat', 'unknown'].includes(kindOf(lease)) || metadata.labels[KIND_LABEL] !== undefined) kept.election++;
    else if (nodes.has(name) || !first.has(uid)) kept.owned++;
    else if (metadata.deletionTimestamp) kept.terminating++;
    else if (first.get(uid) !== resourceVersion) kept.changed++;
    else {
      const holderIdentity = spec.holderIdentity ?? '';
      collect.push({ name, uid, resourceVersion, holderIdentity, hostname: name, finalizers, ownerGone: true });
    }
  }
  const plan = { seen: leases.length, unexpired: 0, kept, future: { count: 0, examples: [] } };
  if (nodes.size > 0 || allowAll || collect.length === 0) return { ...plan, collect };
  kept.passVoid = collect.length;
  return { ...plan, collect: [], voidBecause: 'noNodes' };
}
