/** The probe of the server beside us: where it asks, whom it tells who we are, and whom it believes. */
import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { serverProbe } from '../../src/commands/server-probe.ts';
import { ServerHealth } from '../../src/identity/server-health.ts';
import type { HealthProbe, HealthRefusal } from '../../src/identity/server-health.ts';
import { connect } from '../../src/kube/connection.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { fixture, fixtureText, json, leaseJson, startServer, statusBody, tempDir, until } from '../kube/support.ts';

const T = { timeout: 120_000 };
const TLS = { cert: fixtureText('server.crt'), key: fixtureText('server.test-only.key') };

function kubeconfig(t: TestContext, server: string, user: object = { token: 'abc' }, cluster: object = {}): string {
  return `${tempDir(t, {
    config: JSON.stringify({
      'current-context': 'x',
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      clusters: [{ name: 'c', cluster: { server, ...cluster } }],
      users: [{ name: 'u', user }],
    }),
  })}/config`;
}

async function probeOf(
  t: TestContext,
  url: string,
  config: string,
  clock: Clock = createSystemClock(),
): Promise<(signal?: AbortSignal) => ReturnType<HealthProbe>> {
  const probe = await serverProbe(url, { kubeconfig: config, clock, env: {} });
  t.after(() => probe[Symbol.asyncDispose]());
  return (signal = new AbortController().signal) => probe.ask(signal);
}

/** Of an answer that is no refusal. */
const words = (problem: string | HealthRefusal | undefined): string => (typeof problem === 'string' ? problem : '');

test('asks the URL itself, whatever base path the kubeconfig has', T, async (t) => {
  const server = await startServer(t, ({ url }, response) => json(response, url === '/healthz?x=1' ? 200 : 404, 'ok'));
  const ask = await probeOf(t, `${server.url}/healthz?x=1`, kubeconfig(t, `${server.url}/k8s/clusters/c-1`));
  assert.equal(await ask(), undefined);
  assert.equal(server.seen[0]?.url, '/healthz?x=1');
});

test('credentials go to the API server itself and to no other origin', T, async (t) => {
  const own = await startServer(t, (_, response) => json(response, 200, 'ok'), TLS);
  const foreign = await startServer(t, (_, response) => json(response, 200, 'ok'), TLS);
  const cluster = { 'certificate-authority': fixture('ca.crt') };
  for (const user of [{ token: 'abc' }, { username: 'me', password: 'pw' }, { token: 'abc', as: 'somebody' }]) {
    const config = kubeconfig(t, own.url, user, cluster);
    assert.equal(await (await probeOf(t, `${own.url}/livez`, config))(), undefined);
    // The same host by another name is another origin, too.
    for (const url of [foreign.url, own.url.replace('127.0.0.1', 'localhost')]) {
      assert.equal(await (await probeOf(t, `${url}/livez`, config))(), undefined);
    }
  }
  const sawToken = (seen: typeof own.seen): boolean[] =>
    seen.map(({ headers }) => 'authorization' in headers || 'impersonate-user' in headers);
  assert.deepEqual(sawToken(foreign.seen), [false, false, false]);
  assert.deepEqual(sawToken(own.seen), [true, false, true, false, true, false]);
  assert.equal(own.seen[0]?.headers.authorization, 'Bearer abc');
});

test("a client certificate is shown to no other origin; the kubeconfig's CA is what counts for both", T, async (t) => {
  const names: unknown[] = [];
  const start = () =>
    startServer(
      t,
      (_, response, socket) => {
        names.push((socket as import('node:tls').TLSSocket).getPeerCertificate().subject?.CN);
        json(response, 200, 'ok');
      },
      { ...TLS, ca: fixtureText('ca.crt'), requestCert: true, rejectUnauthorized: false },
    );
  const [own, foreign] = [await start(), await start()];
  const user = { 'client-certificate': fixture('client-a.crt'), 'client-key': fixture('client-a.test-only.key') };
  const config = kubeconfig(t, own.url, user, { 'certificate-authority': fixture('ca.crt') });
  for (const { url } of [own, foreign]) assert.equal(await (await probeOf(t, url, config))(), undefined);
  assert.deepEqual(names, ['client-a', undefined]);

  const without = kubeconfig(t, own.url, user);
  for (const { url } of [own, foreign]) {
    assert.match(words(await (await probeOf(t, url, without))()), /certificate-authority/);
  }
  assert.equal(names.length, 2);
});

