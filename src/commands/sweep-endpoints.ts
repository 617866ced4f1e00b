/**
 * The HTTP endpoints of `sweep`: /metrics, /livez, /readyz. Loaded only where they are wanted.
 *
 * Guarantees: no request to the API is made for them. Ready once the leases were listed, and from then on whatever becomes
 * of later passes: metrics tell of those, and an API that is away for a while must not take its sweepers down.
 */
import type { FeatureGates, GateName } from '../features/gates.ts';
import { PING, healthz } from '../http/health-endpoint.ts';
import type { Check } from '../http/health-endpoint.ts';
import type { HttpAddress, HttpServer } from '../http/server.ts';
import { ListenError, listen } from '../http/server.ts';
import type { Transport } from '../kube/wire/transport.ts';
import { createMetrics } from '../observe/metrics.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import type { PassResult, SweepEvent } from '../sweep/sweep-events.ts';
import { version } from '../version.ts';
import { CommandError } from './command.ts';

export interface SweepEndpoints {
  readonly server: HttpServer;
  readonly observe: Observe<SweepEvent>;
}

export interface SweepEndpointsOptions {
  readonly address: HttpAddress;
  readonly clock: Clock;
  readonly transport: Pick<Transport, 'clockDistanceMs'>;
  /** As they are at the moment; asked for again and again. */
  readonly gates: () => FeatureGates<GateName>;
}

/** Listens. @throws CommandError when it cannot */
export async function sweepEndpoints(options: SweepEndpointsOptions): Promise<SweepEndpoints> {
  const { address, clock, transport, gates } = options;
  const metrics = createMetrics({
    clock,
    version,
    clockDistanceMs: () => transport.clockDistanceMs(),
    gates: () => gates().metrics(),
  });
  let listed = false;
  let last: PassResult | undefined;
  const check = (): Check => {
    if (!gates().enabled('APIServerIdentity')) {
      return { name: 'sweep', ok: true, note: 'disabled by feature gate APIServerIdentity' };
    }
    const because = last?.because === undefined ? '' : ` (${last.because})`;
    const error = last?.error === undefined ? '' : `; ${last.error.message}`;
    const note = last === undefined ? 'no pass has ended yet' : `last pass ${last.outcome}${because}${error}`;
    return { name: 'sweep', ok: listed, note: listed ? note : `the leases were not listed yet; ${note}` };
  };
  try {
    const server = await listen(address, {
      '/metrics': async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }),
      '/livez': healthz('livez', () => [PING]),
      '/readyz': healthz('readyz', () => [PING, check()]),
    });
    return {
      server,
      observe(event) {
        if (event.type === 'looked') listed = true;
        else if (event.type === 'passFinished') last = event.result;
        metrics.sweep(event);
      },
    };
  } catch (error) {
    if (error instanceof ListenError) throw new CommandError(error.message, { cause: error });
    throw error;
  }
}
