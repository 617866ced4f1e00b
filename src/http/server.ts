/**
 * The HTTP server of the endpoints: by path, read-only, with TLS and credentials where they are given.
 *
 * Guarantees: GET and HEAD only; a request has 8 KB of headers and 5 s for them, no body is read, a connection that does
 * nothing is closed, and nobody keeps others out (places.ts); slow readers hold no more than unsent.ts says; every answer
 * forbids caching, framing, sniffing and resources from elsewhere. On loopback, a request that names another host (a web
 * page whose name was bound to 127.0.0.1) is refused. With a token or a client CA everything but the status of the probes
 * is for those who have one of them. Nothing is logged of a request. `run` settles once every connection is closed,
 * within its signal's turn.
 * Does not guarantee: secrecy without TLS and credentials. Anyone who reaches the address then reads what is served.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import { isIP } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { aborted, createSystemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Service } from '../runtime/services.ts';
import { text } from './answer.ts';
import type { Endpoint, HttpAnswer } from './answer.ts';
import { Places } from './places.ts';
import { Unsent } from './unsent.ts';

/** Milliseconds for a TLS handshake, for a request's headers, and for all of it. */
const REQUEST_MS = 5_000;
/** Milliseconds between two looks at who has had his time: Node's own 30 s would make the 5 s up to 35. */
const CHECK_MS = 1_000;
/** Milliseconds that a connection is kept for the next request: longer than Prometheus' default scrape interval is not needed. */
const KEEP_ALIVE_MS = 20_000;
/** Milliseconds without a byte, either way, until a connection is closed. */
const IDLE_MS = 30_000;
const MAX_HEADER_BYTES = 8 * 1024;

/** kubelet asks these without credentials, and learns no more than the status. */
const PROBES: ReadonlySet<string> = new Set(['/healthz', '/livez', '/readyz']);

const COMMON_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
};

/** It cannot listen where it should. `cause` is Node's error, its `code` for instance EADDRINUSE. */
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

/** PEM texts, and who may read. Token or client CA: one of them is enough; neither: everybody. */
export interface Security {
  readonly cert: string;
  readonly key: string;
  readonly clientCa?: string | undefined;
  /** Of `Authorization: Bearer`. */
  readonly token?: string | undefined;
}

export interface HttpServer extends Service {
  /** For instance `http://127.0.0.1:8080`. */
  readonly url: string;
  /** From the next connection on; for a server that was made with TLS. @throws Error when they do not go together */
  secure(security: Security): void;
}

interface ListenOptions {
  /** Bounds the time that an answer may take; default the system's. */
  readonly clock?: Clock | undefined;
  readonly security?: Security | undefined;
}

/**
 * Listens from now on, so that a port that is taken is known before anything else begins; `run` keeps it until its signal.
 * Closed without having been run, with `Symbol.asyncDispose`.
 * @throws ListenError
 * @throws Error when certificate and key do not go together
 */
export async function listen(
  address: HttpAddress,
  endpoints: Readonly<Record<string, Endpoint>>,
  { clock = createSystemClock(), security: given }: ListenOptions = {},
): Promise<HttpServer & AsyncDisposable> {
  let security = given;
  const server = createServer(security);
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.timeout = IDLE_MS;
  const places = new Places(clock);
  server.on('connection', (socket: Socket) => places.open(socket));
  let loopback = false;
  const routes = new Map(Object.entries(endpoints));
  const unsent = new Unsent(clock);
  server.on('request', (request, response) => {
    const { socket } = request;
    // One question at a time on each connection: answers to thousands that came in one packet would lie in memory.
    const answered = places.request(socket);
    if (answered === undefined) return void socket.destroy();
    response.once('close', answered);
    void respond(routes, request, response, { loopback, unsent, security });
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
    url: `${security ? 'https' : 'http'}://${addressText({ ...address, port: bound.port })}`,
    secure(next) {
      (server as SecureServer).setSecureContext(contextOf(next));
      security = next;
    },
    async run(signal) {
      await aborted(signal);
      await close(server);
    },
    [Symbol.asyncDispose]: () => close(server),
  };
}

function createServer(security: Security | undefined): Server | SecureServer {
  const options: ServerOptions = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: REQUEST_MS,
    headersTimeout: REQUEST_MS,
    connectionsCheckingInterval: CHECK_MS,
  };
  // An import of node:http asks it for every name it exports, WebSocket too, and so loads all of Node's own undici: 5 MB.
  if (security === undefined) return process.getBuiltinModule('node:http').createServer(options);
  const server = process.getBuiltinModule('node:https').createServer({
    ...options,
    ...contextOf(security),
    handshakeTimeout: REQUEST_MS,
    // Whether a client has shown a certificate is asked at each request: probes need none.
    requestCert: security.clientCa !== undefined,
    rejectUnauthorized: false,
  });
  // A handshake that fails is its client's business.
  return server.on('tlsClientError', (_, socket) => void socket.destroy());
}

