/**
 * The Nodes of a Kubernetes API, followed by list and watch: one by its name, several by name, or those of a selector.
 *
 * Guarantees: those of list-watch.ts. Where conditions are not needed only the metadata of Nodes is asked for: a Node's
 * status is twenty times as long.
 * Of one name a watch needs no more than list and watch on that name (RBAC `resourceNames`); of several, all Nodes are
 * watched and the others left out.
 */
import { MicroTime } from '../lease/micro-time.ts';
import type { NodeEvent, NodeInfo, NodeSource, ReadyCondition } from '../lease/node-source.ts';
import type { Clock } from '../runtime/clock.ts';
import { badAnswer } from './wire/api-errors.ts';
import { PAGE_BYTES, readList } from './list-page.ts';
import type { Request, Transport } from './wire/transport.ts';
import { watchKind } from './list-watch.ts';
import type { WatchedKind } from './list-watch.ts';
import type { Page } from '../lease/list-pages.ts';

/** Which Nodes, of which API server. */
export interface NodesApiOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** Names of Nodes; left out: all of the selector. */
  readonly names?: readonly string[] | undefined;
  /** Kubernetes' selector syntax; left out: all. */
  readonly labelSelector?: string | undefined;
  /** True: with the Ready condition of each, for `NodeMonitor`; default false. */
  readonly conditions?: boolean | undefined;
  /**
   * Milliseconds without a byte after which a watch counts as dead and is opened again; default 75,000: API servers send a
   * bookmark each minute.
   */
  readonly watchSilenceMs?: number | undefined;
}

interface Versioned extends NodeInfo {
  readonly resourceVersion: string;
}
interface NodePage extends Page {
  readonly nodes: readonly Versioned[];
}

/** Servers that know no such form answer with whole Nodes, which are read as well. */
const METADATA = 'application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json';
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json';
const WHOLE = 'application/json';
const PATH = '/api/v1/nodes';

/** The Nodes that the options name, for `Heartbeat` and `NodeMonitor`. Sends nothing before they are watched. */
export function createNodesApi(options: NodesApiOptions): NodeSource {
  const { transport, clock, random, names, labelSelector, conditions = false } = options;
  const wanted = names && new Set(names);
  const fieldSelector = wanted?.size === 1 ? `metadata.name=${[...wanted][0]}` : undefined;
  const isWanted = ({ name }: NodeInfo): boolean => wanted?.has(name) ?? true;
  const query = (more: Readonly<Record<string, string | number | undefined>>): string => {
    const all = Object.entries({ labelSelector, fieldSelector, ...more });
    const given = all.filter(([, value]) => value !== undefined && value !== '');
    return given.map(([key, value]) => `${key}=${encodeURIComponent(value as string | number)}`).join('&');
  };
  const kind: WatchedKind<Versioned, NodePage, NodeEvent> = {
    name: 'nodes',
    parse: readNode,
    versionOf: (node) => node.resourceVersion,
    itemsOf: (page) => page.nodes,
    listed: (nodes, serverDate) => ({ type: 'list', nodes: nodes.filter(isWanted), serverDate }),
    changed: (type, node) => ({ type, node }),
  };
  return {
    async *watch(signal) {
      const events = watchKind(kind, {
        list: async (page, call) => {
          const path = `${PATH}?${query({ limit: page.limit, continue: page.continue })}`;
          return readPage(transport, {
            ...call,
            method: 'GET',
            what: 'list nodes',
            accept: conditions ? WHOLE : METADATA_LIST,
            maxBytes: PAGE_BYTES,
            path,
          });
        },
        open: ({ resourceVersion, timeoutSeconds }, call) => {
          const watching = { watch: 'true', allowWatchBookmarks: 'true', resourceVersion, timeoutSeconds };
          const path = `${PATH}?${query(watching)}`;
          const accept = conditions ? WHOLE : METADATA;
          return transport.stream({ ...call, method: 'GET', what: 'watch nodes', accept, path });
        },
        clock,
        random,
        signal,
        silenceMs: options.watchSilenceMs,
      });
      for await (const event of events) if (!('node' in event) || isWanted(event.node)) yield event;
    },
  };
}

/** @throws TypeError when it is no object with a name, a uid and a version */
function readNode(json: unknown): Versioned {
  const { metadata = {}, status } = (json ?? {}) as { metadata?: Record<string, unknown>; status?: unknown };
  const { name, uid, resourceVersion, creationTimestamp } = metadata;
  if (typeof name !== 'string' || name === '' || typeof uid !== 'string' || uid === '') {
    throw new TypeError('a Node must have a name and a uid');
  }
  const version = typeof resourceVersion === 'string' ? resourceVersion : '';
  const created = MicroTime.parse(creationTimestamp);
  return { name, uid, resourceVersion: version, creationTimestamp: created, ready: readyCondition(status) };
}

function readyCondition(status: unknown): ReadyCondition | undefined {
  const { conditions } = (status ?? {}) as { conditions?: unknown };
  if (!Array.isArray(conditions)) return undefined;
  const ready = (conditions as ({ type?: unknown; status?: unknown; lastHeartbeatTime?: unknown } | null)[]).find(
    (condition) => condition?.type === 'Ready',
  );
  if (!ready) return undefined;
  const said = ready.status === 'True' || ready.status === 'False' ? ready.status : 'Unknown';
  return { status: said, heartbeatTime: MicroTime.parse(ready.lastHeartbeatTime) };
}

async function readPage(transport: Transport, request: Request): Promise<NodePage> {
  const answer = await transport.request(request);
  const { items, ...page } = readList(request, answer);
  try {
    return { ...page, nodes: items.map(readNode) };
  } catch (cause) {
    throw badAnswer(request, answer.status, `the server answered ${answer.status} with no list of Nodes`, cause);
  }
}
