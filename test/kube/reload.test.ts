/** A kubeconfig that is replaced while it is in use, with what stands in it. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { loadKubeConfig } from '../../src/kube/auth/kubeconfig.ts';
import { createCredentials } from '../../src/kube/auth/credentials.ts';
import { KubeConfigError } from '../../src/kube/auth/settings.ts';
import { connect } from '../../src/kube/connection.ts';
import type { Connection } from '../../src/kube/connection.ts';
import type { LeaseEvent } from '../../src/lease/store.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { fixtureText, json, leaseJson, startServer, statusBody, tempDir } from './support.ts';
import type { Handler, TestServer } from './support.ts';

const T = { timeout: 120_000 };
const TLS = {
  cert: fixtureText('server.crt'),
  key: fixtureText('server.test-only.key'),
  ca: fixtureText('ca.crt'),
  requestCert: true,
  rejectUnauthorized: false,
};
const client = (name: string): object => ({
  'client-certificate-data': btoa(fixtureText(`${name}.crt`)),
  'client-key-data': btoa(fixtureText(`${name}.test-only.key`)),
});

interface World {
  readonly server: TestServer;
  readonly clock: ManualClock;
  readonly connection: Connection;
  readonly who: () => Promise<unknown>;
  write(user: object, more?: { server?: string; current?: string; text?: string }): void;
}

let stamp = 1_700_000_000;
async function world(t: TestContext, user: object, handler: Handler): Promise<World> {
  const server = await startServer(t, handler, TLS);
  const file = join(tempDir(t), 'config');
  const write: World['write'] = (next, { server: url = server.url, current = 'x', text } = {}) => {
    const config = {
      'current-context': current,
      contexts: ['x', 'y'].map((name) => ({ name, context: { cluster: 'c', user: name } })),
      clusters: [{ name: 'c', cluster: { server: url, 'certificate-authority-data': btoa(fixtureText('ca.crt')) } }],
      users: [
        { name: 'x', user: next },
        { name: 'y', user: { token: 'of-y' } },
      ],
    };
    writeFileSync(file, text ?? JSON.stringify(config));
    utimesSync(file, ++stamp, stamp);
  };
  write(user);
  const clock = new ManualClock();
  const connection = await connect({ kubeconfig: file, clock, random: Math.random });
  t.after(() => connection.close());
  const who = async (): Promise<unknown> =>
    (await connection.transport.request({ method: 'GET', what: 'ask', path: '/' })).json;
  return { server, clock, connection, who, write };
}

const name: Handler = (_, response, socket) =>
  json(response, 200, (socket as TLSSocket).getPeerCertificate().subject.CN);
const bearer: Handler = ({ headers }, response) => json(response, 200, headers.authorization);

test('inline certificates that are replaced are taken up within 10 s, without a request that fails', T, async (t) => {
  const { clock, who, write } = await world(t, client('client-a'), name);
  assert.equal(await who(), 'client-a');
  write(client('client-b'));
  assert.equal(await who(), 'client-a');
  await clock.advance(10_000);
  assert.equal(await who(), 'client-a', 'what is read may take a moment: nobody waits for it');
  await settle();
  assert.equal(await who(), 'client-b');
});

test('an inline token that the server refuses is read again before the request is sent once more', T, async (t) => {
  const { who, write, server } = await world(t, { token: 'old' }, ({ headers }, response) =>
    headers.authorization === 'Bearer new'
      ? json(response, 200, 'new')
      : json(response, 401, statusBody(401, 'Unauthorized', 'no')),
  );
  await assert.rejects(who(), /401/);
  write({ token: 'new' });
  assert.equal(await who(), 'new');
  assert.deepEqual(
    server.seen.map(({ headers }) => headers.authorization),
    ['Bearer old', 'Bearer old', 'Bearer new'],
  );
});

test('a 401 in the middle of a watch: it goes on with the new token, and misses nothing', T, async (t) => {
  let good = 'Bearer one';
  let version = 5;
  const made = await world(t, { token: 'one' }, ({ headers, url }, response) => {
    if (headers.authorization !== good) return json(response, 401, statusBody(401, 'Unauthorized', 'no'));
    if (!url.includes('watch=true')) {
      return json(response, 200, { metadata: { resourceVersion: String(version) }, items: [leaseJson('a', '4')] });
    }
    response.writeHead(200).flushHeaders();
    if (version === 5) {
      good = 'Bearer two';
      version = 6;
      made.write({ token: 'two' });
      response.end();
    } else response.write(`${JSON.stringify({ type: 'MODIFIED', object: leaseJson('a', String(version)) })}\n`);
  });
  const controller = new AbortController();
  // The pauses between two attempts of the watch.
  const passing = setInterval(() => void made.clock.advance(500), 5);
  t.after(() => clearInterval(passing));
  const seen: LeaseEvent[] = [];
  for await (const event of made.connection.store.watch({ namespace: 'ns' }, controller.signal)) {
    seen.push(event);
    if (event.type === 'modified') controller.abort();
  }
  assert.deepEqual(
    seen.map(({ type }) => type).filter((type) => !/fresh|lost/.test(type)),
    ['list', 'modified'],
  );
  assert.ok(seen.every((event) => event.type !== 'lost' || event.error.code !== 'Unauthorized'));
});

test('what is broken, of another server or of another context leaves what was good in force', T, async (t) => {
  const { clock, who, write } = await world(t, { token: 'good' }, bearer);
  const later = async (): Promise<unknown> => {
    await clock.advance(10_000);
    await who();
    await settle();
    return who();
  };
  assert.equal(await later(), 'Bearer good');
  write({}, { text: '{' });
  assert.equal(await later(), 'Bearer good');
  write({ token: 'for-another' }, { server: 'https://127.0.0.1:1' });
  assert.equal(await later(), 'Bearer good');
  write({ token: 'good' }, { current: 'y' });
  assert.equal(await later(), 'Bearer good', 'kubectl config use-context moves no running service');
  write({ token: 'next' }, { current: 'y' });
  assert.equal(await later(), 'Bearer next');
});

test('a kubeconfig or a token of a pod that cannot be read is an error, never passed over', async (t) => {
  const dir = tempDir(t, { good: '{}' });
  symlinkSync('loop', join(dir, 'loop'));
  const refused = (error: unknown): boolean =>
    error instanceof KubeConfigError && error.code === 'FileUnreadable' && /loop|token/.test(error.message);
  const KUBECONFIG = `${join(dir, 'loop')}:${join(dir, 'good')}`;
  await assert.rejects(loadKubeConfig({ env: { KUBECONFIG } }), refused);

  const pod = join(dir, 'pod');
  mkdirSync(join(pod, 'token'), { recursive: true });
  const env = { KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '443' };
  const settings = await loadKubeConfig({ env, home: dir, serviceAccountDir: pod });
  assert.throws(() => createCredentials(settings, new ManualClock()), refused);
  rmSync(join(pod, 'token'), { recursive: true });
});
