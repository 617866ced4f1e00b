/**
 * Watches nodes and their leases, and says which nodes are Ready, NotReady and Unknown, as the node lifecycle controller does.
 *
 * Guarantees: one watch of Nodes and one of leases, no polling. A node is called Unknown for its silence only when nothing was missed for
 * the whole grace period: a watch of leases that says nothing when that matters is replaced, so that a dead one is not
 * taken for dead nodes; while the API cannot be reached, states stay as they are. A monitor that starts knows nothing but
 * conditions: whose condition is True is Pending until a sign of life is seen, or the grace period is over. `run` settles when its signal aborts,
 * leaving no timer and no watch.
 */
import { MicroTime } from '../lease/micro-time.ts';
import type { NodeEvent, NodeSource } from '../lease/node-source.ts';
import type { LeaseStore, LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import { Follower } from '../runtime/follow.ts';
import { Freshness } from '../runtime/freshness.ts';
import type { LeaseNews } from '../runtime/freshness.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Given } from '../runtime/options.ts';
import { runServices } from '../runtime/services.ts';
import { AVAILABILITY_ROWS } from './availability-options.ts';
import type { AvailabilityOptions } from './availability-options.ts';
import type { Availability } from './decide.ts';
import { NodeRegister } from './node-register.ts';
import type { NodeAvailability } from './node-register.ts';

/** How old an answer may be while no watch is known to be lost, in milliseconds: a quiet one sends a sign once a minute. */
const QUIET_MS = 90_000;
/** Waits before a watch of Nodes that ended is opened again, in milliseconds. */
const REOPEN_FIRST_MS = 500;
const REOPEN_CAP_MS = 4_000;

/** What a monitor tells its observer. */
export type AvailabilityEvent =
  /** Nodes and leases are known, for the first time or again after a loss. */
  | { readonly type: 'synced'; readonly nodes: number }
  /** What is known may be old from now on; reported once each time it begins. */
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
  /** Why not; absent while it is known. */
  readonly reason?: NodesUnknownReason | undefined;
  /** True while both watches are believed to miss nothing. */
  readonly synced: boolean;
  /** Why it is not synced, where there is a reason. */
  readonly error?: LeaseStoreError | undefined;
  /** As the options say. */
  readonly graceMs: number;
  readonly startupGraceMs: number;
  /** Milliseconds since the last proof that nothing was missed; absent before the first. */
  readonly freshnessMs?: number | undefined;
  /** Nodes by status. */
  readonly counts: Readonly<Record<Availability, number>>;
}

/** What a monitor knows at the moment. */
export interface AvailabilitySnapshot extends AvailabilityStatus {
  /** By name. */
  readonly nodes: readonly NodeAvailability[];
  /** The API server's clock now, for ages; absent when it never sent one. */
  readonly serverNow?: MicroTime | undefined;
}

/** What a monitor is made of. */
export interface NodeMonitorOptions extends Given<AvailabilityOptions> {
  readonly store: Pick<LeaseStore, 'watch'>;
  /** With their Ready conditions: as `createNodesApi({ …, conditions: true })` gives them. */
  readonly nodes: NodeSource;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** Default: nobody listens. */
  readonly observe?: Observe<AvailabilityEvent> | undefined;
}

/** Which Nodes are Ready, NotReady and Unknown: by their conditions and by the signs of life that were seen. */
export class NodeMonitor {
  readonly #clock: Clock;
  readonly #graces: Pick<AvailabilityOptions, 'graceMs' | 'startupGraceMs'>;
  readonly #observe: Observe<AvailabilityEvent>;
  readonly #register: NodeRegister;
  readonly #leases: Freshness;
  readonly #nodes: Follower<NodeEvent>;
  readonly #nodesBackoff;
  #nodesError: LeaseStoreError | undefined;
  #readNodes = false;
  /** Since when changes of Nodes may be missing, in monotonic milliseconds. */
  #nodesLostAt = Infinity;
  #server: { readonly date: MicroTime; readonly at: number } | undefined;

