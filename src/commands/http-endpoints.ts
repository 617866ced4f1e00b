/**
 * The HTTP endpoints and what they show: a census of its own, and metrics. Loaded only where they are wanted.
 */
import { LiveCensus } from '../census/live-census.ts';
import type { HttpSettings } from '../config/http-flags.ts';
import type { FeatureGates, GateName } from '../features/gates.ts';
import type { PublisherStatus } from '../identity/publisher-events.ts';
import { InstancesApi, countAnswer } from '../http/census-endpoint.ts';
import { PING, censusCheck, healthz, leaseCheck } from '../http/health-endpoint.ts';
import { pageAnswer } from '../http/census-page.ts';
import { reuse } from '../http/reuse.ts';
import type { HttpAddress, HttpServer } from '../http/server.ts';
import { ListenError, listen } from '../http/server.ts';
import type { Transport } from '../kube/wire/transport.ts';
import type { LeaseQuery, LeaseStore } from '../lease/store.ts';
import type { Logger } from '../observe/log.ts';
import { logCensus } from '../observe/census-log.ts';
import { createMetrics } from '../observe/metrics.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Clock } from '../runtime/clock.ts';
import { observers } from '../runtime/observer.ts';
import type { Service } from '../runtime/services.ts';
import { version } from '../version.ts';
import { CommandError } from './command.ts';

/** A publisher, as the endpoints ask for it. */
export interface PublisherView {
  readonly status: PublisherStatus;
  readonly leaseDurationMs: number;
}

export interface EndpointsOptions {
  readonly address: HttpAddress;
  readonly census: HttpSettings['census'];
  readonly store: Pick<LeaseStore, 'watch'>;
  readonly transport: Pick<Transport, 'clockDistanceMs'>;
  readonly query: LeaseQuery;
  readonly clock: Clock;
  readonly log: Logger;
  readonly gates: () => FeatureGates<GateName>;
  /** Left out: this process only counts, and is ready when it can. */
  readonly publisher?: (() => PublisherView | undefined) | undefined;
}

export interface Endpoints {
  readonly url: string;
  readonly metrics: Metrics;
  /** In the order in which they are to be started. */
  readonly services: readonly Service[];
}

/** Listens. @throws CommandError when it cannot */
export async function httpEndpoints(options: EndpointsOptions): Promise<Endpoints> {
  const { clock, publisher, query } = options;
  const metrics = createMetrics({
    clock,
    version,
    clockDistanceMs: () => options.transport.clockDistanceMs(),
    census: () => census.snapshot(),
    gates: () => options.gates().metrics(),
    publisher:
      publisher &&
      (() => {
        const view = publisher();
        return view?.status.phase === 'disabled' ? undefined : view;
      }),
  });
  const census = new LiveCensus({
    store: options.store,
    query,
    clock,
    random: Math.random,
    ...options.census,
    observe: observers(logCensus(options.log), metrics.census),
  });
  const instances = new InstancesApi(census, clock);
  const ready = healthz('readyz', () => {
    const view = publisher?.();
    const lease = view && leaseCheck(view.status, view.leaseDurationMs, clock.monotonic());
    return [PING, ...(lease ? [lease] : []), censusCheck(census.snapshot(), publisher === undefined)];
  });
  const what = `Leases ${query.labelSelector ?? ''} of namespace ${query.namespace}`;
  let server: HttpServer;
  try {
    server = await listen(
      options.address,
      {
        '/': reuse(clock, () => pageAnswer(census, what)),
        '/v1/instances': () => instances.answer(),
        '/v1/count': () => countAnswer(census),
        '/metrics': async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }),
        '/livez': healthz('livez', () => [PING]),
        '/readyz': ready,
      },
      clock,
    );
  } catch (error) {
    if (error instanceof ListenError) throw new CommandError(error.message, { cause: error });
    throw error;
  }
  return {
    url: server.url,
    metrics,
    services: [server, { name: 'census', run: (signal) => census.run(signal) }],
  };
}
