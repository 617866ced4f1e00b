/**
 * Who takes part: each is one process with the services as they are shipped, from its start to its stop or crash.
 */
import { LiveCensus } from '../../src/census/live-census.ts';
import { LeaderElector } from '../../src/election/elector.ts';
import type { ElectionEvent } from '../../src/election/election-events.ts';
import { createSharedWatch } from '../../src/election/shared-watch.ts';
import type { Term } from '../../src/election/term.ts';
import { deleteUnwanted } from '../../src/election/unwanted.ts';
import { Heartbeat } from '../../src/heartbeat/heartbeats.ts';
import { SharedNodes, nodeSlot } from '../../src/heartbeat/shared-nodes.ts';
import { NodeMonitor } from '../../src/availability/node-monitor.ts';
import type { HeartbeatEvent } from '../../src/heartbeat/heartbeat-events.ts';
import type { AvailabilityEvent } from '../../src/availability/node-monitor.ts';
import type { PublisherEvent } from '../../src/identity/publisher-events.ts';
import { ServerHealth } from '../../src/identity/server-health.ts';
import { Publisher } from '../../src/identity/publisher.ts';
import { releaseHost } from '../../src/identity/release.ts';
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE, holderIdentity, leaseName } from '../../src/lease/names.ts';
import { isStoreError } from '../../src/lease/store.ts';
import { Shards } from '../../src/recipes/shards.ts';
import { aborted, sleep } from '../../src/runtime/clock.ts';
import type { SweepEvent } from '../../src/sweep/sweep-events.ts';
import { Sweeper } from '../../src/sweep/sweeper.ts';
import type { SweeperOptions } from '../../src/sweep/sweeper.ts';
import { ServerIdentity } from '../support/server-identity.ts';
import type { Commit } from '../support/memory-api.ts';
import type { Chance } from './chance.ts';
import { stream } from './chance.ts';
import type { Judge } from './judge.ts';
import { Link } from './network.ts';
import type { Network } from './network.ts';
import { NodeLink } from './nodes.ts';
import type { Nodes } from './nodes.ts';
import { ClientGoElector } from './client-go.ts';
import type { RecipeWitness } from './hands.ts';
import type {
  CensusSlot,
  ClientGoSlot,
  ElectorSlot,
  FleetSlot,
  MonitorSlot,
  PublisherSlot,
  ReleaserSlot,
  ServerSlot,
  ServiceSlot,
  Slot,
  SweepPlan,
  SweeperSlot,
} from './plan-types.ts';
import { Process } from './process.ts';

export const ELECTION = { namespace: 'kube-system', name: 'contended' };
/** The ring of fleets that share their Nodes. */
const FLEETS = { namespace: 'default', name: 'fleets' };
export const IDENTITIES = {
  namespace: 'kube-system',
  labelSelector: `${IDENTITY_LABEL}=${IDENTITY_LABEL_VALUE}`,
};

/** What all actors of a world share. */
export interface Stage {
  readonly seed: number;
  readonly network: Network;
  readonly nodes: Nodes;
  readonly judge: Judge;
  readonly election: ElectionWitness;
  readonly recipes: RecipeWitness;
  /** Is called when a publisher believes that another process writes with its holder. */
  readonly secondWriter: (publisher: PublisherActor) => void;
  /** Is called with the commit that a lease is put back to, before it is. */
  readonly restored: (original: Commit) => void;
  /** Hosts whose server does not answer, and since when. */
  readonly serversDown: Map<string, number>;
}

export abstract class Actor<S extends Slot = Slot> {
  /** `<slot>.<start>`: the client's name in the API server's history. */
  readonly name: string;
  readonly slot: S;
  readonly process: Process;
  readonly link: Link;
  readonly startedAt: number;
  readonly #abort = new AbortController();
  stoppedAt: number | undefined;
  settled = false;
  error: Error | undefined;
  protected readonly stage: Stage;
  protected readonly random: Chance;

  constructor(stage: Stage, slot: S, start: number) {
    const { network, judge } = stage;
    this.stage = stage;
    this.slot = slot;
    this.name = `${slot.name}.${start}`;
    this.random = stream(stage.seed, this.name);
    if (slot.skewMs !== 0 && Math.abs(slot.skewMs) > 1_000) network.chaos.inject('clock skew');
    const skew = network.chaos.allows('clock skew') ? slot.skewMs : 0;
    this.process = new Process(network.world, slot.rate, skew);
    this.link = new Link(network, this.process, stream(stage.seed, `${this.name} network`), this.name);
    this.startedAt = network.world.now;
    judge.note(this.name, 'starts');
  }

