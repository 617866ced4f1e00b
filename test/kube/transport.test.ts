import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { createCredentials } from '../../src/kube/auth/credentials.ts';
import type { Credentials } from '../../src/kube/auth/material.ts';
import type { Request } from '../../src/kube/wire/transport.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { fixture, fixtureText, json, noCredentials, startServer, statusBody, transportTo, until } from './support.ts';

const T = { timeout: 120_000 };
const get: Request = { method: 'GET', what: 'get it', path: '/x' };
const put: Request = { method: 'PUT', what: 'put it', path: '/x', body: { a: 'é' } };
const is =
  (code: LeaseStoreErrorCode, mayHaveCommitted = false) =>
  (error: unknown): true => {
    assert.ok(error instanceof LeaseStoreError, String(error));
    assert.equal(error.code, code, error.message);
    assert.equal(error.mayHaveCommitted, mayHaveCommitted);
    return true;
  };

test('sends what is asked and reads what is answered', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 201, { ok: 'ü' }, { 'x-y': 'z' }));
  const transport = transportTo(t, `${server.url}/base/`.replace(/\/$/, ''));
  const answer = await transport.request({ ...put, contentType: 'application/merge-patch+json' });
  assert.deepEqual(answer.json, { ok: 'ü' });
  assert.equal(answer.status, 201);
  assert.equal(answer.headers['x-y'], 'z');
  const [seen] = server.seen;
  assert.equal(seen?.method, 'PUT');
  assert.equal(seen?.url, '/base/x');
  assert.equal(seen?.body, '{"a":"é"}');
  assert.equal(seen?.headers['content-type'], 'application/merge-patch+json');
  assert.equal(seen?.headers['user-agent'], 'test/1');
  assert.equal(seen?.headers['accept'], 'application/json');
  assert.equal(seen?.headers['accept-encoding'], undefined);
});

test('requests one after another share one connection, a DELETE with a body included', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 200, {}));
  const transport = transportTo(t, server.url);
  for (let i = 0; i < 50; i++) {
    await transport.request(i % 3 === 0 ? { ...put, method: 'DELETE' } : i % 3 === 1 ? put : get);
  }
  assert.equal(server.sockets.length, 1);
  assert.equal(server.seen[0]?.headers['connection'], 'keep-alive');
});

test('opens as many connections as there are requests at a time, up to the limit', T, async (t) => {
  let most = 0;
  let now = 0;
  const server = await startServer(t, (_, response) => {
    most = Math.max(most, ++now);
    setImmediate(() => (now--, json(response, 200, {})));
  });
  const transport = transportTo(t, server.url, { maxConnections: 4 });
  await Promise.all(Array.from({ length: 100 }, () => transport.request(put)));
  assert.equal(server.seen.length, 100);
  assert.ok(most <= 4 && most > 1, String(most));
  assert.equal(server.sockets.length, 4);
  assert.equal(transport.connections, 4);
});

test('the timeout is on the injected clock, ends the exchange and frees its connection', T, async (t) => {
  const server = await startServer(t, () => undefined);
  const clock = new ManualClock();
  const transport = transportTo(t, server.url, { clock });
  const writing = assert.rejects(transport.request({ ...put, timeoutMs: 3000 }), is('Timeout', true));
  const reading = assert.rejects(transport.request(get), is('Timeout'));
  await until(() => server.seen.length === 2);
  await clock.advance(3000);
  await writing;
  await clock.advance(6999);
  assert.equal(server.open(), 1);
  await clock.advance(1);
  await reading;
  await until(() => server.open() === 0);
  assert.equal(clock.pending, 0);
});

test('after a timeout, other idle connections are not trusted either', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 200, {}));
  const clock = new ManualClock();
  const transport = transportTo(t, server.url, { clock });
  await Promise.all([transport.request(get), transport.request(get), transport.request(get)]);
  assert.equal(server.sockets.length, 3);
  server.handler = () => undefined;
  const slow = assert.rejects(transport.request(put), is('Timeout', true));
  await until(() => server.seen.length === 4);
  await clock.advance(10_000);
  await slow;
  await until(() => server.open() === 0);
  server.handler = (_, response) => json(response, 200, {});
  await transport.request(put);
  assert.equal(server.sockets.length, 4);
});