const contextOf = ({ cert, key, clientCa }: Security) => ({
  cert,
  key,
  ...(clientCa !== undefined && { ca: clientCa }),
});

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
  { loopback, unsent, security }: { loopback: boolean; unsent: Unsent; security: Security | undefined },
): Promise<void> {
  // A client that goes away is nobody's error.
  response.on('error', () => {});
  let answer: HttpAnswer;
  try {
    answer = await answerTo(routes, request, loopback, security);
  } catch {
    answer = text(500, 'internal error\n');
  }
  const { status, type, headers } = answer;
  let body = typeof answer.body === 'string' ? [answer.body] : answer.body;
  const compressed = answer.compress === true && /\bgzip\b/.test(String(request.headers['accept-encoding']));
  if (compressed) body = [await gzipped(answer, body)];
  // A body that was announced is not waited for: its connection ends.
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0;
  response.writeHead(status, {
    ...COMMON_HEADERS,
    'content-type': type,
    'content-length': body.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0),
    ...headers,
    ...(answer.compress && { vary: 'accept-encoding' }),
    ...(compressed && { 'content-encoding': 'gzip' }),
    ...(hasBody ? { connection: 'close' } : {}),
  });
  if (request.method !== 'HEAD') {
    for (const piece of body.slice(0, -1)) response.write(piece);
    response.end(body.at(-1));
    unsent.watch(response, body);
  } else response.end();
}

const compressedBodies = new WeakMap<HttpAnswer, Promise<Buffer>>();

function gzipped(answer: HttpAnswer, body: readonly (string | Buffer)[]): Promise<Buffer> {
  const made =
    compressedBodies.get(answer) ??
    new Promise<Buffer>((resolve, reject) => {
      const whole = Buffer.concat(body.map((piece) => Buffer.from(piece)));
      process.getBuiltinModule('node:zlib').gzip(whole, (error, zipped) => (error ? reject(error) : resolve(zipped)));
    });
  compressedBodies.set(answer, made);
  return made;
}

async function answerTo(
  routes: ReadonlyMap<string, Endpoint>,
  request: IncomingMessage,
  loopback: boolean,
  security: Security | undefined,
): Promise<HttpAnswer> {
  const { method, url = '/', headers } = request;
  if (method !== 'GET' && method !== 'HEAD') {
    return { ...text(405, 'read only: GET and HEAD\n'), headers: { allow: 'GET, HEAD' } };
  }
  if (loopback && !isLocal(headers.host)) return text(403, 'not for this host: listening on loopback only\n');
  const at = url.indexOf('?');
  const path = at < 0 ? url : url.slice(0, at);
  const endpoint = routes.get(path);
  const known = security === undefined || mayRead(request, security);
  if (!known && !(endpoint && PROBES.has(path))) {
    return {
      ...text(401, 'a bearer token or a client certificate is needed\n'),
      headers: { 'www-authenticate': 'Bearer' },
    };
  }
  if (!endpoint) return text(404, `not found; there is:\n${[...routes.keys()].map((path) => `${path}\n`).join('')}`);
  const answer = await endpoint(new URLSearchParams(at < 0 ? '' : url.slice(at + 1)));
  return known ? answer : text(answer.status, answer.status === 200 ? 'ok' : 'failed\n');
}

function mayRead({ socket, headers }: IncomingMessage, { clientCa, token }: Security): boolean {
  if (clientCa === undefined && token === undefined) return true;
  if (clientCa !== undefined && (socket as TLSSocket).authorized) return true;
  const [, given] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
  return token !== undefined && given !== undefined && timingSafeEqual(digest(given), digest(token));
}

const digest = (secret: string): Buffer => createHash('sha256').update(secret).digest();

const isLoopback = (ip: string): boolean => ip === '::1' || /^(::ffff:)?127\./.test(ip);

/** Names that cannot have been bound to loopback by somebody else; no name at all is no browser. */
function isLocal(host: string | undefined): boolean {
  if (host === undefined) return true;
  const name = host.replace(/:\d*$/, '').replace(/^\[|\]$/g, '');
  return name === '' || name === 'localhost' || name.endsWith('.localhost') || isIP(name) !== 0;
}