  /** @throws OptionsError with everything that is wrong */
  constructor(given: NodeMonitorOptions) {
    const { store, nodes, clock, random } = given;
    const { namespace, ...graces } = checkedOptions('NodeMonitor', AVAILABILITY_ROWS, given);
    this.#clock = clock;
    this.#graces = graces;
    this.#observe = containedObserver(given.observe);
    this.#nodesBackoff = createBackoff({ firstMs: REOPEN_FIRST_MS, capMs: REOPEN_CAP_MS, random });
    this.#register = new NodeRegister(graces, (node, from) => this.#observe({ type: 'changed', node, from }));
    this.#leases = new Freshness({
      clock,
      random,
      open: (signal) => store.watch({ namespace }, signal),
      watched: this.#register,
      onNews: (news, now) => this.#foldLease(news, now),
      onProof: (_proof, after) => after && this.#found(),
      onLost: (error, before) => before ?? this.#observe({ type: 'lost', of: 'leases', error }),
    });
    this.#nodes = new Follower({
      clock,
      open: (signal) => nodes.watch(signal),
      onEvent: (event) => this.#foldNode(event),
      onEnd: (error) => {
        if (error) this.#loseNodes(error);
        return this.#nodesBackoff.next();
      },
    });
  }

  /** What is known, without the nodes one by one. */
  get status(): AvailabilityStatus {
    const { graceMs } = this.#graces;
    const synced = this.#synced;
    const freshnessMs = this.#freshnessMs();
    const maxAgeMs = synced ? Math.max(QUIET_MS, graceMs) : graceMs;
    const reason = freshnessMs === undefined ? 'NotSynced' : freshnessMs > maxAgeMs ? 'TooOld' : undefined;
    const counts = this.#register.tally();
    const error = this.#nodesError ?? this.#leases.lost;
    return { known: reason === undefined, reason, synced, error, ...this.#graces, freshnessMs, counts };
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

  /** Watches until the signal aborts. Every failure of the API is reported as `lost`, and tried again. */
  run(signal: AbortSignal): Promise<void> {
    const leases = { name: 'leases', run: (until: AbortSignal) => this.#leases.run(until) };
    const nodes = { name: 'nodes', run: (until: AbortSignal) => this.#nodes.run(until) };
    return runServices([leases, nodes], signal);
  }

  get #synced(): boolean {
    const { proof, lost } = this.#leases;
    return this.#readNodes && this.#nodesError === undefined && proof !== undefined && lost === undefined;
  }

  #freshnessMs(): number | undefined {
    const { proof } = this.#leases;
    if (proof === undefined || !this.#readNodes) return undefined;
    return this.#clock.monotonic() - Math.min(proof, this.#nodesLostAt);
  }

  #foldNode(event: NodeEvent): void {
    if (event.type === 'lost') return this.#loseNodes(event.error);
    const now = this.#clock.monotonic();
    switch (event.type) {
      case 'list':
        if (event.serverDate) this.#server = { date: event.serverDate, at: now };
        for (const node of this.#register.replaceNodes(event.nodes, now)) this.#observe({ type: 'gone', node });
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
    if (event.type === 'list' || (event.type === 'fresh' && this.#readNodes)) this.#findNodes();
    this.#leases.rearm();
  }

  #foldLease(news: LeaseNews, now: number): void {
    if (news.type === 'list') this.#register.replaceLeases(news.leases, now);
    else if (news.type === 'deleted') this.#register.dropLease(news.lease.metadata.name);
    else this.#register.putLease(news.lease, now);
  }

  #loseNodes(error: LeaseStoreError): void {
    const before = this.#nodesError;
    this.#nodesError = error;
    const now = this.#clock.monotonic();
    this.#nodesLostAt = Math.min(this.#nodesLostAt, now);
    this.#register.lostNodes(now);
    if (before === undefined) this.#observe({ type: 'lost', of: 'nodes', error });
  }

  #findNodes(): void {
    const news = !this.#readNodes || this.#nodesError !== undefined;
    this.#readNodes = true;
    this.#nodesError = undefined;
    this.#nodesLostAt = Infinity;
    this.#nodesBackoff.reset();
    if (!news) return;
    this.#register.foundNodes();
    this.#found();
  }

  #found(): void {
    if (this.#synced) this.#observe({ type: 'synced', nodes: this.#register.size });
  }
}