test(
  'the signal ends a call before it is sent, while it waits, while connecting, and in the middle of the body',
  T,
  async (t) => {
    const server = await startServer(t, () => undefined);
    const transport = transportTo(t, server.url, { maxConnections: 1 });
    await assert.rejects(transport.request({ ...put, signal: AbortSignal.abort() }), is('Aborted'));
    assert.equal(server.seen.length, 0);

    const first = new AbortController();
    const second = new AbortController();
    const running = assert.rejects(transport.request({ ...put, signal: first.signal }), is('Aborted', true));
    const waiting = assert.rejects(transport.request({ ...put, signal: second.signal }), is('Aborted'));
    await until(() => server.seen.length === 1);
    second.abort();
    await waiting;
    first.abort();
    await running;
    assert.equal(server.seen.length, 1);

    const connecting = new AbortController();
    const never = assert.rejects(transport.request({ ...put, signal: connecting.signal }), is('Aborted'));
    connecting.abort();
    await never;

    server.handler = (_, response) => void response.writeHead(200).write('{"half":');
    const body = new AbortController();
    const half = assert.rejects(transport.request({ ...get, signal: body.signal }), is('Aborted'));
    await until(() => server.seen.length === 2);
    body.abort();
    await half;
    server.handler = (_, response) => json(response, 200, { ok: 1 });
    assert.deepEqual((await transport.request(get)).json, { ok: 1 });
  },
);

test('leaves no listener on the signal', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 200, {}));
  const transport = transportTo(t, server.url);
  const { signal } = new AbortController();
  let listeners = 0;
  const add = signal.addEventListener.bind(signal);
  const remove = signal.removeEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => (listeners++, add(...args));
  signal.removeEventListener = (...args: Parameters<typeof remove>) => (listeners--, remove(...args));
  await transport.request({ ...get, signal });
  const stream = await transport.stream({ ...get, signal });
  while (await stream.read());
  assert.equal(listeners, 0);
});

test('an answer that is too large is refused, announced or not, and the transport goes on', T, async (t) => {
  const server = await startServer(t, (_, response) =>
    json(response, 200, 'x'.repeat(2000), { 'content-length': 2002 }),
  );
  const transport = transportTo(t, server.url, { maxAnswerBytes: 1000 });
  await assert.rejects(transport.request(get), is('TooLarge'));
  server.handler = (_, response) => {
    response.writeHead(200);
    const more = (): void => void (response.destroyed || (response.write('y'.repeat(600)), setImmediate(more)));
    more();
  };
  await assert.rejects(transport.request(put), is('TooLarge', true));
  server.handler = (_, response) => json(response, 200, {});
  await transport.request(get);
});

test('no JSON in a good answer', T, async (t) => {
  const server = await startServer(t, (_, response) => void response.end('<html>login</html>'));
  const transport = transportTo(t, server.url);
  await assert.rejects(transport.request(put), is('BadAnswer', true));
  await assert.rejects(transport.request(get), /200 with no JSON: "<html>login<\/html>"/);
});

test(
  'a write whose connection breaks may have committed and is not sent again; a refused connection has not',
  T,
  async (t) => {
    const server = await startServer(t, (_, __, socket) => void socket.destroy());
    const transport = transportTo(t, server.url);
    await assert.rejects(transport.request(put), is('Unavailable', true));
    assert.equal(server.seen.length, 1);
    await server.close();
    await assert.rejects(transport.request(put), is('Unavailable'));
  },
);

test(
  'a read on an idle connection that the server closes at that moment is sent again, once; a write never',
  T,
  async (t) => {
    const server = await startServer(t, (_, response) => json(response, 200, { ok: 1 }));
    const transport = transportTo(t, server.url);
    await transport.request(get);
    server.handler = (_, response, socket) => {
      if (server.sockets.length === 1) socket.resetAndDestroy();
      else json(response, 200, { ok: 2 });
    };
    assert.deepEqual((await transport.request(get)).json, { ok: 2 });
    assert.equal(server.seen.length, 3);
    server.handler = (_, __, socket) => void socket.destroy();
    await assert.rejects(transport.request(put), is('Unavailable', true));
    assert.equal(server.seen.length, 4);
    await assert.rejects(transport.request(get), is('Unavailable'));
    assert.equal(server.seen.length, 5);
  },
);

