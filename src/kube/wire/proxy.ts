/**
 * The way to the server: directly, through an HTTP proxy (CONNECT; whole requests for a server without TLS), or through
 * SOCKS5.
 *
 * `proxyFor` reads the environment as Go's net/http does: HTTPS_PROXY or HTTP_PROXY by the server's scheme (capitals
 * first), NO_PROXY with names, domains, addresses, CIDR blocks and ports; loopback is never proxied.
 */
import net from 'node:net';
import type { ConnectionOptions } from 'node:tls';

type Env = Readonly<Record<string, string | undefined>>;

/** The proxy's URL that the environment names for this server, if any. */
export function proxyFor(server: URL, env: Env): string | undefined {
  const names = server.protocol === 'https:' ? ['HTTPS_PROXY', 'https_proxy'] : ['HTTP_PROXY', 'http_proxy'];
  const proxy = names.map((name) => env[name]).find((value) => value !== undefined && value !== '');
  if (proxy === undefined) return undefined;
  const host = bare(server.hostname).toLowerCase().replace(/\.$/, '');
  if (host === 'localhost' || isLoopback(host)) return undefined;
  const port = server.port === '' ? (server.protocol === 'https:' ? '443' : '80') : server.port;
  const except = env['NO_PROXY'] || env['no_proxy'] || '';
  if (except.split(/[\s,]+/).some((rule) => rule !== '' && excepts(rule.toLowerCase(), host, port))) return undefined;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

function excepts(rule: string, host: string, port: string): boolean {
  if (rule === '*') return true;
  if (rule.includes('/')) {
    const [address = '', bits = ''] = rule.split('/');
    const family = net.isIP(address);
    if (
      family === 0 ||
      net.isIP(host) !== family ||
      !/^\d{1,3}$/.test(bits) ||
      Number(bits) > (family === 4 ? 32 : 128)
    ) {
      return false;
    }
    const block = new net.BlockList();
    block.addSubnet(address, Number(bits), family === 4 ? 'ipv4' : 'ipv6');
    return block.check(host, family === 4 ? 'ipv4' : 'ipv6');
  }
  const withPort = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(rule);
  const name = bare(withPort?.[1] ?? rule).replace(/^\*(?=\.)/, '');
  if (withPort && withPort[2] !== port) return false;
  if (name === '') return false;
  return name.startsWith('.')
    ? host.endsWith(name)
    : host === name || (net.isIP(host) === 0 && host.endsWith(`.${name}`));
}

const isLoopback = (host: string): boolean => host === '::1' || (net.isIPv4(host) && host.startsWith('127.'));

/** A host without the brackets of an IPv6 literal. */
export const bare = (host: string): string => (host.startsWith('[') ? host.slice(1, -1) : host);

interface TunnelTarget {
  readonly host: string;
  readonly port: number;
}

/**
 * Opens a socket to the target through the proxy, whom `identity` says how to know by TLS. `register` is given each socket or request to destroy when the
 * caller has had enough; `done` is called exactly once.
 */
export function openTunnel(
  proxy: URL,
  identity: ConnectionOptions,
  target: TunnelTarget,
  register: (part: { destroy(): unknown }) => void,
  done: (error: Error | undefined, socket?: net.Socket) => void,
): void {
  if (proxy.protocol === 'http:' || proxy.protocol === 'https:') openConnect(proxy, identity, target, register, done);
  else openSocks(proxy, target, register, done);
}

/** A proxy that takes requests itself, as for a server without TLS: not one to tunnel through. */
export const takesRequests = (proxy: URL, server: URL): boolean =>
  server.protocol === 'http:' && /^https?:$/.test(proxy.protocol);

/** The header's value; undefined where the proxy's URL names no user. */
export function proxyAuthorization(proxy: URL): string | undefined {
  if (proxy.username === '') return undefined;
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

function openConnect(
  proxy: URL,
  identity: ConnectionOptions,
  target: TunnelTarget,
  register: (part: { destroy(): unknown }) => void,
  done: (error: Error | undefined, socket?: net.Socket) => void,
): void {
  const authority = `${net.isIPv6(target.host) ? `[${target.host}]` : target.host}:${target.port}`;
  const headers: Record<string, string> = { host: authority };
  const authorization = proxyAuthorization(proxy);
  if (authorization !== undefined) headers['proxy-authorization'] = authorization;
  // An import of node:http asks it for every name it exports, WebSocket too, and so loads all of Node's own undici: 5 MB.
  const { request: send } = process.getBuiltinModule(proxy.protocol === 'https:' ? 'node:https' : 'node:http');
  const request = send({
    ...(proxy.protocol === 'https:' && identity),
    method: 'CONNECT',
    host: bare(proxy.hostname),
    port: proxy.port === '' ? (proxy.protocol === 'https:' ? 443 : 80) : Number(proxy.port),
    path: authority,
    headers,
    agent: false,
  });
  register(request);
  request.once('connect', (response, socket) => {
    register(socket);
    if (response.statusCode === 200) {
      done(undefined, socket as net.Socket);
      return;
    }
    socket.destroy();
    done(refused(proxy, `${response.statusCode} ${response.statusMessage ?? ''}`.trim()));
  });
  // A proxy that answers CONNECT with a page instead of a tunnel.
  request.once('response', (response) => {
    response.destroy();
    done(refused(proxy, String(response.statusCode)));
  });
  request.once('error', (error) => done(proxyError(proxy, error.message, error)));
  request.end();
}

/** RFC 1928 and 1929: no authentication or user and password, the host name resolved by the proxy. */
function openSocks(
  proxy: URL,
  target: TunnelTarget,
  register: (part: { destroy(): unknown }) => void,
  done: (error: Error | undefined, socket?: net.Socket) => void,
): void {
  const user = Buffer.from(decodeURIComponent(proxy.username));
  const password = Buffer.from(decodeURIComponent(proxy.password));
  const socket = net.connect({ host: bare(proxy.hostname), port: Number(proxy.port) || 1080 });
  register(socket);
  let received: Buffer = Buffer.alloc(0);
  let step: 'method' | 'auth' | 'connect' = 'method';
  const fail = (words: string, cause?: unknown): void => {
    socket.off('data', onData);
    socket.destroy();
    done(proxyError(proxy, words, cause));
  };
  const askConnect = (): void => {
    step = 'connect';
    const name = Buffer.from(target.host);
    socket.write(
      Buffer.concat([Buffer.from([5, 1, 0, 3, name.length]), name, Buffer.from([target.port >> 8, target.port & 255])]),
    );
  };
  const onData = (chunk: Buffer): void => {
    received = Buffer.concat([received, chunk]);
    if (step === 'method' && received.length >= 2) {
      const method = received[0] === 5 ? received[1] : 255;
      received = received.subarray(2);
      if (method === 0) askConnect();
      else if (method === 2 && user.length > 0) {
        step = 'auth';
        socket.write(Buffer.concat([Buffer.from([1, user.length]), user, Buffer.from([password.length]), password]));
      } else return fail(method === 2 ? 'it asks for a user and a password' : 'it speaks no SOCKS5 that is known here');
    }
    if (step === 'auth' && received.length >= 2) {
      if (received[1] !== 0) return fail('it refused the user and password');
      received = received.subarray(2);
      askConnect();
    }
    if (step === 'connect' && received.length >= 5) {
      if (received[1] !== 0) return fail(`it refused the connection (SOCKS5 reply ${received[1]})`);
      const address = received[3] === 1 ? 4 : received[3] === 4 ? 16 : (received[4] ?? 0) + 1;
      if (received.length < 4 + address + 2) return;
      const rest = received.subarray(4 + address + 2);
      socket.off('data', onData).off('error', onError).off('close', onClose);
      socket.pause();
      if (rest.length > 0) socket.unshift(rest);
      done(undefined, socket);
    }
  };
  const onError = (error: Error): void => fail(error.message, error);
  const onClose = (): void => fail('it closed the connection');
  socket.on('data', onData).once('error', onError).once('close', onClose);
  socket.once('connect', () => socket.write(Buffer.from(user.length > 0 ? [5, 2, 0, 2] : [5, 1, 0])));
}

const refused = (proxy: URL, words: string): Error =>
  proxyError(proxy, words.startsWith('407') ? `it asks for a user and a password (${words})` : `it answered ${words}`);

// The host only: a proxy's URL often holds a password.
const proxyError = (proxy: URL, words: string, cause?: unknown): Error =>
  new Error(`proxy ${proxy.protocol}//${proxy.host}: ${words}`, cause === undefined ? undefined : { cause });
