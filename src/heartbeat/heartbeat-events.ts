/**
 * What heartbeats tell their observer, and what they can be asked.
 */
import type { LeaseStoreError } from '../lease/store.ts';
import type { Disturbance } from './decide.ts';

/** What heartbeats asked of the API when a request failed. */
export type HeartbeatOperation = 'get' | 'create' | 'update';

/** What heartbeats tell their observer. */
export type HeartbeatEvent =
  /** The Nodes are known, for the first time or again after a loss. */
  | { readonly type: 'nodesSynced'; readonly names: readonly string[] }
  /** The Nodes cannot be followed: those known, so many, are renewed, others wait; reported once each time it begins. */
  | { readonly type: 'nodesLost'; readonly error: LeaseStoreError; readonly known: number }
  | { readonly type: 'nodeAdded' | 'nodeRecreated'; readonly node: string; readonly uid: string }
  /** `moved`: another process keeps it from now on. */
  | { readonly type: 'nodeGone'; readonly node: string; readonly uid: string; readonly moved?: true }
  /**
   * The first write for a node. `created`: there was no lease. `takenOver`: there was one, from a process before us.
   * `recreated`: it was deleted while we renewed it.
   */
  | {
      readonly type: 'claimed';
      readonly node: string;
      readonly how: 'created' | 'takenOver' | 'recreated';
      /** As of `renewed`. */
      readonly conflicts: number;
    }
  | {
      readonly type: 'renewed';
      readonly node: string;
      /** Milliseconds of the PUT. */
      readonly latencyMs: number;
      /** Milliseconds from when it was due until it was sent. */
      readonly lateMs: number;
      /** Writes of this renewal that were refused because the lease was not as expected, and mended at once. */
      readonly conflicts: number;
    }
  /** Somebody else wrote the lease; it is written again at once. */
  | { readonly type: 'disturbed'; readonly node: string; readonly by: Disturbance }
  | {
      readonly type: 'failed';
      readonly node: string;
      readonly operation: HeartbeatOperation;
      readonly error: LeaseStoreError;
      /** 1 for the node's first failure after a success. */
      readonly attempt: number;
      readonly retryInMs: number;
    }
  /** The first success of a node after failures. */
  | { readonly type: 'recovered'; readonly node: string; readonly failures: number }
  /** Renewals wait for more than a tenth of the interval: the API, or this process, is too slow. */
  | { readonly type: 'behind'; readonly backlog: number; readonly lateMs: number }
  | { readonly type: 'caughtUp' };

/** How heartbeats stand. */
export interface HeartbeatStatus {
  readonly nodes: number;
  /** Nodes that have a lease which we wrote. */
  readonly held: number;
  /** Nodes whose last request failed. */
  readonly failing: number;
  /** Nodes whose renewal is due and waits for its turn. */
  readonly backlog: number;
  /** Nodes whose renewal is under way. */
  readonly inFlight: number;
  /** Milliseconds for which the longest waiting node has been due, failing ones too; 0: none is. */
  readonly overdueMs: number;
  /** Monotonic milliseconds at which the last write was acknowledged; undefined: none was yet. */
  readonly writtenAt: number | undefined;
  /** False before the Nodes were read, and while they cannot be followed. */
  readonly nodesSynced: boolean;
}
