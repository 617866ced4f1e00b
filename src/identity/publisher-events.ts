/**
 * What a publisher tells its observer, and what it can be asked.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import type { LeaseStoreError } from '../lease/store.ts';

/** What a publisher asked of the API when a request failed. */
export type PublisherOperation = 'get' | 'create' | 'takeOver' | 'renew' | 'delete' | 'watch';

/** How a publisher left its lease when it stopped. */
export type ShutdownOutcome =
  /** It stays, as the policy says. */
  | 'kept'
  /** We deleted it. */
  | 'deleted'
  /** We deleted it, and finalizers hold it: it goes when they do. */
  | 'terminating'
  /** There is none: we never made one, or it was gone already. */
  | 'absent'
  /** It belongs to somebody else and was not touched. */
  | 'notOurs'
  /** The API did not answer in time: the lease may still be there, or yet appear by a write whose answer was lost. */
  | 'unknown';

/** What a publisher tells its observer. */
export type PublisherEvent =
  /** `created`: there was none. `recreated`: it was deleted while we held it. `takenOver`: `from` held it before. */
  | {
      readonly type: 'claimed';
      readonly how: 'created' | 'recreated' | 'takenOver';
      readonly lease: Lease;
      readonly from?: string;
    }
  | { readonly type: 'renewed'; readonly lease: Lease; readonly latencyMs: number }
  /** A write of ours had been carried out although its answer was lost. */
  | { readonly type: 'adopted'; readonly lease: Lease }
  /** Another process writes with our holder identity. */
  | { readonly type: 'secondWriter'; readonly lease: Lease }
  /** The lease was put back to what it was before our last acknowledged write: we claim it again. */
  | { readonly type: 'restored'; readonly lease: Lease }
  /** A newer process with our hostname holds the lease; once each time it begins. */
  | { readonly type: 'superseded'; readonly lease: Lease }
  /**
   * An API server on this host publishes itself, under our name or, with `peerProxying`, beside our lease, which is deleted
   * then: we stand by; once each time it begins.
   */
  | { readonly type: 'besideServer'; readonly lease: Lease; readonly peerProxying: boolean }
  /** Our name is taken by a lease without our identity label; once each time it begins. */
  | { readonly type: 'foreign'; readonly lease: Lease }
  /** Our lease is marked for deletion, and finalizers hold it; once for each object. It is renewed on. */
  | { readonly type: 'terminating'; readonly lease: Lease }
  /** Our clock is further from the API server's than `maxSkewMs` from now on, or no longer. */
  | { readonly type: 'clockDistance'; readonly distanceMs: number; readonly exceeded: boolean }
  /** Our clock was stepped back by more than `maxSkewMs`: renewTime goes back with it. */
  | { readonly type: 'clockSteppedBack'; readonly byMs: number }
  /** Somebody changed or deleted our lease; we read it at once. */
  | { readonly type: 'disturbed'; readonly lease: Lease; readonly deleted: boolean }
  | {
      readonly type: 'failed';
      readonly operation: PublisherOperation;
      readonly error: LeaseStoreError;
      /** 1 for the first failure after a success. */
      readonly attempt: number;
      readonly retryInMs: number;
      /** While we hold the lease: when it expires unless it is renewed. */
      readonly holdsUntil?: MicroTime | undefined;
    }
  /** The first success after failures. */
  | { readonly type: 'recovered'; readonly failures: number }
  /** Another identity lease carries our hostname (a kube-apiserver that publishes itself, say); once for each. */
  | { readonly type: 'twin'; readonly lease: Lease }
  | { readonly type: 'twinGone'; readonly name: string }
  /** The server beside us answers well from now on, or no longer; `refused`: it answers, but not to our credentials. */
  | { readonly type: 'serverHealth'; readonly healthy: boolean; readonly reason: string; readonly refused?: true }
  | { readonly type: 'stopped'; readonly outcome: ShutdownOutcome; readonly lease: string };

/** What a publisher is doing. */
export type PublisherPhase =
  /** Not running. */
  | 'idle'
  /** Switched off: it holds no lease, though perhaps it is still giving it up. */
  | 'disabled'
  /** The server beside us does not answer, or refuses our credentials: neither claimed nor renewed. */
  | 'waitingForServer'
  | 'claiming'
  | 'holding'
  | 'superseded'
  /** An API server on this host publishes itself. */
  | 'besideServer'
  | 'foreign'
  | 'stopping';

/** How a publisher stands. */
export interface PublisherStatus {
  readonly phase: PublisherPhase;
  readonly namespace: string;
  readonly lease: string;
  readonly holder: string;
  /** Who holds it, while we do not. */
  readonly heldBy: string | undefined;
  /** Monotonic milliseconds of the last renewal that was acknowledged. */
  readonly renewedAt: number | undefined;
  /** Failures in a row, and the last of them. */
  readonly failures: number;
  readonly lastError: LeaseStoreError | undefined;
  /** Names of other identity leases that carry our hostname. */
  readonly twins: readonly string[];
  /** Of our lease, while it is marked for deletion. */
  readonly finalizers?: readonly string[] | undefined;
}
