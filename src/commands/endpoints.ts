/**
 * The HTTP endpoints of every command: /metrics, /livez, /readyz and /healthz, and what each shows besides. Loaded only
 * where they are wanted.
 *
 * Guarantees: no request to the API is made for them, but for a census of its own where they show one. `observe` is there
 * before what it observes; `listen` is for afterwards, and before anything begins.
 */
import type { NodeMonitor, AvailabilityEvent } from '../availability/node-monitor.ts';
import { isAmong, queryText } from '../census/census-query.ts';
import type { CensusQuery } from '../census/census-query.ts';
import type { CensusOptions } from '../census/census-options.ts';
import { LiveCensus } from '../census/live-census.ts';
import type { SecurityFiles } from '../config/http-flags.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import type { LeaderElector } from '../election/elector.ts';
import type { FeatureGates, GateName } from '../features/gates.ts';
import type { HeartbeatEvent } from '../heartbeat/heartbeat-events.ts';
import type { Heartbeat } from '../heartbeat/heartbeats.ts';
import { reuse } from '../http/answer.ts';
import type { Endpoint } from '../http/answer.ts';
import { countAnswer, instancesEndpoint } from '../http/census-endpoint.ts';
import { CensusChanges } from '../http/census-changes.ts';
import { pageAnswer, plainPage } from '../http/census-page.ts';
import { PING, censusCheck, certificateCheck, healthz, heartbeatCheck, leaseCheck } from '../http/health-endpoint.ts';
import type { Check } from '../http/health-endpoint.ts';
import { leaderAnswer, leaderCheck } from '../http/leader-endpoint.ts';
import { leasesEndpoint } from '../http/leases-endpoint.ts';
import type { LeaderView } from '../http/leader-endpoint.ts';
import { availabilityCheck, nodesEndpoint } from '../http/nodes-endpoint.ts';
import { ListenError, listen } from '../http/server.ts';
import type { HttpAddress } from '../http/server.ts';
import type { PublisherEvent } from '../identity/publisher-events.ts';
import type { Transport } from '../kube/wire/transport.ts';
import type { LeaseRef, LeaseStore } from '../lease/store.ts';
import { logCensus } from '../observe/census-log.ts';
import { censusMetrics } from '../observe/census-metrics.ts';
import { electionMetrics } from '../observe/election-metrics.ts';
import { availabilityMetrics, heartbeatMetrics } from '../observe/heartbeat-metrics.ts';
import type { Logger } from '../observe/log.ts';
import { processRegistry } from '../observe/metrics.ts';
import type { Registry } from '../observe/metrics.ts';
import { publisherMetrics } from '../observe/publisher-metrics.ts';
import { recipeMetrics } from '../observe/recipe-metrics.ts';
import type { RecipeEvent } from '../observe/recipe-log.ts';
import type { PublisherView } from '../observe/lease-observers.ts';
import { sweepMetrics } from '../observe/sweep-metrics.ts';
import { switchMetrics } from '../observe/switch-metrics.ts';
import { observers } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Service } from '../runtime/services.ts';
import type { PassResult, SweepEvent } from '../sweep/sweep-events.ts';
import { version } from '../version.ts';
import { CommandError } from './command.ts';
import { followSecurity, readSecurity } from './http-security.ts';
import { nodeDocument } from './output/print-nodes.ts';

/** What the endpoints of any command need. */
interface Frame {
  readonly address: HttpAddress;
  /** Undefined: without TLS, for everybody. */
  readonly security: SecurityFiles | undefined;
  readonly log: Logger;
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'clockDistanceMs' | 'certificateExpiresAt' | 'answeredAt'>;
  /** As they are at the moment. */
  readonly gates?: (() => FeatureGates<GateName>) | undefined;
}

interface Listening {
  readonly url: string;
  /** In the order in which they are to be started: before what they show, so that they stop after it. */
  readonly services: readonly Service[];
}

interface Endpoints<Event> {
  readonly observe: Observe<Event>;
  /** @throws CommandError when it cannot */
  listen(): Promise<Listening>;
}

interface Parts {
  readonly registry: Registry;
  /** What can fail. A failure says that the process is not ready. */
  readonly ready: () => readonly Check[];
  /** What says that it must be restarted. Default: nothing. */
  readonly live?: () => readonly Check[];
  readonly paths?: Readonly<Record<string, Endpoint>>;
}

