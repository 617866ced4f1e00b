/** The Nodes of a world: made, deleted and recreated; each process learns of them on its own way, in order. */
import type { NodeEvent, NodeInfo, NodeSource } from '../../src/lease/node-source.ts';
import { storeError } from '../support/memory-api.ts';
import type { Chance } from './chance.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

export class Nodes {
  readonly #world: World;
  readonly nodes = new Map<string, NodeInfo>();
  readonly #listeners = new Set<(event: NodeEvent) => void>();
  /** When a Node of this name was last made or deleted. */
  readonly changedAt = new Map<string, number>();
  /** From when until when there was no Node of a name that there had been one of, in true milliseconds. */
  readonly #gaps = new Map<string, { readonly from: number; until: number }[]>();
  #uids = 0;

  constructor(world: World) {
    this.#world = world;
  }

  /** Makes a Node, in place of the one of that name if there is one. */
  add(name: string): NodeInfo {
    const node: NodeInfo = { name, uid: `node-uid-${++this.#uids}`, ready: { status: 'True' } };
    if (this.nodes.has(name)) this.remove(name);
    const gap = this.#gaps.get(name)?.at(-1);
    if (gap) gap.until = this.#world.now;
    this.nodes.set(name, node);
    this.changedAt.set(name, this.#world.now);
    this.#tell({ type: 'added', node });
    return node;
  }

  remove(name: string): void {
    const node = this.nodes.get(name);
    if (!node) return;
    this.nodes.delete(name);
    this.#gaps.set(name, [...(this.#gaps.get(name) ?? []), { from: this.#world.now, until: Infinity }]);
    this.changedAt.set(name, this.#world.now);
    this.#tell({ type: 'deleted', node });
  }

  /** Of all that there have been. */
  get names(): string[] {
    return [...this.changedAt.keys()];
  }

  /** True when at some moment between these two, in true milliseconds, there was no Node of this name. */
  missing(name: string, from: number, until: number): boolean {
    if (!this.changedAt.has(name)) return true;
    return (this.#gaps.get(name) ?? []).some((gap) => gap.from <= until && gap.until >= from);
  }

  #tell(event: NodeEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  listen(listener: (event: NodeEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  list(): NodeEvent {
    return { type: 'list', nodes: [...this.nodes.values()] };
  }
}

/** The Nodes as one process sees them. */
export class NodeLink implements NodeSource {
  readonly #nodes: Nodes;
  readonly #world: World;
  readonly #process: Process;
  readonly #random: Chance;
  /** True: a list shows it no Node, as one does that is permitted to see some only. */
  blind = false;
  #lost = false;
  readonly #open = new Set<(event: NodeEvent) => void>();

  constructor(nodes: Nodes, world: World, process: Process, random: Chance) {
    this.#nodes = nodes;
    this.#world = world;
    this.#process = process;
    this.#random = random;
  }

  /** Breaks what is open: nothing is sent until `resume`. */
  lose(): void {
    if (this.#lost) return;
    this.#lost = true;
    for (const send of this.#open) send({ type: 'lost', error: storeError('Unavailable', 'watch closed') });
  }

  resume(): void {
    this.#lost = false;
    for (const send of this.#open) send(this.#list());
  }

  #list(): NodeEvent {
    return this.blind ? { type: 'list', nodes: [] } : this.#nodes.list();
  }

  async *watch(signal: AbortSignal): AsyncGenerator<NodeEvent, void, undefined> {
    const inbox: NodeEvent[] = [];
    let wake = (): void => {};
    let lastAt = 0;
    const send = (event: NodeEvent): void => {
      lastAt = Math.max(lastAt, this.#world.now + this.#random() * 30);
      this.#world.schedule(lastAt - this.#world.now, () =>
        this.#process.turn(() => {
          inbox.push(event);
          wake();
        }),
      );
    };
    const onAbort = (): void => wake();
    signal.addEventListener('abort', onAbort, { once: true });
    const ignore = this.#nodes.listen((event) => this.#lost || send(event));
    this.#open.add(send);
    send(this.#lost ? { type: 'lost', error: storeError('Unavailable', 'no connection') } : this.#list());
    try {
      while (!signal.aborted) {
        const event = inbox.shift();
        if (event) yield event;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#open.delete(send);
      ignore();
      signal.removeEventListener('abort', onAbort);
    }
  }
}
