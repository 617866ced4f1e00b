/**
 * The nodes that a monitor knows, and what it has seen of them and their leases. Time comes as an argument: nothing here waits.
 *
 * Guarantees: taking in one lease costs the same however many nodes there are. A Node that was recreated begins again; a
 * lease that is deleted and recreated does not, for its node is the same. While Nodes are lost, silence proves nothing: a
 * kubelet may have posted its status.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import type { NodeInfo } from '../lease/node-source.ts';
import type { Watched } from '../runtime/freshness.ts';
import type { AvailabilityOptions } from './availability-options.ts';
import { availabilityOf, firstObservation, leaseSeen, statusSeen } from './decide.ts';
import type { Availability, NodeObservation } from './decide.ts';

/** One Node and what was seen of its lease. */
export interface NodeAvailability {
  readonly name: string;
  readonly uid: string;
  readonly status: Availability;
  /** Who holds the lease; absent without one. */
  readonly holder?: string | undefined;
  /** Milliseconds since the last sign of life: the lease was seen to be renewed, or a status to be posted; absent: none was. */
  readonly renewedAgoMs?: number | undefined;
  /** As the lease says, by its writer's clock: to be shown, not judged by. */
  readonly renewTime?: MicroTime | undefined;
  readonly leaseDurationSeconds?: number | undefined;
  readonly hasLease: boolean;
  readonly creationTimestamp?: MicroTime | undefined;
}

interface Entry {
  node: NodeInfo;
  observation: NodeObservation;
  /** The lease that the observation began with. */
  leaseUid: string | undefined;
  /** That lease was last seen to be owned by another Node: the one of this name before. */
  inherited: boolean;
  status: Availability;
}

type Graces = Pick<AvailabilityOptions, 'graceMs' | 'startupGraceMs'>;
type LeasePart = Pick<NodeAvailability, 'holder' | 'renewTime' | 'leaseDurationSeconds'>;
interface Known extends LeasePart {
  readonly leaseUid: string;
}

export class NodeRegister implements Watched {
  /** The monotonic millisecond before which silence changes no state; `advance` works it out again. */
  deadline = Infinity;
  readonly #graces: Graces;
  readonly #onChange: (entry: NodeAvailability, from: Availability | undefined) => void;
  readonly #entries = new Map<string, Entry>();
  /** Of all leases, whether or not there is such a node: either may come first. */
  readonly #leases = new Map<string, Known>();
  /** False before the first list of leases: what that holds was there before we watched. */
  #sawLeases = false;
  /** How far silence was taken in, and from when on it proves nothing, in monotonic milliseconds. */
  #judgedAt = -Infinity;
  #lostAt = Infinity;

  /** @param onChange called when a node appears (`from` undefined) or its status becomes another */
  constructor(graces: Graces, onChange: (entry: NodeAvailability, from: Availability | undefined) => void) {
    this.#graces = graces;
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#entries.size;
  }

