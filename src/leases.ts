/**
 * The door: what programs do with Leases, by name, over one connection.
 *
 * Guarantees: everything begun here ends with `close`, what it wrote last included; nothing is sent before the first call.
 * Without an observer and a logger, warnings and errors go to stderr, each of them once. Clock, chance and ids are the
 * machine's: a test gives its own to the classes below, which need no door.
 */
import { hostname } from 'node:os';
import { leaseLog } from './adapters/pino.ts';
import type { Logger } from './adapters/pino.ts';
import { NodeMonitor } from './availability/node-monitor.ts';
import type { NodeMonitorOptions } from './availability/node-monitor.ts';
import type { Census } from './census/census.ts';
import { LiveCensus } from './census/live-census.ts';
import type { LiveCensusOptions } from './census/live-census.ts';
import { takeCensus } from './census/take-census.ts';
import { LeaderElector } from './election/elector.ts';
import type { LeaderElectorOptions } from './election/elector.ts';
import type { Work } from './election/lead.ts';
import type { Term } from './election/term.ts';
import { Heartbeat } from './heartbeat/heartbeats.ts';
import type { HeartbeatInit } from './heartbeat/heartbeats.ts';
import { Publisher } from './identity/publisher.ts';
import type { PublisherOptions } from './identity/publisher.ts';
import type { ShutdownOutcome } from './identity/publisher-events.ts';
import { connect } from './kube/connection.ts';
import type { ConnectOptions, Connection } from './kube/connection.ts';
import { createNodesApi } from './kube/node-api.ts';
import { IDENTITY_LABEL, IDENTITY_LABEL_VALUE, holderIdentity, leaseName } from './lease/names.ts';
import type { NodeSource } from './lease/node-source.ts';
import type { LeaseQuery, LeaseRef, LeaseStore } from './lease/store.ts';
import type { LeaseObservers, RecipeKind } from './observe/lease-observers.ts';
import { derivedLog } from './observe/log.ts';
import type { RecipeEvent } from './observe/recipe-log.ts';
import { Cron } from './recipes/cron.ts';
import type { CronOptions } from './recipes/cron.ts';
import { Lock } from './recipes/lock.ts';
import type { RecipeOptions } from './recipes/lock.ts';
import { Members } from './recipes/members.ts';
import type { MembersOptions, Payload } from './recipes/members.ts';
import { Once } from './recipes/once.ts';
import type { OnceOutcome } from './recipes/once.ts';
import { Semaphore } from './recipes/semaphore.ts';
import type { SemaphoreOptions } from './recipes/semaphore.ts';
import { Shards } from './recipes/shards.ts';
import type { ShardWork, ShardsOptions } from './recipes/shards.ts';
import { createSystemClock } from './runtime/clock.ts';
import type { Clock } from './runtime/clock.ts';
import { observers } from './runtime/observer.ts';
import type { Observe } from './runtime/observer.ts';
import { OptionsError } from './runtime/options.ts';
import { Sweeper } from './sweep/sweeper.ts';
import type { SweeperOptions } from './sweep/sweeper.ts';

/** How to reach the API server, and who hears what happens. */
export interface OpenOptions extends Pick<
  ConnectOptions,
  'kubeConfig' | 'kubeconfig' | 'context' | 'requestTimeoutMs' | 'maxConnections' | 'userAgent'
> {
  /**
   * Makes an observer for each thing that is begun: your own, or those of `leasekeeper/prom-client` and `leasekeeper/pino`,
   * one or several. Default: none.
   */
  readonly observe?: Observers | readonly Observers[] | undefined;
  /** Gets everything that the command line would log. Default: warnings and errors go to stderr, unless there is an `observe`. */
  readonly logger?: Logger | undefined;
}
type Observers = Partial<LeaseObservers>;