  protected get signal(): AbortSignal {
    return this.#abort.signal;
  }

  protected follow(work: Promise<unknown>): void {
    work.then(
      () => (this.settled = true),
      (error: unknown) => {
        this.settled = true;
        this.error = error as Error;
      },
    );
  }

  protected note(what: string): void {
    this.stage.judge.note(this.name, what);
  }

  /** Asks it to stop, when it next runs. */
  stop(): void {
    this.stoppedAt ??= this.stage.network.world.now;
    this.process.turn(() => this.#abort.abort());
  }

  /** The process is about to stand still. */
  standStill(): void {}

  get stopping(): boolean {
    return this.stoppedAt !== undefined;
  }

  /** Runs, and was not asked to stop. */
  get living(): boolean {
    return this.process.alive && !this.stopping && !this.settled;
  }
}

const sweepParts = (actor: Actor, random: Chance, observe: (event: SweepEvent) => void): SweeperOptions => ({
  store: actor.link,
  clock: actor.process,
  random,
  observe,
});

/** Runs passes at once and on ticks of the process's own clock. */
function sweep(parts: SweeperOptions, plan: SweepPlan, signal: AbortSignal): Promise<void> {
  const { clock } = parts;
  const { confirmAfterMs, pageSize } = plan;
  const ticks = (onTick: () => void): (() => void) => {
    let cancel = (): void => {};
    const arm = (): void => {
      cancel = clock.schedule(plan.tickMs, () => {
        arm();
        onTick();
      });
    };
    arm();
    return () => cancel();
  };
  return new Sweeper({ ...parts, confirmAfterMs, pageSize, ticks }).run(signal);
}

function sweepNote(event: SweepEvent): string | undefined {
  switch (event.type) {
    case 'deleted':
      return `swept ${event.lease.name.slice(-6)} of ${event.lease.hostname}`;
    case 'passFinished':
      return `pass ${event.result.outcome} ${event.result.because ?? ''}`;
    case 'deleteFailed':
      return `delete failed ${event.error.code}`;
    default:
      return undefined;
  }
}

export class PublisherActor extends Actor<PublisherSlot> {
  readonly publisher: Publisher;
  readonly leaseName: string;
  readonly holder: string;
  /** From the `stopped` event. */
  outcome: string | undefined;
  readonly sweeps: SweepPlan | undefined;
  /** Since when it knows that it has held its lease, in true milliseconds. */
  heldSince = Infinity;
  /** From when until when its feature gate is, or was last, off, in true milliseconds; Infinity: it is not yet. */
  readonly gate = { offAt: Infinity, onAt: Infinity };
  /** It knows that an API server renews its lease. */
  besideServer = false;
  #gateOn = true;

  constructor(stage: Stage, slot: PublisherSlot, start: number) {
    super(stage, slot, start);
    this.leaseName = leaseName(slot.hostname, slot.nameFormat);
    this.holder = holderIdentity(this.leaseName, this.name);
    this.sweeps = slot.sweeps;
    const { process, random, link, holder } = this;
    const { serversDown } = stage;
    const probe = async (): Promise<string | undefined> => (serversDown.has(slot.hostname) ? 'no answer' : undefined);
    const health = slot.health
      ? new ServerHealth({ probe, clock: process, intervalMs: slot.intervalMs / 3, timeoutMs: 2_000, threshold: 3 })
      : undefined;
    const observe = (event: PublisherEvent): void => this.#see(event);
    this.publisher = new Publisher({
      store: link,
      clock: process,
      random,
      holder,
      hostname: slot.hostname,
      nameFormat: slot.nameFormat,
      leaseDurationSeconds: slot.durationSeconds,
      renewIntervalMs: slot.intervalMs,
      shutdownPolicy: slot.policy,
      observe,
      health,
    });
    const services: Promise<unknown>[] = [this.publisher.run(this.signal)];
    if (slot.sweeps) {
      const own = { namespace: IDENTITIES.namespace, name: this.leaseName, holderIdentity: holder };
      const watch = (event: SweepEvent): void => {
        const note = sweepNote(event);
        if (note) this.note(note);
      };
      services.push(
        sweep({ ...sweepParts(this, stream(stage.seed, `${this.name} sweep`), watch), own }, slot.sweeps, this.signal),
      );
    }
    this.follow(Promise.all(services));
  }

