/**
 * Node heartbeats: keeps the leases of one node or of ten thousand renewed, from one process, until the signal aborts.
 *
 * Guarantees: every Node that the source tells of has a lease owned by its uid, written as soon as it is seen (of many Nodes at once:
 * within one interval) and renewed once an interval, at a place of its own that lies evenly among the others' and stays whatever happens; at most
 * `concurrency` requests are under way; what an outage has held up is made up for at a bounded rate (see pace.ts). A Node that was deleted is not renewed any more: its lease is left to the garbage collector, by its owner
 * reference. A Node that was made anew gets its new uid into the lease at once. `run` settles when all it began has ended,
 * at the latest one request timeout after its signal; the leases stay, and expire by themselves.
 * Not guaranteed: that nobody else writes these leases. That is told, and overwritten, as kubelet does.
 */
import { isStoreError } from '../lease/store.ts';
import type { LeaseStore } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { sleep } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { Beat, renew } from './beat.ts';
import type { BeatParts, BeatResult } from './beat.ts';
import type { HeartbeatEvent, HeartbeatStatus } from './events.ts';
import type { NodeEvent, NodeInfo, NodeSource } from './nodes.ts';
import type { HeartbeatOptions } from './options.ts';
import { Pace } from './pace.ts';
import { Queue } from './queue.ts';
import { Wheel } from './wheel.ts';

/** First wait after a node's failure, in milliseconds (component-helpers' own); doubled each time, capped at the interval. */
const FIRST_BACKOFF_MS = 200;
/** Waits before a watch of Nodes that ended is opened again, in milliseconds. */
const REOPEN_FIRST_MS = 500;
const REOPEN_CAP_MS = 10_000;
/** Nodes that come at once and are written before their places come; many at once must not delay those that are due. */
const AT_ONCE = 16;
/** The share of the interval by which a renewal may be late before that is told. */
const BEHIND = 0.1;

export interface HeartbeatParts {
  readonly store: Pick<LeaseStore, 'get' | 'create' | 'update'>;
  readonly nodes: NodeSource;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** From `heartbeatOptions`, without problems. */
  readonly options: HeartbeatOptions;
  readonly observe: Observe<HeartbeatEvent>;
}

export class Heartbeat {
  readonly #parts: HeartbeatParts;
  readonly #clock: Clock;
  readonly #options: HeartbeatOptions;
  readonly #observe: Observe<HeartbeatEvent>;
  readonly #beatParts: BeatParts;
  readonly #beats = new Map<string, Beat>();
  /** Due: those that have a lease to lose, and after them those that have none yet. */
  readonly #due = new Queue<Beat>();
  readonly #claims = new Queue<Beat>();
  #wheel: Wheel<Beat>;
  #pace: Pace;
  #inFlight = 0;
  #behind = false;
  #synced = false;
  /** Set while running. */
  #writes: AbortController | undefined;
  #idle: () => void = () => {};
  #failed: (error: unknown) => void = () => {};
  #armedFor = Infinity;
  #disarm: () => void = () => {};

  constructor(parts: HeartbeatParts) {
    const { clock, options, observe, store } = parts;
    this.#parts = parts;
    this.#clock = clock;
    this.#options = options;
    this.#observe = observe;
    this.#wheel = new Wheel(options.renewIntervalMs, 0);
    this.#pace = new Pace(options.renewIntervalMs, 0);
    this.#beatParts = { store, clock, options, observe, onExtra: () => this.#pace.spend() };
  }

  /** Goes through all nodes: for a probe or a scrape, not for every renewal. */
  get status(): HeartbeatStatus {
    let held = 0;
    let failing = 0;
    for (const { held: lease, failures } of this.#beats.values()) {
      if (lease) held++;
      if (failures > 0) failing++;
    }
    const backlog = this.#due.size + this.#claims.size;
    return { nodes: this.#beats.size, held, failing, backlog, inFlight: this.#inFlight, nodesSynced: this.#synced };
  }

  /**
   * Keeps the heartbeats until the signal aborts. Whatever the store reports is told, and tried again.
   * @throws what is no LeaseStoreError: a mistake of the program
   */
  async run(signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    this.#wheel = new Wheel(this.#options.renewIntervalMs, now);
    this.#pace = new Pace(this.#options.renewIntervalMs, now);
    this.#writes = new AbortController();
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
      await this.#follow(stop.signal).catch((error: unknown) => this.#failed(error));
    } finally {
      signal.removeEventListener('abort', onAbort);
      await this.#end(this.#writes);
    }
    if (failure) throw failure.error;
  }