  putNode(node: NodeInfo, now: number): void {
    const known = this.#entries.get(node.name);
    if (known?.node.uid === node.uid) {
      known.node = node;
      known.observation = statusSeen(known.observation, node.ready, now);
      this.#judge(known, now);
      return;
    }
    const { renewTime, leaseUid } = this.#leases.get(node.name) ?? {};
    const observation = { ...firstObservation(now, node.ready), renewTime };
    const [status, until] = availabilityOf(observation, now, this.#graces);
    const entry: Entry = { node, observation, leaseUid, inherited: false, status };
    this.#entries.set(node.name, entry);
    this.#await(until);
    this.#onChange(this.#show(entry, now), known?.status);
  }

  /** As it was; undefined when it was not known. */
  dropNode(name: string, now: number): NodeAvailability | undefined {
    const entry = this.#entries.get(name);
    this.#entries.delete(name);
    return entry && this.#show(entry, now);
  }

  /** The whole state: nodes that it does not name are gone. Gives those. */
  replaceNodes(nodes: readonly NodeInfo[], now: number): NodeAvailability[] {
    const names = new Set(nodes.map(({ name }) => name));
    const gone = [...this.#entries.keys()].filter((name) => !names.has(name));
    for (const node of nodes) this.putNode(node, now);
    return gone.flatMap((name) => this.dropNode(name, now) ?? []);
  }

  putLease(lease: Lease, now: number): void {
    this.#put(lease, now, this.#sawLeases);
  }

  dropLease(name: string): void {
    this.#leases.delete(name);
  }

  replaceLeases(leases: readonly Lease[], now: number): void {
    const known = this.#sawLeases;
    this.#leases.clear();
    // Whatever the Nodes' age, their leases are watched from now on only.
    if (!known) for (const entry of this.#entries.values()) entry.observation = firstObservation(now, entry.node.ready);
    for (const lease of leases) this.#put(lease, now, known);
    this.#sawLeases = true;
  }

  /** Lets silence up to `at` change states. */
  advance(at: number): void {
    this.#judgedAt = Math.max(this.#judgedAt, Math.min(at, this.#lostAt));
    this.deadline = Infinity;
    for (const entry of this.#entries.values()) this.#judge(entry, at);
  }

  /** From now on posts may be missed. */
  lostNodes(now: number): void {
    this.#lostAt = Math.min(this.#lostAt, now);
  }

  /** All that was posted meanwhile was taken in; silence counts again. */
  foundNodes(): void {
    this.#lostAt = Infinity;
    this.advance(this.#judgedAt);
  }

  /** How many are in each state. */
  tally(): Record<Availability, number> {
    const counts = { Ready: 0, NotReady: 0, Unknown: 0, Pending: 0 };
    for (const { status } of this.#entries.values()) counts[status]++;
    return counts;
  }

  /** All nodes by name. */
  nodes(now: number): NodeAvailability[] {
    const all = [...this.#entries.values()].map((entry) => this.#show(entry, now));
    return all.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #put(lease: Lease, now: number, happened: boolean): void {
    const { name } = lease.metadata;
    const { holderIdentity: holder, renewTime, leaseDurationSeconds } = lease.spec;
    const leaseUid = lease.metadata.uid;
    this.#leases.set(name, { holder, renewTime, leaseDurationSeconds, leaseUid });
    const entry = this.#entries.get(name);
    if (!entry) return;
    // What a recreated Node found there, or its predecessor wrote, is no measure any more once that lease is gone with its
    // writer and its clock.
    if (entry.leaseUid !== leaseUid && (!entry.observation.observed || entry.inherited))
      entry.observation = { ...entry.observation, renewTime: undefined };
    entry.leaseUid = leaseUid;
    entry.inherited = lease.metadata.ownerReferences.some(({ kind, uid }) => kind === 'Node' && uid !== entry.node.uid);
    const next = leaseSeen(entry.observation, lease, now, happened);
    if (next === entry.observation) return;
    entry.observation = next;
    this.#judge(entry, now);
  }

  /** Silence may change the state of one at that moment. */
  #await(until: number): void {
    if (until < this.#lostAt) this.deadline = Math.min(this.deadline, until);
  }

  #judge(entry: Entry, now: number): void {
    const [status, until] = availabilityOf(entry.observation, this.#judgedAt, this.#graces);
    this.#await(until);
    const from = entry.status;
    if (status === from) return;
    entry.status = status;
    this.#onChange(this.#show(entry, now), from);
  }

  #show({ node, observation, status }: Entry, now: number): NodeAvailability {
    const { name, uid, creationTimestamp } = node;
    const lease = this.#leases.get(name);
    const renewedAgoMs = observation.observed ? Math.max(0, now - observation.since) : undefined;
    return { name, uid, status, ...lease, renewedAgoMs, hasLease: lease !== undefined, creationTimestamp };
  }
}
