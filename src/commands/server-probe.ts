/**
 * Asks the server beside us whether it is healthy, at a URL.
 *
 * Guarantees: our credentials go to the API server of the kubeconfig and to nobody else; TLS is verified with the
 * kubeconfig's CA, unless the kubeconfig says not to.
 */
import type { HealthProbe } from '../identity/health.ts';
import { loadKubeConfig } from '../kube/config.ts';
import type { Connection } from '../kube/connection.ts';
import { createCredentials } from '../kube/credentials.ts';
import { createTransport } from '../kube/transport.ts';
import { isStoreError } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { version } from '../version.ts';

export interface ServerProbe {
  readonly ask: HealthProbe;
  close(): Promise<void>;
}

export interface ServerProbeOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** @param url http or https; its answer is good when its status is 2xx */
export async function serverProbe(
  url: string,
  connection: Connection,
  options: ServerProbeOptions,
): Promise<ServerProbe> {
  const target = new URL(url);
  const own = target.origin === new URL(connection.server).origin;
  const transport = own ? connection.transport : await anonymous(target, options);
  const request = {
    method: 'GET',
    what: `ask ${target.origin}${target.pathname}`,
    path: `${target.pathname}${target.search}`,
  } as const;
  return {
    async ask(signal) {
      try {
        // Opened as a stream and closed at once: what it says does not matter, and it may be no JSON.
        (await transport.stream({ ...request, signal })).close();
        return undefined;
      } catch (error) {
        if (isStoreError(error)) return error.message;
        throw error;
      }
    },
    close: () => (own ? Promise.resolve() : transport.close()),
  };
}

async function anonymous(target: URL, options: ServerProbeOptions): Promise<Connection['transport']> {
  const settings = { ...(await loadKubeConfig(options)), server: target.origin, user: {} };
  return createTransport({
    server: target.origin,
    credentials: createCredentials(settings, options.clock),
    clock: options.clock,
    userAgent: `leasekeeper/${version}`,
    insecureSkipTlsVerify: settings.insecureSkipTlsVerify,
    maxConnections: 1,
  });
}