/** When to stop. */
export interface Until {
  /** Aborts: the end is begun, in order. Default: `close` ends it. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of a class below `openLeases`, less what `openLeases` brings and what its method takes by itself. All may be left out. */
export type DoorOptions<Options, Given extends string = never> = Partial<
  Omit<Options, 'store' | 'clock' | 'random' | 'uuid' | 'newId' | Given>
>;

/** Nodes by their names, by their labels in Kubernetes' selector syntax, or from a source of your own. */
export type Nodes = readonly string[] | { readonly labelSelector: string } | NodeSource;

/** The identity leases of kube-apiserver. */
const IDENTITIES: LeaseQuery = {
  namespace: 'kube-system',
  labelSelector: `${IDENTITY_LABEL}=${IDENTITY_LABEL_VALUE}`,
};

/**
 * The entry point to the Leases of a cluster. The cluster is found as kubectl does, in a pod by its service account. Sends
 * nothing.
 * @example
 * await using leases = await openLeases();
 * await leases.lead('my-operator', async (term) => { … }, { signal });
 * @throws OptionsError; KubeConfigError when the configuration cannot be used
 */
export async function openLeases(options: OpenOptions = {}): Promise<Leases> {
  const { observe = [], logger, ...reach } = options;
  const clock = createSystemClock();
  const connection = await connect({ ...reach, clock, random: Math.random });
  const log = logger ?? (options.observe === undefined ? stderrLog() : undefined);
  // Loaded when it is needed: it brings node:crypto along.
  const { v4 } = await import('uuid');
  return new Leases(connection, clock, () => v4(), [observe].flat(), log);
}

/** Leases of one cluster, opened by `openLeases`. A REF is a `name` in `namespace`, or `another-namespace/name`. */
export class Leases {
  /** Compare-and-swap on any Lease. */
  readonly store: LeaseStore;
  /** Of the context or the pod; else `default`. */
  readonly namespace: string;
  readonly #connection: Connection;
  readonly #machine: { readonly store: LeaseStore; readonly clock: Clock; readonly random: () => number };
  readonly #uuid: () => string;
  readonly #observers: readonly Observers[];
  readonly #log: Logger | undefined;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  readonly #crons = new Set<Cron>();
  #closed: Promise<void> | undefined;

  /** @internal use `openLeases` */
  constructor(
    connection: Connection,
    clock: Clock,
    uuid: () => string,
    observers: readonly Observers[],
    log: Logger | undefined,
  ) {
    this.store = connection.store;
    this.namespace = connection.namespace ?? 'default';
    this.#connection = connection;
    this.#machine = { store: this.store, clock, random: Math.random };
    this.#uuid = uuid;
    this.#observers = observers;
    this.#log = log;
  }

