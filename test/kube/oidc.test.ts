import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type http from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { createCredentials } from '../../src/kube/auth/credentials.ts';
import { loadKubeConfig } from '../../src/kube/auth/kubeconfig.ts';
import type { CredentialSource } from '../../src/kube/auth/material.ts';
import { isStoreError } from '../../src/lease/store.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { fixture, fixtureText, json, startServer, tempDir } from './support.ts';
import type { Seen, TestServer } from './support.ts';

/** An id-token that ends at this wall clock, in milliseconds. */
const idToken = (endsAt: number, more = {}): string =>
  ['{"alg":"none"}', JSON.stringify({ exp: Math.floor(endsAt / 1000), ...more }), 'S3CRET']
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.');
const bearer = async (source: CredentialSource): Promise<string> => (await source.current()).headers[1] ?? '';

interface Provider {
  readonly file: string;
  readonly clock: ManualClock;
  readonly server: TestServer;
  readonly source: (config?: object) => Promise<CredentialSource>;
  answer: (request: Seen, response: http.ServerResponse) => void;
}

async function provider(t: TestContext): Promise<Provider> {
  const file = join(tempDir(t), 'config');
  const clock = new ManualClock();
  const tls = { cert: fixtureText('server.crt'), key: fixtureText('server.test-only.key') };
  const server = await startServer(
    t,
    (request, response) => {
      if (request.method === 'POST') made.answer(request, response);
      else json(response, 200, { token_endpoint: `${server.url}/token` });
    },
    tls,
  );
  const made: Provider = {
    file,
    clock,
    server,
    answer: (_, response) => json(response, 200, { id_token: idToken(clock.wallMicros() / 1000 + 60_000) }),
    async source(config = {}) {
      const issuer = { 'idp-issuer-url': `${server.url}/`, 'idp-certificate-authority': fixture('ca.crt') };
      const full = { ...issuer, 'client-id': 'me', 'refresh-token': 'S3CRET-1', ...config };
      writeFileSync(
        file,
        `# kept\ncurrent-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: "https://h"}}]
users:\n- name: other\n  user: {}\n- name: u\n  user:\n    auth-provider: ${JSON.stringify({ name: 'oidc', config: full })}\n`,
        { mode: 0o600 },
      );
      return createCredentials(await loadKubeConfig({ kubeconfig: file, env: {} }), clock);
    },
  };
  return made;
}

