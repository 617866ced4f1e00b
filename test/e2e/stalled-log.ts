/**
 * Every service while nobody reads its log: it does its work on time, and ends within 10 s when it is asked to. SIGHUP ends none.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import type { EmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { freePorts } from '../support/free-ports.ts';
import { fullPipe } from '../support/full-pipe.ts';
import type { Program, ProgramOptions } from '../support/process.ts';
import { startProgram } from '../support/process.ts';
import type { LeaseJson, Seen } from './support.ts';
import { LABEL, LEASES, embedded, scratch, until } from './support.ts';

/** Signs of work that have to come while nobody reads, and the longest time for them. */
const SIGNS = 2;
const SIGNS_WITHIN_MS = 30_000;

interface Service {
  readonly name: string;
  readonly args: readonly string[];
  /** What changes at the server, or at an endpoint, whenever it has done its work. */
  readonly sign: (at: Seen, server: EmbeddedServer) => Promise<unknown>;
  /** Its exit code after SIGTERM; default 0. */
  readonly code?: number;
}

const at = (path: string) => async (seen: Seen) => {
  const { status, json } = await seen.call('GET', path);
  return status === 200 ? (json as LeaseJson).spec.renewTime : undefined;
};
const lists = (_: Seen, server: EmbeddedServer): Promise<number | undefined> =>
  Promise.resolve(server.requests.matching({ verb: /list/ }).length || undefined);

/** The latest renewal of any lease in a namespace. */
const newest = (namespace: string) => async (seen: Seen) => {
  const { json } = await seen.call('GET', `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`);
  const times = (json as { items: LeaseJson[] }).items.map(({ spec }) => spec.renewTime ?? '');
  return times.sort().at(-1);
};
const COMMAND = [
  process.execPath,
  '-e',
  "process.on('SIGHUP', () => {}); process.on('SIGTERM', () => process.exit()); setInterval(() => {}, 1e6)",
];

const SERVICES: readonly Service[] = [
  {
    name: 'publish',
    args: ['publish', '--hostname-override=a', '--renew-interval=300ms', '--lease-duration=15s'],
    sign: async (seen) => (await seen.lease('a'))?.spec.renewTime,
  },
  {
    name: 'sweep',
    args: ['sweep', '--confirm-after=0s', '--schedule=* * * * * *'],
    sign: lists,
  },
  {
    name: 'heartbeat',
    args: ['heartbeat', '--node=n', '--renew-interval=300ms'],
    sign: at('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n'),
  },
  ...(['elect', 'lock', 'once'] as const).map((name) => ({
    name,
    args: [
      name,
      '--lease=default/e',
      ...(name === 'once' ? ['--key=k'] : []),
      '--retry-period=300ms',
      '--',
      ...COMMAND,
    ],
    sign: at('/apis/coordination.k8s.io/v1/namespaces/default/leases/e'),
    // Of a command that was asked to end nobody knows that it succeeded.
    ...(name === 'once' && { code: 143 }),
  })),
  {
    name: 'shard',
    args: ['shard', '--ring=default/r', '--slots=1', '--id=m', '--retry-period=300ms', '--', ...COMMAND],
    sign: newest('default'),
  },
];
/** What these show is in memory, and does not change. */
const ENDPOINTS: readonly [name: string, args: readonly string[], path: string][] = [
  ['serve', ['serve'], '/v1/count'],
  ['nodes', ['nodes', '--grace=2s'], '/v1/nodes'],
];

async function world(t: TestContext) {
  const made = await embedded(t);
  await made.at.call('POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' } });
  await made.at.call('POST', LEASES, {
    metadata: { name: 'other', labels: { [LABEL]: 'kube-apiserver' } },
    spec: { holderIdentity: 'x', leaseDurationSeconds: 3600, renewTime: new Date().toISOString() },
  });
  return made;
}

const start = (args: readonly string[], kubeconfig: string, options: ProgramOptions): Program => {
  const [command = '', ...rest] = args;
  return startProgram([command, '--kubeconfig', kubeconfig, '--log-level=debug', ...rest], options);
};

/**
 * Nobody reads for so long, and until there were signs of work.
 * @returns the longest time without one, in milliseconds
 */
async function longestSilence(sign: () => Promise<unknown>, stallMs: number): Promise<number> {
  let last = await until('a first sign of work', sign, 60_000);
  const began = performance.now();
  let since = began;
  let longest = 0;
  let signs = 0;
  for (let now = began; now - began < stallMs || signs < SIGNS; now = performance.now()) {
    assert.ok(now - began < stallMs + SIGNS_WITHIN_MS, `${signs} signs of work`);
    await wait(20);
    const next = await sign();
    longest = Math.max(longest, performance.now() - since);
    if (next === last) continue;
    [last, since] = [next, performance.now()];
    signs++;
  }
  return longest;
}

async function endsInTime(program: Program, code = 0): Promise<void> {
  program.signal('SIGHUP');
  await wait(100);
  assert.ok(program.running);
  program.signal('SIGTERM');
  const exit = await program.exitWithin(120_000);
  assert.deepEqual([exit.code, exit.signal], [code, null]);
}

/** @param stall for how long nobody reads; no silence of a service may be longer than `silenceMs` */
export function describeStall({
  stallMs,
  silenceMs = Infinity,
  concurrency,
}: {
  readonly stallMs: number;
  readonly silenceMs?: number;
  readonly concurrency: number;
}): void {
  describe(`nobody reads the log for ${stallMs} ms`, { concurrency }, () => {
    for (const { name, args, sign, code } of SERVICES) {
      it(`${name} does its work on time, outlives SIGHUP, and ends when asked to`, async (t) => {
        const { kubeconfig, server, at } = await world(t);
        const program = start(args, kubeconfig, { t, stderr: fullPipe(t).fd });
        assert.ok((await longestSilence(() => sign(at, server), stallMs)) < silenceMs);
        await endsInTime(program, code);
      });
    }

    for (const [name, args, path] of ENDPOINTS) {
      it(`${name} answers, outlives SIGHUP, and ends when asked to`, async (t) => {
        const { kubeconfig } = await world(t);
        const [port] = await freePorts(1);
        const program = start([...args, `--http-address=${port}`], kubeconfig, { t, stderr: fullPipe(t).fd });
        const url = `http://127.0.0.1:${port}${path}`;
        const known = async (): Promise<boolean> => (await fetch(url).catch(() => undefined))?.status === 200;
        await until('an answer', known, 60_000);
        await wait(stallMs);
        assert.ok(await known());
        await endsInTime(program);
      });
    }

    for (const { name, args, sign } of SERVICES.filter(({ name }) => name === 'publish' || name === 'elect')) {
      it(`${name}, whose stderr is a socket`, async (t) => {
        const { kubeconfig, server, at } = await world(t);
        const program = start(args, kubeconfig, { t, stderr: await fullSocket(t) });
        assert.ok((await longestSilence(() => sign(at, server), stallMs)) < silenceMs);
        await endsInTime(program);
      });
    }
  });
}

/** One end of a connection whose other end does not read, and that takes no more. */
async function fullSocket(t: TestContext): Promise<Socket> {
  const path = join(await scratch(t), 'socket');
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    t.after(() => void socket.destroy());
  }).listen(path);
  await once(server, 'listening');
  t.after(() => void server.close());
  const socket = connect(path);
  await once(socket, 'connect');
  t.after(() => void socket.destroy());
  socket.on('error', () => {});
  while (socket.writableLength === 0) {
    socket.write('.'.repeat(65_536));
    await wait(10);
  }
  return socket;
}
