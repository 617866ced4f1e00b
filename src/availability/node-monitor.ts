/**
 * Watches nodes and their leases, and tells which nodes are Ready and which are Unknown.
 *
 * Guarantees: one watch of Nodes and one of leases, no polling. A node is called Unknown only when nothing was missed for
 * the whole grace period: a watch of leases that tells nothing when that matters is replaced, so that a dead one is not
 * taken for dead nodes; while the API cannot be reached, states stay as they are. A monitor that starts knows nothing: its
 * nodes are Pending until they are seen to be renewed, or the grace period is over. `run` settles when its signal aborts,
 * leaving no timer and no watch.
 */
import { MicroTime } from '../lease/micro-time.ts';
import type { LeaseEvent, LeaseStore, LeaseStoreError } from '../lease/store.ts';
import { isStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { sleep } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Availability } from './decide.ts';
import type { NodeEvent, NodeSource } from '../lease/node-source.ts';
import { AVAILABILITY_ROWS } from './availability-options.ts';
import type { AvailabilityOptions } from './availability-options.ts';
import { Register } from './node-register.ts';
import type { NodeAvailability } from './node-register.ts';

/** How long silence may wait for the next event to prove it before the watch is replaced, in milliseconds. */
const PROOF_SLACK_MS = 1_000;
/**
 * How long after a list, or a stall, silence is acted upon, in milliseconds: a list that a stalled process reads is old, and
 * what follows it, or waits in the socket, is read by then.
 */
const LOOK_AFTER_MS = 100;
/** How old an answer may be while no watch is known to be lost, in milliseconds: a quiet one tells of itself once a minute. */
const QUIET_MS = 90_000;
/** The shortest time between two looks at every node, in milliseconds. */
const LOOK_EVERY_MS = 250;
/** Waits before a watch that ended with an error is opened again, in milliseconds. */
const REOPEN_FIRST_MS = 500;
const REOPEN_CAP_MS = 4_000;

/** What a monitor tells its observer. */
export type AvailabilityEvent =
  /** Nodes and leases are known, for the first time or again after a loss. */
  | { readonly type: 'synced'; readonly nodes: number }
  /** What is known may be old from now on; told once each time it begins. */
  | { readonly type: 'lost'; readonly of: 'nodes' | 'leases'; readonly error: LeaseStoreError }
  /** A node appeared (`from` is absent), or its status became another. */
  | { readonly type: 'changed'; readonly node: NodeAvailability; readonly from?: Availability | undefined }
  | { readonly type: 'gone'; readonly node: NodeAvailability };

/** Why it is not known who is Ready: the Nodes and leases were not read yet, or what is known of them is too old. */
export type NodesUnknownReason = 'NotSynced' | 'TooOld';

/** What a monitor knows at the moment, but for the nodes themselves. */
export interface AvailabilityStatus {
  /** False: the rest is what was known last. */
  readonly known: boolean;
  readonly reason?: NodesUnknownReason | undefined;
  /** True while both watches are believed to tell everything. */
  readonly synced: boolean;
  readonly error?: LeaseStoreError | undefined;
  readonly graceMs: number;
  /** Milliseconds since the last proof that nothing was missed; absent before the first. */
  readonly freshnessMs?: number | undefined;
  readonly counts: Readonly<Record<Availability, number>>;
}

/** What a monitor knows at the moment. */
export interface AvailabilitySnapshot extends AvailabilityStatus {
  /** By name. */
  readonly nodes: readonly NodeAvailability[];
  /** The API server's clock now, for ages; absent when it never told. */
  readonly serverNow?: MicroTime | undefined;
}

/** What a monitor is made of. */
export interface NodeMonitorParts {
  readonly store: Pick<LeaseStore, 'watch'>;
  readonly nodes: NodeSource;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** From `availabilityOptions`, without problems. */
  readonly options: AvailabilityOptions;
  readonly observe?: Observe<AvailabilityEvent> | undefined;
}

type Side = 'nodes' | 'leases';