  /** Switches it on or off, when it next runs. */
  switch(on: boolean): void {
    this.#gateOn = on;
    this.process.turn(() => {
      const off = !this.#gateOn;
      if (off === this.gateOff) return;
      const { now } = this.stage.network.world;
      if (off) Object.assign(this.gate, { offAt: now, onAt: Infinity });
      else [this.gate.onAt, this.outcome] = [now, undefined];
      this.note(`feature gate ${off ? 'off' : 'on'}`);
      this.publisher.enable(!off);
    });
  }

  get gateOff(): boolean {
    return this.gate.offAt < Infinity && this.gate.onAt === Infinity;
  }

  #see(event: PublisherEvent): void {
    if (event.type === 'stopped') this.outcome = event.outcome;
    if (event.type === 'claimed' || event.type === 'renewed' || event.type === 'adopted') {
      this.heldSince = Math.min(this.heldSince, this.stage.network.world.now);
      this.besideServer = false;
    }
    if (event.type === 'besideServer') this.besideServer = true;
    if (event.type === 'secondWriter') this.stage.secondWriter(this);
    const more =
      event.type === 'failed'
        ? ` ${event.operation} ${event.error.code}`
        : event.type === 'stopped'
          ? ` ${event.outcome}`
          : event.type === 'claimed'
            ? ` ${event.how}`
            : '';
    this.note(`${event.type}${more}`);
  }
}

/** An API server that publishes itself. */
export class ServerActor extends Actor<ServerSlot> {
  readonly server: ServerIdentity;

  constructor(stage: Stage, slot: ServerSlot, start: number) {
    super(stage, slot, start);
    const { process: clock, random } = this;
    const peer = slot.peers ? { peerAddress: '10.0.0.1:6443' } : {};
    const { hostname } = slot;
    this.server = new ServerIdentity({ store: this.link, clock, random, hostname, uuid: this.name, ...peer });
    this.follow(this.#live());
  }

  async #live(): Promise<void> {
    await this.server.run(this.signal);
    const end = new AbortController();
    const cancel = this.process.schedule(10_000, () => end.abort());
    await this.server.remove(end.signal);
    cancel();
  }
}

/** A selector that finds every lease. */
const EVERY_LEASE = '!example.com/none';

export class SweeperActor extends Actor<SweeperSlot> {
  readonly sweeps: SweepPlan;
  /** The last look, and when, in true milliseconds. */
  looked = { look: 0, at: -Infinity };
  /** Where it looks for heartbeats whose Node is gone. */
  readonly nodes: NodeLink | undefined;

  constructor(stage: Stage, slot: SweeperSlot, start: number) {
    super(stage, slot, start);
    this.sweeps = slot.sweeps;
    const watch = (event: SweepEvent): void => {
      if (event.type === 'looked') this.looked = { look: event.look, at: stage.network.world.now };
      const note = sweepNote(event);
      if (note) this.note(note);
    };
    const { looksFor } = slot.sweeps;
    const { nodes, network } = stage;
    if (looksFor === 'ownerless')
      this.nodes = new NodeLink(nodes, network.world, this.process, stream(stage.seed, `${this.name} nodes`));
    const parts = {
      ...sweepParts(this, this.random, watch),
      ...(looksFor !== 'identities' && { labelSelector: EVERY_LEASE }),
      ...(this.nodes && { nodes: this.nodes }),
    };
    this.follow(sweep(parts, slot.sweeps, this.signal));
  }
}

/** How long it looks for somebody who renews; milliseconds. */
export const RELEASE_LOOK_MS = 35_000;

/** `leasekeeper release HOSTNAME`. */
export class ReleaserActor extends Actor<ReleaserSlot> {
  constructor(stage: Stage, slot: ReleaserSlot, start: number) {
    super(stage, slot, start);
    const { process: clock, link: store, signal } = this;
    const { hostname } = slot;
    const asked = { observeMs: RELEASE_LOOK_MS, force: false, timeoutMs: 5_000 };
    const release = releaseHost({ store, clock, query: IDENTITIES, hostname, signal, ...asked }).then(
      (leases) => this.note(leases.map(({ outcome }) => outcome).join() || 'nothing to release'),
      (error: unknown) => {
        if (!isStoreError(error)) throw error;
        this.note(`not released: ${error.code}`);
      },
    );
    this.follow(release);
  }
}

export class CensusActor extends Actor<CensusSlot> {
  readonly census: LiveCensus;
  /** When it first knew everything, in true milliseconds. */
  syncedAt = Infinity;

