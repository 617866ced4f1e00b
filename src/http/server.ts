/**
 * The sidecar's HTTP server: endpoints by path, read-only.
 *
 * Guarantees: GET and HEAD only; a request has 8 KB of headers and 5 s for them, no body is read, a connection that does
 * nothing is closed, and there are at most 256 of them: those kept for a next request make room for new ones; slow readers
 * hold no more than unsent.ts says; every answer forbids caching, framing, sniffing and resources from elsewhere. On
 * loopback, a request that names another host (a web page whose name was bound to 127.0.0.1) is refused. Nothing is logged
 * of a request. `run` settles once every connection is closed, within its signal's turn.
 * Does not guarantee: secrecy. There are no credentials here, so nothing is told that a lease's reader may not know.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { createSystemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Service } from '../runtime/services.ts';
import { text } from './answer.ts';
import type { Endpoint, HttpAnswer } from './answer.ts';
import { Unsent } from './unsent.ts';

/** Milliseconds for a request's headers, and for all of it. */
const REQUEST_MS = 5_000;
/** Milliseconds between two looks at who has had his time: Node's own 30 s would make the 5 s up to 35. */
const CHECK_MS = 1_000;
/** Milliseconds that a connection is kept for the next request: longer than Prometheus' default scrape interval is not needed. */
const KEEP_ALIVE_MS = 20_000;
/** Milliseconds without a byte, either way, until a connection is closed. */
const IDLE_MS = 30_000;
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 256;
/** From so many on, each new one costs the oldest of those that wait for a next request: kubelet's probes are new ones. */
const CROWDED = MAX_CONNECTIONS - 16;

const COMMON_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** It cannot listen where it was told to. `cause` is Node's error, its `code` for instance EADDRINUSE. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
  readonly code = 'CannotListen';
}

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken by another process',
  EACCES: 'this user may not listen on that port',
  EADDRNOTAVAIL: 'this machine has no such address',
  ENOTFOUND: 'there is no such host',
};

export interface HttpAddress {
  /** Without brackets; empty: every interface. */
  readonly host: string;
  /** 0: a free one. */
  readonly port: number;
}

/** As it stands in a URL; every interface is shown as the loopback one. */
function addressText({ host, port }: HttpAddress): string {
  const shown = host === '' ? '127.0.0.1' : host;
  return `${isIP(shown) === 6 ? `[${shown}]` : shown}:${port}`;
}

export interface HttpServer extends Service {
  /** For instance `http://127.0.0.1:8080`. */
  readonly url: string;
}

/**
 * Listens from now on, so that a port that is taken is known before anything else begins; `run` keeps it until its signal.
 * Closed without having been run, with `Symbol.asyncDispose`.
 * @param clock bounds the time that an answer may take; default the system's
 * @throws ListenError
 */
export async function listen(
  address: HttpAddress,
  endpoints: Readonly<Record<string, Endpoint>>,
  clock: Clock = createSystemClock(),
): Promise<HttpServer & AsyncDisposable> {
  const routes = new Map(Object.entries(endpoints));
  // An import of node:http asks it for every name it exports, WebSocket too, and so loads all of Node's own undici: 5 MB.
  const { createServer } = process.getBuiltinModule('node:http');
  const server = createServer({
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: REQUEST_MS,
    headersTimeout: REQUEST_MS,
    connectionsCheckingInterval: CHECK_MS,
  });
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.timeout = IDLE_MS;
  server.maxConnections = MAX_CONNECTIONS;
  let open = 0;
  const idle = new Set<Socket>();
  server.on('connection', (socket) => {
    open++;
    socket.once('close', () => {
      open--;
      idle.delete(socket);
    });
    if (open <= CROWDED) return;
    const [oldest] = idle;
    oldest?.destroy();
  });
  let loopback = false;
  const unsent = new Unsent(clock);
  // One question at a time on each connection: answers to thousands that came in one packet would lie in memory.
  const busy = new WeakSet<Socket>();
  server.on('request', (request, response) => {
    const { socket } = request;
    if (busy.has(socket)) return void socket.destroy();
    busy.add(socket);
    idle.delete(socket);
    response.once('close', () => {
      busy.delete(socket);
      if (!socket.destroyed) idle.add(socket);
    });
    void respond(routes, request, response, { loopback, unsent });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = WHY[cause.code ?? ''] ?? cause.message;
      reject(new ListenError(`cannot listen on ${addressText(address)} (--http-address): ${why}`, { cause }));
    });
    server.listen({ port: address.port, ...(address.host === '' ? {} : { host: address.host }) }, resolve);
  });
  const bound = server.address() as AddressInfo;
  loopback = address.host !== '' && isLoopback(bound.address);
  return {
    name: 'http',
    url: `http://${addressText({ ...address, port: bound.port })}`,
    async run(signal) {
      if (!signal.aborted) {
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      }
      await close(server);
    },
    [Symbol.asyncDispose]: () => close(server),
  };
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function respond(
  routes: ReadonlyMap<string, Endpoint>,
  request: IncomingMessage,
  response: ServerResponse,
  { loopback, unsent }: { loopback: boolean; unsent: Unsent },
): Promise<void> {
  // A client that goes away is nobody's error.
  response.on('error', () => {});
  let answer: HttpAnswer;
  try {
    answer = await answerTo(routes, request, loopback);
  } catch {
    answer = text(500, 'internal error\n');
  }
  const { status, type, headers } = answer;
  const body = typeof answer.body === 'string' ? [answer.body] : answer.body;
  // A body that was announced is not waited for: its connection ends.
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
  response.writeHead(status, {
    ...COMMON_HEADERS,
    'content-type': type,
    'content-length': body.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0),
    ...headers,
    ...(hasBody ? { connection: 'close' } : {}),
  });
  if (request.method !== 'HEAD') {
    for (const piece of body.slice(0, -1)) response.write(piece);
    response.end(body.at(-1));
    unsent.watch(response, body);
  } else response.end();
}

function answerTo(
  routes: ReadonlyMap<string, Endpoint>,
  { method, url = '/', headers }: IncomingMessage,
  loopback: boolean,
): HttpAnswer | Promise<HttpAnswer> {
  if (method !== 'GET' && method !== 'HEAD') {
    return { ...text(405, 'read only: GET and HEAD\n'), headers: { allow: 'GET, HEAD' } };
  }
  if (loopback && !isLocal(headers.host)) return text(403, 'not for this host: listening on loopback only\n');
  const at = url.indexOf('?');
  const endpoint = routes.get(at < 0 ? url : url.slice(0, at));
  if (!endpoint) return text(404, `not found; there is:\n${[...routes.keys()].map((path) => `${path}\n`).join('')}`);
  return endpoint(new URLSearchParams(at < 0 ? '' : url.slice(at + 1)));
}

const isLoopback = (ip: string): boolean => ip === '::1' || /^(::ffff:)?127\./.test(ip);

/** Names that cannot have been bound to loopback by somebody else; no name at all is no browser. */
function isLocal(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d*$/, '').replace(/^\[|\]$/g, '');
  return name === '' || name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0;
}