test('credentials that no header can carry fail the request, not the process, and keep no connection', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 200, {}));
  let value = 'a\nb';
  const credentials = {
    ...noCredentials,
    current: async (): Promise<Credentials> => ({ headers: ['authorization', value], secureContext: undefined }),
  };
  const transport = transportTo(t, server.url, { credentials, maxConnections: 1 });
  await assert.rejects(transport.request(put), is('Unavailable'));
  await assert.rejects(transport.stream(get), is('Unavailable'));
  assert.equal(server.seen.length, 0);
  value = 'a';
  await transport.request(put);
});

test('a server that goes over to another protocol unasked breaks the connection, at once', T, async (t) => {
  for (const fields of ['', 'connection: upgrade\r\nupgrade: x\r\n']) {
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => socket.write(`HTTP/1.1 101 Switching Protocols\r\n${fields}\r\n`));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const transport = transportTo(t, `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`);
    await assert.rejects(transport.request(put), is('Unavailable', true));
    await assert.rejects(transport.request(get), is('Unavailable'));
    await assert.rejects(transport.stream(get), is('Unavailable'));
  }
});

test('given up while the connection before it closes, a request opens none', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 200, {}, { connection: 'close' }));
  const transport = transportTo(t, server.url, { maxConnections: 1 });
  const caller = new AbortController();
  // Begins as soon as the first has its answer, before its connection is closed.
  const given = transport.request(get).then(async () => {
    const second = transport.request({ ...put, signal: caller.signal });
    caller.abort();
    return second;
  });
  await assert.rejects(given, is('Aborted'));
  await until(() => server.open() === 0);
  await until(() => transport.connections === 0);
  // A connection that nobody needed would be accepted before this one.
  await transport.request(get);
  assert.equal(server.sockets.length, 2);
});

test('with several dead connections a read still is sent again only once', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 200, {}));
  const transport = transportTo(t, server.url);
  await Promise.all([transport.request(get), transport.request(get), transport.request(get)]);
  server.handler = (_, __, socket) => void socket.resetAndDestroy();
  await assert.rejects(transport.request(get), is('Unavailable'));
  assert.equal(server.seen.length, 5);
});

test('a connection attempt that hangs holds up only the request that began it', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 200, {}), TLS);
  let first = true;
  const accepted: net.Socket[] = [];
  const front = net.createServer((socket) => {
    accepted.push(socket.on('error', () => undefined));
    if (first) first = false;
    else socket.pipe(net.connect(server.port, '127.0.0.1').on('error', () => undefined)).pipe(socket);
  });
  await new Promise<void>((resolve) => front.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    for (const socket of accepted) socket.destroy();
    front.close();
  });
  const clock = new ManualClock();
  const address = `https://127.0.0.1:${(front.address() as net.AddressInfo).port}`;
  const transport = transportTo(t, address, { clock, insecureSkipTlsVerify: true, maxConnections: 1 });
  const hanging = assert.rejects(transport.request({ ...put, timeoutMs: 1000 }), is('Timeout'));
  await until(() => !first);
  await clock.advance(1000);
  await hanging;
  await transport.request(put);
  await transport.close();
  assert.equal(clock.pending, 0);
});

test('a timeout while others are answered costs its own connection only', T, async (t) => {
  let hold = true;
  const server = await startServer(t, ({ method }, response) => {
    if (method !== 'PUT' || !hold) json(response, 200, {});
  });
  const clock = new ManualClock();
  const transport = transportTo(t, server.url, { clock });
  const hanging = assert.rejects(transport.request({ ...put, timeoutMs: 1000 }), is('Timeout', true));
  await until(() => server.seen.length === 1);
  await clock.advance(500);
  await transport.request(get);
  await clock.advance(500);
  await hanging;
  hold = false;
  await transport.request(put);
  assert.equal(server.sockets.length, 2, 'the connection that answers is kept');
  await clock.advance(10);
  hold = true;
  const alone = assert.rejects(transport.request({ ...put, timeoutMs: 1000 }), is('Timeout', true));
  await until(() => server.seen.length === 4);
  await clock.advance(1000);
  await alone;
  await transport.request(get);
  assert.equal(server.sockets.length, 3, 'nothing was answered meanwhile: all are given up');
});

