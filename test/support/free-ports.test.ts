import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { freePorts } from './free-ports.ts';

test('free ports lie where no connection begins, are never the same, and pass over one that is taken', async (t) => {
  const [first = 0] = await freePorts(1);
  const taken = createServer();
  t.after(() => void taken.close());
  await new Promise<void>((resolve) => taken.listen(first + 1, '127.0.0.1', resolve).once('error', () => resolve()));
  const ports = await freePorts(30);
  assert.equal(new Set([first, ...ports]).size, 31);
  assert.ok(!ports.includes(first + 1));
  assert.ok(ports.every((port) => port >= 10_000 && port < 32_000));
});