  constructor(stage: Stage, slot: CensusSlot, start: number) {
    super(stage, slot, start);
    const { process, random, link } = this;
    this.census = new LiveCensus({
      store: link,
      query: IDENTITIES,
      clock: process,
      random,
      observe: (event) => {
        if (event.type === 'synced') this.syncedAt = Math.min(this.syncedAt, stage.network.world.now);
        if (event.type !== 'lease') this.note(event.type);
      },
    });
    this.follow(this.census.run(this.signal));
  }
}

export class FleetActor extends Actor<FleetSlot> {
  readonly heartbeat: Heartbeat;
  readonly nodes: NodeLink;
  /** What it has seen of each Node, in true milliseconds: its uid, or that it is gone. */
  readonly seenNodes = new Map<string, { readonly uid: string | undefined; readonly at: number }>();

  constructor(stage: Stage, slot: FleetSlot, start: number) {
    super(stage, slot, start);
    const { process, random, link: store } = this;
    this.nodes = new NodeLink(stage.nodes, stage.network.world, process, stream(stage.seed, `${this.name} nodes`));
    const renewIntervalMs = slot.intervalMs;
    const observe = (event: HeartbeatEvent): void => this.#see(event);
    const shared = slot.shares ? new SharedNodes({ nodes: this.nodes, clock: process }) : undefined;
    const nodes = shared ?? this.nodes;
    this.heartbeat = new Heartbeat({ store, nodes, clock: process, random, renewIntervalMs, observe });
    const beating = this.heartbeat.run(this.signal);
    this.follow(shared ? Promise.all([beating, this.#share(shared).run(this.signal)]) : beating);
  }

  /** As `heartbeat --share` does it, with the slots of the Nodes that there may be. */
  #share(shared: SharedNodes): Shards {
    const { process: clock, link: store, name, stage } = this;
    return new Shards({
      ...{ store, clock, id: name, uuid: name, ring: FLEETS, random: stream(stage.seed, `${name} ring`) },
      keys: [...new Set(stage.nodes.names.map((node) => String(nodeSlot(node))))],
      async work({ key, signal }) {
        shared.take(Number(key));
        await aborted(signal);
        shared.give(Number(key));
      },
    });
  }

  #see(event: HeartbeatEvent): void {
    const at = this.stage.network.world.now;
    if (event.type === 'nodeAdded' || event.type === 'nodeRecreated')
      this.seenNodes.set(event.node, { uid: event.uid, at });
    if (event.type === 'nodeGone') this.seenNodes.set(event.node, { uid: undefined, at });
    const more = event.type === 'failed' ? ` ${event.operation} ${event.error.code}` : '';
    this.note(`${event.type}${'node' in event ? ` ${event.node}` : ''}${more}`);
  }
}

export class MonitorActor extends Actor<MonitorSlot> {
  readonly monitor: NodeMonitor;
  readonly nodes: NodeLink;
  readonly changes: Extract<AvailabilityEvent, { type: 'changed' }>[] = [];

  constructor(stage: Stage, slot: MonitorSlot, start: number) {
    super(stage, slot, start);
    const { process, random, link: store } = this;
    this.nodes = new NodeLink(stage.nodes, stage.network.world, process, stream(stage.seed, `${this.name} nodes`));
    if (!stage.judge.calm && stream(stage.seed, `${this.name} permission`).hit(0.25)) {
      // Nodes may be read at once, their leases only later.
      this.link.mayWatch = false;
      stage.network.world.schedule(70_000, () => (this.link.mayWatch = true));
    }
    this.monitor = new NodeMonitor({
      store,
      nodes: this.nodes,
      clock: process,
      random,
      observe: (event) => {
        if (event.type === 'changed') this.changes.push(event);
        this.note(event.type === 'changed' ? `${event.node.name} is ${event.node.status}` : event.type);
      },
    });
    this.follow(this.monitor.run(this.signal));
  }
}

/** One term, as its work and the clock of its process tell of it. */
export interface LedTerm {
  readonly elector: ElectorActor;
  readonly term: Term;
  readonly token: number;
  /** True milliseconds. */
  readonly beganAt: number;
  /** When it was first seen not to hold any more. */
  endedAt: number | undefined;
  over: boolean;
  working: boolean;
  /** The process stood still within it: then its work may outlive it, and only the check protects. */
  stoodStill: boolean;
}

/** The one to whom electors report. */
export interface ElectionWitness {
  began(led: LedTerm): void;
  /** A guarded step has passed its check. */
  stepped(led: LedTerm): void;
  stopped(led: LedTerm): void;
  released(elector: ElectorActor): void;
  stepsDown(elector: ElectorActor): void;
}

export class ElectorActor extends Actor<ElectorSlot> {
  readonly elector: LeaderElector;
  readonly holder: string;
  working = 0;
  led: LedTerm | undefined;

