/**
 * What is promised of the transport, and of all that is built on it, with Node's own HTTP client: one process, the same tests.
 */
import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { KEEP_ALIVE_MS } from '../../src/kube/wire/http-client.ts';
import { Exchange } from '../../src/kube/wire/exchange.ts';
import { nodeClient } from '../../src/kube/wire/node-client.ts';
import { json, startServer, until, useClient } from './support.ts';

useClient(nodeClient);

test('an idle connection is closed before the server does, and hardly probed', async (t) => {
  let hint: object = {};
  const server = await startServer(t, (_, response) => json(response, 200, {}, hint));
  const probed: number[] = [];
  let socket: net.Socket | undefined;
  const client = nodeClient({
    origin: server.url,
    open(callback) {
      const opened = net.connect(server.port, '127.0.0.1', () => callback(null, opened));
      socket = opened;
      Object.assign(opened, { setKeepAlive: (_: boolean, delay: number) => probed.push(delay) });
      return () => undefined;
    },
    onConnect: () => undefined,
  });
  t.after(() => client.destroy());
  const ask = (): Promise<unknown> =>
    new Promise((done, failed) =>
      client.dispatch(
        { path: '/', method: 'GET', headers: [], body: null },
        new Exchange(1_000, { done: (answer) => setImmediate(done, answer), failed }),
      ),
    );
  await ask();
  assert.equal(socket?.timeout, KEEP_ALIVE_MS);
  assert.deepEqual(probed, [30_000]);
  hint = { 'keep-alive': 'timeout=20' };
  await ask();
  assert.equal(server.sockets.length, 1);
  assert.ok((socket.timeout ?? 0) > 0 && (socket.timeout ?? 0) < 20_000, String(socket.timeout));
  // As its timer would.
  socket.emit('timeout');
  await until(() => !client.connected);
});

await import('./transport.test.ts');
await import('./hostile.test.ts');
await import('./lease-api.test.ts');
await import('./proxy.test.ts');
await import('./reauthorize.test.ts');
await import('./watch.test.ts');
await import('./watch-circles.test.ts');
await import('./watch-unlisted.test.ts');
