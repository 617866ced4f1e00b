/** Credentials never reach an error, also when a server repeats them. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { inspect } from 'node:util';
import { test } from 'node:test';
import type http from 'node:http';
import { clean, createSecrets, strike } from '../../src/kube/wire/foreign-text.ts';
import { parseWatchLine } from '../../src/kube/watch-stream.ts';
import type { Request } from '../../src/kube/wire/transport.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { json, noCredentials, startServer, statusBody, transportTo } from './support.ts';
import type { Handler } from './support.ts';

const T = { timeout: 120_000 };
const TOKEN = 'S3CRET.token/of-me';
const get: Request = { method: 'GET', what: 'get it', path: '/x' };
const put: Request = { method: 'PUT', what: 'put it', path: '/x', body: {} };
const bearer = {
  ...noCredentials,
  current: () => ({ headers: ['authorization', `Bearer ${TOKEN}`], secureContext: undefined }),
};
const everything = (error: unknown): string => inspect(error, { depth: 9, showHidden: true });

const echo = (headers: http.IncomingHttpHeaders): string =>
  Object.entries(headers)
    .map(([name, value]) => `${name}: ${String(value)}`)
    .join('\n');
const page =
  (status: number, text: (headers: http.IncomingHttpHeaders) => string): Handler =>
  ({ headers }, response) =>
    void response.writeHead(status).end(text(headers));
const answers: [string, Handler][] = [
  [
    'a Status message',
    ({ headers }, r) => json(r, 403, statusBody(403, 'Forbidden', `denied: ${JSON.stringify(headers)}`)),
  ],
  ['a Status reason', ({ headers }, r) => json(r, 409, statusBody(409, headers.authorization ?? '', 'no'))],
  ['a 404 page', page(404, echo)],
  ['a 404 page that the quotation cuts', page(404, (h) => `${'x'.repeat(185)} ${h.authorization?.slice(7) ?? ''}`)],
  ['a long page', page(500, (h) => `${' '.repeat(790)}${h.authorization?.slice(7) ?? ''}${'y'.repeat(9_000)}`)],
  ['a good page', page(200, echo)],
  [
    'a Lease of another name',
    ({ headers }, r) => json(r, 500, statusBody(500, '', headers.authorization?.slice(7) ?? '')),
  ],
];
for (const [name, handler] of answers) {
  test(`a server repeats the credentials: ${name}`, T, async (t) => {
    const server = await startServer(t, handler);
    const transport = transportTo(t, server.url, { credentials: bearer });
    for (const ask of [() => transport.request(put), () => transport.stream(get)]) {
      await ask().catch((error: unknown) => {
        assert.ok(error instanceof LeaseStoreError);
        assert.doesNotMatch(everything(error), /S3CRET/);
      });
    }
    await assert.rejects(transport.request(put), (error) => !everything(error).includes('S3CRET'));
  });
}

test('a server repeats the credentials: bytes that are no HTTP', T, async (t) => {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data) => void socket.end(`HTTP/1.1 200 OK\r\n${String(data)}`));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  const transport = transportTo(t, `http://127.0.0.1:${port}`, { credentials: bearer });
  await assert.rejects(transport.request(put), (error) => {
    assert.doesNotMatch(everything(error), /S3CRET/);
    return true;
  });
});

test('a server repeats the credentials: an error in a watch, those before the last ones, of another connection', (t) => {
  const secrets = createSecrets();
  t.after(() => secrets.forget());
  secrets.sent(['authorization', `Bearer ${TOKEN}`]);
  secrets.sent(['authorization', `Basic ${btoa('me:S3CRET-password')}`]);
  const status = statusBody(500, 'Oops', `${TOKEN} S3CRET-password me:S3CRET-password ${btoa('me:S3CRET-password')}`);
  const line = parseWatchLine(JSON.stringify({ type: 'ERROR', object: status }), 'watch', () => 0);
  assert.ok(line.kind === 'error');
  assert.doesNotMatch(line.error.message, /S3CRET/);
  assert.match(line.error.message, /500 Oops: \[…\] \[…\] \[…\] \[…\]/);
});

test('a proxy repeats the password of its URL', T, async (t) => {
  const proxy = await startServer(
    t,
    page(407, () => 'no such user: me, S3CRET-of-proxy'),
  );
  const url = proxy.url.replace('//', '//me:S3CRET-of-proxy@');
  const transport = transportTo(t, 'http://server.invalid', { proxyUrl: url });
  await assert.rejects(transport.request(get), (error) => {
    assert.doesNotMatch(everything(error), /S3CRET/);
    return true;
  });
  const tunnelling = net.createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => void socket.end('HTTP/1.1 407 S3CRET-of-proxy is wrong\r\n\r\n'));
  });
  await new Promise<void>((resolve) => tunnelling.listen(0, '127.0.0.1', resolve));
  t.after(() => tunnelling.close());
  const { port } = tunnelling.address() as net.AddressInfo;
  const secure = transportTo(t, 'https://server.invalid', { proxyUrl: `http://me:S3CRET-of-proxy@127.0.0.1:${port}` });
  await assert.rejects(secure.request(get), (error) => {
    assert.match((error as Error).message, /proxy .*\(407 /);
    assert.doesNotMatch(everything(error), /S3CRET/);
    return true;
  });
});

test('what follows authorization is struck out, of any program; other words stay', () => {
  const rows: [string, string][] = [
    ['Authorization: Bearer abc\nHost: h', 'Authorization: […]\nHost: h'],
    ['{"authorization":"Digest a, b","host":"h"}', '{"authorization":[…],"host":"h"}'],
    ["{'proxy-authorization': 'x', 'host': 'h'}", "{'proxy-authorization': […], 'host': 'h'}"],
    ['sent bearer abcdefghijkl to us', 'sent bearer […] to us'],
    ['token eyJhbGciOiJub25lIn0.eyJleHAiOjF9.c2ln was bad', 'token […] was bad'],
    ...[
      'leases.coordination.k8s.io "x" is forbidden: User "u" cannot get resource "leases" in API group "coordination.k8s.io"',
      'cannot create resource "selfsubjectaccessreviews" in API group "authorization.k8s.io" at the cluster scope',
      'Unauthorized',
      'a basic check failed; the bearer may retry',
    ].map((same): [string, string] => [same, same]),
  ];
  for (const [text, out] of rows) assert.equal(strike(text), out);
});

test('a short password is struck out as a word only', (t) => {
  const secrets = createSecrets();
  t.after(() => secrets.forget());
  secrets.sent(['authorization', `Basic ${btoa('me:a.b')}`]);
  assert.equal(clean('a.b is in xa.b and (a.b)', 100), '[…] is in xa.b and ([…])');
});
