/** Fuzzing bytes on sockets and pipes: answers of servers and proxies, requests to the endpoints, the watchdog's messages. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { after, before } from 'node:test';
import fc from '../support/fast-check.ts';
import { readStat } from '../../src/guard/process-group.ts';
import { decoder, encode } from '../../src/guard/protocol.ts';
import type { Order } from '../../src/guard/protocol.ts';
import { countAnswer } from '../../src/http/census-endpoint.ts';
import { PING, healthz } from '../../src/http/health-endpoint.ts';
import type { HttpServer } from '../../src/http/server.ts';
import { listen } from '../../src/http/server.ts';
import { createLeaseApi } from '../../src/kube/lease-api.ts';
import { openTunnel } from '../../src/kube/wire/proxy.ts';
import type { CreateHttpClient } from '../../src/kube/wire/http-client.ts';
import { nodeClient } from '../../src/kube/wire/node-client.ts';
import { undiciClient } from '../../src/kube/wire/undici-client.ts';
import { createTransport } from '../../src/kube/wire/transport.ts';
import type { Transport } from '../../src/kube/wire/transport.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { fuzz, onlyThrows, texts } from './fuzz.ts';

/** Sends what it is given, in pieces, to each client, and ends. */
class Mute {
  pieces: readonly string[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor() {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => {}).on('close', () => this.#sockets.delete(socket));
      socket.once('data', () => {
        socket.resume();
        for (const piece of this.pieces) socket.write(Buffer.from(piece, 'latin1'));
        socket.end();
      });
    });
  }

  async start(): Promise<number> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

const LEASE = '{"kind":"Lease","metadata":{"name":"a","namespace":"n","uid":"u","resourceVersion":"7"},"spec":{}}';
const answer = (body: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n${more}Content-Length: ${body.length}\r\n\r\n${body}`;
const ANSWERS = [
  answer(LEASE),
  answer(LEASE, 'Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n'),
  `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${LEASE.length.toString(16)}\r\n${LEASE}\r\n0\r\n\r\n`,
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n',
];
const pieces = (valid: readonly string[], words: readonly string[] = []): fc.Arbitrary<string[]> =>
  fc.tuple(texts(valid, words), fc.array(fc.nat(60), { maxLength: 5 })).map(([text, cuts]) => {
    let at = 0;
    const parts = cuts.map((cut) => text.slice(at, (at += cut)));
    return [...parts, text.slice(at)].filter((part) => part !== '');
  });

const mute = new Mute();
let transports: Record<string, Transport>;
let port: number;
let endpoints: HttpServer & AsyncDisposable;
before(async () => {
  port = await mute.start();
  const clock = createSystemClock();
  const credentials = { current: () => ({ headers: [], secureContext: undefined }), rejected() {}, close() {} };
  const reach = (createClient: CreateHttpClient): Transport =>
    createTransport({
      server: `http://127.0.0.1:${port}`,
      credentials,
      clock,
      userAgent: 'fuzz',
      requestTimeoutMs: 2_000,
      createClient,
    });
  transports = { undici: reach(undiciClient), node: reach(nodeClient) };
  const unknown = { known: false, reason: 'NotSynced', synced: false, clock: 'observed', freshForMs: 1 } as const;
  endpoints = await listen(
    { host: '127.0.0.1', port: 0 },
    {
      '/v1/count': () => countAnswer({ snapshot: () => unknown, census: () => undefined }),
      '/readyz': healthz('readyz', () => [PING]),
    },
  );
});
after(async () => {
  await Promise.all(Object.values(transports).map((transport) => transport.close()));
  await mute.close();
  await endpoints[Symbol.asyncDispose]();
});

for (const client of ['undici', 'node']) {
  fuzz(
    `HTTP answers of a server, read by ${client}`,
    pieces(ANSWERS, [
      '\r\n',
      '\r\n\r\n',
      'HTTP/1.1 ',
      'Content-Length: ',
      'Transfer-Encoding: chunked\r\n',
      '101 Switching Protocols',
    ]),
    async (sent) => {
      mute.pieces = sent;
      const clock = createSystemClock();
      const transport = transports[client]!;
      const store = createLeaseApi({ transport, clock, random: Math.random });
      try {
        const lease = await store.get({ namespace: 'n', name: 'a' }, { timeoutMs: 1_500 });
        assert.equal(lease.metadata.name, 'a');
      } catch (error) {
        if (!(error instanceof LeaseStoreError)) throw error;
        assert.notEqual(error.code, 'Timeout', 'the connection had ended');
      }
    },
    { runs: 300, boundMs: 1_000 },
  );
}

