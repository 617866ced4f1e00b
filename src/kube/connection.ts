/**
 * A Kubernetes API, ready for use: configuration, credentials, transport and the LeaseStore over them.
 *
 * Nothing is sent before the first call. `close` ends all calls, connections, timers and plugins.
 */
import { setDefaultCACertificates } from 'node:tls';
import packageJson from '../../package.json' with { type: 'json' };
import type { LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { OptionsError, optionProblems, positiveMs, wholeNumber } from '../runtime/options.ts';
import type { OptionRows } from '../runtime/options.ts';
import type { CreateHttpClient } from './wire/http-client.ts';
import { loadKubeConfig } from './auth/kubeconfig.ts';
import type { LoadOptions } from './auth/kubeconfig.ts';
import { createCredentials } from './auth/credentials.ts';
import { createLeaseApi } from './lease-api.ts';
import type { KubeSettings } from './auth/settings.ts';
import { createTransport } from './wire/transport.ts';
import type { Transport } from './wire/transport.ts';

/**
 * How to reach an API server. Without a kubeconfig: $KUBECONFIG, then the service account of the pod, then
 * ~/.kube/config.
 */
export interface ConnectOptions extends LoadOptions {
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** Milliseconds for one attempt; default 10,000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Default 64, opened when needed, and as many again for urgent calls while others take these; watches do not count. */
  readonly maxConnections?: number | undefined;
  /**
   * Milliseconds without a byte after which a watch counts as dead and is opened again; default 75,000: API servers send a
   * bookmark each minute.
   */
  readonly watchSilenceMs?: number | undefined;
  /** Default `leasekeeper/<version>`. */
  readonly userAgent?: string | undefined;
  /**
   * For a process that sends few requests: it starts in less time and takes 10 MB less memory, and each request a third more
   * CPU. Default false.
   */
  readonly light?: boolean | undefined;
  /**
   * Node's own root CAs are not read where the configuration names its CA: other TLS connections of the process, if it makes
   * any, must name theirs too. Saves 10 ms and 2 MB. Default false.
   */
  readonly ownRootsOnly?: boolean | undefined;
}

const ROWS: OptionRows<Pick<ConnectOptions, 'requestTimeoutMs' | 'maxConnections' | 'watchSilenceMs'>> = {
  requestTimeoutMs: { unit: 'ms', rule: positiveMs, text: 'longest time for one attempt' },
  maxConnections: {
    type: 'number',
    rule: (most) => (most === Number.POSITIVE_INFINITY ? undefined : wholeNumber(1)(most)),
    text: 'requests of one urgency at a time',
  },
  watchSilenceMs: { unit: 'ms', rule: positiveMs, text: 'longest silence of a watch that is believed' },
};

const httpClient = async (light: boolean): Promise<CreateHttpClient> =>
  light ? (await import('./wire/node-client.ts')).nodeClient : (await import('./wire/undici-client.ts')).undiciClient;

/** An API server, ready for use. */
export interface Connection {
  readonly store: LeaseStore;
  readonly transport: Transport;
  /** The API server's URL. */
  readonly server: string;
  /** Namespace that the context, or the pod, names; undefined: none. */
  readonly namespace: string | undefined;
  readonly context: string | undefined;
  /** Ends all calls, connections, timers and plugins; resolves when they have ended. */
  close(): Promise<void>;
}

/**
 * Node parses its hundred and fifty root certificates as soon as a context is made, also of one that replaces them: the
 * longest single step of a short command. OpenID Connect providers and proxies may rely on them.
 */
function forgetRoots({ ca, insecureSkipTlsVerify, proxyUrl, user }: KubeSettings): void {
  if ((!ca && !insecureSkipTlsVerify) || proxyUrl !== undefined || user.oidc) return;
  setDefaultCACertificates([]);
}

/**
 * Reads the configuration and makes a connection; sends nothing yet.
 * @throws OptionsError; KubeConfigError when the configuration cannot be used
 */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { clock, random } = options;
  const problems = optionProblems(ROWS, options);
  if (problems.length > 0) throw new OptionsError('connect', problems);
  const settings = await loadKubeConfig(options);
  if (options.ownRootsOnly) forgetRoots(settings);
  const transport = createTransport({
    server: settings.server,
    credentials: createCredentials(settings, clock, () => loadKubeConfig({ ...options, context: settings.context })),
    createClient: await httpClient(options.light ?? false),
    clock,
    userAgent: options.userAgent ?? `leasekeeper/${packageJson.version}`,
    tlsServerName: settings.tlsServerName,
    insecureSkipTlsVerify: settings.insecureSkipTlsVerify,
    proxyUrl: settings.proxyUrl,
    requestTimeoutMs: options.requestTimeoutMs,
    maxConnections: options.maxConnections,
  });
  return {
    store: createLeaseApi({ transport, clock, random, watchSilenceMs: options.watchSilenceMs }),
    transport,
    server: settings.server,
    namespace: settings.namespace,
    context: settings.context,
    close: () => transport.close(),
  };
}
