/**
 * Where adapters meet services: what several commands put together in the same way.
 */
import type { API_OPTIONS } from '../config/shared-flags.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { KubeConfigError } from '../kube/auth/settings.ts';
import { connect } from '../kube/connection.ts';
import type { Connection } from '../kube/connection.ts';
import type { Clock } from '../runtime/clock.ts';
import { ConfigurationError } from './command.ts';

export interface ApiWorld {
  readonly clock: Clock;
  /** Milliseconds; default the option's, else the connection's. */
  readonly requestTimeoutMs?: number | undefined;
  /** For few requests. Default false. */
  readonly light?: boolean;
  /** Requests that may be under way at once; default the connection's. */
  readonly maxConnections?: number | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The Kubernetes API that the options name; disposed, it is closed. @throws ConfigurationError */
export async function connectApi(
  values: OptionValues<typeof API_OPTIONS>,
  world: ApiWorld,
): Promise<Connection & AsyncDisposable> {
  const connecting = connect({
    kubeconfig: values.kubeconfig,
    context: values.context,
    env: world.env,
    light: world.light,
    ownRootsOnly: true,
    clock: world.clock,
    random: Math.random,
    requestTimeoutMs: world.requestTimeoutMs ?? values.requestTimeout,
    maxConnections: world.maxConnections,
  });
  const connection = await connecting.catch((cause: unknown) => {
    throw cause instanceof KubeConfigError ? new ConfigurationError(cause.message, { cause }) : cause;
  });
  return { ...connection, [Symbol.asyncDispose]: () => connection.close() };
}