const registryOf = ({ clock, transport, gates }: Frame): Registry =>
  processRegistry({
    clock,
    version,
    clockDistanceMs: () => transport.clockDistanceMs(),
    answeredAt: () => transport.answeredAt(),
    certificateExpiresAt: () => transport.certificateExpiresAt(),
    gates: gates && (() => gates().metrics()),
  });

async function serve(
  { address, security, clock, log, transport }: Frame,
  { registry, ready, live, paths }: Parts,
): Promise<Listening> {
  const readyz = (): Check[] => {
    const expiresAt = transport.certificateExpiresAt();
    const certificate = expiresAt === undefined ? [] : [certificateCheck(expiresAt, clock.wallMicros() / 1000)];
    return [PING, ...ready(), ...certificate];
  };
  const read = security && (await readSecurity(security));
  try {
    const server = await listen(
      address,
      {
        ...paths,
        '/metrics': async () => ({ status: 200, type: registry.contentType, body: await registry.metrics() }),
        '/healthz': healthz('healthz', readyz),
        '/livez': healthz('livez', () => [PING, ...(live?.() ?? [])]),
        '/readyz': healthz('readyz', readyz),
      },
      { clock, security: read?.security },
    );
    return {
      url: server.url,
      services: [server, ...(read ? followSecurity(security, read.texts, server, { clock, log }) : [])],
    };
  } catch (error) {
    if (error instanceof ListenError) throw new CommandError(error.message, { cause: error });
    throw error;
  }
}

interface CensusEndpoints {
  readonly census: CensusOptions;
  readonly store: Pick<LeaseStore, 'watch'>;
  readonly query: CensusQuery;
  /** Follows every lease of the cluster, and shows them and the elections among them. */
  readonly allNamespaces?: boolean | undefined;
  /** Left out: this process only counts, and is ready when it can. */
  readonly publisher?: (() => PublisherView) | undefined;
}

/** Of `publish` and `serve`: a census of its own, and the publisher and the sweeper where there are. */
export function censusEndpoints(
  frame: Frame,
  { census: options, store, query, allNamespaces = false, publisher }: CensusEndpoints,
): Pick<Endpoints<never>, 'listen'> & {
  readonly publisher: Observe<PublisherEvent> | undefined;
  readonly sweep: Observe<SweepEvent>;
} {
  const { clock, log } = frame;
  const registry = registryOf(frame);
  const census: LiveCensus = new LiveCensus({
    store,
    query: allNamespaces ? { namespace: '', counted: isAmong(query) } : query,
    elections: allNamespaces,
    clock,
    random: Math.random,
    ...options,
    observe: observers(
      logCensus(log, clock),
      censusMetrics(registry)(query, () => census.snapshot()),
      allNamespaces ? switchMetrics(registry, () => census.elections()) : undefined,
    ),
  });
  const ready = (): Check[] => {
    const counted = censusCheck(census.snapshot(), publisher === undefined);
    if (publisher === undefined) return [counted];
    const { status, options } = publisher();
    return [leaseCheck(status, options.leaseDurationSeconds * 1000, clock.monotonic()), counted];
  };
  const what = `Leases ${queryText(query)}`;
  const changes = new CensusChanges(census, clock);
  const page = pageAnswer(census, what, allNamespaces);
  const plain = reuse(clock, () => plainPage(census, what));
  const measure = sweepMetrics(registry)();
  return {
    publisher: publisher && publisherMetrics(registry, clock)(publisher),
    sweep(event) {
      if (event.type === 'passFinished') changes.passed(event.result);
      measure(event);
    },
    async listen() {
      const { url, services } = await serve(frame, {
        registry,
        ready,
        paths: {
          '/': (asked) => (asked.has('plain') ? plain() : page),
          '/v1/instances': instancesEndpoint(census, clock),
          '/v1/count': () => countAnswer(census),
          '/v1/changes': changes.answer,
          ...(allNamespaces && { '/v1/leases': leasesEndpoint(census, clock) }),
        },
      });
      return { url, services: [...services, { name: 'census', run: (signal) => census.run(signal) }] };
    },
  };
}

interface SweepEndpoints extends Pick<Endpoints<SweepEvent>, 'listen'> {
  /** Of one more sweeper: each has a check of its own, by this name. */
  observer(name: string): Observe<SweepEvent>;
}

/**
 * Of `sweep`. Ready once every sweeper has listed its leases, and from then on whatever becomes of later passes: metrics
 * show those, and an API that is away for a while must not take its sweepers down.
 */
