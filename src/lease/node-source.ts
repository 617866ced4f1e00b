/**
 * The Nodes, as heartbeats and their watcher see them: a name, a uid, the Ready condition, and when they come and go. Adapters
 * implement it.
 */
import type { MicroTime } from './micro-time.ts';
import type { LeaseStoreError } from './store.ts';

/** What a Node's status says of its readiness, as its kubelet or the node lifecycle controller wrote it. */
export interface ReadyCondition {
  readonly status: 'True' | 'False' | 'Unknown';
  /** Of the kubelet's last post; another one than before is a sign of life. */
  readonly heartbeatTime?: MicroTime | undefined;
}

/** A Node, as much of it as heartbeats and availability need. */
export interface NodeInfo {
  readonly name: string;
  /** A Node that was deleted and made again has another one. */
  readonly uid: string;
  readonly creationTimestamp?: MicroTime | undefined;
  /** Absent: no status was posted yet, or the source was not asked for conditions; `NodeMonitor` needs them. */
  readonly ready?: ReadyCondition | undefined;
}

/**
 * What a watch of Nodes tells. `list` is the whole state and replaces all that was known; it comes first, and again
 * whenever the watch could not be continued. `fresh`: nothing was missed until now. `lost`: what is known may be old from
 * now on; the watch goes on trying.
 */
export type NodeEvent =
  | { readonly type: 'list'; readonly nodes: readonly NodeInfo[]; readonly serverDate?: MicroTime | undefined }
  | { readonly type: 'added' | 'modified'; readonly node: NodeInfo }
  /** `moved`: the Node is there, and another process has it from now on. */
  | { readonly type: 'deleted'; readonly node: NodeInfo; readonly moved?: true }
  | { readonly type: 'fresh' }
  | { readonly type: 'lost'; readonly error: LeaseStoreError };

/** Where Nodes come from: `createNodesApi` gives one over a Kubernetes API. */
export interface NodeSource {
  /** Follows the Nodes until the signal aborts. Ends with a LeaseStoreError only for what cannot heal by itself soon. */
  watch(signal: AbortSignal): AsyncIterable<NodeEvent>;
}
