/** The files of TLS and credentials: read at the start, followed while the endpoints are served. */
import assert from 'node:assert/strict';
import { copyFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { followSecurity, readSecurity } from '../../src/commands/http-security.ts';
import type { Security } from '../../src/http/server.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { fixture, tempDir, until } from '../kube/support.ts';

async function files(t: TestContext) {
  const dir = tempDir(t);
  const [cert, key, token] = ['tls.crt', 'tls.key', 'token'].map((name) => join(dir, name)) as [string, string, string];
  await copyFile(fixture('server.crt'), cert);
  await copyFile(fixture('server.test-only.key'), key);
  await writeFile(token, 'secret\n');
  return { cert, key, token, clientCa: undefined };
}

test('what cannot be used is named by its option', async (t) => {
  const given = await files(t);
  assert.equal((await readSecurity(given)).security.token, 'secret');
  await writeFile(given.token, ' \n');
  await assert.rejects(readSecurity(given), /^ConfigurationError: --http-token-file \S+token: is empty$/);
  await assert.rejects(readSecurity({ ...given, token: '/nonexistent' }), /--http-token-file \/nonexistent: /);
  await assert.rejects(
    readSecurity({ ...given, token: undefined, key: fixture('client-a.test-only.key') }),
    /--http-tls-cert and --http-tls-key: cannot be used: /,
  );
  await assert.rejects(
    readSecurity({ ...given, token: undefined, clientCa: given.key }),
    /--http-client-ca: cannot be used/,
  );
});

test('a pair is taken once both are replaced; a token at once', async (t) => {
  const given = await files(t);
  const { texts } = await readSecurity(given);
  const secured: Security[] = [];
  const warned: string[] = [];
  const log = { debug() {}, info() {}, error() {}, warn: (_: object | string, text = '') => void warned.push(text) };
  const services = followSecurity(
    given,
    texts,
    { secure: (next) => secured.push(next) },
    { clock: createSystemClock(), log },
  );
  const stop = new AbortController();
  const running = services.map((service) => service.run(stop.signal));
  const replace = async (path: string, by: string): Promise<void> => {
    await copyFile(by, `${path}.new`);
    await rename(`${path}.new`, path);
  };
  await writeFile(given.token, 'another');
  await until(() => secured.at(-1)?.token === 'another');
  await replace(given.cert, fixture('client-a.crt'));
  await until(() => warned.length > 0);
  assert.match(secured.at(-1)!.cert, /BEGIN/);
  const before = secured.length;
  await replace(given.key, fixture('client-a.test-only.key'));
  await until(() => secured.length > before);
  stop.abort();
  await Promise.all(running);
});
