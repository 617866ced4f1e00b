import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
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
  assert.ok(ports.every((port) => port >= 11_000 && port < 32_000));
});

test('what one process was given another one is not, before a server listens there', async () => {
  const [first = 0] = await freePorts(1);
  const module = JSON.stringify(new URL('free-ports.ts', import.meta.url).href);
  // The other one begins to search at this very port.
  const script = `Math.random = () => ${(first - 11_000 + 0.5) / 21_000};
    console.log(...await (await import(${module})).freePorts(2))`;
  const given = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
  const ports = given.trim().split(' ').map(Number);
  assert.equal(ports.length, 2);
  assert.ok(!ports.includes(first), given);
});
