/**
 * The embedded API server: the Kubernetes API for Leases, and what they need, over HTTP on this machine, in memory; over
 * TLS where there are tokens, by a certificate made at its start.
 *
 * Guarantees: `startEmbeddedServer` resolves when requests are answered; after `close` has resolved there is no socket,
 * timer or listener left; whatever a client sends is answered with a Status or an HTTP error and never ends the process.
 * Time is its clock's alone: creation times, ages, `Date`, timeouts of watches and delays of faults.
 */
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Api, errorResponse } from './api.ts';
import type { ApiOptions, ApiRequest, ApiResponse } from './api.ts';
import { makeCertificate } from './certificates.ts';
import { firstToken } from './token-auth.ts';
import { tooLarge } from './status-errors.ts';
import { Faults, faultResponse } from './faults/fault-rules.ts';
import type { Applied, FaultRequest } from './faults/fault-rules.ts';
import { isYaml, loadYaml, mediaType } from './objects/object-body.ts';
import type { ObjectStore } from './store/object-store.ts';
import { PROTOBUF } from './negotiate.ts';
import { fromProtobuf } from './objects/protobuf.ts';
import { RequestLog } from './faults/request-log.ts';
import { requestInfo } from './routes.ts';
import type { RequestInfo } from './routes.ts';
import { systemClock } from './objects/time-formats.ts';
import type { ServerClock } from './objects/time-formats.ts';
import type { WatchStream } from './watch-answer.ts';

export type { ApiOptions, ApiRequest, ApiResponse } from './api.ts';
export type { Attributes, Tokens, User } from './token-auth.ts';
export type { Change, KubeObject } from './objects/object-version.ts';
export type { Fault, FaultHandle, FaultMatch, FaultRequest, FaultRule, Faults, Matcher } from './faults/fault-rules.ts';
export type { ObjectStore } from './store/object-store.ts';
export type { LoggedRequest, RequestLog } from './faults/request-log.ts';
export type { ServerClock } from './objects/time-formats.ts';

/** How the embedded server runs; all of it may be left out. */
export interface EmbeddedServerOptions extends ApiOptions {
  /** Default 0: one that is free. */
  readonly port?: number | undefined;
  /** Default 127.0.0.1. Without tokens there is no TLS: think twice before another address. */
  readonly host?: string | undefined;
  /** Requests kept in the log. Default 10,000. */
  readonly logSize?: number | undefined;
}

/** An API server for Leases in this process. */
export interface EmbeddedServer {
  /** `http://127.0.0.1:PORT`; `https` where there are tokens. */
  readonly url: string;
  /** What to trust where there is TLS: the certificate, PEM. */
  readonly ca: string | undefined;
  readonly port: number;
  readonly faults: Faults;
  /** The objects themselves: to seed, to look at, to compact. */
  readonly store: ObjectStore;
  readonly requests: RequestLog;
  /** The API without HTTP and without faults: answers at once. */
  handle(request: ApiRequest): ApiResponse;
  /** A kubeconfig, as YAML. `token` defaults to the first one, where there are tokens. */
  kubeconfig(options?: { token?: string }): string;
  /** Ends watches, breaks connections, forgets what is held back. */
  close(): Promise<void>;
}

const JSON_TYPE = 'application/json';

/** A watcher that reads slower than this many bytes behind is cut off, so that one cannot eat all memory. */
const MAX_BACKLOG = 64 * 1024 * 1024;