  /**
   * Publishes this process's identity lease until the signal aborts, and leaves it as `shutdownPolicy` says. Settles after
   * the last write.
   * @throws OptionsError
   */
  async publish(
    options: DoorOptions<PublisherOptions, 'holder'> = {},
    { signal }: Until = {},
  ): Promise<ShutdownOutcome> {
    const { observe, hostname: host = hostname(), ...given } = options;
    const holder = holderIdentity(leaseName(host, given.nameFormat, given.namePrefix), this.#uuid());
    const publisher: Publisher = new Publisher({
      ...given,
      ...this.#machine,
      hostname: host,
      holder,
      observe: this.#observe(observe, { hostname: host }, (to) => to.publisher?.(() => publisher)),
    });
    return this.#track(publisher.run(this.#until(signal)));
  }

  /**
   * Contends for a Lease until the signal aborts, and runs the work whenever this process leads; it has to end when
   * `term.signal` aborts. What the work throws is reported, and it is contended for again, unless `onWorkError` is `reject`.
   * @param ref `name` or `namespace/name`
   * @throws OptionsError; LeadershipError `WorkNotEnded`
   */
  async lead(
    ref: string,
    work: Work,
    options: DoorOptions<LeaderElectorOptions, 'lease' | 'work'> & Until = {},
  ): Promise<void> {
    const { signal, observe, id = hostname(), ...given } = options;
    const lease = this.#ref(ref);
    const elector: LeaderElector = new LeaderElector({
      ...given,
      ...this.#machine,
      id,
      uuid: this.#uuid(),
      lease,
      work,
      observe: this.#observe(observe, { lease: shown(lease) }, (to) => to.election?.(lease, () => elector)),
    });
    return this.#track(elector.run(this.#until(signal)));
  }

  /** A lock: `lock(ref).use(work)` runs the work while nobody else holds it. @throws OptionsError */
  lock(ref: string, options: DoorOptions<RecipeOptions, 'lease'> = {}): Lock {
    return this.#tiedUse(new Lock(this.#recipe('lock', ref, options)));
  }

  /**
   * Runs the work once for this key, whichever process calls it; the others wait for its success. Settles with who ran it.
   * @throws what the work threw; OptionsError; RecipeError
   */
  async once<T>(
    ref: string,
    key: string,
    work: (term: Term) => Promise<T>,
    options: DoorOptions<RecipeOptions, 'lease'> & Until = {},
  ): Promise<OnceOutcome<T>> {
    const { signal, ...given } = options;
    const once = new Once(this.#recipe('once', ref, given));
    const running = this.#track(once.run(key, work, this.#until(signal)));
    const idle = (): Promise<void> => once.idle();
    this.#track(running.then(idle, idle)).catch(() => {});
    return running;
  }

  /** Claims each fire of a schedule for one process: a `RunCoordinator` for node-cron. @throws OptionsError */
  cron(ref: string, options: DoorOptions<CronOptions, 'lease'> = {}): Cron {
    const cron = new Cron(this.#recipe('cron', ref, options));
    this.#crons.add(cron);
    if (this.#stop.signal.aborted) this.#track(cron.close()).catch(() => {});
    return cron;
  }

  /** A lock for `count` holders at once. @throws OptionsError */
  semaphore(ref: string, count: number, options: DoorOptions<SemaphoreOptions, 'lease' | 'count'> = {}): Semaphore {
    return this.#tiedUse(new Semaphore({ ...this.#recipe('semaphore', ref, options), count }));
  }

  /** This process as a member of a set, with a small payload, and a view of the others, while its `run` runs. @throws OptionsError */
  members(ref: string, payload?: Payload, options: DoorOptions<MembersOptions, 'ring' | 'payload'> = {}): Members {
    return this.#tied(new Members({ ...this.#recipe('members', ref, options), payload }));
  }

  /**
   * Shares keys among the members of a ring, while its `run` runs; the work runs once for each key that this process holds.
   * @param keys so many, `0` to `keys - 1`, or their names
   * @throws OptionsError
   */
  shards(
    ref: string,
    keys: number | readonly string[],
    work: ShardWork,
    options: DoorOptions<ShardsOptions, 'ring' | 'keys' | 'work'> = {},
  ): Shards {
    return this.#tied(new Shards({ ...this.#recipe('shards', ref, options), keys, work }));
  }

  /** The instances of a query, now. Default: the API servers. @throws LeaseStoreError */
  takeCensus(query: LeaseQuery = IDENTITIES, { signal }: Until = {}): Promise<Census> {
    const { store, clock } = this.#machine;
    return this.#track(takeCensus({ store, clock, query, signal: this.#until(signal) }));
  }

  /** The instances of a query, kept in memory while its `run` runs. Default: the API servers. @throws OptionsError */
  census(query: LeaseQuery = IDENTITIES, options: DoorOptions<LiveCensusOptions, 'query'> = {}): LiveCensus {
    const census: LiveCensus = new LiveCensus({
      ...options,
      ...this.#machine,
      query,
      observe: this.#observe(options.observe, { ...query }, (to) => to.census?.(query, () => census)),
    });
    return this.#tied(census);
  }

  /** Deletes expired leases while its `run` runs, or by `sweepOnce`. @throws OptionsError */
  sweeper(options: DoorOptions<SweeperOptions> = {}): Sweeper {
    const observe = this.#observe(options.observe, {}, (to) => to.sweep?.());
    return this.#tied(new Sweeper({ ...options, ...this.#machine, observe }));
  }

  /** Keeps the leases of Nodes renewed while its `run` runs. @throws OptionsError */
  heartbeat(nodes: Nodes, options: DoorOptions<HeartbeatInit, 'nodes'> = {}): Heartbeat {
    const heartbeat: Heartbeat = new Heartbeat({
      ...options,
      ...this.#machine,
      nodes: this.#nodes(nodes),
      observe: this.#observe(options.observe, {}, (to) => to.heartbeat?.(() => heartbeat)),
    });
    return this.#tied(heartbeat);
  }

  /** Which Nodes are Ready by their conditions and heartbeats, known while its `run` runs. Default: all Nodes. @throws OptionsError */
  availability(options: DoorOptions<NodeMonitorOptions, 'nodes'> & { readonly nodes?: Nodes } = {}): NodeMonitor {
    const monitor: NodeMonitor = new NodeMonitor({
      ...options,
      ...this.#machine,
      nodes: this.#nodes(options.nodes, true),
      observe: this.#observe(options.observe, {}, (to) => to.availability?.(() => monitor)),
    });
    return this.#tied(monitor);
  }

  /** Ends all that was begun here, in order, and then the connection. Settles after the last write. */
  close(): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  /** For `await using`: `close`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    for (const cron of this.#crons) this.#track(cron.close()).catch(() => {});
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
    await this.#connection.close();
  }

  /** What a recipe is made of: what its options name, this process, its Lease, and those who hear of it. */
  #recipe<Event extends RecipeEvent, Given extends Recipe<Event>>(
    kind: RecipeKind,
    ref: string,
    given: Given & Recipe<Event>,
  ) {
    const lease = this.#ref(ref);
    const { id = hostname() } = given;
    const observe = this.#observe<Event>(given.observe, { lease: shown(lease) }, (to) => to.recipe?.(kind, lease));
    return { ...given, ...this.#machine, id, lease, ring: lease, newId: this.#uuid, uuid: this.#uuid(), observe };
  }

  /** All who hear of a thing: what its options name, the observers of `openLeases`, and the log. */
  #observe<Event>(
    given: Observe<Event> | undefined,
    about: object,
    make: (makers: Observers) => Observe<Event> | undefined,
  ): Observe<Event> {
    const { clock } = this.#machine;
    const log = this.#log && leaseLog(derivedLog(this.#log, about), { clock });
    const made = [...this.#observers, ...(log ? [log] : [])].map(make);
    return observers(...[given, ...made].filter((observe) => observe !== undefined));
  }

  /** @throws OptionsError */
  #ref(ref: string): LeaseRef {
    const [first = '', second, ...more] = typeof ref === 'string' ? ref.split('/') : [];
    const rule = 'must be a name, or namespace/name';
    if (first === '' || second === '' || more.length > 0) {
      throw new OptionsError('Leases', [{ field: 'ref', value: ref, rule }]);
    }
    return second === undefined ? { namespace: this.namespace, name: first } : { namespace: first, name: second };
  }

  #nodes(nodes: Nodes = { labelSelector: '' }, conditions = false): NodeSource {
    if ('watch' in nodes) return nodes;
    const { transport } = this.#connection;
    const which = 'labelSelector' in nodes ? nodes : { names: nodes };
    return createNodesApi({ transport, clock: this.#machine.clock, random: Math.random, conditions, ...which });
  }

  /** Aborts when the signal does, and with `close`. */
  #until(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
  }

  /** `close` waits for it. */
  #track<T>(running: Promise<T>): Promise<T> {
    this.#running.add(running);
    const over = (): void => void this.#running.delete(running);
    running.then(over, over);
    return running;
  }

  /** Its `run` ends with `close`, too. */
  #tied<Service extends { run(signal: AbortSignal): Promise<void> }>(service: Service): Service {
    const run = service.run.bind(service);
    service.run = (signal?: AbortSignal) => this.#track(run(this.#until(signal)));
    return service;
  }

  /** Its uses end with `close`, too. */
  #tiedUse<Recipe extends Lock | Semaphore>(recipe: Recipe): Recipe {
    const tryUse = recipe.tryUse.bind(recipe) as Lock['tryUse'];
    recipe.tryUse = ((work, options = {}) => {
      const using = tryUse(work, { ...options, signal: this.#until(options.signal) });
      const idle = (): Promise<void> => recipe.idle();
      this.#track(using.then(idle, idle)).catch(() => {});
      return using;
    }) as Lock['tryUse'];
    return recipe;
  }
}

interface Recipe<Event> {
  readonly id?: string | undefined;
  readonly observe?: Observe<Event> | undefined;
}

/** A Lease as it is written. */
const shown = ({ namespace, name }: LeaseRef): string => `${namespace}/${name}`;

/** Kinds of line that go to stderr before it is silent. */
const MAX_LINES = 100;

/** Warnings and errors, each of them once, on stderr. pino is loaded with the first one. */
function stderrLog(): Logger {
  const written = new Set<string>();
  let log: Promise<Logger> | undefined;
  const once =
    (level: 'warn' | 'error') =>
    (fields: object | string, text = ''): void => {
      const line = typeof fields === 'string' ? { fields: {}, text: fields } : { fields, text };
      const { lease, hostname: host, code } = line.fields as Readonly<Record<string, unknown>>;
      const kind = JSON.stringify([line.text, lease, host, code]);
      if (written.has(kind) || written.size >= MAX_LINES) return;
      written.add(kind);
      const output = { err: (written: string): void => void process.stderr.write(written) };
      log ??= import('./observe/pino-log.ts').then(({ createLog }) =>
        createLog({ level: 'warn', format: 'text', output }),
      );
      void log.then((to) => to[level](line.fields, line.text));
    };
  return { debug() {}, info() {}, warn: once('warn'), error: once('error') };
}
