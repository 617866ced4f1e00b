/**
 * Servers and proxies on loopback that say what reaches them, with certificates made for the run.
 *
 * Guarantees: every request that a server or a proxy gets is noted, with the credentials that it carried; `close` ends all.
 */
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { makeCertificate } from '../../../src/embedded/certificates.ts';

/** What is asked for of every server. */
export const PATH = '/version';

export type World = Awaited<ReturnType<typeof startWorld>>;

export async function startWorld() {
  const seen = new Set<string>();
  const ports = new Map<number, string>();
  const closing: (() => void)[] = [];

  const root = makeCertificate({ subject: 'root', authority: true });
  const inter = makeCertificate({ subject: 'inter', authority: true, issuer: root });
  const other = makeCertificate({ subject: 'other root', authority: true });
  const here = ['127.0.0.1', '::1', 'localhost', 'api.test'];
  const hour = 3_600_000;
  const servers = {
    root: makeCertificate({ subject: 'of root', names: here, issuer: root }),
    rsa: makeCertificate({ subject: 'of root, RSA', names: here, issuer: root, keyType: 'rsa' }),
    leaf: makeCertificate({ subject: 'of inter', names: here, issuer: inter }),
    chain: makeCertificate({ subject: 'of inter', names: here, issuer: inter }),
    self: makeCertificate({ subject: 'self', names: here }),
    expired: makeCertificate({
      subject: 'e',
      names: here,
      issuer: root,
      from: Date.now() - 2 * hour,
      until: Date.now() - hour,
    }),
    early: makeCertificate({ subject: 'f', names: here, issuer: root, from: Date.now() + hour }),
    named: makeCertificate({ subject: 'n', names: ['api.test', '*.wild.test'], issuer: root }),
    address: makeCertificate({ subject: 'a', names: ['10.9.8.7', 'fd00::7'], issuer: root }),
    common: makeCertificate({ subject: 'api.test', issuer: root }),
    nameless: makeCertificate({ subject: '127.0.0.1', issuer: root }),
  };
  const clients = {
    ec: makeCertificate({ subject: 'client', issuer: root }),
    ec2: makeCertificate({ subject: 'client 2', issuer: root }),
    rsa: makeCertificate({ subject: 'client, RSA', issuer: root, keyType: 'rsa' }),
    byInter: makeCertificate({ subject: 'client of inter', issuer: inter }),
    expired: makeCertificate({
      subject: 'client, expired',
      issuer: root,
      from: Date.now() - 2 * hour,
      until: Date.now() - hour,
    }),
  };

  const note = (entry: Readonly<Record<string, string | undefined>>): void => {
    seen.add(JSON.stringify(entry));
  };
  const answer =
    (server: string): http.RequestListener =>
    ({ headers, url, socket }, response) => {
      const { servername, encrypted } = socket as tls.TLSSocket & { servername?: string | false };
      const of = (name: RegExp): string | undefined =>
        Object.entries(headers)
          .filter(([key]) => name.test(key))
          .map(([key, value]) => `${key}: ${String(value)}`)
          .sort()
          .join('; ') || undefined;
      note({
        server,
        // kubectl adds a timeout.
        path: url?.replace(/\?timeout=5s$/, ''),
        sni: servername || undefined,
        certificate: encrypted ? (socket as tls.TLSSocket).getPeerCertificate().subject?.CN?.toString() : undefined,
        authorization: headers.authorization,
        proxyAuthorization: of(/^proxy-authorization$/),
        impersonation: of(/^impersonate-/),
      });
      response.setHeader('content-type', 'application/json');
      response.end('{"major":"1","minor":"33","gitVersion":"v1.33.0"}');
    };

  const listen = async (name: string, server: net.Server): Promise<number> => {
    const sockets = new Set<net.Socket>();
    server.on('connection', (socket: net.Socket) => {
      sockets.add(socket.on('error', () => undefined));
      socket.once('close', () => sockets.delete(socket));
    });
    closing.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    // On both families where the machine has both.
    await new Promise<void>((resolve, reject) => {
      server.once('error', () => server.once('error', reject).listen(0, '127.0.0.1', resolve));
      server.listen(0, '::', resolve);
    });
    const { port, family } = server.address() as AddressInfo;
    hasIpv6 = family === 'IPv6';
    ports.set(port, name);
    return port;
  };

  let hasIpv6 = false;
  const port: Record<string, number> = {};
  for (const [name, { cert, key }] of Object.entries(servers)) {
    const sent = name === 'chain' ? cert + inter.cert : cert;
    const options = { cert: sent, key, requestCert: true, rejectUnauthorized: false };
    port[name] = await listen(
      name,
      https.createServer(options, answer(name)).on('tlsClientError', () => undefined),
    );
  }
  port['plain'] = await listen('plain', http.createServer(answer('plain')));
  const closed = net.createServer();
  port['closed'] = await listen('closed', closed);
  closed.close();

  /** Wherever it is asked to connect to: the server that has this port. */
  const connectTo = (authority: string): net.Socket => net.connect(Number(/\d+$/.exec(authority)?.[0]), '127.0.0.1');
  const proxy = (name: string): [http.RequestListener, (request: http.IncomingMessage, socket: net.Socket) => void] => [
    (request, response) => {
      note({
        proxy: name,
        asked: `${request.method} ${masked(request.url ?? '')}`,
        auth: request.headers['proxy-authorization'],
      });
      if (/^Basic .*bm8=$/.test(request.headers['proxy-authorization'] ?? ''))
        return void response.writeHead(407).end();
      const { host, pathname } = new URL(request.url ?? '', 'http://none:1');
      const { 'proxy-authorization': _, ...headers } = request.headers;
      const up = http.request({ host: '127.0.0.1', port: host.split(':').at(-1), path: pathname, headers }, (from) => {
        response.writeHead(from.statusCode ?? 0, from.headers);
        from.pipe(response);
      });
      up.on('error', () => response.destroy()).end();
    },
    (request, socket) => {
      note({
        proxy: name,
        asked: `CONNECT ${masked(request.url ?? '')}`,
        auth: request.headers['proxy-authorization'],
      });
      socket.on('error', () => undefined);
      if (/^Basic .*bm8=$/.test(request.headers['proxy-authorization'] ?? '')) {
        return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      }
      const up = connectTo(request.url ?? '').on('error', () => socket.destroy());
      up.once('connect', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        socket.pipe(up).pipe(socket);
      });
      socket.once('close', () => up.destroy());
    },
  ];
  const [plainly, tunnel] = proxy('http');
  port['httpProxy'] = await listen('httpProxy', http.createServer(plainly).on('connect', tunnel));
  for (const [name, by] of [
    ['httpsProxy', servers.root],
    ['otherProxy', makeCertificate({ subject: 'proxy', names: here, issuer: other })],
  ] as const) {
    const [request, connect] = proxy(name);
    const server = https.createServer({ cert: by.cert, key: by.key }, request).on('connect', connect);
    port[name] = await listen(
      name,
      server.on('tlsClientError', () => undefined),
    );
  }
  port['socks'] = await listen(
    'socks',
    socks((to, auth) => note({ proxy: 'socks', asked: masked(to), auth }), connectTo),
  );

  /** Ports and what depends on them, as names. */
  function masked(text: string): string {
    return text
      .replace(/\?timeout=5s$/, '')
      .replace(/:(\d{2,5})\b/g, (all, digits: string) =>
        ports.has(Number(digits)) ? `:${ports.get(Number(digits))}` : all,
      );
  }

  return {
    authorities: { root, inter, other },
    servers,
    clients,
    port,
    hasIpv6,
    masked,
    /** What reached servers and proxies since the last call. */
    take(): string[] {
      const all = [...seen].sort();
      seen.clear();
      return all;
    },
    close(): void {
      for (const end of closing) end();
    },
  };
}

