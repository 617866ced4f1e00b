/**
 * HTTP by Node itself: for a process that sends few requests. Starts in a quarter of the time that undici takes, which
 * compiles its parser from WebAssembly, with 10 MB less memory; a request takes a third more CPU.
 *
 * Guarantees what undici's Client does, as far as an exchange can tell: `onRequestStart` just before the first byte is
 * written, interim answers left out, a connection used again unless either side said `close` and for KEEP_ALIVE_MS at the
 * most; every exchange ends when its connection does; nothing is opened after `destroy`.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Dispatcher } from 'undici';
import { KEEP_ALIVE_MS } from './http-client.ts';
import type { CreateHttpClient } from './http-client.ts';
import { TCP_KEEPALIVE_MS } from './connector.ts';

type Controller = Dispatcher.DispatchController;

export const nodeClient: CreateHttpClient = ({ origin, open, onConnect }) => {
  // An import of node:http asks it for every name it exports, WebSocket too, and so loads all of Node's own undici: 5 MB.
  const http = process.getBuiltinModule('node:http');
  const { host } = new URL(origin);
  let socket: Socket | undefined;
  let destroyed = false;

  /** The connection of now, or a new one. */
  const options = {
    keepAlive: true,
    // Else an idle connection is probed every second, and lost with ten seconds of network.
    keepAliveMsecs: TCP_KEEPALIVE_MS,
    // Of an idle connection only; without it a server's own limit (Keep-Alive: timeout=…) is passed over, too.
    timeout: KEEP_ALIVE_MS,
    maxSockets: 1,
    maxFreeSockets: 1,
    // TLS is spoken by `open`. Without a name Node looks whether it is an address, by an expression that takes 3 ms to compile.
    servername: '',
  };
  const agent = new http.Agent(options);
  agent.createConnection = (_options, callback) => {
    // For a request that was given up while it waited for the connection of the one before it.
    if (destroyed) return void callback?.(new Error('closed'), undefined as never);
    open((error, fresh) => {
      if (error) return callback?.(error, undefined as never);
      socket = fresh;
      fresh.once('close', () => {
        if (socket === fresh) socket = undefined;
      });
      onConnect();
      callback?.(null, fresh);
    });
    return undefined;
  };

  return {
    dispatch({ path, method, headers, body }, exchange) {
      const raw = ['host', host, 'connection', 'keep-alive', ...headers];
      if (body !== null) raw.push('content-length', String(Buffer.byteLength(body)));
      let request: ClientRequest;
      try {
        request = http.request({ agent, method, path, headers: raw, setHost: false });
      } catch (error) {
        // A header's value that none may have, of a token that an auth-provider made, say.
        exchange.onResponseError(undefined, error as Error);
        return;
      }
      let answer: IncomingMessage | undefined;
      const controller: Controller = {
        get aborted() {
          return request.destroyed;
        },
        get paused() {
          return answer?.isPaused() ?? false;
        },
        get reason() {
          return null;
        },
        get rawHeaders() {
          return [];
        },
        get rawTrailers() {
          return [];
        },
        abort: (reason) => void request.destroy(reason),
        pause: () => void answer?.pause(),
        resume: () => void answer?.resume(),
      };
      request.once('socket', () => exchange.onRequestStart(controller));
      request.on('error', (error) => exchange.onResponseError(controller, error));
      // Not every end of a connection is an error to Node: one that the server would take for another protocol is none.
      request.once('close', () => {
        if (!answer) exchange.onResponseError(controller, new Error('closed without an answer'));
      });
      request.once('response', (response) => {
        const { statusCode = 0 } = response;
        // 101 without a word of what to; below 100 is no HTTP.
        if (statusCode < 200) {
          request.destroy(new Error(`the answer is a bare ${statusCode}`));
          return;
        }
        answer = response;
        response.on('error', (error) => exchange.onResponseError(controller, error));
        response.on('data', (chunk: Buffer) => exchange.onResponseData(controller, chunk));
        response.once('end', () => exchange.onResponseEnd());
        exchange.onResponseStart(controller, statusCode, response.headers);
      });
      request.end(body ?? undefined);
    },
    get connected() {
      return socket !== undefined;
    },
    destroy: async () => {
      destroyed = true;
      agent.destroy();
      socket?.destroy();
    },
  };
};
