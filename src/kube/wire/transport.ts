/**
 * HTTP to one Kubernetes API over kept-alive connections.
 *
 * Guarantees: every call settles within its timeout (on the injected clock) or as soon as its signal aborts, but that a call
 * which is not urgent begins when a credential plugin, which has its own time, has ended; an answer
 * never takes more memory than its limit; everything but 2xx is a LeaseStoreError. A write is never sent twice, except
 * after a 401 with new credentials (the server has not carried it out). A read is sent a second time when the server
 * had closed the idle connection it went out on. An urgent call never waits for others. `close` ends all calls and leaves no socket and no timer.
 *
 * New connections use the credentials of the moment: when certificates change, and after a timeout, new requests go to a
 * new pool and the old one ends when it is idle: its idle connections are as dead as that one. Unless another of its
 * connections was answered meanwhile: then only that one is, or the server is slow, and handshakes would make it slower.
 *
 * HTTP/1.1 on purpose: over HTTP/2 a renewal took as much CPU or more (up to 40 %) in the same run, and 5,000 deletions, 64 at
 * once, as much in client and server together.
 */
import type { LeaseStoreError } from '../../lease/store.ts';
import type { Clock } from '../../runtime/clock.ts';
import { readBody, streamOf } from './answer-stream.ts';
import type { AnswerStream } from './answer-stream.ts';
import type { CreateHttpClient } from './http-client.ts';
import { createConnector } from './connector.ts';
import type { CredentialSource, Credentials } from '../auth/material.ts';
import { abortedError, answerError, badAnswer, bodyError, socketError, timeoutError } from './api-errors.ts';
import type { Asked } from './api-errors.ts';
import { Endings } from './endings.ts';
import { Exchange, StreamExchange, TooLargeError } from './exchange.ts';
import type { WholeAnswer } from './exchange.ts';
import { clean, createSecrets } from './foreign-text.ts';
import { ConnectionPool } from './pool.ts';
import { proxyAuthorization, takesRequests } from './proxy.ts';
import { ServerClock } from '../server-clock.ts';

/** Default milliseconds for one attempt. */
const DEFAULT_TIMEOUT_MS = 10_000;
/** Default connections for requests; opened when needed. The sweeper's default concurrency. */
const DEFAULT_CONNECTIONS = 64;
/** Default bytes of an answer: 40,000 leases of the usual 1.5 kB in one page. */
const DEFAULT_ANSWER_BYTES = 64 * 1024 * 1024;
/** Milliseconds to connect, TLS and proxy included; a shorter timeout of the request ends that request earlier. */
const CONNECT_TIMEOUT_MS = 10_000;

export interface TransportOptions {
  /** Origin and path, without a trailing slash. */
  readonly server: string;
  readonly credentials: CredentialSource;
  /** Who speaks HTTP. */
  readonly createClient: CreateHttpClient;
  readonly clock: Clock;
  readonly userAgent: string;
  readonly tlsServerName?: string | undefined;
  readonly insecureSkipTlsVerify?: boolean | undefined;
  readonly proxyUrl?: string | undefined;
  /** Default 10,000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Default 64, and as many again for urgent requests while others take these. Watches do not count. */
  readonly maxConnections?: number | undefined;
  /** Default 64 MiB. */
  readonly maxAnswerBytes?: number | undefined;
}

export interface Request extends Asked {
  /** From the server's root, with a leading slash, encoded, the query included. */
  readonly path: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Default application/json. */
  readonly contentType?: string | undefined;
  /** The form of the answer, of a request without a body; default application/json. */
  readonly accept?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** Bytes of the answer; default the transport's. */
  readonly maxBytes?: number | undefined;
  /** As in CallOptions. */
  readonly urgent?: boolean | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly json: unknown;
  /** How long it was, in characters. */
  readonly length: number;
}

export interface Transport {
  readonly server: string;
  /** Requests of one urgency at a time. */
  readonly maxConnections: number;
  /** @throws LeaseStoreError */
  request(request: Request): Promise<Answer>;
  /** Opens a GET whose body is a stream. The timeout is for the answer's beginning; the signal ends the stream too. */
  stream(request: Request): Promise<AnswerStream>;
  /** Sockets that are open at present, idle ones included. */
  readonly connections: number;
  /** Milliseconds that our wall clock is ahead of the server's, at the least; undefined before an answer said the time. */
  clockDistanceMs(): number | undefined;
  /** Monotonic milliseconds of the last answer below 500; undefined before the first. */
  answeredAt(): number | undefined;
  /**
   * Milliseconds since the epoch at which the client certificate of the last request expires; undefined before the first one, and
   * without a certificate.
   */
  certificateExpiresAt(): number | undefined;
  /** Ends all calls with `Aborted` and closes all connections. */
  close(): Promise<void>;
}

