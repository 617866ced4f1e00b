/**
 * Node heartbeats: keeps the leases of one node or of ten thousand renewed, from one process, until the signal aborts.
 *
 * Guarantees: every Node of the source has a lease owned by its uid, written as soon as it is seen (of many Nodes
 * at once: within one interval) and renewed once an interval, when its turn comes (see rota.ts). A Node that was deleted is
 * not renewed any more: its lease is left to the garbage collector, by its owner reference. A Node that was recreated gets
 * its new uid into the lease at once. `run` settles when all it began has ended, at the latest one request timeout after its
 * signal; the leases stay, and expire by themselves.
 * Not guaranteed: that nobody else writes these leases. That is reported, and overwritten, as kubelet does.
 */
import type { NodeEvent, NodeInfo, NodeSource } from '../lease/node-source.ts';
import type { LeaseStore } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { Follower } from '../runtime/follow.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Given } from '../runtime/options.ts';
import { Beat, renew } from './beat.ts';
import type { BeatParts, BeatResult } from './beat.ts';
import type { HeartbeatEvent, HeartbeatStatus } from './heartbeat-events.ts';
import { HEARTBEAT_BETWEEN, HEARTBEAT_ROWS } from './heartbeat-options.ts';
import type { HeartbeatOptions } from './heartbeat-options.ts';
import { Rota } from './rota.ts';

/** First wait after a node's failure, in milliseconds (component-helpers' own); doubled each time, capped at the interval. */
const FIRST_BACKOFF_MS = 200;
/** Waits before a watch of Nodes that ended is opened again, in milliseconds. */
const REOPEN_FIRST_MS = 500;
const REOPEN_CAP_MS = 10_000;
/** Of the urgent calls that a store carries at a time. */
const FLEET_SHARE = 3 / 4;

/** What heartbeats are made of. */
export interface HeartbeatInit extends Given<HeartbeatOptions> {
  readonly store: Pick<LeaseStore, 'get' | 'create' | 'update' | 'concurrency'>;
  readonly nodes: NodeSource;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** Default: nobody listens. */
  readonly observe?: Observe<HeartbeatEvent> | undefined;
}

/** What a running heartbeat takes: not where its leases lie. */
export type HeartbeatChanges = Given<Omit<HeartbeatOptions, 'namespace'>>;

/** Keeps the leases of Nodes renewed, of one or of ten thousand. */
export class Heartbeat {
  readonly #parts: HeartbeatInit;
  readonly #clock: Clock;
  readonly #observe: Observe<HeartbeatEvent>;
  #options: HeartbeatOptions;
  #beatParts: BeatParts;
  readonly #beats = new Map<string, Beat>();
  #rota: Rota;
  #running = false;
  #synced = false;
  #nodesLost = false;
  #writtenAt: number | undefined;
  #writes = new AbortController();
  #failed: (error: unknown) => void = () => {};

  /** @throws OptionsError with everything that is wrong */
  constructor(parts: HeartbeatInit) {
    this.#parts = parts;
    this.#clock = parts.clock;
    this.#options = checkedOptions('Heartbeat', HEARTBEAT_ROWS, parts, HEARTBEAT_BETWEEN);
    this.#observe = containedObserver(parts.observe);
    this.#rota = this.#newRota();
    this.#beatParts = this.#newBeatParts();
  }

  /** As they are in force. */
  get options(): HeartbeatOptions {
    return this.#options;
  }

