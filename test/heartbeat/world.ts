/** What the tests of heartbeats share: Nodes that a test makes and deletes, and a fleet on a clock moved by hand. */
import type { NodeEvent, NodeInfo, NodeSource, ReadyCondition } from '../../src/lease/node-source.ts';
import type { HeartbeatEvent } from '../../src/heartbeat/heartbeat-events.ts';
import { Heartbeat } from '../../src/heartbeat/heartbeats.ts';
import type { HeartbeatOptions } from '../../src/heartbeat/heartbeat-options.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import type { LeaseStoreError } from '../../src/lease/store.ts';
import { storeError } from '../support/memory-api.ts';
import { MemoryStore } from '../support/memory-store.ts';

export const NAMESPACE = 'kube-node-lease';
const READY: ReadyCondition = { status: 'True' };

/** Nodes in memory. */
export class FakeNodes implements NodeSource {
  readonly nodes = new Map<string, NodeInfo>();
  readonly #watchers = new Set<(event: NodeEvent | 'end') => void>();
  /** The next watches end with these. */
  readonly refusals: LeaseStoreError[] = [];
  watches = 0;
  #uids = 0;

  constructor(...names: readonly string[]) {
    for (const name of names) this.add(name);
  }

  /** A Node whose kubelet said once that it is ready, unless set otherwise. */
  add(name: string, ready: ReadyCondition | undefined = READY): NodeInfo {
    const node = { name, uid: `node-uid-${++this.#uids}`, ready };
    this.nodes.set(name, node);
    this.#tell({ type: 'added', node });
    return node;
  }

  remove(name: string): void {
    const node = this.nodes.get(name);
    this.nodes.delete(name);
    if (node) this.#tell({ type: 'deleted', node });
  }

  /** Another version of it, with what changed. */
  touch(name: string, changes: Partial<NodeInfo> = {}): void {
    const node = { ...(this.nodes.get(name) as NodeInfo), ...changes };
    this.nodes.set(name, node);
    this.#tell({ type: 'modified', node });
  }

  lose(error = storeError('Unavailable', 'gone')): void {
    this.#tell({ type: 'lost', error });
  }

  relist(): void {
    this.#tell({ type: 'list', nodes: [...this.nodes.values()] });
  }

  /** Changes what is there without a word to the watchers. */
  quietly(change: () => void): void {
    const watchers = [...this.#watchers];
    this.#watchers.clear();
    change();
    for (const watcher of watchers) this.#watchers.add(watcher);
  }

  #tell(event: NodeEvent): void {
    for (const watcher of this.#watchers) watcher(event);
  }

  async *watch(signal: AbortSignal): AsyncIterable<NodeEvent> {
    this.watches++;
    const refusal = this.refusals.shift();
    if (refusal) throw refusal;
    const events: (NodeEvent | 'end')[] = [{ type: 'list', nodes: [...this.nodes.values()] }];
    let wake = (): void => {};
    const listener = (event: NodeEvent | 'end'): void => {
      events.push(event);
      wake();
    };
    const onAbort = (): void => listener('end');
    signal.addEventListener('abort', onAbort, { once: true });
    this.#watchers.add(listener);
    try {
      while (!signal.aborted) {
        const event = events.shift();
        if (event === 'end') return;
        if (event) yield event;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#watchers.delete(listener);
      signal.removeEventListener('abort', onAbort);
    }
  }
}

export interface Fleet {
  readonly clock: ManualClock;
  readonly store: MemoryStore;
  readonly nodes: FakeNodes;
  readonly heartbeat: Heartbeat;
  readonly events: HeartbeatEvent[];
  /** Events of one type. */
  of<Type extends HeartbeatEvent['type']>(type: Type): Extract<HeartbeatEvent, { type: Type }>[];
  stop(): Promise<void>;
}

export interface FleetOptions {
  readonly names?: readonly string[];
  readonly options?: Partial<HeartbeatOptions>;
  readonly clock?: ManualClock;
  readonly store?: MemoryStore;
  readonly nodes?: FakeNodes;
}

/** A running fleet; its first event, the list of Nodes, has been taken in. */
export async function fleet(given: FleetOptions = {}): Promise<Fleet> {
  const clock = given.clock ?? new ManualClock();
  const store = given.store ?? new MemoryStore({ clock });
  const nodes = given.nodes ?? new FakeNodes(...(given.names ?? ['node-1']));
  const events: HeartbeatEvent[] = [];
  const heartbeat = new Heartbeat({
    store,
    nodes,
    clock,
    random: () => 0.5,
    ...given.options,
    observe: (event) => events.push(event),
  });
  const stop = new AbortController();
  const running = heartbeat.run(stop.signal);
  running.catch(() => {});
  await settle();
  return {
    clock,
    store,
    nodes,
    heartbeat,
    events,
    of: (type) => events.filter((event) => event.type === type) as never,
    async stop() {
      stop.abort();
      await running;
    },
  };
}

export const many = (n: number): string[] => Array.from({ length: n }, (_, i) => `node-${String(i).padStart(5, '0')}`);
