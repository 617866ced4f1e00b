import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { PublisherEvent, PublisherOperation } from '../../src/identity/events.ts';
import type { LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { createLog } from '../../src/observe/log.ts';
import { logPublisher } from '../../src/observe/publisher-log.ts';

/** What is told, as `level error`, at this level. */
function told(events: readonly PublisherEvent[], level = 'info'): string[] {
  const lines: string[] = [];
  const observe = logPublisher(createLog({ level, format: 'json', write: (line) => lines.push(line) }));
  for (const event of events) observe(event);
  return lines.map((line) => {
    const { level: urgency, msg, err } = JSON.parse(line) as { level: string; msg: string; err?: { message: string } };
    return `${urgency} ${err?.message ?? msg}`;
  });
}
const failed = (
  operation: PublisherOperation,
  code: LeaseStoreErrorCode,
  message: string,
  attempt = 1,
): PublisherEvent => ({
  type: 'failed',
  operation,
  error: new LeaseStoreError(code, { message }),
  attempt,
  retryInMs: 100,
});
const recovered: PublisherEvent = { type: 'recovered', failures: 3 };

it('tells an outage once, whatever was asked and however often, and again in the next one', () => {
  const outage = [
    failed('watch', 'Unavailable', 'watch: reset'),
    failed('renew', 'Unavailable', 'update: refused', 1),
    failed('watch', 'Unavailable', 'watch: refused'),
    failed('get', 'Unavailable', 'get: refused', 2),
    failed('renew', 'Unavailable', 'update: refused', 3),
    recovered,
  ];
  const once = ['warn update: refused', 'info requests succeed again'];
  assert.deepEqual(told([...outage, ...outage]), [...once, ...once]);
  assert.equal(told(outage, 'debug').length, 6);
});

it('reminds of one that lasts', () => {
  const events = Array.from({ length: 150 }, (_, i) => failed('renew', 'Timeout', 'no answer', i + 1));
  assert.equal(told(events).length, 3);
});

it('tells each refusal for itself, but not for each number in it', () => {
  const events = [
    failed('renew', 'Forbidden', 'cannot update'),
    failed('get', 'Forbidden', 'cannot get'),
    failed('renew', 'Invalid', 'at 12:00:01'),
    failed('renew', 'Invalid', 'at 12:00:02'),
    failed('renew', 'Invalid', 'other words'),
  ];
  assert.deepEqual(told(events), ['error cannot update', 'error cannot get', 'error at 12:00:01', 'error other words']);
});

it('a server that finds other words each time does not fill the log', () => {
  const events = Array.from({ length: 59 }, (_, i) => failed('renew', 'Invalid', 'x'.repeat(i), i + 1));
  assert.equal(told(events).length, 20);
});
