/**
 * What a publisher believes of its lease: whether it holds it, in which version, and who does if it does not.
 *
 * Guarantees: `held` stays true once it was; a claim is told once, when it is known to have succeeded; yielding is told once
 * for each phase that it leads to. Decides and sends nothing.
 */
import type { Observation } from '../lease/expiry.ts';
import type { Lease } from '../lease/lease.ts';
import type { Observe } from '../runtime/observer.ts';
import type { PublisherEvent, PublisherPhase } from './publisher-events.ts';

export class Tenure {
  phase: PublisherPhase = 'idle';
  /** True from the first time that we held the lease on. */
  held = false;
  /** The other's lease while we stand by. */
  watched: Observation | undefined;
  /** The claim that was sent last, for when its answer is lost. */
  claiming: { readonly how: 'created' | 'recreated' | 'takenOver'; readonly from?: string } | undefined;
  /** The version that we hold, as last answered. */
  lease: Lease | undefined;
  /** True: the next request is a GET. */
  look = true;
  /** The other holder, while another holds it. */
  heldBy: string | undefined;
  /** Monotonic milliseconds, from before the renewal was sent. */
  renewedAt: number | undefined;
  readonly #observe: Observe<PublisherEvent>;

  constructor(observe: Observe<PublisherEvent>) {
    this.#observe = observe;
  }

  hold(lease: Lease): void {
    this.lease = lease;
    this.look = false;
    this.held = true;
    this.watched = undefined;
    this.heldBy = undefined;
    this.phase = 'holding';
  }

  /** The claim under way, if there is one, has succeeded with this version. */
  claimed(lease: Lease): void {
    if (this.claiming !== undefined) this.#observe({ type: 'claimed', lease, ...this.claiming });
    this.claiming = undefined;
  }

  /** Another holds it. */
  yieldTo(lease: Lease, phase: 'superseded' | 'foreign'): void {
    this.lease = undefined;
    this.look = true;
    this.claiming = undefined;
    this.heldBy = lease.spec.holderIdentity ?? '';
    if (this.phase === phase) return;
    this.phase = phase;
    this.#observe({ type: phase, lease });
  }
}