/** Tells which Nodes are Ready and which are Unknown, by when their leases were seen to be renewed. */
export class NodeMonitor {
  readonly #parts: NodeMonitorParts;
  readonly #clock: Clock;
  readonly #observe: Observe<AvailabilityEvent>;
  readonly #register: Register;
  /** Why each side is not up to date; `unread` before its first list. */
  readonly #lost: Record<Side, LeaseStoreError | 'unread' | undefined> = { nodes: 'unread', leases: 'unread' };
  /** Monotonic milliseconds until which no renewal was missed. */
  #proof: number | undefined;
  /** Since when changes of Nodes may be missing, in monotonic milliseconds. */
  #nodesLostAt = Infinity;
  #readNodes = false;
  #server: { readonly date: MicroTime; readonly at: number } | undefined;
  #turn: AbortController | undefined;
  #armedFor = Infinity;
  /** The last timer fired late, and was put off. */
  #putOff = false;
  #disarm: () => void = () => {};

  /** @throws OptionsError with everything that is wrong */
  constructor(parts: NodeMonitorParts) {
    const options = checkedOptions('NodeMonitor', AVAILABILITY_ROWS, parts.options);
    this.#parts = { ...parts, options };
    this.#clock = parts.clock;
    this.#observe = parts.observe ?? (() => {});
    this.#register = new Register(options.graceMs, (node, from) => this.#observe({ type: 'changed', node, from }));
  }

  /** What is known, without the nodes one by one. */
  get status(): AvailabilityStatus {
    const { graceMs } = this.#parts.options;
    const { nodes, leases } = this.#lost;
    const error = [nodes, leases].find((why) => why !== undefined && why !== 'unread') as LeaseStoreError | undefined;
    const synced = nodes === undefined && leases === undefined;
    const freshnessMs = this.#freshnessMs();
    const maxAgeMs = synced ? Math.max(QUIET_MS, graceMs) : graceMs;
    const reason = freshnessMs === undefined ? 'NotSynced' : freshnessMs > maxAgeMs ? 'TooOld' : undefined;
    const counts = this.#register.tally();
    return { known: reason === undefined, reason, synced, error, graceMs, freshnessMs, counts };
  }

  /** Goes through all nodes. */
  snapshot(): AvailabilitySnapshot {
    const now = this.#clock.monotonic();
    const { date, at } = this.#server ?? { at: 0 };
    return {
      ...this.status,
      nodes: this.#register.nodes(now),
      serverNow: date && MicroTime.fromEpochMicrosClamped(date.epochMicros + (now - at) * 1000),
    };
  }

  #freshnessMs(): number | undefined {
    if (this.#proof === undefined || !this.#readNodes) return undefined;
    return this.#clock.monotonic() - Math.min(this.#proof, this.#nodesLostAt);
  }

