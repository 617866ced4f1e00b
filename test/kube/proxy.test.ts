import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { isStoreError } from '../../src/lease/store.ts';
import { createCredentials } from '../../src/kube/auth/credentials.ts';
import { proxyFor } from '../../src/kube/wire/proxy.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { fixture, fixtureText, json, startServer, transportTo } from './support.ts';

const P = 'http://p:3128';
const cases: [string, Record<string, string>, string | undefined][] = [
  ['https://h', {}, undefined],
  ['https://h', { HTTPS_PROXY: P }, P],
  ['https://h', { https_proxy: P }, P],
  ['https://h', { HTTP_PROXY: P }, undefined],
  ['http://h', { HTTP_PROXY: 'p:3128' }, P],
  ['https://localhost', { HTTPS_PROXY: P }, undefined],
  ['https://127.0.0.9', { HTTPS_PROXY: P }, undefined],
  ['https://[::1]', { HTTPS_PROXY: P }, undefined],
  ['https://h', { HTTPS_PROXY: P, NO_PROXY: '*' }, undefined],
  ['https://a.b.c', { HTTPS_PROXY: P, NO_PROXY: 'x, b.c' }, undefined],
  ['https://b.c', { HTTPS_PROXY: P, NO_PROXY: '.b.c' }, P],
  ['https://a.b.c', { HTTPS_PROXY: P, no_proxy: '*.b.c' }, undefined],
  ['https://xb.c', { HTTPS_PROXY: P, NO_PROXY: 'b.c' }, P],
  ['https://A.B', { HTTPS_PROXY: P, NO_PROXY: 'a.b:443' }, undefined],
  ['https://a.b:6443', { HTTPS_PROXY: P, NO_PROXY: 'a.b:443' }, P],
  ['https://10.1.2.3', { HTTPS_PROXY: P, NO_PROXY: '10.0.0.0/8' }, undefined],
  ['https://11.1.2.3', { HTTPS_PROXY: P, NO_PROXY: '10.0.0.0/8,bad/99,10.0.0.0/x' }, P],
  ['https://[fd00::5]:6443', { HTTPS_PROXY: P, NO_PROXY: 'fd00::/16' }, undefined],
  ['https://10.1.2.3', { HTTPS_PROXY: P, NO_PROXY: '10.1.2.3' }, undefined],
];
for (const [server, env, expected] of cases) {
  test(`${server} with ${JSON.stringify(env)}`, () => assert.equal(proxyFor(new URL(server), env), expected));
}

const get = { method: 'GET', what: 'get', path: '/' } as const;

async function tlsServer(t: TestContext) {
  const server = await startServer(t, (_, response) => json(response, 200, 'through'), {
    cert: fixtureText('server.crt'),
    key: fixtureText('server.test-only.key'),
  });
  const credentials = createCredentials(
    {
      server: server.url,
      insecureSkipTlsVerify: false,
      source: 't',
      user: {},
      ca: { file: fixture('ca.crt'), field: 'ca' },
    },
    createSystemClock(),
  );
  return { server, credentials };
}

test('through an HTTP proxy: one tunnel, authentication, refusals', { timeout: 120_000 }, async (t) => {
  const { server, credentials } = await tlsServer(t);
  const asked: string[] = [];
  let status = '200 OK';
  const proxy = http.createServer();
  proxy.on('connect', (request, socket: net.Socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization']}`);
    socket.on('error', () => undefined);
    if (status !== '200 OK') return void socket.end(`HTTP/1.1 ${status}\r\n\r\n`);
    const upstream = net.connect(server.port, '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.pipe(upstream).pipe(socket);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => (proxy.closeAllConnections(), proxy.close()));
  const proxyUrl = `http://me:p%40w@127.0.0.1:${(proxy.address() as net.AddressInfo).port}`;
  const transport = transportTo(t, server.url, { credentials, proxyUrl });
  assert.equal((await transport.request(get)).json, 'through');
  assert.equal((await transport.request(get)).json, 'through');
  assert.deepEqual(asked, [`127.0.0.1:${server.port} Basic ${btoa('me:p@w')}`]);
  for (const [answer, words] of [
    ['407 Proxy Authentication Required', /asks for a user/],
    ['503 no', /answered 503/],
  ] as const) {
    status = answer;
    await assert.rejects(
      transportTo(t, server.url, { credentials, proxyUrl }).request({ ...get, method: 'PUT' }),
      (e) =>
        isStoreError(e, 'Unavailable') && !e.mayHaveCommitted && words.test(e.message) && !/p@w|p%40w/.test(e.message),
    );
  }
  await assert.rejects(
    transportTo(t, server.url, { credentials, proxyUrl: 'http://127.0.0.1:1' }).request(get),
    (e) => isStoreError(e, 'Unavailable') && /proxy http:\/\/127.0.0.1:1.*ECONNREFUSED/.test(e.message),
  );
});

test('through SOCKS5, with and without a password', { timeout: 120_000 }, async (t) => {
  const { server, credentials } = await tlsServer(t);
  const sockets = new Set<net.Socket>();
  const proxy = net.createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
    let data = Buffer.alloc(0);
    let step = 0;
    const onData = (chunk: Buffer): void => {
      data = Buffer.concat([data, chunk]);
      if (step === 0 && data.length >= 3) {
        const password = data[1] === 2;
        data = data.subarray(2 + (data[1] ?? 0));
        socket.write(Buffer.from([5, password ? 2 : 0]));
        step = password ? 1 : 2;
      }
      if (step === 1 && data.length >= 2) {
        const ok = data.toString('latin1') === '\x01\x02me\x02pw';
        data = Buffer.alloc(0);
        socket.write(Buffer.from([1, ok ? 0 : 1]));
        step = 2;
      } else if (step === 2 && data.length >= 5) {
        const host = data.subarray(5, 5 + (data[4] ?? 0)).toString();
        const port = data.readUInt16BE(5 + host.length);
        socket.off('data', onData);
        const upstream = net.connect(port, host, () => {
          socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
          socket.pipe(upstream).pipe(socket);
        });
        sockets.add(upstream.on('error', () => undefined));
      }
    };
    socket.on('data', onData);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  const { port } = proxy.address() as net.AddressInfo;
  for (const proxyUrl of [`socks5://127.0.0.1:${port}`, `socks5h://me:pw@127.0.0.1:${port}`]) {
    assert.equal((await transportTo(t, server.url, { credentials, proxyUrl }).request(get)).json, 'through');
  }
  await assert.rejects(
    transportTo(t, server.url, { credentials, proxyUrl: `socks5://me:no@127.0.0.1:${port}` }).request(get),
    /refused the user and password/,
  );
});
