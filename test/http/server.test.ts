/** The HTTP server itself, over a socket: what it takes, what it refuses, how it ends. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { text } from '../../src/http/answer.ts';
import { ListenError, listen } from '../../src/http/server.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import type { HttpServer } from '../../src/http/server.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };

async function serve(t: TestContext, address = LOOPBACK): Promise<HttpServer & AsyncDisposable> {
  const server = await listen(
    address,
    {
      '/': () => text(200, 'hello\n'),
      '/query': (query) => text(200, query.has('verbose') ? 'long' : 'short'),
      '/bug': () => {
        throw new Error('a secret');
      },
    },
    { clock: createSystemClock() },
  );
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}

/** Bytes to the server, and all that it answers until it closes or 5 s have passed. */
function raw(url: string, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const { port, hostname } = new URL(url);
    const socket = connect(Number(port), hostname, () => socket.write(bytes));
    let answer = '';
    socket.setTimeout(5_000, () => socket.destroy());
    socket.setEncoding('utf8').on('data', (part: string) => (answer += part));
    socket.on('error', reject).on('close', () => resolve(answer));
  });
}

test('GET and HEAD are answered, with headers that forbid caching, framing and sniffing', async (t) => {
  const { url } = await serve(t);
  const answer = await fetch(url);
  assert.equal(await answer.text(), 'hello\n');
  assert.equal(answer.headers.get('cache-control'), 'no-store');
  assert.equal(answer.headers.get('x-content-type-options'), 'nosniff');
  assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'; frame-ancestors 'none'/);
  const head = await fetch(url, { method: 'HEAD' });
  assert.deepEqual([head.status, head.headers.get('content-length'), await head.text()], [200, '6', '']);
  assert.equal(await (await fetch(`${url}/query?verbose`)).text(), 'long');
});

test('everything else is refused: methods, unknown paths; a bug tells nothing', async (t) => {
  const { url } = await serve(t);
  for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']) {
    const answer = await fetch(url, { method, ...(method === 'POST' ? { body: 'x'.repeat(100_000) } : {}) });
    assert.deepEqual([answer.status, answer.headers.get('allow')], [405, 'GET, HEAD'], method);
    await answer.text();
  }
  const missing = await fetch(`${url}/secret`);
  assert.deepEqual([missing.status, await missing.text()], [404, 'not found; there is:\n/\n/query\n/bug\n']);
  const bug = await fetch(`${url}/bug`);
  assert.deepEqual([bug.status, await bug.text()], [500, 'internal error\n']);
});

test('headers beyond 8 KB and nonsense are refused; a body is not waited for', async (t) => {
  const { url } = await serve(t);
  assert.match(
    await raw(url, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(9_000)}\r\n\r\n`),
    /^HTTP\/1.1 431 /,
  );
  assert.match(await raw(url, 'nonsense\r\n\r\n'), /^HTTP\/1.1 400 /);
  // The body never comes: any good answer was given without it.
  const answer = await raw(url, 'GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n');
  assert.match(answer, /^HTTP\/1.1 200 OK[^]*connection: close[^]*hello/i);
});

test('headers that come drop by drop have 5 s, like all others', async (t) => {
  const { url } = await serve(t);
  const { port, hostname } = new URL(url);
  const began = performance.now();
  const socket = connect(Number(port), hostname, () => socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n'));
  const drops = setInterval(() => socket.write('X: y\r\n'), 500);
  let answer = '';
  socket.on('data', (part: Buffer) => (answer += part.toString()));
  socket.on('error', () => {});
  await new Promise((resolve) => socket.on('close', resolve));
  clearInterval(drops);
  assert.match(answer, /^HTTP\/1.1 408 /);
  // Without that bound it would be minutes.
  assert.ok(performance.now() - began < 25_000);
});

test('however many connections are kept open, a new one is answered', async (t) => {
  const { url } = await serve(t);
  const { port, hostname } = new URL(url);
  const kept = await Promise.all(
    Array.from({ length: 300 }, async () => {
      const socket = connect(Number(port), hostname);
      socket.on('error', () => {});
      socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await new Promise((resolve) => socket.once('data', resolve).once('close', resolve));
      return socket;
    }),
  );
  t.after(() => kept.forEach((socket) => socket.destroy()));
  assert.match(await raw(url, 'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'), /^HTTP\/1.1 200 /);
});

test('on loopback a name that others may have bound to it is refused', async (t) => {
  const { url } = await serve(t);
  const status = async (host: string): Promise<string> =>
    (await raw(url, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).slice(9, 12);
  for (const host of ['localhost', 'localhost:8080', '127.0.0.1:1', '[::1]:80', 'lk.localhost', '']) {
    assert.equal(await status(host), '200', host);
  }
  for (const host of ['evil.example', 'evil.example:80', 'localhost.evil.example']) {
    assert.equal(await status(host), '403', host);
  }
  const everywhere = await serve(t, { host: '', port: 0 });
  assert.match(everywhere.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(
    await raw(everywhere.url, 'GET / HTTP/1.1\r\nHost: sidecar.example\r\nConnection: close\r\n\r\n'),
    /^HTTP\/1.1 200 /,
  );
});

test('a port that is taken is reported at once, in words', async (t) => {
  const { url } = await serve(t);
  const port = Number(new URL(url).port);
  await assert.rejects(listen({ ...LOOPBACK, port }, {}, { clock: createSystemClock() }), (error) => {
    assert.ok(error instanceof ListenError);
    assert.equal(error.code, 'CannotListen');
    assert.equal(
      error.message,
      `cannot listen on 127.0.0.1:${port} (--http-address): the port is taken by another process`,
    );
    return true;
  });
});

test('it ends with its signal, whatever connections are open', async (t) => {
  const server = await serve(t);
  const stop = new AbortController();
  const running = server.run(stop.signal);
  await (await fetch(server.url)).text();
  const half = raw(server.url, 'GET / HTTP/1.1\r\nHost:').catch(() => '');
  await wait(50);
  stop.abort();
  const began = performance.now();
  await Promise.all([running, half]);
  // The shortest of the server's own bounds is 5 s.
  assert.ok(performance.now() - began < 4_500);
  await assert.rejects(fetch(server.url));
});

test('one connection asks one question at a time: a packet full of them makes no heap of answers', async (t) => {
  let made = 0;
  const server = await listen(
    LOOPBACK,
    { '/': () => text(200, String(++made).repeat(1000)) },
    { clock: createSystemClock() },
  );
  t.after(() => server[Symbol.asyncDispose]());
  await raw(server.url, 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(600));
  assert.ok(made <= 2, `${made} answers were made`);
  // One after the other is no crowd.
  for (let i = 0; i < 3; i++) assert.equal((await fetch(server.url)).status, 200);
});