test('a server that closes idle connections is not noticed', T, async (t) => {
  const server = await startServer(t, (_, response) => json(response, 200, {}));
  const transport = transportTo(t, server.url);
  for (let i = 0; i < 5; i++) {
    await transport.request(put);
    for (const socket of server.sockets) socket.destroy();
    await until(() => transport.connections === 0);
  }
  assert.equal(server.sockets.length, 5);
});

test('401: asks for other credentials and sends once more; without others the 401 stands', T, async (t) => {
  const server = await startServer(t, ({ headers }, response) =>
    headers.authorization === 'Bearer new'
      ? json(response, 200, { ok: 1 })
      : json(response, 401, statusBody(401, 'Unauthorized', 'Unauthorized')),
  );
  let current: Credentials = { headers: ['authorization', 'Bearer old'], secureContext: undefined };
  const refused: Credentials[] = [];
  const credentials = {
    current: () => current,
    rejected: (those: Credentials): void => void refused.push(those),
    close: () => undefined,
  };
  const transport = transportTo(t, server.url, { credentials });
  await assert.rejects(transport.request(put), is('Unauthorized'));
  assert.equal(server.seen.length, 1);
  credentials.rejected = () => {
    current = { headers: ['authorization', 'Bearer new'], secureContext: undefined };
  };
  assert.deepEqual((await transport.request(put)).json, { ok: 1 });
  assert.equal(server.seen.length, 3);
  assert.equal(refused.length, 1);
});

test('waiting for credentials ends with the signal and close; of an urgent call with the timeout', T, async (t) => {
  const clock = new ManualClock();
  const credentials = { ...noCredentials, current: () => new Promise<Credentials>(() => undefined) };
  const transport = transportTo(t, 'http://127.0.0.1:1', { clock, credentials });
  const late = assert.rejects(transport.request({ ...put, urgent: true }), (error: Error) => {
    assert.match(error.message, /no credentials within 10000 ms: the plugin that makes the credentials still runs/);
    return is('Timeout')(error);
  });
  await clock.advance(10_000);
  await late;
  const controller = new AbortController();
  const aborted = assert.rejects(transport.request({ ...put, signal: controller.signal }), is('Aborted'));
  controller.abort();
  await aborted;
  const closed = assert.rejects(transport.stream(get), is('Aborted'));
  await transport.close();
  await closed;
  assert.equal(clock.pending, 0);
});

test('a stream: piece by piece, its end, its cut, its signal', T, async (t) => {
  let response: import('node:http').ServerResponse | undefined;
  const server = await startServer(t, (_, r) => {
    response = r;
    r.writeHead(200).write('one\n');
  });
  const transport = transportTo(t, server.url);
  const first = await transport.stream(get);
  assert.equal(String(await first.read()), 'one\n');
  response?.end('two');
  assert.equal(String(await first.read()), 'two');
  assert.equal(await first.read(), undefined);

  const second = await transport.stream(get);
  await second.read();
  response?.destroy();
  await assert.rejects(second.read(), is('Unavailable'));

  const controller = new AbortController();
  const third = await transport.stream({ ...get, signal: controller.signal });
  await third.read();
  const reading = assert.rejects(third.read(), is('Aborted'));
  controller.abort();
  await reading;
  await until(() => server.open() === 0);
});

