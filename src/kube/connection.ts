/**
 * A Kubernetes API, ready for use: configuration, credentials, transport and the LeaseStore over them.
 *
 * Nothing is sent before the first call. `close` ends all calls, connections, timers and plugins.
 */
import packageJson from '../../package.json' with { type: 'json' };
import type { LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { loadKubeConfig } from './config.ts';
import type { LoadOptions } from './config.ts';
import { createCredentials } from './credentials.ts';
import { createLeaseApi } from './lease-api.ts';
import { createTransport } from './transport.ts';
import type { Transport } from './transport.ts';

export interface ConnectOptions extends LoadOptions {
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** Milliseconds for one attempt; default 10,000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Default 64, opened when needed; watches do not count. */
  readonly maxConnections?: number | undefined;
  /** Milliseconds; default 75,000: see watch.ts. */
  readonly watchSilenceMs?: number | undefined;
  /** Default `leasekeeper/<version>`. */
  readonly userAgent?: string | undefined;
}

export interface Connection {
  readonly store: LeaseStore;
  readonly transport: Transport;
  /** The API server's URL. */
  readonly server: string;
  /** The one that the context, or the pod, names. */
  readonly namespace: string | undefined;
  readonly context: string | undefined;
  close(): Promise<void>;
}

/** @throws KubeConfigError when the configuration cannot be used */
export async function connect(options: ConnectOptions): Promise<Connection> {
  const { clock, random } = options;
  const settings = await loadKubeConfig(options);
  const transport = createTransport({
    server: settings.server,
    credentials: createCredentials(settings, clock),
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