test("a probe that hangs takes no connection from the leases' requests, and says how long it waited", T, async (t) => {
  let asked = 0;
  const server = await startServer(t, ({ url }, response) => {
    if (url === '/livez') asked++;
    else json(response, 200, leaseJson('a'));
  });
  const config = kubeconfig(t, server.url);
  const clock = new ManualClock();
  const connection = await connect({ kubeconfig: config, clock, random: Math.random });
  t.after(() => connection.close());
  await connection.store.get({ namespace: 'ns', name: 'a' });
  const probe = await serverProbe(`${server.url}/livez`, { kubeconfig: config, clock, env: {} });
  t.after(() => probe[Symbol.asyncDispose]());

  const health = new ServerHealth({ probe: probe.ask, clock, intervalMs: 1_000, timeoutMs: 2_000, threshold: 3 });
  const first = health.ask(new AbortController().signal);
  await until(() => asked === 1);
  await clock.advance(2_000);
  assert.match(words(await first), /ask http:.*\/livez: no answer within 2000 ms/);

  const second = probe.ask(new AbortController().signal);
  await until(() => asked === 2);
  await clock.advance(10_000);
  assert.match(words(await second), /no answer within 10000 ms/);
  await connection.store.get({ namespace: 'ns', name: 'a' });
  const ports = server.seen.filter(({ url }) => url !== '/livez').length;
  assert.equal(ports, 2);
  // One for the leases, all along, and one for each probe.
  assert.equal(server.sockets.length, 3);
  assert.equal(connection.transport.connections, 1);
});

test('given up by its caller, it says so', T, async (t) => {
  const server = await startServer(t, () => undefined);
  const ask = await probeOf(t, server.url, kubeconfig(t, server.url));
  const controller = new AbortController();
  const answer = ask(controller.signal);
  await until(() => server.seen.length === 1);
  controller.abort();
  assert.match(words(await answer), /given up by the caller/);
});

test('a server that refuses our credentials answers: that is no dead server', T, async (t) => {
  let status = 401;
  const server = await startServer(t, (_, response) => json(response, status, statusBody(status, 'No', 'not you')));
  const ask = await probeOf(t, `${server.url}/livez`, kubeconfig(t, server.url));
  for (status of [401, 403]) {
    const problem = await ask();
    assert.ok(typeof problem === 'object');
    assert.match(problem.refused, /ask http.*livez: the server answered 40[13] No: not you/);
  }
  status = 500;
  assert.match(words(await ask()), /^ask http.*livez: the server answered 500/);
});

test('credentials that stand in a kubeconfig that is replaced are taken up after a 401', T, async (t) => {
  const server = await startServer(
    t,
    ({ headers }, response) => json(response, headers.authorization === 'Bearer new' ? 200 : 401, {}),
    TLS,
  );
  const cluster = { 'certificate-authority': fixture('ca.crt') };
  const config = kubeconfig(t, server.url, { token: 'old' }, cluster);
  const ask = await probeOf(t, `${server.url}/livez`, config);
  assert.ok(typeof (await ask()) === 'object');
  copyFileSync(kubeconfig(t, server.url, { token: 'newer' }, cluster), config);
  assert.ok(typeof (await ask()) === 'object');
  copyFileSync(kubeconfig(t, server.url, { token: 'new' }, cluster), config);
  assert.equal(await ask(), undefined);
});
