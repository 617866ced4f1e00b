/** The contract's setup for a server behind a URL: a client of it, and one whose requests are swallowed on the way. */
import { connect } from '../../src/kube/connection.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { startHttpProxy } from '../support/fault-proxy.ts';
import type { ContractSetup } from './lease-store.ts';

export interface HttpServer {
  readonly url: string;
  /** A kubeconfig file for this address. */
  readonly kubeconfig: (server: string) => Promise<string>;
  readonly terminatingNamespace: string;
  readonly close: () => Promise<void>;
}

/** @param light the client that commands with few requests use */
export async function contractOver(server: HttpServer, light = false): Promise<ContractSetup> {
  // Above TLS: a request that hangs in the handshake was never sent, and the client may know that.
  const swallowing = await startHttpProxy(server.url);
  swallowing.rule({ fault: { hang: 'request' } });
  const open = async (address: string): ReturnType<typeof connect> =>
    connect({
      kubeconfig: await server.kubeconfig(address),
      clock: createSystemClock(),
      random: Math.random,
      light,
      ownRootsOnly: light,
      requestTimeoutMs: 30_000,
    });
  const [direct, silent] = [await open(server.url), await open(swallowing.url)];
  return {
    store: direct.store,
    namespace: 'kube-system',
    otherNamespace: 'default',
    terminatingNamespace: server.terminatingNamespace,
    silent: silent.store,
    cleanup: async () => {
      await Promise.all([direct.close(), silent.close()]);
      await swallowing.close();
      await server.close();
    },
  };
}
