/**
 * A share of the Nodes: those in the slots that this process holds. Processes that share a fleet have the same slots.
 *
 * Guarantees: a Node is in one slot, whichever process asks; what is known of Nodes is kept whole, so that a slot that is
 * taken begins at once, also while the Nodes cannot be followed. Who holds which slot is somebody else's to say.
 */
import type { NodeEvent, NodeInfo, NodeSource } from '../lease/node-source.ts';
import type { Clock } from '../runtime/clock.ts';
import { Wake } from '../runtime/wake.ts';

/** Enough for an even share among dozens of processes; all of them must have the same. */
export const NODE_SLOTS = 128;
/** Waits of no end are made of these. */
const MAX_WAIT_MS = 3_600_000;

/** The slot of a Node: FNV-1a of its name, 32 bits. */
export function nodeSlot(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0) % NODE_SLOTS;
}

/** To be followed by one reader at a time. */
export class SharedNodes implements NodeSource {
  readonly #source: NodeSource;
  readonly #clock: Clock;
  readonly #mine = new Set<number>();
  readonly #known = new Map<string, NodeInfo>();
  readonly #wake = new Wake();
  readonly #queue: NodeEvent[] = [];

  constructor({ nodes, clock }: { readonly nodes: NodeSource; readonly clock: Clock }) {
    this.#source = nodes;
    this.#clock = clock;
  }

  /** This process keeps the slot's Nodes from now on. */
  take(slot: number): void {
    this.#mine.add(slot);
    this.#tell(slot, (node) => ({ type: 'added', node }));
  }

  /** Another process may keep them from now on. */
  give(slot: number): void {
    this.#mine.delete(slot);
    this.#tell(slot, (node) => ({ type: 'deleted', node, moved: true }));
  }

  async *watch(signal: AbortSignal): AsyncGenerator<NodeEvent, void, undefined> {
    let ended: { readonly error?: unknown } | undefined;
    const reading = this.#read(signal).then(
      () => (ended = {}),
      (error: unknown) => (ended = { error }),
    );
    try {
      for (;;) {
        yield* this.#queue.splice(0);
        if (this.#queue.length > 0) continue;
        if (ended || signal.aborted) break;
        await this.#wake.wait(this.#clock, MAX_WAIT_MS, signal);
      }
    } finally {
      if (signal.aborted) await reading;
    }
    if (ended && 'error' in ended) throw ended.error;
  }

  async #read(signal: AbortSignal): Promise<void> {
    try {
      for await (const event of this.#source.watch(signal)) {
        if (event.type === 'list') {
          this.#known.clear();
          for (const node of event.nodes) this.#known.set(node.name, node);
          this.#put({ ...event, nodes: event.nodes.filter((node) => this.#isMine(node)) });
        } else if ('node' in event) {
          if (event.type === 'deleted') this.#known.delete(event.node.name);
          else this.#known.set(event.node.name, event.node);
          if (this.#isMine(event.node)) this.#put(event);
        } else this.#put(event);
      }
    } finally {
      this.#wake.now();
    }
  }

  #isMine(node: NodeInfo): boolean {
    return this.#mine.has(nodeSlot(node.name));
  }

  #tell(slot: number, event: (node: NodeInfo) => NodeEvent): void {
    for (const node of this.#known.values()) if (nodeSlot(node.name) === slot) this.#put(event(node));
  }

  #put(event: NodeEvent): void {
    this.#queue.push(event);
    this.#wake.now();
  }
}
