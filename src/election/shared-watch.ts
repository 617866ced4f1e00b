/**
 * One watch for the leases of several electors in one namespace.
 *
 * Guarantees: one list and one watch however many leases are followed, open while at least one is; each follower sees what
 * a watch of its own would show: the whole state first, then every change. Where watching the namespace is not permitted,
 * each follower gets a watch of its own name, as without this.
 */
import type { Lease } from '../lease/lease.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseEvent, LeaseRef, LeaseStore, LeaseStoreError } from '../lease/store.ts';
import type { WatchLease } from './lease-follower.ts';

interface Follower {
  readonly name: string;
  readonly inbox: LeaseEvent[];
  wake: () => void;
}

/** One watch, from its opening to its end. */
interface Session {
  readonly abort: AbortController;
  readonly followers: Set<Follower>;
  /** By name; undefined before the first list. */
  leases: Map<string, Lease> | undefined;
  lost: LeaseStoreError | undefined;
  /** Set when it is over, with what ended it. */
  end: { readonly error: Error | undefined } | undefined;
}

/**
 * One watch of a namespace for all electors in it, where each would open one of its own.
 * @returns for `LeaderElectorOptions.watch`, of every elector whose lease is in this namespace; it throws TypeError for a lease in another one
 */
export function createSharedWatch({ store, namespace }: { store: LeaseStore; namespace: string }): WatchLease {
  let current: Session | undefined;

  const open = (): Session => {
    const session: Session = {
      abort: new AbortController(),
      followers: new Set(),
      leases: undefined,
      lost: undefined,
      end: undefined,
    };
    const follow = async (): Promise<void> => {
      let error: Error | undefined;
      try {
        for await (const event of store.watch({ namespace }, session.abort.signal)) take(session, event);
      } catch (thrown) {
        error = thrown as Error;
      }
      session.end = { error };
      if (current === session) current = undefined;
      for (const follower of session.followers) follower.wake();
    };
    void follow();
    return session;
  };

  return async function* watch(ref: LeaseRef, signal: AbortSignal): AsyncGenerator<LeaseEvent, void, undefined> {
    if (ref.namespace !== namespace)
      throw new TypeError(
        `a shared watch of namespace ${namespace} cannot follow a lease in namespace ${ref.namespace}`,
      );
    if (signal.aborted) return;
    const session = (current ??= open());
    const follower: Follower = { name: ref.name, inbox: [], wake: () => {} };
    if (session.leases) follower.inbox.push(listFor(session.leases, ref.name));
    if (session.lost) follower.inbox.push({ type: 'lost', error: session.lost });
    session.followers.add(follower);
    const onAbort = (): void => follower.wake();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      for (;;) {
        if (signal.aborted) return;
        const event = follower.inbox.shift();
        if (event) yield event;
        else if (session.end) break;
        else await new Promise<void>((resolve) => (follower.wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      session.followers.delete(follower);
      if (session.followers.size === 0) {
        if (current === session) current = undefined;
        session.abort.abort();
      }
    }
    const { error } = session.end;
    if (isStoreError(error, 'Forbidden')) {
      yield* store.watch({ namespace, fieldSelector: `metadata.name=${ref.name}` }, signal);
    } else if (error !== undefined) throw error;
  };
}

function take(session: Session, event: LeaseEvent): void {
  if (event.type === 'lost' || event.type === 'fresh') {
    session.lost = event.type === 'lost' ? event.error : undefined;
    for (const follower of session.followers) tell(follower, event);
  } else if (event.type === 'list') {
    session.lost = undefined;
    const leases = new Map(event.leases.map((lease) => [lease.metadata.name, lease]));
    session.leases = leases;
    for (const follower of session.followers) tell(follower, listFor(leases, follower.name));
  } else {
    const { name } = event.lease.metadata;
    if (event.type === 'deleted') session.leases?.delete(name);
    else session.leases?.set(name, event.lease);
    for (const follower of session.followers) if (follower.name === name) tell(follower, event);
  }
}

function tell(follower: Follower, event: LeaseEvent): void {
  follower.inbox.push(event);
  follower.wake();
}

function listFor(leases: ReadonlyMap<string, Lease>, name: string): LeaseEvent {
  const lease = leases.get(name);
  return { type: 'list', leases: lease ? [lease] : [] };
}
