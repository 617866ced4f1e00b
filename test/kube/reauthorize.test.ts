/** What a 401 sets off, and what becomes of answers that nobody reads to their end. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import type { Credentials } from '../../src/kube/auth/material.ts';
import type { Request } from '../../src/kube/wire/transport.ts';
import { LeaseStoreError, isStoreError } from '../../src/lease/store.ts';
import type { LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { json, startServer, statusBody, transportTo, until } from './support.ts';

const T = { timeout: 120_000 };
const get: Request = { method: 'GET', what: 'get it', path: '/x' };
const code =
  (wanted: LeaseStoreErrorCode) =>
  (error: unknown): boolean =>
    isStoreError(error, wanted);
/** Begins an answer and never ends it. */
const unended = (response: ServerResponse, status: number): void => void response.writeHead(status).write('half');

/** Other credentials each time. */
const everNew = (): { current: () => Credentials; rejected: () => void; close: () => void } => {
  let n = 0;
  return {
    current: () => ({ headers: ['authorization', `Bearer ${++n}`], secureContext: undefined }),
    rejected: () => undefined,
    close: () => undefined,
  };
};

test('401 again with other credentials is the answer: it is not sent a third time', T, async (t) => {
  const server = await startServer(t, (_, response) => {
    // Ends a circle.
    if (server.seen.length > 4) json(response, 200, {});
    else json(response, 401, statusBody(401, 'Unauthorized', 'no'));
  });
  const transport = transportTo(t, server.url, { credentials: everNew() });
  await assert.rejects(transport.request({ ...get, method: 'PUT', body: {} }), code('Unauthorized'));
  assert.equal(server.seen.length, 2);
  server.seen.length = 0;
  await assert.rejects(transport.stream(get), code('Unauthorized'));
  assert.equal(server.seen.length, 2);
});

test('a 401 whose body does not end is given up for the stream with new credentials', T, async (t) => {
  const server = await startServer(t, ({ headers }, response) =>
    unended(response, headers.authorization === 'Bearer 1' ? 401 : 200),
  );
  const transport = transportTo(t, server.url, { credentials: everNew() });
  const stream = await transport.stream(get);
  assert.equal(String(await stream.read()), 'half');
  await until(() => server.open() === 1);
  stream.close();
  await until(() => server.open() === 0);
});

test('a 401 whose body does not end is given up when there are no new credentials to be had', T, async (t) => {
  const server = await startServer(t, (_, response) => unended(response, 401));
  const fault = new LeaseStoreError('Credentials', { message: 'the plugin failed' });
  for (const failing of [
    () => Promise.reject(fault),
    () => {
      throw fault;
    },
  ]) {
    let asked = 0;
    const first = everNew().current();
    const credentials = { ...everNew(), current: () => (asked++ === 0 ? first : failing()) };
    const transport = transportTo(t, server.url, { credentials });
    await assert.rejects(transport.stream(get), code('Credentials'));
    await until(() => server.open() === 0);
    assert.equal(transport.connections, 0);
  }
});

test('a refused stream that goes on for ever is given up after 64 KiB', T, async (t) => {
  const server = await startServer(t, (_, response) => {
    response.writeHead(500);
    const more = (): void => {
      while (!response.destroyed)
        if (!response.write(Buffer.alloc(16_384, 97))) return void response.once('drain', more);
    };
    more();
  });
  const transport = transportTo(t, server.url);
  await assert.rejects(transport.stream(get), code('ServerError'));
  await until(() => server.open() === 0);
});

test('aborted between the answer and the stream: it reads as aborted, and its socket is closed', T, async (t) => {
  const server = await startServer(t, (_, response) => unended(response, 200));
  const transport = transportTo(t, server.url);
  const controller = new AbortController();
  const { signal } = controller;
  // The call lets go of the signal as soon as the answer is there; what follows comes a promise later.
  const remove = signal.removeEventListener.bind(signal);
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    remove(...args);
    controller.abort();
  };
  const stream = await transport.stream({ ...get, signal });
  await assert.rejects(stream.read(), code('Aborted'));
  await until(() => server.open() === 0);
});