  /** Goes through all nodes: for a probe or a scrape, not for every renewal. */
  get status(): HeartbeatStatus {
    const now = this.#clock.monotonic();
    let held = 0;
    let failing = 0;
    let overdueMs = 0;
    for (const { held: lease, own, failures, dueAt } of this.#beats.values()) {
      if (lease && own?.acknowledged) held++;
      if (failures > 0) failing++;
      if (now - dueAt > overdueMs) overdueMs = now - dueAt;
    }
    const { backlog, inFlight } = this.#rota;
    const nodesSynced = this.#synced;
    const writtenAt = this.#writtenAt;
    return { nodes: this.#beats.size, held, failing, backlog, inFlight, overdueMs, writtenAt, nodesSynced };
  }

  /**
   * Takes other options at once: the places of the nodes in the interval stay, and no lease runs out by the change. Before
   * a longer interval each node is renewed once more when it would have been: its lease says the old duration until then.
   * @throws OptionsError with everything that is wrong; then nothing changes
   */
  update(changes: HeartbeatChanges): void {
    const { namespace } = this.#options;
    this.#options = checkedOptions('Heartbeat', HEARTBEAT_ROWS, { ...changes, namespace }, HEARTBEAT_BETWEEN);
    this.#beatParts = this.#newBeatParts();
    this.#rota.update(this.#timing);
  }

  /** A fleet is many: it leaves some of the store's urgent calls to others, a leader's renewals among them. */
  get #timing(): HeartbeatOptions {
    const { concurrency: carried = Infinity } = this.#parts.store;
    const concurrency = Math.min(this.#options.concurrency, Math.max(Math.floor(carried * FLEET_SHARE), 1));
    return { ...this.#options, concurrency };
  }

  #newRota(): Rota {
    const [clock, observe] = [this.#clock, this.#observe];
    return new Rota({ clock, timing: this.#timing, observe, start: (beat) => this.#start(beat) });
  }

  #newBeatParts(): BeatParts {
    const { store, clock } = this.#parts;
    return { store, clock, options: this.#options, observe: this.#observe, onExtra: () => this.#rota.pace.spend() };
  }

  /**
   * Keeps the heartbeats until the signal aborts. Every failure of the store is reported, and tried again.
   * @throws what is no LeaseStoreError: a mistake of the program
   */
  async run(signal: AbortSignal): Promise<void> {
    this.#rota = this.#newRota();
    this.#writes = new AbortController();
    this.#running = true;
    const stop = new AbortController();
    const onAbort = (): void => stop.abort();
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    let failure: { readonly error: unknown } | undefined;
    this.#failed = (error) => {
      failure ??= { error };
      stop.abort();
    };
    try {
      await this.#followNodes(stop.signal).catch((error: unknown) => this.#failed(error));
    } finally {
      signal.removeEventListener('abort', onAbort);
      await this.#end();
    }
    if (failure) throw failure.error;
  }

  /** Begins nothing new, and waits for what is under way. */
  async #end(): Promise<void> {
    this.#running = false;
    this.#rota.stop();
    for (const beat of this.#beats.values()) beat.gone = true;
    this.#beats.clear();
    this.#synced = false;
    this.#nodesLost = false;
    const cancel = this.#clock.schedule(this.#options.requestTimeoutMs, () => this.#writes.abort());
    await this.#rota.idle();
    cancel();
  }

  #followNodes(signal: AbortSignal): Promise<void> {
    const { nodes, clock, random } = this.#parts;
    const backoff = createBackoff({ firstMs: REOPEN_FIRST_MS, capMs: REOPEN_CAP_MS, random });
    const follower = new Follower<NodeEvent>({
      clock,
      open: (until) => nodes.watch(until),
      onEvent: (event) => {
        if (event.type === 'list') backoff.reset();
        this.#fold(event);
      },
      onEnd: (error) => {
        if (error) this.#fold({ type: 'lost', error });
        return backoff.next();
      },
    });
    return follower.run(signal);
  }

  #fold(event: NodeEvent): void {
    switch (event.type) {
      case 'list': {
        const names = new Set<string>();
        for (const node of event.nodes) {
          names.add(node.name);
          this.#put(node);
        }
        for (const [name, beat] of this.#beats) if (!names.has(name)) this.#drop(beat);
        this.#sync();
        break;
      }
      case 'added':
      case 'modified':
        this.#put(event.node);
        break;
      case 'deleted': {
        const beat = this.#beats.get(event.node.name);
        if (beat?.node.uid === event.node.uid) this.#drop(beat, event.moved);
        break;
      }
      case 'fresh':
        if (!this.#synced && this.#running) this.#sync();
        break;
      case 'lost':
        if (!this.#nodesLost) this.#observe({ type: 'nodesLost', error: event.error, known: this.#beats.size });
        this.#nodesLost = true;
        this.#synced = false;
    }
    this.#rota.pace.nodes = this.#beats.size;
    this.#rota.turn();
  }

  #sync(): void {
    if (!this.#synced) this.#observe({ type: 'nodesSynced', names: [...this.#beats.keys()] });
    this.#synced = true;
    this.#nodesLost = false;
  }

  #put(node: NodeInfo): void {
    const { name, uid } = node;
    const known = this.#beats.get(name);
    if (known?.node.uid === uid) return;
    this.#observe({ type: known ? 'nodeRecreated' : 'nodeAdded', node: name, uid });
    // Only what is needed: ten thousand of these are kept.
    const own = { name, uid };
    if (known) {
      known.node = own;
      this.#rota.enqueue(known);
      return;
    }
    const beat = new Beat(own);
    this.#beats.set(name, beat);
    this.#rota.add(beat);
  }

  #drop(beat: Beat, moved?: true): void {
    beat.gone = true;
    this.#beats.delete(beat.node.name);
    this.#rota.remove(beat);
    this.#observe({ type: 'nodeGone', node: beat.node.name, uid: beat.node.uid, ...(moved && { moved }) });
  }

  #start(beat: Beat): void {
    const { uid } = beat.node;
    renew(beat, this.#beatParts, this.#writes.signal)
      .then((result) => this.#settle(beat, uid, result))
      .catch((error: unknown) => this.#failed(error))
      .finally(() => {
        beat.inFlight = false;
        // While it was under way the Node may have been recreated.
        if (!beat.gone && beat.node.uid !== uid) this.#rota.enqueue(beat);
        this.#rota.done(beat);
      });
  }

  #settle(beat: Beat, uid: string, result: BeatResult): void {
    const { name: node } = beat.node;
    const { pace } = this.#rota;
    if (result.kind === 'dropped') return;
    if (result.kind === 'failed') {
      const { operation, error } = result;
      if (error.retryable) pace.failed();
      const attempt = ++beat.failures;
      const { renewIntervalMs: capMs } = this.#options;
      const full = Math.min(capMs, FIRST_BACKOFF_MS * 2 ** Math.min(attempt - 1, 30));
      const retryInMs = Math.min(capMs, Math.max(full * (0.5 + this.#parts.random() / 2), error.retryAfterMs ?? 0));
      if (!beat.gone) this.#rota.again(beat, retryInMs);
      this.#observe({ type: 'failed', node, operation, error, attempt, retryInMs });
      return;
    }
    pace.succeeded();
    this.#writtenAt = this.#clock.monotonic();
    const { conflicts, latencyMs } = result;
    const lateMs = Math.max(0, result.at - beat.dueAt);
    // While it was under way the Node may have been recreated: then it is still due.
    if (beat.node.uid === uid) beat.dueAt = Number.NaN;
    if (result.kind === 'renewed') this.#observe({ type: 'renewed', node, latencyMs, lateMs, conflicts });
    else this.#observe({ type: 'claimed', node, how: result.kind, conflicts });
    if (beat.failures > 0) this.#observe({ type: 'recovered', node, failures: beat.failures });
    // Of the retry that is not needed any more; one that a longer interval asked for stays.
    if (beat.failures > 0) beat.seat.extra = -1;
    beat.failures = 0;
  }
}
