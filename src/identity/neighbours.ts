/**
 * Watches the identity leases that carry our hostname: our own, to notice at once when somebody takes or deletes it, and
 * others (a kube-apiserver that publishes itself), to report them once each, and whether one takes part in peer proxying.
 *
 * Only hints come from here. The publisher is right without them, at its next renewal; so a watch that is not permitted
 * or broken costs speed, never safety.
 */
import type { Lease } from '../lease/lease.ts';
import { HOSTNAME_LABEL } from '../lease/names.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import type { LeaseEvent, LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { Follower } from '../runtime/follow.ts';
import type { Observe } from '../runtime/observer.ts';
import { errorText } from '../runtime/printable.ts';
import type { Self } from './decide.ts';
import type { PublisherEvent } from './publisher-events.ts';

/** Stands on an API server's own lease when it takes part in peer proxying (kube-apiserver 1.36, `--peer-ca-file`). */
const PEER_ANNOTATION = 'kubernetes.io/peer-advertise-address';
/** How long until a watch that is not permitted is tried again, in milliseconds: permissions may be mended. */
const FORBIDDEN_WATCH_RETRY_MS = 300_000;

interface NeighboursOptions {
  readonly store: Pick<LeaseStore, 'watch'>;
  readonly clock: Clock;
  readonly self: Self;
  /** Somebody else wrote or deleted the lease under our name. */
  readonly onDisturbed: (lease: Lease, deleted: boolean) => void;
  /** A server takes part in peer proxying from now on, or no longer. */
  readonly onPeer: () => void;
  readonly observe: Observe<PublisherEvent>;
}

export class Neighbours {
  readonly #options: NeighboursOptions;
  readonly #follower: Follower<LeaseEvent>;
  readonly #twins = new Map<string, Lease>();
  readonly #known = new AbortController();

  constructor(options: NeighboursOptions) {
    this.#options = options;
    this.#follower = new Follower({
      clock: options.clock,
      open: (signal) => this.#watch(signal),
      onEvent: (event) => this.#see(event),
      onEnd: (error) => {
        this.#known.abort();
        if (error) this.#failed(error, FORBIDDEN_WATCH_RETRY_MS);
        return FORBIDDEN_WATCH_RETRY_MS;
      },
    });
  }

  get twins(): readonly string[] {
    return [...this.#twins.keys()];
  }

  /** The lease of an API server beside us that takes part in peer proxying. */
  get peer(): Lease | undefined {
    return [...this.#twins.values()].find(isServerWithPeers);
  }

  /** Aborts when it is known which they are, or that this cannot be known now. */
  get known(): AbortSignal {
    return this.#known.signal;
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#follower.run(signal);
  }

  async *#watch(signal: AbortSignal): AsyncIterable<LeaseEvent> {
    const { store, self } = this.#options;
    const { namespace, labelKey, labelValue, labels } = self;
    const labelSelector = `${labelKey}=${labelValue},${HOSTNAME_LABEL}=${labels[HOSTNAME_LABEL]}`;
    try {
      yield* store.watch({ namespace, labelSelector }, signal);
    } catch (cause) {
      // Hints only: whatever goes wrong with them, the publisher goes on.
      if (isStoreError(cause)) throw cause;
      const message = errorText(cause);
      throw new LeaseStoreError('BadAnswer', { message, cause });
    }
  }

  #see(event: LeaseEvent): void {
    const { self, onDisturbed } = this.#options;
    switch (event.type) {
      case 'list': {
        const names = new Set(event.leases.map((lease) => lease.metadata.name));
        for (const name of this.#twins.keys()) if (!names.has(name)) this.#gone(name);
        // What a list says of our own lease may be older than what we wrote since; a change that is reported is not.
        for (const lease of event.leases) if (lease.metadata.name !== self.name) this.#twin(lease);
        this.#known.abort();
        return;
      }
      case 'added':
      case 'modified':
        if (event.lease.metadata.name !== self.name) this.#twin(event.lease);
        else if (event.lease.spec.holderIdentity !== self.holder) onDisturbed(event.lease, false);
        return;
      case 'deleted':
        if (event.lease.metadata.name !== self.name) this.#gone(event.lease.metadata.name);
        else onDisturbed(event.lease, true);
        return;
      case 'lost':
        this.#known.abort();
        this.#failed(event.error, 0);
        return;
      case 'fresh':
        return;
    }
  }

  #failed(error: LeaseStoreError, retryInMs: number): void {
    this.#options.observe({ type: 'failed', operation: 'watch', error, attempt: 1, retryInMs });
  }

  #twin(lease: Lease): void {
    const before = this.#twins.get(lease.metadata.name);
    this.#twins.set(lease.metadata.name, lease);
    if (!before) this.#options.observe({ type: 'twin', lease });
    if (isServerWithPeers(lease) !== (before !== undefined && isServerWithPeers(before))) this.#options.onPeer();
  }

  #gone(name: string): void {
    const before = this.#twins.get(name);
    if (!before) return;
    this.#twins.delete(name);
    this.#options.observe({ type: 'twinGone', name });
    if (isServerWithPeers(before)) this.#options.onPeer();
  }
}

/** True for the lease of an API server that takes part in peer proxying: its own, as it writes no transitions. */
export const isServerWithPeers = ({ metadata, spec }: Lease): boolean =>
  metadata.annotations[PEER_ANNOTATION] !== undefined && spec.leaseTransitions === undefined;
