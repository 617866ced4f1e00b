import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServerClock } from '../../src/kube/server-clock.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { json, startServer, transportTo } from './support.ts';

const NOON = Date.parse('2026-01-01T12:00:00Z');
const date = (ms: number): string => new Date(ms).toUTCString();

test('unknown before an answer says the time; then as far as the answer proves, and at once after a step of our clock', async () => {
  const clock = new ManualClock(NOON);
  const server = new ServerClock(clock);
  assert.equal(server.distanceMs(), undefined);
  server.note(undefined, clock.wallMicros());
  server.note('nonsense', clock.wallMicros());
  assert.equal(server.distanceMs(), undefined);
  server.note(date(NOON), clock.wallMicros());
  assert.equal(server.distanceMs(), 0);
  clock.stepWall(7_200_000);
  assert.equal(server.distanceMs(), 7_199_000);
  server.note(date(NOON + 7_200_000), clock.wallMicros());
  assert.equal(server.distanceMs(), 0, 'the server has stepped too');
  // Sent at noon and answered ten seconds later: the server may have said its time at any moment between.
  const sent = clock.wallMicros();
  await clock.advance(10_000);
  server.note(date(NOON + 7_203_000), sent);
  assert.equal(server.distanceMs(), 0);
  server.note(date(NOON + 7_230_000), clock.wallMicros());
  assert.equal(server.distanceMs(), -20_000);
});

test('answers to reads, writes and watches tell it, whatever their status', { timeout: 120_000 }, async (t) => {
  const hour = 3_600_000;
  let ahead = hour;
  const server = await startServer(t, (_, response) =>
    json(response, ahead === hour ? 200 : 500, {}, { date: date(Date.now() + ahead) }),
  );
  const transport = transportTo(t, server.url);
  assert.equal(transport.clockDistanceMs(), undefined);
  await transport.request({ method: 'PUT', what: 'x', path: '/x', body: {} });
  const near = (ms: number): void =>
    assert.ok(Math.abs((transport.clockDistanceMs() ?? NaN) - ms) < 5_000, String(transport.clockDistanceMs()));
  near(-hour);
  ahead = -hour;
  await assert.rejects(transport.request({ method: 'GET', what: 'x', path: '/x' }));
  near(hour);
  ahead = hour;
  (await transport.stream({ method: 'GET', what: 'x', path: '/x' })).close();
  near(-hour);
});