test('an id-token that holds is used as it is, ten seconds before its end a new one', async (t) => {
  const p = await provider(t);
  const old = idToken(p.clock.wallMicros() / 1000 + 60_000, { sub: 'old' });
  const source = await p.source({ 'id-token': old });
  assert.equal(await bearer(source), `Bearer ${old}`);
  await p.clock.advance(49_000);
  assert.equal(await bearer(source), `Bearer ${old}`);
  assert.equal(p.server.seen.length, 0);
  const fresh = idToken(p.clock.wallMicros() / 1000 + 600_000, { sub: 'new' });
  p.answer = (_, response) => json(response, 200, { id_token: fresh, refresh_token: 'S3CRET-2' });
  await p.clock.advance(1_000);
  assert.equal(await bearer(source), `Bearer ${fresh}`);
  const [discovery, refresh] = p.server.seen;
  assert.equal(discovery?.url, '/.well-known/openid-configuration');
  assert.equal(refresh?.url, '/token');
  assert.equal(refresh.headers['content-type'], 'application/x-www-form-urlencoded');
  assert.equal(refresh.headers.authorization, `Basic ${btoa('me:')}`);
  assert.equal(refresh.body, 'grant_type=refresh_token&refresh_token=S3CRET-1');

  // Written back, and nothing else touched.
  const text = readFileSync(p.file, 'utf8');
  assert.match(text, /^# kept\n/);
  assert.equal(statSync(p.file).mode & 0o777, 0o600);
  assert.ok(!existsSync(`${p.file}.lock`));
  const settings = await loadKubeConfig({ kubeconfig: p.file, env: {} });
  assert.deepEqual([settings.user.oidc?.idToken, settings.user.oidc?.refreshToken], [fresh, 'S3CRET-2']);
  assert.equal(settings.user.oidc?.issuer, `${p.server.url}/`);
});

test('a provider that takes the client in the body; a new token that another program wrote', async (t) => {
  const p = await provider(t);
  const source = await p.source({ 'client-secret': 'S3CRET-c' });
  const fresh = idToken(p.clock.wallMicros() / 1000 + 60_000);
  p.answer = ({ headers }, response) =>
    headers.authorization === undefined
      ? json(response, 200, { id_token: fresh })
      : json(response, 401, { error: 'invalid_client' });
  assert.equal(await bearer(source), `Bearer ${fresh}`);
  assert.equal(
    p.server.seen.at(-1)?.body,
    'grant_type=refresh_token&refresh_token=S3CRET-1&client_id=me&client_secret=S3CRET-c',
  );
  assert.match(readFileSync(p.file, 'utf8'), /S3CRET-1/, 'without a new refresh token the old one stays');

  const asked = p.server.seen.length;
  const theirs = idToken(p.clock.wallMicros() / 1000 + 600_000);
  await p.source({ 'id-token': theirs });
  await p.clock.advance(60_000);
  assert.equal(await bearer(source), `Bearer ${theirs}`);
  assert.equal(p.server.seen.length, asked);
});

test('where tokens cannot be written back they are kept in memory', async (t) => {
  const p = await provider(t);
  const source = await p.source();
  writeFileSync(`${p.file}.lock`, '');
  const before = readFileSync(p.file, 'utf8');
  p.answer = ({ body }, response) => {
    const refresh = /refresh_token=S3CRET-(\d)/.exec(body)?.[1];
    const token = idToken(p.clock.wallMicros() / 1000 + 60_000, { sub: refresh });
    json(response, 200, { id_token: token, refresh_token: `S3CRET-${Number(refresh) + 1}` });
  };
  await source.current();
  assert.equal(readFileSync(p.file, 'utf8'), before);
  await p.clock.advance(60_000);
  await source.current();
  assert.match(p.server.seen.at(-1)?.body ?? '', /S3CRET-2/);
});

test('what fails is said without a token', async (t) => {
  const rows: [object, (p: Provider) => void, RegExp][] = [
    [{ 'refresh-token': '' }, () => undefined, /the id-token has expired and there is no refresh-token: sign in again/],
    [{ 'id-token': 'S3CRET' }, () => undefined, /the id-token is no JSON Web Token with an expiry/],
    [{ 'idp-issuer-url': 'http://127.0.0.1:1' }, () => undefined, /is no https URL: tokens go over TLS alone/],
    [{ 'idp-certificate-authority': undefined }, () => undefined, /oidc: https:\/\/127.0.0.1:\d+: .*verify/],
    [
      {},
      (p) => (p.answer = (_, r) => json(r, 400, { error: 'invalid_grant S3CRET-1' })),
      /refuses the refresh-token \(400\): sign in/,
    ],
    [{}, (p) => (p.answer = (_, r) => json(r, 200, {})), /answers with no id_token/],
    [{}, (p) => (p.server.handler = (_, r) => json(r, 404, {})), /discovery answers 404 and names no token_endpoint/],
    [{}, (p) => (p.answer = (_, r) => json(r, 200, { id_token: idToken(0) })), /has expired already/],
  ];
  for (const [config, prepare, words] of rows) {
    const p = await provider(t);
    const source = await p.source(config);
    prepare(p);
    await assert.rejects(
      async () => source.current(),
      (error) => {
        assert.ok(isStoreError(error, 'Credentials'), String(error));
        assert.match(error.message, words);
        assert.doesNotMatch(error.message, /S3CRET/);
        return true;
      },
    );
  }
});