/**
 * Starts an API server for Leases in this process, on loopback by default.
 * @throws Error of node:net, `code` `EADDRINUSE` and the like, when it cannot listen
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions = {}): Promise<EmbeddedServer> {
  const running = new RunningServer(options);
  await running.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  return running;
}

const OWN_NAMES = ['localhost', '127.0.0.1', '::1'];
const YEAR_MS = 365 * 24 * 3_600_000;

class RunningServer implements EmbeddedServer {
  readonly faults: Faults;
  readonly requests: RequestLog;
  readonly store: ObjectStore;
  readonly ca: string | undefined;
  readonly #api: Api;
  readonly #clock: ServerClock;
  readonly #options: EmbeddedServerOptions;
  readonly #http: Server;
  readonly #watches = new Set<WatchStream>();
  /** Forgets what waits for the clock or to be released. */
  readonly #held = new Set<() => void>();
  #closed: Promise<void> | undefined;
  #dateSecond = Number.NaN;
  #date = '';

  constructor(options: EmbeddedServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#api = new Api(options);
    this.store = this.#api.store;
    this.faults = new Faults(() => this.store.compact());
    this.requests = new RequestLog(options.logSize ?? 10_000);
    const host = options.host ?? '127.0.0.1';
    // A client verifies it by the time of day, not by our clock.
    const certificate =
      options.tokens &&
      makeCertificate({ subject: 'leasekeeper', names: [...OWN_NAMES, host], until: Date.now() + YEAR_MS });
    this.ca = certificate?.cert;
    const serve = (req: IncomingMessage, res: ServerResponse): void => {
      this.#serve(req, res).catch((error: unknown) => {
        if (res.headersSent) res.destroy();
        else this.#refuse(req, res, errorResponse(error));
      });
    };
    const timeouts = { keepAliveTimeout: 0, requestTimeout: 0 };
    this.#http = certificate ? createTlsServer({ ...timeouts, ...certificate }, serve) : createServer(timeouts, serve);
    this.#http.on('clientError', (_error, socket: Socket) => {
      if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      else socket.destroy();
    });
  }

  async listen(port: number, host: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#http.once('error', reject);
      this.#http.listen(port, host, () => {
        this.#http.off('error', reject);
        resolve();
      });
    });
  }

  get port(): number {
    return (this.#http.address() as AddressInfo | null)?.port ?? this.#lastPort;
  }
  #lastPort = 0;

  get url(): string {
    const host = this.#options.host ?? '127.0.0.1';
    return `http${this.ca === undefined ? '' : 's'}://${host.includes(':') ? `[${host}]` : host}:${this.port}`;
  }

  handle(request: ApiRequest): ApiResponse {
    return this.#api.handle(request);
  }

  kubeconfig(options: { token?: string } = {}): string {
    const token = options.token ?? (this.#options.tokens ? firstToken(this.#options.tokens) : undefined);
    return kubeconfigFor(this.url, this.ca, token);
  }

  close(): Promise<void> {
    this.#closed ??= new Promise((resolve) => {
      this.#lastPort = this.port;
      for (const forget of this.#held) forget();
      this.#api.close();
      for (const watch of [...this.#watches]) watch.end();
      this.#http.close(() => resolve());
      // One turn for the ends of the watches to go out.
      setImmediate(() => this.#http.closeAllConnections());
    });
    return this.#closed;
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const method = req.method ?? 'GET';
    const url = req.url ?? '/';
    const info = requestInfo(method, url);
    const faults = this.faults.active ? this.faults.take(this.#describe(req, info)) : [];
    if (faults[0]?.fault.type === 'drop') {
      this.#log(req, info, 0);
      req.socket.destroy();
      return;
    }
    const contentType = req.headers['content-type'];
    const body = await readBody(req);
    if (body === undefined) return;
    const media = mediaType(contentType);
    if (isYaml(media) || req.headers.accept?.includes('yaml') === true) await loadYaml();
    const request: ApiRequest =
      media === PROTOBUF && body.length > 0 && info.type && info.verb !== 'patch'
        ? {
            method,
            url,
            headers: { ...req.headers, 'content-type': JSON_TYPE },
            body: JSON.stringify(fromProtobuf(body)),
          }
        : { method, url, headers: req.headers, body: body.toString() };
    if (faults.length > 0) await this.#misbehave(faults, req, res, request, info);
    else this.#reply(req, res, this.#api.handle(request, info), info);
  }

  async #misbehave(
    faults: readonly Applied[],
    req: IncomingMessage,
    res: ServerResponse,
    request: ApiRequest,
    info: RequestInfo,
  ): Promise<void> {
    for (const { fault, hold } of faults) {
      if (fault.type === 'delay') await this.#hold((resume) => this.#clock.schedule(fault.ms, resume));
      else if (fault.type === 'hang') await this.#hold(hold);
      else if (fault.type === 'drop' || fault.type === 'lose-answer') {
        if (fault.type === 'lose-answer') this.#api.handle(request, info);
        this.#log(req, info, 0);
        req.socket.destroy();
        return;
      } else {
        const response = faultResponse(fault, info);
        this.#api.count(info, response.status, req.headers['content-type']);
        this.#reply(req, res, response, info);
        return;
      }
    }
    this.#reply(req, res, this.#api.handle(request, info), info);
  }

  /** Waits until let go; for ever when the server is closed first: its promise is garbage then. */
  #hold(wait: (resume: () => void) => () => void): Promise<void> {
    return new Promise((resolve) => {
      const cancel = wait(() => {
        this.#held.delete(forget);
        resolve();
      });
      const forget = (): void => {
        this.#held.delete(forget);
        cancel();
      };
      this.#held.add(forget);
    });
  }

  #reply(req: IncomingMessage, res: ServerResponse, response: ApiResponse, info: RequestInfo): void {
    this.#log(req, info, response.status);
    if (response.watch) this.#stream(req, res, response, response.watch, info);
    else this.#send(res, response);
  }

  /** What is refused before the API is asked: a body too large, a malformed path. */
  #refuse(req: IncomingMessage, res: ServerResponse, response: ApiResponse): void {
    const info = requestInfo(req.method ?? 'GET', '/');
    this.#api.count(info, response.status);
    this.#log(req, info, response.status);
    this.#send(res, response);
  }

  #send(res: ServerResponse, response: ApiResponse): void {
    const body = response.bytes ?? response.body;
    this.#head(res, response, ['content-length', String(Buffer.byteLength(body))]);
    res.end(body);
  }

  #head(res: ServerResponse, { status, contentType, headers }: ApiResponse, more: readonly string[]): void {
    res.sendDate = false;
    const list = ['content-type', contentType, 'cache-control', 'no-cache, private', 'date', this.#now(), ...more];
    for (const name in headers) list.push(name, headers[name] as string);
    res.writeHead(status, list);
  }

  #stream(
    req: IncomingMessage,
    res: ServerResponse,
    response: ApiResponse,
    stream: WatchStream,
    info: RequestInfo,
  ): void {
    if (this.#closed) {
      res.destroy();
      return;
    }
    this.#head(res, response, []);
    res.flushHeaders();
    this.#watches.add(stream);
    const forget = this.faults.opened({ request: this.#describe(req, info), stream, destroy: () => res.destroy() });
    res.on('close', () => {
      stream.stop();
      forget();
      this.#watches.delete(stream);
    });
    stream.start({
      write: (chunk) => {
        if (res.writableLength > MAX_BACKLOG) res.destroy();
        else res.write(chunk);
      },
      end: () => res.end(),
    });
  }

  #describe(req: IncomingMessage, info: RequestInfo): FaultRequest {
    const { method, path, query, verb, group, resource, subresource, namespace, name } = info;
    const userAgent = req.headers['user-agent'] ?? '';
    return { method, path, query, verb, group, resource, subresource, namespace, name, userAgent };
  }

  #log(req: IncomingMessage, info: RequestInfo, status: number): void {
    this.requests.add({
      ...this.#describe(req, info),
      url: req.url ?? '/',
      status,
      at: this.#clock.wallMicros(),
    });
  }

  /** The `Date` header: whole seconds, by our clock. */
  #now(): string {
    const second = Math.floor(this.#clock.wallMicros() / 1e6);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(second * 1000).toUTCString();
    }
    return this.#date;
  }
}