fuzz(
  'answers of HTTP and SOCKS proxies',
  fc.record({
    scheme: fc.constantFrom('http', 'socks5'),
    sent: pieces([
      'HTTP/1.1 200 OK\r\n\r\n',
      'HTTP/1.1 407 No\r\n\r\n',
      '\x05\0\x05\0\0\x01\0\0\0\0\0\0',
      '\x05\x02\x01\0\x05\0\0\x03\x01a\0\0',
    ]),
  }),
  async ({ scheme, sent }) => {
    mute.pieces = sent;
    const parts: { destroy(): unknown }[] = [];
    let calls = 0;
    await new Promise<void>((resolve) => {
      const proxy = new URL(`${scheme}://user:password@127.0.0.1:${port}`);
      openTunnel(
        proxy,
        {},
        { host: 'api', port: 443 },
        (part) => parts.push(part),
        (error, socket) => {
          calls++;
          assert.equal(error === undefined, socket !== undefined);
          assert.doesNotMatch(error?.message ?? '', /password@/);
          resolve();
        },
      );
    });
    await new Promise((resolve) => setImmediate(resolve));
    for (const part of parts) part.destroy();
    assert.equal(calls, 1);
  },
  { runs: 300, boundMs: 1_000 },
);

fuzz(
  'HTTP requests to the endpoints: /v1/count, /readyz and their queries',
  pieces(
    [
      'GET /v1/count HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'GET /readyz?verbose&exclude=ping HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
      'HEAD /v1/count?a=%ff&b=[] HTTP/1.1\r\nHost: [::1]:80\r\n\r\n',
    ],
    ['?verbose', '%00', '%', '../', '//', 'POST ', '\r\n', 'Host: evil\r\n', 'Content-Length: 5\r\n\r\n'],
  ),
  async (sent) => {
    const { port: to } = new URL(endpoints.url);
    const socket = connect(Number(to), '127.0.0.1');
    let answered = '';
    socket
      .setEncoding('latin1')
      .on('error', () => {})
      .on('data', (text: string) => (answered += text));
    for (const piece of sent) socket.write(Buffer.from(piece, 'latin1'));
    socket.end();
    await new Promise((resolve) => socket.once('close', resolve));
    if (answered !== '')
      assert.match(answered, /^HTTP\/1\.1 (200|400|403|404|405|408|413|414|417|431|503) /, sent.join(''));
    const { status } = await fetch(`${endpoints.url}/v1/count`);
    assert.equal(status, 503, 'it still answers, and as it should');
  },
  { runs: 300, boundMs: 1_000 },
);

const instant = { ms: fc.double({ noNaN: true, noDefaultInfinity: true }) };
const signal = fc.constantFrom<NodeJS.Signals>('SIGTERM', 'SIGINT', 'SIGHUP');
const order = fc.oneof(
  fc.record({ do: fc.constant('end' as const), signal }),
  fc.record({ do: fc.constant('signal' as const), signal }),
  fc.record({ do: fc.constant('kill' as const) }),
  fc.record({
    do: fc.constant('start' as const),
    command: fc.string({ unit: 'binary' }),
    args: fc.array(fc.string({ unit: 'binary' })),
    env: fc.dictionary(fc.string(), fc.string({ unit: 'binary' })),
    graceMs: fc.nat(),
    endAt: fc.record(instant),
    killAt: fc.record(instant),
  }),
) as unknown as fc.Arbitrary<Order>;

fuzz(
  'messages to the watchdog, cut anywhere',
  fc.tuple(fc.array(order, { maxLength: 5 }), fc.array(fc.nat(30), { maxLength: 20 })),
  ([orders, cuts]) => {
    const text = orders.map(encode).join('');
    const out: Order[] = [];
    const take = decoder<Order>((one) => out.push(one));
    let at = 0;
    for (const cut of cuts) take(text.slice(at, (at += cut)));
    take(text.slice(at));
    assert.deepEqual(JSON.stringify(out), JSON.stringify(orders));
  },
);

fuzz(
  'messages to the watchdog that are none',
  texts([encode({ do: 'kill' }), '{"do":"extend","n":1}\n'], ['\n']),
  (text) => {
    // What is no JSON ends the watchdog's reading, and so its command: see watchdog.ts.
    onlyThrows(SyntaxError, () => decoder<Order>(() => {})(text));
  },
);

fuzz(
  'processes as /proc tells them',
  fc.record({
    name: fc.oneof(fc.string({ unit: 'binary', maxLength: 15 }), fc.constantFrom(') Z 1 1', '((', ') ', 'a) R 2 2 (b')),
    state: fc.constantFrom('R', 'S', 'Z', 'X', 'T'),
    parent: fc.nat(),
    group: fc.nat(),
  }),
  ({ name, state, parent, group }) => {
    const stat = Buffer.from(`77 (${name}) ${state} ${parent} ${group} 5 0 -1 4194560\n`).toString('latin1');
    assert.deepEqual(readStat(stat), { state, parent, group });
  },
);
fuzz('what /proc never tells', texts(['1 (a) S 0 1 1 0']), (text) => void readStat(text));
