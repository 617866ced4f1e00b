import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logCertificate } from '../../src/observe/certificate-log.ts';
import type { Logger } from '../../src/observe/log.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

const DAY_MS = 86_400_000;

test('a client certificate: warned of from 30 days on and again each day, named when it has expired, quiet when replaced', async () => {
  const clock = new ManualClock();
  const now = (): number => clock.wallMicros() / 1000;
  const said: string[] = [];
  const say = (level: string) => (fields: { days?: number }, words: string) =>
    void said.push(`${level} ${fields.days ?? ''} ${words.split(':')[0]}`);
  const log = { info: say('info'), warn: say('warn'), error: say('error') } as unknown as Logger;
  let expiresAt: number | undefined;
  const controller = new AbortController();
  const ended = logCertificate({ expiresAt: () => expiresAt, clock, log }, controller.signal);
  const pass = async (ms: number): Promise<string[]> => {
    for (let left = ms; left > 0; left -= 3_600_000) await clock.advance(Math.min(left, 3_600_000));
    return said.splice(0);
  };
  assert.deepEqual(await pass(10_000), []);
  expiresAt = now() + 31 * DAY_MS;
  assert.deepEqual(await pass(DAY_MS - 10_000), []);
  assert.deepEqual(await pass(120_000), ['warn 30 our client certificate expires soon']);
  assert.deepEqual(await pass(DAY_MS - 180_000), []);
  assert.deepEqual(await pass(2 * DAY_MS), [
    'warn 29 our client certificate expires soon',
    'warn 28 our client certificate expires soon',
  ]);
  expiresAt = now() + 600_000;
  assert.deepEqual(await pass(120_000), [
    'info  another client certificate is in use',
    'warn 0 our client certificate expires soon',
  ]);
  assert.deepEqual(await pass(480_000 + 5_000), ['error  our client certificate has expired']);
  assert.deepEqual(await pass(DAY_MS), ['error  our client certificate has expired']);
  expiresAt = now() + 365 * DAY_MS;
  assert.deepEqual(await pass(60_000), ['info  another client certificate is in use']);
  assert.deepEqual(await pass(10 * DAY_MS), []);
  controller.abort();
  await ended;
  assert.equal(clock.pending, 0);
});