/** Bytes: kube-apiserver's own limit. */
const MAX_BODY = 3 * 1024 * 1024;
/** How much of a body that is too large is read and forgotten, so that its sender gets to read the answer. */
const MAX_DISCARDED = 32 * 1024 * 1024;

const EMPTY = Buffer.alloc(0);

/**
 * The whole body; undefined when the client went away before its end.
 * @throws ApiError 413
 */
function readBody(req: IncomingMessage): Promise<Buffer | undefined> | Buffer {
  const { headers } = req;
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) return EMPTY;
  return new Promise((resolve, reject) => {
    if (Number(headers['content-length'] ?? 0) > MAX_DISCARDED) reject(tooLarge(MAX_BODY));
    let chunks: Buffer[] = [];
    let size = 0;
    req.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size <= MAX_BODY) chunks.push(chunk);
      else chunks = [];
      if (size > MAX_DISCARDED) req.destroy();
    });
    req.on('end', () => {
      if (size > MAX_BODY) reject(tooLarge(MAX_BODY));
      else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks));
    });
    req.on('close', () => resolve(undefined));
    req.on('error', () => resolve(undefined));
  });
}

/** As YAML. */
function kubeconfigFor(url: string, ca: string | undefined, token: string | undefined): string {
  const trust =
    ca === undefined
      ? // Kubernetes' client for JavaScript takes no http server without it; where there is no TLS it means nothing.
        'insecure-skip-tls-verify: true'
      : `certificate-authority-data: ${Buffer.from(ca).toString('base64')}`;
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    '- name: embedded',
    '  cluster:',
    `    server: ${url}`,
    `    ${trust}`,
    'users:',
    '- name: embedded',
    token === undefined ? '  user: {}' : `  user:\n    token: ${JSON.stringify(token)}`,
    'contexts:',
    '- name: embedded',
    '  context:',
    '    cluster: embedded',
    '    user: embedded',
    'current-context: embedded',
    '',
  ].join('\n');
}