test('a stream that nobody reads stops reading from the socket', T, async (t) => {
  let written = 0;
  const server = await startServer(t, (_, response) => {
    response.writeHead(200);
    const piece = Buffer.alloc(64 * 1024);
    const more = (): void => {
      while (!response.destroyed) {
        written += piece.length;
        if (!response.write(piece)) return void response.once('drain', more);
      }
    };
    more();
  });
  const transport = transportTo(t, server.url);
  const stream = await transport.stream(get);
  let before = -1;
  // Until a while passes without progress.
  while (before !== written) {
    before = written;
    for (let i = 0; i < 200; i++) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(written < 32 * 1024 * 1024, String(written));
  const stalled = written;
  let read = 0;
  while (read <= stalled) read += (await stream.read())?.length ?? assert.fail('ended');
  stream.close();
  await until(() => server.open() === 0);
});

test('a refused stream is the error of its Status; its beginning has the timeout', T, async (t) => {
  const server = await startServer(t, (_, response) =>
    json(response, 410, statusBody(410, 'Expired', 'too old resource version')),
  );
  const clock = new ManualClock();
  const transport = transportTo(t, server.url, { clock });
  await assert.rejects(transport.stream(get), (error) => is('Expired')(error) && /too old/.test(String(error)));
  server.handler = () => undefined;
  const hung = assert.rejects(transport.stream(get), is('Timeout'));
  await until(() => server.seen.length === 2);
  await clock.advance(10_000);
  await hung;
  assert.equal(clock.pending, 0);
});

test('close ends what runs, waits and connects, and leaves no socket and no timer', T, async (t) => {
  const server = await startServer(t, (_, response) => void response.writeHead(200).write('x'));
  const accepted: net.Socket[] = [];
  const silent = net.createServer((socket) => void accepted.push(socket.on('error', () => undefined).resume()));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  const clock = new ManualClock();
  const transport = transportTo(t, server.url, { clock, maxConnections: 1 });
  const stream = await transport.stream(get);
  const all = [
    assert.rejects(transport.request(put), is('Aborted', true)),
    assert.rejects(transport.request(put), is('Aborted')),
    stream.read().then(() => assert.rejects(stream.read(), is('Aborted'))),
  ];
  await until(() => server.seen.length === 2);
  await until(() => clock.pending === 2);
  await transport.close();
  await Promise.all(all);
  await until(() => server.open() === 0);
  assert.equal(transport.connections, 0);
  assert.equal(clock.pending, 0);
  await assert.rejects(transport.request(get), is('Aborted'));

  // A TLS handshake that is never answered.
  const address = `https://127.0.0.1:${(silent.address() as net.AddressInfo).port}`;
  const handshake = transportTo(t, address, { clock });
  const hanging = assert.rejects(handshake.request(put), is('Aborted'));
  await new Promise<void>((resolve) => silent.once('connection', () => resolve()));
  await handshake.close();
  await hanging;
  assert.equal(clock.pending, 0);
  await until(() => accepted.length > 0 && accepted.every((socket) => socket.destroyed));
});

const TLS = { cert: fixtureText('server.crt'), key: fixtureText('server.test-only.key') };
const settings = (server: string, more: object = {}) => ({
  server,
  source: 'test',
  insecureSkipTlsVerify: false,
  ca: { file: fixture('ca.crt'), field: 'ca' },
  user: {},
  ...more,
});

test('TLS: the CA is checked, the name too, and what to do is said', T, async (t) => {
  const clock = createSystemClock();
  const server = await startServer(t, (_, response) => json(response, 200, {}), TLS);
  const known = transportTo(t, server.url, { credentials: createCredentials(settings(server.url), clock) });
  await known.request(get);
  await known.request(get);
  assert.equal(server.sockets.length, 1);
  await assert.rejects(
    transportTo(t, server.url).request(put),
    (e) => is('Unavailable')(e) && /certificate-authority/.test(String(e)),
  );
  await transportTo(t, server.url, { insecureSkipTlsVerify: true }).request(get);

  const elsewhere = await startServer(t, (_, response) => json(response, 200, {}), {
    cert: fixtureText('other-name.crt'),
    key: fixtureText('other-name.test-only.key'),
  });
  const credentials = createCredentials(settings(elsewhere.url), clock);
  await assert.rejects(
    transportTo(t, elsewhere.url, { credentials }).request(put),
    (e) => is('Unavailable')(e) && /tls-server-name/.test(String(e)),
  );
  await transportTo(t, elsewhere.url, { credentials, tlsServerName: 'elsewhere.example' }).request(get);
  const plain = await startServer(t, (_, response) => json(response, 200, {}));
  await assert.rejects(
    transportTo(t, plain.url.replace('http', 'https'), { credentials }).request(put),
    (e) => is('Unavailable')(e) && /does not speak TLS/.test(String(e)),
  );
});
