/**
 * One kept-alive HTTP/1.1 connection at a time, as the pool drives it; who speaks HTTP on it can be chosen.
 */
import type { Dispatcher } from 'undici';
import type { Connector } from './connector.ts';
import type { Exchange, StreamExchange } from './exchange.ts';

export interface WireRequest {
  /** From the server's root, the query included. */
  readonly path: string;
  readonly method: Dispatcher.HttpMethod;
  /** name, value, name, value … */
  readonly headers: string[];
  readonly body: string | null;
}

export interface HttpClient {
  /** Sends it, opening a connection when there is none; not called again before the exchange has ended. */
  dispatch(request: WireRequest, exchange: Exchange | StreamExchange): void;
  readonly connected: boolean;
  /** Closes the connection, whatever is on it. */
  destroy(): Promise<unknown>;
}

interface HttpClientOptions {
  readonly origin: string;
  /** Opens a socket; the function returned gives the attempt up. */
  readonly open: Connector['open'];
  /** A new connection stands. */
  readonly onConnect: () => void;
}

export type CreateHttpClient = (options: HttpClientOptions) => HttpClient;

/** Milliseconds an idle connection is kept: kube-apiserver keeps it 90 s, many load balancers 60 s. */
export const KEEP_ALIVE_MS = 55_000;
