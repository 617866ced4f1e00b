/**
 * What a service shows besides its log: HTTP endpoints with a census and metrics, and Events about its leases.
 *
 * Guarantees: with the endpoints off nothing is watched and no metrics are kept; with the gate LeaseEvents off no Event is
 * made. Listens before it resolves, so that a port that is taken ends the command before anything begins.
 */
import type { HttpSettings } from '../config/http-flags.ts';
import type { FeatureGates, GateName } from '../features/gates.ts';
import type { PublisherEvent } from '../identity/publisher-events.ts';
import type { Connection } from '../kube/connection.ts';
import { createEventsApi } from '../kube/events-api.ts';
import type { LeaseQuery } from '../lease/store.ts';
import { LeaseEvents } from '../observe/lease-events.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { observers } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Service } from '../runtime/services.ts';
import type { SweepEvent } from '../sweep/sweep-events.ts';
import type { PublisherView } from './http-endpoints.ts';

export interface ObservabilityOptions {
  /** Undefined: no endpoints, as for a command that has no option for them. */
  readonly http?: HttpSettings | undefined;
  readonly query: LeaseQuery;
  readonly connection: Connection;
  readonly clock: Clock;
  readonly log: Logger;
  /** Who reports Events. */
  readonly hostname: string;
  /** As they are at the moment; asked for again and again. */
  readonly gates: () => FeatureGates<GateName>;
  readonly publisher?: (() => PublisherView | undefined) | undefined;
}

export interface Observability {
  readonly publisher: Observe<PublisherEvent>;
  readonly sweep: Observe<SweepEvent>;
  /** To be started before what they show, so that they stop after it. */
  readonly services: readonly Service[];
}

/** @throws CommandError when it cannot listen */
export async function observability(options: ObservabilityOptions): Promise<Observability> {
  const { http, connection, clock, log, gates } = options;
  const events = new LeaseEvents({
    post: createEventsApi(connection.transport),
    clock,
    instance: options.hostname,
    onGivenUp: (error) =>
      log.info({ code: error.code, err: error }, 'no Events about leases will be made; everything else works without'),
    onLost: (error) => log.debug({ code: error.code, err: error }, 'an Event about a lease was not made'),
  });
  const gated =
    <Event>(observe: Observe<Event>): Observe<Event> =>
    (event) => {
      if (gates().enabled('LeaseEvents')) observe(event);
    };
  const publisher = gated(events.publisher);
  const sweep = gated(events.sweep);
  if (http?.address === undefined) return { publisher, sweep, services: [events.service] };
  const { httpEndpoints } = await import('./http-endpoints.ts');
  const { address, census } = http;
  const { transport } = connection;
  const { metrics, services, url } = await httpEndpoints({
    ...options,
    address,
    census,
    store: connection.store,
    transport,
  });
  log.info({ url }, 'HTTP endpoints: /, /v1/instances, /v1/count, /metrics, /livez, /readyz');
  return {
    publisher: observers(publisher, metrics.publisher),
    sweep: observers(sweep, metrics.sweep),
    services: [...services, events.service],
  };
}
