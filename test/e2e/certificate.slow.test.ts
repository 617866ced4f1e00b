/**
 * A client certificate that ends under a running publisher: warned of before, named as what it is after, and its successor
 * taken up without a restart, in files and inside the kubeconfig.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { makeCertificate } from '../../src/embedded/certificates.ts';
import { claimed, embedded, publish, terminate, until } from './support.ts';
import type { Scope } from './support.ts';

const HOST = 'master-1';
const LIFE_MS = 60_000;
const ca = makeCertificate({ subject: 'ca', authority: true });

/** TLS before the embedded server that believes a client certificate as long as it holds, as kube-apiserver does. */
async function front(t: Scope, port: number): Promise<string> {
  const { cert, key } = makeCertificate({ subject: 'api', names: ['127.0.0.1'], issuer: ca });
  const server = https.createServer({ cert, key, ca: ca.cert, requestCert: true, rejectUnauthorized: false });
  server.on('request', (request, response) => {
    const { valid_to: ends } = (request.socket as TLSSocket).getPeerCertificate();
    if (!(Date.parse(ends) > Date.now())) {
      response.writeHead(401, { 'content-type': 'application/json' });
      return void response.end(
        JSON.stringify({ kind: 'Status', code: 401, reason: 'Unauthorized', message: 'Unauthorized' }),
      );
    }
    const { method, url, headers } = request;
    const up = http.request({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    up.on('error', () => response.destroy());
    response.on('close', () => up.destroy());
    request.pipe(up);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    server.close();
    server.closeAllConnections();
  });
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe('a client certificate that ends under publish --server-health-url', { concurrency: 2 }, () => {
  for (const where of ['in files', 'inside the kubeconfig']) {
    it(where, async (t) => {
      const { server, kubeconfig, at } = await embedded(t);
      const url = await front(t, Number(new URL(server.url).port));
      const write = async (lifeMs: number): Promise<void> => {
        const { cert, key } = makeCertificate({ subject: 'me', issuer: ca, until: Date.now() + lifeMs });
        const files = { 'client-certificate': join(kubeconfig, '../crt'), 'client-key': join(kubeconfig, '../key') };
        await writeFile(files['client-certificate'], cert);
        await writeFile(files['client-key'], key);
        if (where === 'in files' && lifeMs > LIFE_MS) return;
        const user =
          where === 'in files' ? files : { 'client-certificate-data': btoa(cert), 'client-key-data': btoa(key) };
        const config = {
          'current-context': 'x',
          contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
          clusters: [{ name: 'c', cluster: { server: url, 'certificate-authority-data': btoa(ca.cert) } }],
          users: [{ name: 'u', user }],
        };
        await writeFile(kubeconfig, JSON.stringify(config));
      };
      await write(LIFE_MS);
      const program = publish(
        t,
        kubeconfig,
        HOST,
        ...['--renew-interval=600ms', '--lease-duration=60s', '--request-timeout=500ms', '--http-address=127.0.0.1:0'],
        ...[`--server-health-url=${url}/livez`],
      );
      await claimed(program, at, HOST);
      await program.waitForLine(/WARN .*our client certificate expires soon/, { timeoutMs: LIFE_MS });
      const shown = /url="?(http:\/\/[\d.:]+)/.exec(await program.waitForLine(/HTTP endpoints/))?.[1] ?? '';
      const read = async (path: string): Promise<string> => (await fetch(shown + path)).text();
      assert.match(await read('/readyz?verbose'), /\[\+\]client-certificate ok: expires in [01] min/);
      assert.match(await read('/metrics'), /^leasekeeper_client_certificate_expiration_seconds \d/m);

      await program.waitForLine(/ERROR .*our client certificate has expired/, { timeoutMs: 2 * LIFE_MS });
      await program.waitForLine(/WARN .*the server beside us answers, but refuses our credentials.*401/);
      assert.doesNotMatch(program.output(), /does not answer/);
      assert.match(await read('/metrics'), /^leasekeeper_client_certificate_expiration_seconds -\d/m);

      const before = (await at.lease(HOST))?.spec;
      await write(3_600_000);
      await until('a renewal by the new certificate', async () => {
        const now = (await at.lease(HOST))?.spec;
        return now?.renewTime !== before?.renewTime && now?.holderIdentity === before?.holderIdentity;
      });
      await program.waitForLine(/INFO .*another client certificate is in use/);
      assert.ok(program.running);
      await terminate(program, 0);
    });
  }
});