  /** Watches until the signal aborts. Whatever the API reports is told as `lost`, and tried again. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = new AbortController();
    const onAbort = (): void => {
      stop.abort();
      this.#turn?.abort();
    };
    if (signal.aborted) return;
    signal.addEventListener('abort', onAbort, { once: true });
    const guard = async (work: Promise<void>): Promise<void> => work.finally(onAbort);
    try {
      const results = await Promise.allSettled([
        guard(this.#follow('leases', stop.signal)),
        guard(this.#follow('nodes', stop.signal)),
      ]);
      for (const result of results) if (result.status === 'rejected') throw result.reason;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#arm(Infinity);
    }
  }

  async #follow(side: Side, signal: AbortSignal): Promise<void> {
    const { store, nodes, options, random } = this.#parts;
    const backoff = createBackoff({ firstMs: REOPEN_FIRST_MS, capMs: REOPEN_CAP_MS, random });
    while (!signal.aborted) {
      const turn = new AbortController();
      if (side === 'leases') this.#turn = turn;
      const until = side === 'leases' ? turn.signal : signal;
      try {
        const events = side === 'leases' ? store.watch({ namespace: options.namespace }, until) : nodes.watch(until);
        for await (const event of events) {
          if (until.aborted) break;
          if (event.type === 'list') backoff.reset();
          if (side === 'leases') this.#foldLease(event as LeaseEvent);
          else this.#foldNode(event as NodeEvent);
        }
      } catch (error) {
        if (!isStoreError(error)) throw error;
        if (!until.aborted) this.#lose(side, error);
      }
      // A watch that we replaced is opened again at once.
      if (!turn.signal.aborted && !signal.aborted) await sleep(this.#clock, backoff.next(), signal);
    }
  }

  #foldNode(event: NodeEvent): void {
    const now = this.#clock.monotonic();
    switch (event.type) {
      case 'lost':
        return this.#lose('nodes', event.error);
      case 'list':
        if (event.serverDate) this.#server = { date: event.serverDate, at: now };
        for (const node of this.#register.replaceNodes(event.nodes, now)) this.#observe({ type: 'gone', node });
        this.#readNodes = true;
        break;
      case 'added':
      case 'modified':
        this.#register.putNode(event.node, now);
        break;
      case 'deleted': {
        const node = this.#register.dropNode(event.node.name, now);
        if (node) this.#observe({ type: 'gone', node });
        break;
      }
      case 'fresh':
        break;
    }
    if (event.type === 'list' || event.type === 'fresh') this.#found('nodes');
    this.#armAgain(now);
  }

  #foldLease(event: LeaseEvent): void {
    const now = this.#clock.monotonic();
    switch (event.type) {
      case 'lost':
        return this.#lose('leases', event.error);
      case 'list':
        this.#register.replaceLeases(event.leases, now);
        break;
      case 'added':
      case 'modified':
        this.#register.putLease(event.lease, now);
        break;
      case 'deleted':
        this.#register.dropLease(event.lease.metadata.name);
        break;
      case 'fresh':
        break;
    }
    // An event alone, after a loss, proves nothing of the others.
    const whole = event.type === 'list' || event.type === 'fresh';
    if (whole) this.#found('leases');
    if (this.#lost.leases !== undefined) return;
    this.#proof = now;
    if (!whole) this.#armAgain(now);
    else if (now + LOOK_AFTER_MS < this.#armedFor) this.#arm(now + LOOK_AFTER_MS);
  }

  #lose(side: Side, error: LeaseStoreError): void {
    const before = this.#lost[side];
    this.#lost[side] = error;
    if (before === undefined || before === 'unread') this.#observe({ type: 'lost', of: side, error });
    if (side === 'leases') this.#arm(Infinity);
    else this.#nodesLostAt = Math.min(this.#nodesLostAt, this.#clock.monotonic());
  }

  #found(side: Side): void {
    if (this.#lost[side] === undefined) return;
    this.#lost[side] = undefined;
    if (side === 'nodes') this.#nodesLostAt = Infinity;
    const { nodes, leases } = this.#lost;
    if (nodes === undefined && leases === undefined) this.#observe({ type: 'synced', nodes: this.#register.size });
  }

  /** Lets silence change states, as far as it is proved. */
  #wake(): void {
    if (this.#lost.leases !== undefined || this.#proof === undefined) return;
    const now = this.#clock.monotonic();
    const next = this.#register.look(this.#proof);
    if (now > next + PROOF_SLACK_MS) {
      // Silence would change a state, and nothing proves it: either the nodes are dead or the watch is. A new list tells.
      this.#arm(Infinity);
      this.#turn?.abort();
      return;
    }
    this.#arm(next === Infinity ? Infinity : Math.max(next + PROOF_SLACK_MS / 2, now + LOOK_EVERY_MS));
  }

  /** What is new falls silent a grace period from now at the earliest; for all else the timer is set. */
  #armAgain(now: number): void {
    if (this.#armedFor === Infinity && this.#proof !== undefined) this.#arm(now + this.#parts.options.graceMs);
  }

  #arm(at: number): void {
    this.#disarm();
    this.#armedFor = at;
    if (at === Infinity) return;
    this.#disarm = this.#clock.schedule(Math.max(1, Math.ceil(at - this.#clock.monotonic())), () => {
      this.#armedFor = Infinity;
      const now = this.#clock.monotonic();
      this.#putOff = !this.#putOff && now - at > LOOK_AFTER_MS;
      if (this.#putOff) this.#arm(now + LOOK_AFTER_MS);
      else this.#wake();
    });
  }
}
