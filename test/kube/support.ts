/** Small servers for the tests of kube/: they answer as set up and count their sockets. */
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createCredentials } from '../../src/kube/auth/credentials.ts';
import type { CredentialSource } from '../../src/kube/auth/material.ts';
import type { CreateHttpClient } from '../../src/kube/wire/http-client.ts';
import { undiciClient } from '../../src/kube/wire/undici-client.ts';
import { createTransport } from '../../src/kube/wire/transport.ts';
import type { Transport, TransportOptions } from '../../src/kube/wire/transport.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { settle } from '../../src/runtime/manual-clock.ts';

export const fixture = (name: string): string => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));
export const fixtureText = (name: string): string => readFileSync(fixture(name), 'utf8');

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}
export type Handler = (request: Seen, response: http.ServerResponse, socket: Socket) => void;

export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly seen: Seen[];
  /** Every socket it ever accepted. */
  readonly sockets: Socket[];
  handler: Handler;
  /** Sockets open now. */
  open(): number;
  close(): Promise<void>;
}

export async function startServer(t: TestContext, handler: Handler, tls?: https.ServerOptions): Promise<TestServer> {
  const seen: Seen[] = [];
  const sockets: Socket[] = [];
  const listener: http.RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const one = {
        method: request.method ?? '',
        url: request.url ?? '',
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
      };
      seen.push(one);
      server.handler(one, response, request.socket);
    });
  };
  const node = tls ? https.createServer(tls, listener) : http.createServer(listener);
  node.keepAliveTimeout = 0;
  node.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => sockets.push(socket));
  await new Promise<void>((resolve) => node.listen(0, '127.0.0.1', resolve));
  const { port } = node.address() as AddressInfo;
  const server: TestServer = {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    port,
    seen,
    sockets,
    handler,
    open: () => sockets.filter((socket) => !socket.destroyed).length,
    close: () =>
      new Promise((resolve) => {
        node.close(() => resolve());
        node.closeAllConnections();
      }),
  };
  t.after(() => server.close());
  return server;
}

export const json = (response: http.ServerResponse, status: number, body: unknown, headers: object = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(body));
};

export const statusBody = (code: number, reason: string, message: string, details?: object): object => ({
  kind: 'Status',
  apiVersion: 'v1',
  status: 'Failure',
  code,
  reason,
  message,
  ...(details ? { details } : {}),
});

export const noCredentials: CredentialSource = {
  current: () => ({ headers: [], secureContext: undefined }),
  rejected: () => undefined,
  close: () => undefined,
};

let defaultClient = undiciClient;
/** Who speaks HTTP in the transports of this process. */
export const useClient = (client: CreateHttpClient): CreateHttpClient => (defaultClient = client);

export function transportTo(t: TestContext, server: string, options: Partial<TransportOptions> = {}): Transport {
  const clock = options.clock ?? createSystemClock();
  const transport = createTransport({
    server,
    clock,
    userAgent: 'test/1',
    createClient: defaultClient,
    credentials: createCredentials({ server, insecureSkipTlsVerify: false, user: {}, source: 'test' }, clock),
    ...options,
  });
  t.after(() => transport.close());
  return transport;
}

export function tempDir(t: TestContext, files: Readonly<Record<string, string>> = {}): string {
  const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-test-'));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text);
  return dir;
}

/** Lets the event loop turn until the condition holds; fails the test's own timeout otherwise. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await settle();
}

export const leaseJson = (name: string, resourceVersion = '7', spec: object = {}): object => ({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  metadata: { name, namespace: 'ns', uid: `uid-${name}`, resourceVersion },
  spec,
});
