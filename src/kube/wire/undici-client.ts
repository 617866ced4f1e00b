/**
 * HTTP by undici's Client: the least CPU for a request of many, at the price of its start.
 */
import { Client } from 'undici';
import { KEEP_ALIVE_MS } from './http-client.ts';
import type { CreateHttpClient } from './http-client.ts';

export const undiciClient: CreateHttpClient = ({ origin, open, onConnect }) => {
  const client = new Client(origin, {
    connect: (_target, callback) => void open(callback),
    allowH2: false,
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    // The transport's timers bound every call: undici's would run on another clock.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  client.on('connect', onConnect);
  return {
    // Otherwise a DELETE with a body would cost its connection.
    dispatch: (request, exchange) => void client.dispatch({ ...request, reset: false }, exchange),
    get connected() {
      return client.stats.connected;
    },
    destroy: () => client.destroy(),
  };
};
