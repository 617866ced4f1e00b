/**
 * Asks the server beside us whether it is healthy, at a URL.
 *
 * Guarantees: our credentials go to the origin of the kubeconfig's server and to nobody else; TLS is verified with the
 * kubeconfig's CA, unless the kubeconfig says not to. Has its own connection: a probe that hangs delays no other request.
 */
import type { HealthProbe } from '../identity/server-health.ts';
import { loadKubeConfig } from '../kube/auth/kubeconfig.ts';
import { createCredentials } from '../kube/auth/credentials.ts';
import { nodeClient } from '../kube/wire/node-client.ts';
import type { KubeSettings } from '../kube/auth/settings.ts';
import { createTransport } from '../kube/wire/transport.ts';
import { isStoreError } from '../lease/store.ts';
import { isTimeout } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { version } from '../version.ts';

interface ServerProbe {
  readonly ask: HealthProbe;
  [Symbol.asyncDispose](): Promise<void>;
}

interface ServerProbeOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
  readonly clock: Clock;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * @param url http or https; its answer is good when its status is 2xx
 * @throws KubeConfigError
 */
export async function serverProbe(url: string, options: ServerProbeOptions): Promise<ServerProbe> {
  const { clock } = options;
  const target = new URL(url);
  const configured = await loadKubeConfig(options);
  const own = target.origin === new URL(configured.server).origin;
  const forTarget = (from: KubeSettings): KubeSettings => ({
    ...from,
    server: target.origin,
    ...(!own && { user: {} }),
  });
  const settings = forTarget(configured);
  const reload = async (): Promise<KubeSettings> => {
    const next = await loadKubeConfig({ ...options, context: configured.context });
    // Our credentials are for that server alone.
    if (next.server !== configured.server) throw new Error('another server');
    return forTarget(next);
  };
  const transport = createTransport({
    // Without the path of the kubeconfig's server: the URL is meant as it is.
    server: target.origin,
    credentials: createCredentials(settings, clock, reload),
    createClient: nodeClient,
    clock,
    userAgent: `leasekeeper/${version}`,
    tlsServerName: own ? settings.tlsServerName : undefined,
    insecureSkipTlsVerify: settings.insecureSkipTlsVerify,
    // A server beside us that the kubeconfig does not know is asked directly.
    proxyUrl: own ? settings.proxyUrl : undefined,
    maxConnections: 1,
  });
  const what = `ask ${target.origin}${target.pathname}`;
  const path = `${target.pathname}${target.search}`;
  return {
    async ask(signal) {
      try {
        // Opened as a stream and closed at once: what it says does not matter, and it may be no JSON.
        (await transport.stream({ method: 'GET', what, path, signal })).close();
        return undefined;
      } catch (error) {
        if (!isStoreError(error)) throw error;
        if (isStoreError(error, 'Unauthorized', 'Forbidden')) return { refused: error.message };
        return isTimeout(signal.reason) ? `${what}: ${signal.reason.message}` : error.message;
      }
    },
    [Symbol.asyncDispose]: () => transport.close(),
  };
}
