/**
 * The HTTP endpoints of `heartbeat` and of `nodes`. Loaded only where they are wanted.
 */
import type { Heartbeat } from '../heartbeat/heartbeats.ts';
import type { HeartbeatEvent } from '../heartbeat/heartbeat-events.ts';
import type { AvailabilityEvent, NodeMonitor } from '../availability/node-monitor.ts';
import type { Endpoint } from '../http/answer.ts';
import { PING, healthz } from '../http/health-endpoint.ts';
import type { Check } from '../http/health-endpoint.ts';
import { heartbeatCheck } from '../http/heartbeat-health.ts';
import { NodesApi, availabilityCheck } from '../http/nodes-endpoint.ts';
import { ListenError, listen } from '../http/server.ts';
import type { HttpAddress, HttpServer } from '../http/server.ts';
import { createAvailabilityMetrics, createHeartbeatMetrics } from '../observe/heartbeat-metrics.ts';
import type { HeartbeatMetrics } from '../observe/heartbeat-metrics.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { version } from '../version.ts';
import { CommandError } from './command.ts';
import { nodeDocument } from './output/print-nodes.ts';

export interface HeartbeatEndpoints<Event> {
  readonly server: HttpServer & AsyncDisposable;
  readonly observe: Observe<Event>;
}

/** Listens. @throws CommandError when it cannot */
export async function heartbeatEndpoints(
  address: HttpAddress,
  clock: Clock,
  heartbeat: () => Heartbeat,
): Promise<HeartbeatEndpoints<HeartbeatEvent>> {
  let read = false;
  const metrics = createHeartbeatMetrics({ clock, version, status: () => heartbeat().status });
  const check = (): Check => {
    const { status, options } = heartbeat();
    return heartbeatCheck(status, read, options.leaseDurationSeconds * 1000, clock.monotonic());
  };
  return {
    server: await serve(address, metrics, check, {}),
    observe(event) {
      if (event.type === 'nodesSynced') read = true;
      metrics.observe(event);
    },
  };
}

/** Listens. @throws CommandError when it cannot */
export async function nodesEndpoints(
  address: HttpAddress,
  clock: Clock,
  monitor: () => NodeMonitor,
): Promise<HeartbeatEndpoints<AvailabilityEvent>> {
  const metrics = createAvailabilityMetrics({ clock, version, status: () => monitor().status });
  const source = {
    snapshot: () => monitor().snapshot(),
    get status() {
      return monitor().status;
    },
  };
  const nodes = new NodesApi(source, clock, nodeDocument);
  const check = (): Check => availabilityCheck(monitor().status);
  return {
    server: await serve(address, metrics, check, { '/v1/nodes': () => nodes.answer() }),
    observe: metrics.observe,
  };
}

async function serve(
  address: HttpAddress,
  metrics: Pick<HeartbeatMetrics<never>, 'contentType' | 'text'>,
  check: () => Check,
  more: Readonly<Record<string, Endpoint>>,
): Promise<HttpServer & AsyncDisposable> {
  try {
    return await listen(address, {
      ...more,
      '/metrics': async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }),
      '/livez': healthz('livez', () => [PING]),
      '/readyz': healthz('readyz', () => [PING, check()]),
    });
  } catch (error) {
    if (error instanceof ListenError) throw new CommandError(error.message, { cause: error });
    throw error;
  }
}