  /** Begins nothing new, and waits for what is under way. */
  async #end(writes: AbortController): Promise<void> {
    this.#writes = undefined;
    this.#arm(Infinity);
    for (const beat of this.#beats.values()) beat.gone = true;
    this.#beats.clear();
    this.#due.clear();
    this.#claims.clear();
    this.#synced = false;
    if (this.#inFlight === 0) return;
    const cancel = this.#clock.schedule(this.#options.requestTimeoutMs, () => writes.abort());
    await new Promise<void>((resolve) => (this.#idle = resolve));
    cancel();
  }

  async #follow(signal: AbortSignal): Promise<void> {
    const { nodes, clock, random } = this.#parts;
    const backoff = createBackoff({ firstMs: REOPEN_FIRST_MS, capMs: REOPEN_CAP_MS, random });
    while (!signal.aborted) {
      try {
        for await (const event of nodes.watch(signal)) {
          if (signal.aborted) break;
          if (event.type === 'list') backoff.reset();
          this.#fold(event);
        }
      } catch (error) {
        if (!isStoreError(error)) throw error;
        if (!signal.aborted) this.#fold({ type: 'lost', error });
      }
      if (!signal.aborted) await sleep(clock, backoff.next(), signal);
    }
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
        if (beat?.node.uid === event.node.uid) this.#drop(beat);
        break;
      }
      case 'fresh':
        if (!this.#synced && this.#writes) this.#sync();
        break;
      case 'lost':
        if (this.#synced || this.#beats.size === 0) this.#observe({ type: 'nodesLost', error: event.error });
        this.#synced = false;
    }
    this.#pace.nodes = this.#beats.size;
    this.#turn();
  }

  #sync(): void {
    if (!this.#synced) this.#observe({ type: 'nodesSynced', names: [...this.#beats.keys()] });
    this.#synced = true;
  }

  #put(node: NodeInfo): void {
    const { name, uid } = node;
    const known = this.#beats.get(name);
    if (known?.node.uid === uid) return;
    this.#observe({ type: known ? 'nodeRecreated' : 'nodeAdded', node: name, uid });
    // Only what is needed: ten thousand of these are kept.
    const own = { name, uid };
    if (known) known.node = own;
    const beat = known ?? new Beat(own);
    if (!known) {
      this.#beats.set(name, beat);
      this.#wheel.add(beat);
    }
    if (known || this.#claims.size < AT_ONCE) this.#enqueue(beat, this.#clock.monotonic());
  }

  #drop(beat: Beat): void {
    beat.gone = true;
    this.#beats.delete(beat.node.name);
    this.#wheel.remove(beat);
    this.#observe({ type: 'nodeGone', node: beat.node.name, uid: beat.node.uid });
  }

  #enqueue(beat: Beat, at: number): void {
    if (Number.isNaN(beat.dueAt)) beat.dueAt = at;
    if (beat.queued || beat.inFlight) return;
    beat.queued = true;
    (beat.held ? this.#due : this.#claims).push(beat);
  }

  /** Takes in who is due, starts what may be started, and sees to it that it is called again. */
  #turn(): void {
    if (!this.#writes) return;
    const now = this.#clock.monotonic();
    this.#wheel.due(now, (beat, at) => this.#enqueue(beat, at));
    let paused = 0;
    while (this.#due.size + this.#claims.size > 0 && this.#inFlight < this.#options.concurrency) {
      if (!this.#pace.take(now)) {
        paused = this.#pace.wait(now);
        break;
      }
      const beat = (this.#due.shift() ?? this.#claims.shift()) as Beat;
      beat.queued = false;
      if (beat.gone) continue;
      this.#start(beat, now);
    }
    if (this.#behind && this.#due.size === 0) {
      this.#behind = false;
      this.#observe({ type: 'caughtUp' });
    }
    const next = this.#wheel.next() ?? Infinity;
    this.#arm(paused > 0 ? Math.min(next, now + paused) : next);
  }

  #start(beat: Beat, now: number): void {
    const lateMs = now - beat.dueAt;
    if (!this.#behind && beat.held && beat.failures === 0 && lateMs > this.#options.renewIntervalMs * BEHIND) {
      this.#behind = true;
      this.#observe({ type: 'behind', backlog: this.#due.size + 1, lateMs });
    }
    beat.inFlight = true;
    this.#inFlight++;
    const { uid } = beat.node;
    renew(beat, this.#beatParts, (this.#writes as AbortController).signal)
      .then((result) => this.#settle(beat, uid, result))
      .catch((error: unknown) => this.#failed(error))
      .finally(() => this.#done(beat, uid));
  }

  #settle(beat: Beat, uid: string, result: BeatResult): void {
    const { name: node } = beat.node;
    if (result.kind === 'dropped') return;
    if (result.kind === 'failed') {
      const { operation, error } = result;
      if (error.retryable) this.#pace.failed();
      const attempt = ++beat.failures;
      const { renewIntervalMs: capMs } = this.#options;
      const full = Math.min(capMs, FIRST_BACKOFF_MS * 2 ** Math.min(attempt - 1, 30));
      const retryInMs = Math.min(capMs, Math.max(full * (0.5 + this.#parts.random() / 2), error.retryAfterMs ?? 0));
      if (!beat.gone) this.#wheel.once(beat, this.#clock.monotonic() + retryInMs);
      this.#observe({ type: 'failed', node, operation, error, attempt, retryInMs });
      return;
    }
    this.#pace.succeeded();
    const lateMs = Math.max(0, result.at - beat.dueAt);
    // While it was under way the Node may have been made anew: then it is still due.
    if (beat.node.uid === uid) beat.dueAt = Number.NaN;
    if (result.kind === 'renewed') this.#observe({ type: 'renewed', node, latencyMs: result.latencyMs, lateMs });
    else this.#observe({ type: 'claimed', node, how: result.kind });
    if (beat.failures > 0) this.#observe({ type: 'recovered', node, failures: beat.failures });
    beat.failures = 0;
    beat.seat.extra = -1;
  }

  #done(beat: Beat, uid: string): void {
    beat.inFlight = false;
    this.#inFlight--;
    if (!beat.gone && beat.node.uid !== uid) this.#enqueue(beat, this.#clock.monotonic());
    if (this.#inFlight === 0) this.#idle();
    // While renewals follow one another, the timer does the rest.
    if (this.#due.size + this.#claims.size > 0 || beat.failures > 0) this.#turn();
  }

  #arm(at: number): void {
    if (at === this.#armedFor) return;
    this.#disarm();
    this.#armedFor = at;
    if (at === Infinity) return;
    // Timers have whole milliseconds, cut off: one that comes too early would find nothing due, again and again.
    this.#disarm = this.#clock.schedule(Math.max(1, Math.ceil(at - this.#clock.monotonic())), () => {
      this.#armedFor = Infinity;
      this.#turn();
    });
  }
}