export function sweepEndpoints(frame: Frame): SweepEndpoints {
  const registry = registryOf(frame);
  const meters = sweepMetrics(registry);
  const checks: (() => Check)[] = [];
  return {
    observer(name) {
      const measure = meters();
      let listed = false;
      let last: PassResult | undefined;
      checks.push(() => {
        if (frame.gates?.().enabled('APIServerIdentity') === false) {
          return { name, ok: true, note: 'disabled by feature gate APIServerIdentity' };
        }
        const because = last?.because === undefined ? '' : ` (${last.because})`;
        const error = last?.error === undefined ? '' : `; ${last.error.message}`;
        const note = last === undefined ? 'no pass has ended yet' : `last pass ${last.outcome}${because}${error}`;
        return { name, ok: listed, note: listed ? note : `the leases were not listed yet; ${note}` };
      });
      return (event) => {
        if (event.type === 'looked') listed = true;
        else if (event.type === 'passFinished') last = event.result;
        measure(event);
      };
    },
    listen: () => serve(frame, { registry, ready: () => checks.map((check) => check()) }),
  };
}

/** Of `elect`: as client-go's, a process whose work outlives its term is to be restarted. */
export function electEndpoints(
  frame: Frame,
  lease: LeaseRef,
  elector: () => Pick<LeaderElector, 'holder' | 'leader' | 'term'>,
): Endpoints<ElectionEvent> {
  const registry = registryOf(frame);
  const view = (): LeaderView => {
    const { holder, leader, term } = elector();
    return { lease, holder, leader, remainingMs: term?.remainingMs ?? 0, fencingToken: term?.fencingToken };
  };
  const measure = electionMetrics(registry)(lease, () => elector().term?.remainingMs ?? 0);
  let overdue = false;
  const checks = (): Check[] => [leaderCheck(view(), overdue)];
  const leader = (): ReturnType<Endpoint> => leaderAnswer(view());
  return {
    observe(event) {
      if (event.type === 'workOverdue') overdue = true;
      else if (event.type === 'contending') overdue = false;
      measure(event);
    },
    listen: () =>
      serve(frame, {
        registry,
        ready: checks,
        live: checks,
        paths: { '/': leader, '/v1/leader': leader, '/leader': () => leaderAnswer(view(), 503) },
      }),
  };
}

/** Of `shard`. Ready once it has taken part, and from then on: an API that is away for a while must not take its members down. */
export function shardEndpoints(frame: Frame, ring: LeaseRef): Endpoints<RecipeEvent> {
  const registry = registryOf(frame);
  const measure = recipeMetrics(registry)('shards', ring);
  let joined = false;
  const check = (): Check => ({ name: 'ring', ok: joined, note: joined ? '' : 'this process is no member yet' });
  return {
    observe(event) {
      if (event.type === 'leading') joined = true;
      measure(event);
    },
    listen: () => serve(frame, { registry, ready: () => [check()] }),
  };
}

/** Of `heartbeat`. */
export function heartbeatEndpoints(
  frame: Frame,
  heartbeat: () => Pick<Heartbeat, 'status' | 'options'>,
): Endpoints<HeartbeatEvent> & { recipe(ring: LeaseRef): Observe<RecipeEvent> } {
  const registry = registryOf(frame);
  const measure = heartbeatMetrics(registry, () => heartbeat().status);
  let read = false;
  const check = (): Check => {
    const { status, options } = heartbeat();
    return heartbeatCheck(status, read, options.leaseDurationSeconds * 1000, frame.clock.monotonic());
  };
  return {
    observe(event) {
      if (event.type === 'nodesSynced') read = true;
      measure(event);
    },
    recipe: (ring) => recipeMetrics(registry)('shards', ring),
    listen: () => serve(frame, { registry, ready: () => [check()] }),
  };
}

/** Of `nodes --http-address`. */
export function nodesEndpoints(
  frame: Frame,
  monitor: () => Pick<NodeMonitor, 'status' | 'snapshot'>,
): Endpoints<AvailabilityEvent> {
  const registry = registryOf(frame);
  return {
    observe: availabilityMetrics(registry, () => monitor().status),
    listen: () =>
      serve(frame, {
        registry,
        ready: () => [availabilityCheck(monitor().status)],
        paths: { '/v1/nodes': nodesEndpoint(monitor(), frame.clock, nodeDocument) },
      }),
  };
}
