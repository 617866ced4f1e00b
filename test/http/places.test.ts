/** Who gives up a connection when there are more than there are places; and that no crowd keeps a probe out. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { text } from '../../src/http/answer.ts';
import { MAX_PLACES, Places, peerOf } from '../../src/http/places.ts';
import { listen } from '../../src/http/server.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

class Connection {
  readonly remoteAddress: string;
  readonly remotePort: number;
  destroyed = false;
  #closed = (): void => {};
  constructor(remoteAddress: string, remotePort: number) {
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
  }
  once(_event: 'close', listener: () => void): void {
    this.#closed = listener;
  }
  destroy(): void {
    this.destroyed = true;
    this.#closed();
  }
}

class World {
  readonly clock = new ManualClock();
  readonly places = new Places(this.clock);
  #port = 0;
  open(peer = '10.0.0.1'): Connection {
    const connection = new Connection(peer, this.#port++);
    this.places.open(connection as unknown as Socket);
    return connection;
  }
  many(n: number, peer?: string): Connection[] {
    return Array.from({ length: n }, () => this.open(peer));
  }
  ask(connection: Connection): () => void {
    const answered = this.places.request(connection as unknown as Socket);
    assert.ok(answered);
    return answered;
  }
}
const gone = (connections: readonly Connection[]): number[] =>
  connections.flatMap(({ destroyed }, i) => (destroyed ? [i] : []));

test('a silent connection goes before one that is kept, that one before one at its request; the oldest first', async () => {
  const w = new World();
  const all = w.many(MAX_PLACES);
  // 0 and 1 are silent, 2 and 3 are kept for a next request, the rest are at their first.
  for (const connection of all.slice(2, 4)) w.ask(connection)();
  for (const connection of all.slice(4)) w.ask(connection);
  await w.clock.advance(2_000);
  const newcomers = w.many(6);
  assert.deepEqual(gone(all), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(gone(newcomers), []);
});

test('a newcomer that had no time to ask yet is not taken for silent', async () => {
  const w = new World();
  const slow = w.many(MAX_PLACES);
  slow.forEach((connection) => w.ask(connection));
  await w.clock.advance(10);
  const probes = w.many(10);
  assert.deepEqual(gone(probes), []);
  assert.equal(gone(slow).length, 10);
});

test('a peer that has more than its share gives first, whatever its connections do', async () => {
  const w = new World();
  const others = w.many(10, '10.0.0.2');
  await w.clock.advance(5_000);
  const greedy = w.many(MAX_PLACES - 10, '10.0.0.9');
  greedy.forEach((connection) => w.ask(connection));
  w.many(20, '10.0.0.3');
  assert.deepEqual(gone(others), [], 'silent, but few');
  assert.equal(gone(greedy).length, 20);
});

test('the networks of IPv6 are peers, IPv4 addresses are', () => {
  assert.equal(peerOf('::ffff:10.1.2.3'), peerOf('10.1.2.3'));
  assert.equal(peerOf('2001:db8::1'), peerOf('2001:db8:0:0:ffff:1:2:3'));
  assert.notEqual(peerOf('2001:db8:0:1::1'), peerOf('2001:db8::1'));
  assert.equal(peerOf('fe80::1%eth0'), peerOf('fe80::2%eth0'));
  assert.notEqual(peerOf('::1'), peerOf('2001:db8::1'));
});

/** More than the kernel takes for a reader that does not read. */
const LARGE = Buffer.alloc(16_000_000, 'x');

/** As many connections as there are places that do so, each opened again as soon as it is closed. */
async function crowd(t: TestContext, url: string, begin: (socket: Socket) => void): Promise<void> {
  let over = false;
  const open = new Set<Socket>();
  t.after(() => {
    over = true;
    open.forEach((socket) => socket.destroy());
  });
  const join = (): Socket | undefined => {
    if (over) return undefined;
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => begin(socket));
    open.add(socket);
    socket
      .on('error', () => {})
      .on('close', () => {
        open.delete(socket);
        setTimeout(join, 20);
      });
    return socket;
  };
  await Promise.all(Array.from({ length: MAX_PLACES }, () => once(join()!, 'connect')));
  await wait(100);
}

for (const [what, begin] of [
  ['send nothing', () => {}],
  ['send half a header', (socket) => void socket.write('GET / HTTP/1.1\r\nHost: local')],
  [
    'read nothing of what they asked for',
    (socket) => void socket.pause().write('GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n'),
  ],
] as const satisfies [string, (socket: Socket) => void][]) {
  test(`every probe is answered beside ${MAX_PLACES} connections that ${what}`, async (t) => {
    const server = await listen(
      { host: '127.0.0.1', port: 0 },
      { '/livez': () => text(200, 'ok'), '/large': () => ({ status: 200, type: 'text/plain', body: [LARGE] }) },
    );
    t.after(() => server[Symbol.asyncDispose]());
    await crowd(t, server.url, begin);
    for (let i = 0; i < 40; i++) {
      const probe = connect(Number(new URL(server.url).port), '127.0.0.1');
      probe.write('GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
      let answer = '';
      probe.on('data', (piece: Buffer) => (answer += piece.toString()));
      await once(probe, 'close');
      assert.match(answer, /^HTTP\/1.1 200 OK[^]*ok$/, `probe ${i}`);
      await wait(5);
    }
  });
}
