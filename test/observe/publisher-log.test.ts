import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { PublisherEvent, PublisherOperation } from '../../src/identity/publisher-events.ts';
import type { LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { createLog } from '../../src/observe/pino-log.ts';
import { logPublisher } from '../../src/observe/publisher-log.ts';
import { lease } from '../census/support.ts';

/** What is logged, as `level error`, at this level. */
function logged(events: readonly PublisherEvent[], level = 'info'): string[] {
  const lines: string[] = [];
  const observe = logPublisher(createLog({ level, format: 'json', output: { err: (line) => lines.push(line) } }));
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
  assert.deepEqual(logged([...outage, ...outage]), [...once, ...once]);
  assert.equal(logged(outage, 'debug').length, 6);
});

it('reminds of one that lasts', () => {
  const events = Array.from({ length: 150 }, (_, i) => failed('renew', 'Timeout', 'no answer', i + 1));
  assert.equal(logged(events).length, 3);
});

it('tells each refusal for itself, but not for each number in it', () => {
  const events = [
    failed('renew', 'Forbidden', 'cannot update'),
    failed('get', 'Forbidden', 'cannot get'),
    failed('renew', 'Invalid', 'at 12:00:01'),
    failed('renew', 'Invalid', 'at 12:00:02'),
    failed('renew', 'Invalid', 'other words'),
  ];
  assert.deepEqual(logged(events), [
    'error cannot update',
    'error cannot get',
    'error at 12:00:01',
    'error other words',
  ]);
});

it('a server that finds other words each time does not fill the log', () => {
  const events = Array.from({ length: 59 }, (_, i) => failed('renew', 'Invalid', 'x'.repeat(i), i + 1));
  assert.equal(logged(events).length, 20);
});

it('tells of a second writer at once, and again at every 360th of its writes', () => {
  const times: number[] = [];
  const err = (line: string): void => void times.push((JSON.parse(line) as { times: number }).times);
  const observe = logPublisher(createLog({ level: 'info', format: 'json', output: { err } }));
  const event: PublisherEvent = { type: 'secondWriter', lease: lease() };
  observe(event);
  assert.deepEqual(times, [1]);
  for (let i = 2; i <= 721; i++) observe(event);
  assert.deepEqual(times, [1, 361, 721]);
});

it('a lease that is no longer among ours was deleted, or lost its labels', () => {
  const event = (deleted: boolean): PublisherEvent => ({ type: 'disturbed', lease: lease(), deleted });
  assert.deepEqual(logged([event(true), event(false)]), [
    'warn the lease was deleted, or its labels were changed: looking',
  ]);
});

it('says what an operator has to know of restores, servers, finalizers and clocks', () => {
  const held = { ...lease(), metadata: { ...lease().metadata, finalizers: ['example.com/x'] } };
  const lines = logged([
    { type: 'restored', lease: lease() },
    { type: 'besideServer', lease: lease(), peerProxying: false },
    { type: 'besideServer', lease: lease(), peerProxying: true },
    { type: 'terminating', lease: held },
    { type: 'clockDistance', distanceMs: -7_200_000, exceeded: true },
    { type: 'clockDistance', distanceMs: 0, exceeded: false },
    { type: 'clockSteppedBack', byMs: 90_000 },
    { type: 'stopped', outcome: 'terminating', lease: 'x' },
  ]);
  for (const [i, words] of [
    /^warn .*Was etcd restored/,
    /^warn .*publishes this lease itself: standing by.*--lease-name-format sha256/,
    /^warn .*peer proxying.*--beside-server=publish/,
    /^warn .*marked for deletion, held by finalizers/,
    /^warn .*clock is off/,
    /^info .*right again/,
    /^warn .*set back/,
    /^info .*marked for deletion, held by finalizers/,
  ].entries())
    assert.match(lines[i] ?? '', words);
});

it('what others wrote is cut to a bearable length, in JSON too', () => {
  const huge = 'x'.repeat(100_000);
  const foreign = { ...lease({ hostname: huge, holder: huge }), metadata: { ...lease().metadata, annotations: {} } };
  const labelled = { ...foreign, metadata: { ...foreign.metadata, labels: lease({ hostname: huge }).metadata.labels } };
  const events: PublisherEvent[] = [
    { type: 'claimed', how: 'takenOver', lease: labelled, from: huge },
    { type: 'secondWriter', lease: labelled },
    { type: 'superseded', lease: labelled },
    { type: 'foreign', lease: labelled },
    { type: 'disturbed', lease: labelled, deleted: true },
    { type: 'twin', lease: labelled },
  ];
  for (const event of events) {
    let line = '';
    logPublisher(createLog({ level: 'info', format: 'json', output: { err: (text) => (line += text) } }))(event);
    assert.ok(line.length > 100 && line.length < 1_500, `${event.type}: ${line.length}`);
  }
});
