/**
 * Watches the identity leases that carry our hostname: our own, to notice at once when somebody takes or deletes it, and
 * others (a kube-apiserver that publishes itself), to report them once each.
 *
 * Only hints come from here. The publisher is right without them, at its next renewal; so a watch that is not permitted
 * or broken costs speed, never safety.
 */
import type { Lease } from '../lease/lease.ts';
import { HOSTNAME_LABEL } from '../lease/names.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import type { LeaseEvent, LeaseStore } from '../lease/store.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Self } from './decide.ts';

/** How long until a watch that is not permitted is tried again, in milliseconds: permissions may be mended. */
export const FORBIDDEN_WATCH_RETRY_MS = 300_000;

export interface NeighbourListener {
  /** Somebody else wrote or deleted the lease under our name. */
  onDisturbed(lease: Lease, deleted: boolean): void;
  onTwin(lease: Lease): void;
  onTwinGone(name: string): void;
  onFailure(error: LeaseStoreError, retryInMs: number | undefined): void;
}

export class Neighbours {
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #self: Self;
  readonly #listener: NeighbourListener;
  readonly #twins = new Set<string>();

  constructor(options: { store: LeaseStore; clock: Clock; self: Self; listener: NeighbourListener }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#self = options.self;
    this.#listener = options.listener;
  }

  get twins(): readonly string[] {
    return [...this.#twins];
  }

  async run(signal: AbortSignal): Promise<void> {
    const { namespace, labelKey, labelValue, labels } = this.#self;
    const labelSelector = `${labelKey}=${labelValue},${HOSTNAME_LABEL}=${labels[HOSTNAME_LABEL]}`;
    while (!signal.aborted) {
      try {
        for await (const event of this.#store.watch({ namespace, labelSelector }, signal)) this.#see(event);
        if (signal.aborted) return;
      } catch (cause) {
        if (signal.aborted) return;
        // Hints only: whatever goes wrong with them, the publisher goes on.
        const message = cause instanceof Error ? cause.message : String(cause);
        const error = isStoreError(cause) ? cause : new LeaseStoreError('BadAnswer', { message, cause });
        this.#listener.onFailure(error, FORBIDDEN_WATCH_RETRY_MS);
      }
      await sleep(this.#clock, FORBIDDEN_WATCH_RETRY_MS, signal);
    }
  }

  #see(event: LeaseEvent): void {
    switch (event.type) {
      case 'list': {
        const names = new Set(event.leases.map((lease) => lease.metadata.name));
        for (const name of this.#twins) if (!names.has(name)) this.#gone(name);
        // What a list says of our own lease may be older than what we wrote since; a change that is told is not.
        for (const lease of event.leases) if (lease.metadata.name !== this.#self.name) this.#twin(lease);
        return;
      }
      case 'added':
      case 'modified':
        if (event.lease.metadata.name !== this.#self.name) this.#twin(event.lease);
        else if (event.lease.spec.holderIdentity !== this.#self.holder) this.#listener.onDisturbed(event.lease, false);
        return;
      case 'deleted':
        if (event.lease.metadata.name !== this.#self.name) this.#gone(event.lease.metadata.name);
        else this.#listener.onDisturbed(event.lease, true);
        return;
      case 'lost':
        this.#listener.onFailure(event.error, undefined);
        return;
      case 'fresh':
        return;
    }
  }

  #twin(lease: Lease): void {
    if (this.#twins.has(lease.metadata.name)) return;
    this.#twins.add(lease.metadata.name);
    this.#listener.onTwin(lease);
  }

  #gone(name: string): void {
    if (this.#twins.delete(name)) this.#listener.onTwinGone(name);
  }
}
