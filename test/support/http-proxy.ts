/**
 * An HTTP proxy on loopback that spoils chosen requests: plain HTTP in front, HTTP or HTTPS behind.
 *
 * Guarantees: headers (Authorization too), bodies and streamed answers pass unchanged unless a rule says otherwise; a
 * rule decides about a request when it arrives; the log holds every request, with the status that the *server* gave,
 * even when the client never saw it. `close` ends everything.
 */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { Agent as HttpAgent, createServer, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, createServer as createHttpsServer, request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';

export interface HttpRequestInfo {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface HttpLogEntry extends HttpRequestInfo {
  /** The server's answer, or the rule's; missing while there is none. */
  status?: number;
  /** Milliseconds since the proxy's start. */
  readonly at: number;
  /** True when a rule had a hand in it. */
  readonly spoiled: boolean;
}

/** What happens to one request. */
export interface HttpFault {
  /** Milliseconds before it is passed on. */
  readonly delayMs?: number;
  /** Answers itself; the server never hears of it. A body that is an object is sent as JSON. */
  readonly answer?: {
    readonly status: number;
    readonly headers?: OutgoingHttpHeaders;
    readonly body?: string | object;
  };
  /** Passes it on, waits for the whole answer, and breaks the connection instead of giving it. */
  readonly loseAnswer?: boolean;
  /** Passes it on (`answer`) or not (`request`), and never answers. */
  readonly hang?: 'request' | 'answer';
  /** Passes the answer on, cut off by a broken connection after so many bytes of its body. */
  readonly truncateAfter?: number;
}

export interface HttpRule {
  readonly method?: string;
  readonly path?: string | RegExp;
  readonly match?: (request: HttpRequestInfo) => boolean;
  /** How many requests it is good for; default all. */
  readonly times?: number;
  readonly fault: HttpFault;
}

export interface HttpProxy {
  readonly port: number;
  readonly url: string;
  readonly log: readonly HttpLogEntry[];
  /** Adds a rule, before the earlier ones. The returned function takes it away. */
  rule(rule: HttpRule): () => void;
  /** Takes away every rule; requests that hang go on hanging. */
  clear(): void;
  /** Breaks every open connection of clients, watches for instance; new ones are served. */
  cut(): void;
  /** Logged requests of this method and path. */
  count(method?: string, path?: string | RegExp): number;
  close(): Promise<void>;
}

/**
 * @param target for instance `https://127.0.0.1:6443`
 * @param tls the server's own certificate and key, PEM: trusted behind the proxy, and shown before it, because no credentials
 *   go out over plain http
 */
export async function startHttpProxy(target: string, tls?: { ca: string; key: string }): Promise<HttpProxy> {
  const secure = target.startsWith('https:');
  const agent = secure
    ? new HttpsAgent({ keepAlive: true, ...(tls && { ca: tls.ca }) })
    : new HttpAgent({ keepAlive: true });
  const send = secure ? httpsRequest : httpRequest;
  const started = performance.now();
  const log: HttpLogEntry[] = [];
  const timers = new Set<NodeJS.Timeout>();
  let rules: { left: number; rule: HttpRule }[] = [];

  const faultFor = (info: HttpRequestInfo): HttpFault | undefined => {
    const found = rules.find(({ rule }) => matches(rule, info));
    if (found && --found.left <= 0) rules = rules.filter((entry) => entry !== found);
    return found?.rule.fault;
  };

  const forward = (from: IncomingMessage, back: ServerResponse, entry: HttpLogEntry, fault: HttpFault): void => {
    const up = send(new URL(entry.path, target), {
      method: entry.method,
      agent,
      headers: { ...from.headers, host: new URL(target).host },
    });
    from.pipe(up);
    // A client that leaves takes its request to the server along, unless the fault is that the server does not learn of it.
    back.on('close', () => {
      if (!back.writableEnded && !fault.loseAnswer) up.destroy();
    });
    up.on('error', () => from.socket.destroy());
    up.on('response', (answer) => {
      entry.status = answer.statusCode ?? 0;
      if (fault.hang === 'answer') return void answer.resume();
      if (fault.loseAnswer) return void answer.resume().on('close', () => from.socket.destroy());
      back.writeHead(answer.statusCode ?? 0, answer.statusMessage, answer.headers);
      back.flushHeaders();
      answer.on('error', () => from.socket.destroy());
      if (fault.truncateAfter === undefined) return void answer.pipe(back);
      let left = fault.truncateAfter;
      answer.on('data', (chunk: Buffer) => {
        if (left <= 0) return;
        const part = chunk.subarray(0, left);
        left -= part.length;
        back.write(part, () => left <= 0 && from.socket.destroy());
      });
      answer.on('end', () => back.end());
    });
  };

  const handle = (from: IncomingMessage, back: ServerResponse): void => {
    const info = { method: from.method ?? '', path: from.url ?? '', headers: from.headers };
    const fault = faultFor(info);
    const entry: HttpLogEntry = { ...info, at: performance.now() - started, spoiled: fault !== undefined };
    log.push(entry);
    from.on('error', () => {});
    back.on('error', () => {});
    const act = (): void => {
      if (back.destroyed && !fault?.loseAnswer) return;
      if (fault?.hang === 'request') return void from.resume();
      if (!fault?.answer) return forward(from, back, entry, fault ?? {});
      const { status, headers, body = '' } = fault.answer;
      entry.status = status;
      from.resume();
      const json = typeof body === 'string' ? {} : { 'content-type': 'application/json' };
      back.writeHead(status, { ...json, ...headers }).end(typeof body === 'string' ? body : JSON.stringify(body));
    };
    if (fault?.delayMs === undefined) return act();
    const timer = setTimeout(() => {
      timers.delete(timer);
      act();
    }, fault.delayMs);
    timers.add(timer);
  };
  const server = tls ? createHttpsServer({ cert: tls.ca, key: tls.key }, handle) : createServer(handle);
  // No limits of the proxy's own: what hangs is meant to.
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.keepAliveTimeout = 0;
  await new Promise<void>((resolve, reject) => void server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    log,
    rule(rule) {
      const entry = { left: rule.times ?? Infinity, rule };
      rules = [entry, ...rules];
      return () => {
        rules = rules.filter((other) => other !== entry);
      };
    },
    clear() {
      rules = [];
    },
    cut() {
      server.closeAllConnections();
    },
    count: (method, path) => log.filter((entry) => matches({ fault: {}, ...defined({ method, path }) }, entry)).length,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const timer of timers) clearTimeout(timer);
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

/** The Status object that a Kubernetes API server would send with an error. */
export function statusBody(code: number, reason: string, message: string, details?: object): object {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    code,
    ...(details && { details }),
  };
}

function matches(rule: HttpRule, request: HttpRequestInfo): boolean {
  const { method, path, match } = rule;
  if (method !== undefined && method !== request.method) return false;
  if (typeof path === 'string' ? !request.path.startsWith(path) : path && !path.test(request.path)) return false;
  return match?.(request) ?? true;
}

function defined({
  method,
  path,
}: {
  method: string | undefined;
  path: string | RegExp | undefined;
}): Omit<HttpRule, 'fault'> {
  return { ...(method === undefined ? {} : { method }), ...(path === undefined ? {} : { path }) };
}
