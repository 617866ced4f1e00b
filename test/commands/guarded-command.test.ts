/** A command under its guard: many of them in one process. */
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { test } from 'node:test';
import { GuardedCommand } from '../../src/commands/guarded-command.ts';
import type { Logger } from '../../src/observe/log.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';

test('many commands in one process: no warning of Node, and no listener is left behind', async () => {
  const before = process.listenerCount('SIGHUP');
  const warnings: string[] = [];
  const onWarning = (warning: Error): void => void warnings.push(String(warning));
  process.on('warning', onWarning);
  const clock = createSystemClock();
  const log: Logger = { debug() {}, info() {}, warn() {}, error() {} };
  const more = { command: 'true', args: [], env: {}, graceMs: 1_000, received: () => undefined };
  const all = Array.from({ length: 20 }, () => new GuardedCommand({ ...more, clock, log }));
  assert.equal(process.listenerCount('SIGHUP'), before + 1);
  await pause(10);
  for (const guarded of all) await guarded.close();
  process.off('warning', onWarning);
  assert.deepEqual(warnings, []);
  assert.equal(process.listenerCount('SIGHUP'), before);
});
