/** stderr whose reader has stalled: nothing waits for it, what is written stays whole, what is left out is counted. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { Stderr } from '../../src/commands/streams.ts';
import { fullPipe } from '../support/full-pipe.ts';

/** Takes everything out until nothing more comes. */
async function drain(fd: number): Promise<string> {
  const piece = Buffer.alloc(65_536);
  let text = '';
  for (let empty = 0; empty < 10;) {
    try {
      text += piece.toString('latin1', 0, readSync(fd, piece));
      empty = 0;
    } catch {
      empty++;
      await wait(30);
    }
  }
  return text.replace(/^\.+/, '');
}

/** A writer on a full pipe whose flags say that a write blocks. */
function stalled(t: TestContext): { stderr: Stderr; reader: number } {
  const { path, fd: reader } = fullPipe(t);
  const fd = openSync(path, 'r+');
  t.after(() => closeSync(fd));
  return { stderr: new Stderr(fd), reader };
}

test('what waits is written whole and in order once it is read again', async (t) => {
  const { stderr, reader } = stalled(t);
  const lines = Array.from({ length: 200 }, (_, i) => `${i} ${'x'.repeat(1_000)}\n`);
  for (const line of lines) stderr.write(line);
  const read = drain(reader);
  await stderr.drained();
  assert.equal(await read, lines.join(''));
});

test('beyond a mebibyte lines are left out, and counted once there is room', async (t) => {
  const { stderr, reader } = stalled(t);
  const lost: number[] = [];
  stderr.onLost((lines) => {
    lost.push(lines);
    stderr.write(`${lines} lost\n`);
  });
  const line = `${'x'.repeat(1_023)}\n`;
  for (let i = 0; i < 1_100; i++) stderr.write(line);
  assert.equal(stderr.stuck, false);
  const text = await drain(reader);
  assert.deepEqual(lost, [76]);
  assert.equal(text, `${line.repeat(1_024)}76 lost\n`);
  stderr.write('goes on\n');
  assert.equal(await drain(reader), 'goes on\n');
});

test('a reader that is gone costs nothing but the text', async (t) => {
  const { path, fd: reader } = fullPipe(t, { keep: true });
  const fd = openSync(path, 'w');
  t.after(() => closeSync(fd));
  const stderr = new Stderr(fd);
  stderr.write('waits\n');
  closeSync(reader);
  await stderr.drained();
  stderr.write('for nobody\n');
  await stderr.drained();
});

test('a socket, which cannot be opened once more, is written by another thread', async (t) => {
  const server = createServer();
  t.after(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ours = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [theirs] = (await once(server, 'connection')) as [Socket];
  t.after(() => [ours, theirs].forEach((socket) => socket.destroy()));
  const stderr = new Stderr((ours as unknown as { _handle: { fd: number } })._handle.fd);
  const lines = Array.from({ length: 900 }, (_, i) => `${i} ${'x'.repeat(1_000)}\n`);
  for (const line of lines) stderr.write(line);
  assert.equal(stderr.stuck, true);
  let text = '';
  theirs.setEncoding('latin1').on('data', (piece: string) => (text += piece));
  await stderr.drained();
  assert.equal(stderr.stuck, false);
  while (text.length < lines.join('').length) await once(theirs, 'data');
  assert.equal(text, lines.join(''));
});

test('a command that prints nothing ends well, whatever its stdout is', { skip: !existsSync('/dev/full') }, (t) => {
  const full = openSync('/dev/full', 'w');
  t.after(() => closeSync(full));
  const script = `import { finish } from '${new URL('../../src/commands/streams.ts', import.meta.url).href}'; await finish();`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    stdio: ['ignore', full, 'pipe'],
  });
  assert.equal(stderr, '');
  assert.equal(status, 0);
});