interface Pools {
  readonly requests: ConnectionPool;
  readonly streams: ConnectionPool;
  readonly secureContext: Credentials['secureContext'];
  /** Monotonic milliseconds of the last answer to a request. */
  answeredAt: number;
}

export function createTransport(options: TransportOptions): Transport {
  const { clock, createClient, credentials, server } = options;
  const url = new URL(server);
  const basePath = url.pathname === '/' ? '' : url.pathname;
  const { maxConnections = DEFAULT_CONNECTIONS } = options;
  const limit = options.maxAnswerBytes ?? DEFAULT_ANSWER_BYTES;
  const proxy = options.proxyUrl === undefined ? undefined : new URL(options.proxyUrl);
  const direct = proxy && takesRequests(proxy, url) ? proxy : undefined;
  const target = direct ? url.origin + basePath : basePath;
  const headersFor = createHeaders(options.userAgent, direct && proxyAuthorization(direct));
  const secrets = createSecrets();
  const ofProxy = proxy && proxyAuthorization(proxy);
  const proxyHeaders = ofProxy === undefined ? [] : ['proxy-authorization', ofProxy];
  // A plugin may go through the proxy before we do.
  secrets.sent(proxyHeaders);
  let known: Credentials | undefined;
  const endings = new Endings();
  const all = new Set<Pools>();
  let pools: Pools | undefined;
  let closed = false;
  const serverClock = new ServerClock(clock);
  let answeredAt: number | undefined;

  function poolsFor({ secureContext }: Credentials): Pools {
    if (pools && pools.secureContext === secureContext) return pools;
    if (pools) retire(pools);
    const connector = createConnector({
      server: direct ?? url,
      secureContext,
      serverName: options.tlsServerName,
      insecureSkipTlsVerify: options.insecureSkipTlsVerify ?? false,
      proxy: direct ? undefined : proxy,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      clock,
    });
    pools = {
      requests: new ConnectionPool(url.origin, createClient, connector, maxConnections),
      streams: new ConnectionPool(url.origin, createClient, connector, Number.POSITIVE_INFINITY),
      secureContext,
      answeredAt: -Infinity,
    };
    all.add(pools);
    return pools;
  }

  /** New requests go elsewhere; what is under way here may end. */
  function retire(old: Pools): void {
    if (pools === old) pools = undefined;
    void Promise.allSettled([old.requests.close(), old.streams.close()]).then(() => all.delete(old));
  }

  /**
   * One call: credentials, then a connection and the answer's end (of a stream: its beginning) within one timeout. After
   * a 401 it is sent once more if there are other credentials by then.
   */
  function call(request: Request, body: string | null, streaming: false): Promise<WholeAnswer>;
  function call(request: Request, body: string | null, streaming: true): Promise<StreamExchange>;
  function call(request: Request, body: string | null, streaming: boolean): Promise<WholeAnswer | StreamExchange> {
    return new Promise((resolve, reject) => {
      const { signal } = request;
      const timeoutMs = request.timeoutMs ?? options.requestTimeoutMs ?? DEFAULT_TIMEOUT_MS;
      let exchange: Exchange | StreamExchange | undefined;
      let here: Pools | undefined;
      let used: Credentials | undefined;
      let over = false;
      let mayReconnect = request.method === 'GET';
      let mayReauthorize = true;
      let sentMicros = 0;
      let startedAt = 0;
      let leftMs = timeoutMs;
      let armedAt = clock.monotonic();
      let cancel: (() => void) | undefined;

      const release = (): void => {
        over = true;
        cancel?.();
        endings.delete(abort, signal);
      };
      const fail = (error: unknown): void => {
        release();
        reject(error as LeaseStoreError);
      };
      const abort = (): void => {
        exchange?.giveUp();
        fail(abortedError(request, exchange?.sent ?? false, signal?.reason));
      };
      const done = (value: WholeAnswer | StreamExchange): void => {
        serverClock.note(value.headers['date'], sentMicros);
        if (value.status < 500) answeredAt = clock.monotonic();
        if (here && !streaming) here.answeredAt = clock.monotonic();
        if (value.status === 401 && mayReauthorize && used) {
          mayReauthorize = false;
          credentials.rejected(used);
          authorize(value);
          return;
        }
        release();
        resolve(value);
      };
      const failed = (error: unknown): void => {
        const { sent = false, started = false, status, connection } = exchange ?? {};
        if (mayReconnect && used && sent && !started && connection && connection.served > 0) {
          mayReconnect = false;
          start(used);
        } else if (error instanceof TooLargeError) fail(badAnswer(request, status, error.message, error, 'TooLarge'));
        else fail(socketError(request, server, error, sent));
      };
      /** Starts with the credentials of now; `refused` is the 401 that they must better. */
      const authorize = (refused?: WholeAnswer | StreamExchange): void => {
        const none = (error: unknown): void => {
          if (over) return;
          if (refused instanceof StreamExchange) refused.giveUp();
          fail(error);
        };
        const use = (fresh: Credentials): void => {
          if (over) return;
          if (refused && fresh === used) {
            release();
            resolve(refused);
            return;
          }
          if (refused instanceof StreamExchange) refused.giveUp();
          start(fresh);
        };
        try {
          const now = credentials.current();
          if (now instanceof Promise) {
            // Somebody may have to sign in for them.
            if (!request.urgent) pause();
            now.then(use, none);
          } else use(now);
        } catch (error) {
          none(error);
        }
      };
      const start = (with_: Credentials): void => {
        sentMicros = clock.wallMicros();
        startedAt = clock.monotonic();
        if (!cancel) {
          armedAt = startedAt;
          cancel = clock.schedule(leftMs, timedOut);
        }
        used = with_;
        if (known !== with_) secrets.sent([...(known = with_).headers, ...proxyHeaders]);
        here = poolsFor(with_);
        exchange = streaming
          ? new StreamExchange({ done, failed })
          : new Exchange(request.maxBytes ?? limit, { done, failed });
        (streaming ? here.streams : here.requests).run(
          {
            path: target + request.path,
            method: request.method,
            headers: headersFor(with_, request),
            body,
          },
          exchange,
          request.urgent ?? false,
        );
      };
      const timedOut = (): void => {
        const { sent = false, started = false } = exchange ?? {};
        exchange?.giveUp();
        if (sent && !started && here && pools === here && here.answeredAt <= startedAt) retire(here);
        fail(timeoutError(request, timeoutMs, sent, used === undefined));
      };
      const pause = (): void => {
        cancel?.();
        cancel = undefined;
        leftMs -= clock.monotonic() - armedAt;
      };
      cancel = clock.schedule(timeoutMs, timedOut);
      endings.add(abort, signal);
      if (closed || signal?.aborted) abort();
      else authorize();
    });
  }

  const failure = (request: Request, answer: WholeAnswer): LeaseStoreError =>
    answerError(request, answer.status, answer.headers, answer.body, clock.wallMicros() / 1000);

  return {
    server,
    async request(request) {
      const body = request.body === undefined ? null : bodyText(request);
      const answer = await call(request, body, false);
      const { status, headers } = answer;
      if (status < 200 || status > 299) throw failure(request, answer);
      try {
        return { status, headers, json: JSON.parse(answer.body) as unknown, length: answer.body.length };
      } catch {
        // Without a cause: V8 quotes the answer in its words.
        throw badAnswer(request, status, `the server answered ${status} with no JSON: "${clean(answer.body, 200)}"`);
      }
    },
    async stream(request) {
      const exchange = await call(request, null, true);
      const stream = streamOf(request, exchange, { server, endings, isClosed: () => closed });
      if (exchange.status >= 200 && exchange.status <= 299) return stream;
      const body = await readBody(stream, clock, options.requestTimeoutMs ?? DEFAULT_TIMEOUT_MS);
      throw failure(request, { status: exchange.status, headers: exchange.headers, body });
    },
    maxConnections,
    get connections() {
      let count = 0;
      for (const { requests, streams } of all) count += requests.connected + streams.connected;
      return count;
    },
    clockDistanceMs: () => serverClock.distanceMs(),
    answeredAt: () => answeredAt,
    certificateExpiresAt: () => known?.certificateExpiresAt,
    async close() {
      closed = true;
      credentials.close();
      secrets.forget();
      endings.endAll();
      const destroyed = [...all].flatMap(({ requests, streams }) => [requests.destroy(), streams.destroy()]);
      all.clear();
      pools = undefined;
      await Promise.allSettled(destroyed);
    },
  };
}

function bodyText(request: Request): string {
  try {
    return JSON.stringify(request.body);
  } catch {
    throw bodyError(request);
  }
}

/** The header fields of requests, name, value, name, value …: made once for each credentials and kind of request. */
function createHeaders(
  userAgent: string,
  proxyAuthorization?: string,
): (current: Credentials, request: Request) => string[] {
  const common = ['accept', 'application/json', 'user-agent', userAgent];
  if (proxyAuthorization !== undefined) common.push('proxy-authorization', proxyAuthorization);
  let sets: { of: Credentials; read: string[]; write: string[] } | undefined;
  return (current, request) => {
    if (sets?.of !== current) {
      const read = [...common, ...current.headers];
      sets = { of: current, read, write: [...read, 'content-type', 'application/json'] };
    }
    if (request.body === undefined) {
      return request.accept === undefined ? sets.read : ['accept', request.accept, ...sets.read.slice(2)];
    }
    return request.contentType === undefined ? sets.write : [...sets.read, 'content-type', request.contentType];
  };
}