  constructor(stage: Stage, slot: ElectorSlot, start: number) {
    super(stage, slot, start);
    const { process, random, link } = this;
    const clone = slot.clone && stage.network.chaos.inject('duplicate holder');
    link.mayWatch = slot.mayWatch;
    this.elector = new LeaderElector({
      store: link,
      clock: process,
      random,
      lease: ELECTION,
      id: clone ? 'clone' : slot.name,
      uuid: clone ? 'same' : String(start),
      ...(slot.tight && { renewDeadlineMs: 14_990 }),
      work: (term) => this.#work(term),
      watch: slot.shared ? createSharedWatch({ store: link, namespace: ELECTION.namespace }) : undefined,
      observe: (event) => this.#see(event),
    });
    this.holder = this.elector.holder;
    const run = this.elector.run(this.signal);
    this.follow(slot.deletes ? run.then(() => this.#leaveNothing()) : run);
  }

  async #leaveNothing(): Promise<void> {
    const { link: store, process: clock } = this;
    try {
      const deleted = await deleteUnwanted({ store, clock, lease: ELECTION, retryPeriodMs: 2_000 });
      this.note(deleted ? 'leaves no lease' : 'leaves the lease to another');
    } catch (error) {
      if (!isStoreError(error)) throw error;
    }
  }

  async #work(term: Term): Promise<void> {
    const { process, slot, stage } = this;
    const { judge, election, network } = stage;
    // Chance of its own: what a term does must not change how its elector waits.
    const random = stream(stage.seed, `${this.name} work ${term.fencingToken} ${network.world.now}`);
    const led: LedTerm = {
      elector: this,
      term,
      token: term.fencingToken,
      beganAt: network.world.now,
      endedAt: undefined,
      over: false,
      working: true,
      stoodStill: false,
    };
    this.led = led;
    election.began(led);
    if (this.working++ > 0) judge.fail('work once at a time', `${this.name} works twice at once`);
    while (!term.signal.aborted) {
      // What is due first after a standstill is checked first.
      try {
        term.check();
      } catch {
        break;
      }
      election.stepped(led);
      if (random.hit(0.01) && !judge.calm) break;
      await sleep(process, 50 + random() * 1_500, term.signal);
    }
    if (term.signal.aborted && !slot.tight) await sleep(process, random() * 4_000);
    this.working--;
    led.working = false;
    if (random.hit(0.5) && !judge.calm) throw new Error('work failed');
  }

  override standStill(): void {
    if (this.led) this.led.stoodStill = true;
  }

  #see(event: ElectionEvent): void {
    const { election } = this.stage;
    const token = 'fencingToken' in event ? ` ${event.fencingToken}` : '';
    const more =
      'reason' in event ? ` ${event.reason}` : 'operation' in event ? ` ${event.operation} ${event.error.code}` : '';
    this.note(`${event.type}${token}${more}`);
    if (event.type === 'stopped' && this.led) election.stopped(this.led);
    if (event.type === 'released') election.released(this);
    if (event.type === 'steppingDown') election.stepsDown(this);
  }
}

/** A contender that is client-go, not ours. */
export class ClientGoActor extends Actor<ClientGoSlot> {
  readonly elector: ClientGoElector;

  constructor(stage: Stage, slot: ClientGoSlot, start: number) {
    super(stage, slot, start);
    const { process: clock, random, link: store } = this;
    const note = (what: string): void => this.note(what);
    this.elector = new ClientGoElector({ store, clock, random, ref: ELECTION, identity: this.name, note });
    this.follow(this.elector.run(this.signal));
  }
}

export function startActor(stage: Stage, slot: ServiceSlot, start: number): Actor {
  switch (slot.kind) {
    case 'publisher':
      return new PublisherActor(stage, slot, start);
    case 'server':
      return new ServerActor(stage, slot, start);
    case 'sweeper':
      return new SweeperActor(stage, slot, start);
    case 'releaser':
      return new ReleaserActor(stage, slot, start);
    case 'census':
      return new CensusActor(stage, slot, start);
    case 'fleet':
      return new FleetActor(stage, slot, start);
    case 'monitor':
      return new MonitorActor(stage, slot, start);
    case 'elector':
      return new ElectorActor(stage, slot, start);
    case 'client-go':
      return new ClientGoActor(stage, slot, start);
  }
}