/** SOCKS 5, without a password or with me:pw. */
function socks(
  note: (to: string, auth: string | undefined) => void,
  connectTo: (to: string) => net.Socket,
): net.Server {
  return net.createServer((socket) => {
    let data = Buffer.alloc(0);
    let step: 'greeting' | 'password' | 'request' = 'greeting';
    let auth: string | undefined;
    const onData = (chunk: Buffer): void => {
      data = Buffer.concat([data, chunk]);
      if (step === 'greeting' && data.length >= 2 + (data[1] ?? 0)) {
        const withPassword = data.subarray(2, 2 + (data[1] ?? 0)).includes(2);
        data = data.subarray(2 + (data[1] ?? 0));
        socket.write(Buffer.from([5, withPassword ? 2 : 0]));
        step = withPassword ? 'password' : 'request';
      }
      if (step === 'password' && data.length >= 3 + (data[1] ?? 0) + (data[2 + (data[1] ?? 0)] ?? 0)) {
        const user = data.subarray(2, 2 + (data[1] ?? 0));
        auth = `${String(user)}:${String(data.subarray(3 + user.length))}`;
        data = Buffer.alloc(0);
        socket.write(Buffer.from([1, auth === 'me:pw' ? 0 : 1]));
        step = 'request';
        return;
      }
      const length = data[3] === 3 ? 1 + (data[4] ?? 0) : data[3] === 4 ? 16 : 4;
      if (step === 'request' && data.length >= 6 + length) {
        socket.off('data', onData);
        const host = data[3] === 3 ? String(data.subarray(5, 4 + length)) : [...data.subarray(4, 4 + length)].join('.');
        const to = `${host}:${data.readUInt16BE(4 + length)}`;
        note(to, auth);
        const up = connectTo(to).on('error', () => socket.destroy());
        up.once('connect', () => {
          socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
          socket.pipe(up).pipe(socket);
        });
        socket.once('close', () => up.destroy());
      }
    };
    socket.on('data', onData);
  });
}
