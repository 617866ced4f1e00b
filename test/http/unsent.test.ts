/** Readers who take nothing, or a byte now and then: what they may cost. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import type { HttpAnswer } from '../../src/http/answer.ts';
import { listen } from '../../src/http/server.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';

const MB = 1024 * 1024;
const T = { timeout: 120_000 };

/** A server of one answer, and readers that ask for it and take only its beginning. */
async function slowReaders(t: TestContext, answer: () => HttpAnswer) {
  const clock = new ManualClock();
  let asked = 0;
  const server = await listen({ host: '127.0.0.1', port: 0 }, { '/': () => (asked++, answer()) }, { clock });
  t.after(() => server[Symbol.asyncDispose]());
  const { port } = new URL(server.url);
  return {
    clock,
    async ask(): Promise<Socket> {
      const before = asked;
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'),
      );
      t.after(() => socket.destroy());
      socket.on('error', () => undefined);
      await new Promise<void>((resolve) => socket.once('readable', () => resolve()));
      assert.equal(asked, before + 1);
      return socket;
    },
  };
}

/** Reads on; true when all of it came. */
async function whole(socket: Socket, bytes: number): Promise<boolean> {
  let got = 0;
  return new Promise((resolve) => {
    socket.on('data', (part: Buffer) => {
      got += part.length;
      if (got >= bytes) resolve(true);
    });
    socket.once('close', () => resolve(got >= bytes));
  });
}

const binary = (...body: Buffer[]): HttpAnswer => ({ status: 200, type: 'application/octet-stream', body });

test(
  'a reader has 30 s for an answer, however often it takes a byte; one that has it in time keeps its connection',
  T,
  async (t) => {
    const { clock, ask } = await slowReaders(t, () => binary(Buffer.alloc(12 * MB)));
    const slow = await ask();
    for (let second = 0; second < 29; second++) {
      await clock.advance(1_000);
      slow.read(1);
      await settle();
    }
    const quick = await ask();
    assert.equal(await whole(quick, 12 * MB), true);
    await clock.advance(1_000);
    assert.equal(await whole(slow, 12 * MB), false);
    await clock.advance(60_000);
    assert.equal(quick.destroyed, false);
  },
);

test('slow readers of different answers hold 32 MB: the oldest give way to the newest', T, async (t) => {
  const { ask, clock } = await slowReaders(t, () => binary(Buffer.alloc(12 * MB)));
  const readers: Socket[] = [];
  for (let i = 0; i < 4; i++) readers.push(await ask());
  const got = await Promise.all(readers.map((reader) => whole(reader, 12 * MB)));
  assert.deepEqual(got, [false, false, true, true]);
  assert.equal(clock.pending, 0);
});

test('readers of one answer hold it once, however many they are', T, async (t) => {
  const shared = Buffer.alloc(12 * MB);
  const { ask, clock } = await slowReaders(t, () => binary(Buffer.from('{'), shared, Buffer.from('}')));
  const readers: Socket[] = [];
  for (let i = 0; i < 12; i++) readers.push(await ask());
  const got = await Promise.all(readers.map((reader) => whole(reader, shared.length + 2)));
  assert.deepEqual(new Set(got), new Set([true]));
  assert.equal(clock.pending, 0);
});
