/** TLS, bearer tokens and client certificates of the endpoints, over sockets. */
import assert from 'node:assert/strict';
import { request } from 'node:https';
import type { RequestOptions } from 'node:https';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { text } from '../../src/http/answer.ts';
import { MAX_PLACES } from '../../src/http/places.ts';
import { listen } from '../../src/http/server.ts';
import type { HttpServer, Security } from '../../src/http/server.ts';
import { fixtureText } from '../kube/support.ts';

const CA = fixtureText('ca.crt');
const SERVER = { cert: fixtureText('server.crt'), key: fixtureText('server.test-only.key') };
const CLIENT = { cert: fixtureText('client-a.crt'), key: fixtureText('client-a.test-only.key') };
const STRANGER = { cert: fixtureText('other-name.crt'), key: fixtureText('other-name.test-only.key') };

async function serve(t: TestContext, security: Partial<Security>): Promise<HttpServer> {
  const server = await listen(
    { host: '127.0.0.1', port: 0 },
    {
      '/metrics': () => text(200, 'numbers'),
      '/livez': () => text(200, 'names and words'),
      '/readyz': () => text(503, 'names and words'),
    },
    { security: { ...SERVER, ...security } },
  );
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}

function ask(url: string, path: string, options: RequestOptions = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    request(url + path, { ca: CA, agent: false, ...options }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (piece: string) => (body += piece));
      answer.on('end', () => resolve(`${answer.statusCode} ${body.trim()}`)).on('error', reject);
    })
      .on('error', reject)
      .end();
  });
}
const bearer = (token: string): RequestOptions => ({ headers: { authorization: `Bearer ${token}` } });

test('TLS alone: everybody may read, and nothing goes out in clear text', async (t) => {
  const { url } = await serve(t, {});
  assert.match(url, /^https:/);
  assert.equal(await ask(url, '/metrics'), '200 numbers');
  await assert.rejects(fetch(url.replace('https', 'http')));
});

test('with a token everything is for those who have it; probes show their status alone', async (t) => {
  const { url } = await serve(t, { token: 'right' });
  for (const options of [{}, bearer('wrong'), bearer(''), { headers: { authorization: 'Basic right' } }]) {
    assert.match(await ask(url, '/metrics', options), /^401 a bearer token/);
    assert.match(await ask(url, '/nowhere', options), /^401 /, 'which paths there are is not said either');
    assert.equal(await ask(url, '/livez?verbose', options), '200 ok');
    assert.equal(await ask(url, '/readyz?verbose', options), '503 failed');
  }
  assert.equal(await ask(url, '/metrics', bearer('right')), '200 numbers');
  assert.equal(await ask(url, '/readyz', bearer('right')), '503 names and words');
});

test('with a client CA a certificate of its own is enough, and so is a token beside it', async (t) => {
  const { url } = await serve(t, { clientCa: CA, token: 'right' });
  assert.equal(await ask(url, '/metrics', CLIENT), '200 numbers');
  assert.equal(await ask(url, '/metrics', bearer('right')), '200 numbers');
  assert.match(await ask(url, '/metrics'), /^401 /);
  assert.equal(await ask(url, '/livez'), '200 ok');
  const other = await serve(t, { clientCa: SERVER.cert });
  assert.match(await ask(other.url, '/metrics', CLIENT), /^401 /, 'of another CA');
});

test('what is replaced is in force at the next connection; what does not go together changes nothing', async (t) => {
  const server = await serve(t, { token: 'old' });
  assert.throws(() => server.secure({ cert: STRANGER.cert, key: SERVER.key, token: 'new' }));
  assert.equal(await ask(server.url, '/metrics', bearer('old')), '200 numbers');
  server.secure({ ...STRANGER, token: 'new' });
  const there = { servername: 'elsewhere.example' };
  assert.equal(await ask(server.url, '/metrics', { ...bearer('new'), ...there }), '200 numbers');
  assert.match(await ask(server.url, '/metrics', { ...bearer('old'), ...there }), /^401 /);
});

test('connections that never begin their handshake keep nobody out', async (t) => {
  const { url } = await serve(t, {});
  const silent = Array.from({ length: MAX_PLACES + 50 }, () => connect(Number(new URL(url).port), '127.0.0.1'));
  t.after(() => silent.forEach((socket) => socket.destroy()));
  await Promise.all(
    silent.map((socket) => new Promise((resolve) => socket.on('error', () => {}).once('connect', resolve))),
  );
  for (let i = 0; i < 10; i++) assert.equal(await ask(url, '/livez'), '200 names and words');
});
