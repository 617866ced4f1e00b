import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { createLog } from '../../src/observe/pino-log.ts';
import { logSweeper, spanText } from '../../src/observe/sweep-log.ts';
import type { Collectable } from '../../src/sweep/decide.ts';
import { noneKept } from '../../src/sweep/decide.ts';
import type { PassResult, SweepEvent } from '../../src/sweep/sweep-events.ts';

function tell(...events: readonly SweepEvent[]): string[] {
  const lines: string[] = [];
  const err = (line: string): void => void lines.push(line.slice(line.indexOf(' ') + 1).trimEnd());
  const observe = logSweeper(createLog({ level: 'info', format: 'text', output: { err } }));
  for (const event of events) observe(event);
  return lines;
}

const lease = (name: string, more: Partial<Collectable> = {}): Collectable => ({
  name,
  uid: 'u',
  resourceVersion: '1',
  holderIdentity: `${name}_1`,
  hostname: `host-${name}`,
  expiredForMs: 7_500_000,
  finalizers: [],
  ...more,
});

const result = (more: Partial<PassResult> = {}): PassResult => ({
  outcome: 'completed',
  dryRun: false,
  seen: 3,
  collectable: 0,
  kept: noneKept(),
  deleted: 0,
  changed: 0,
  gone: 0,
  failed: 0,
  left: 0,
  tookMs: 30_140,
  ...more,
});

test('every deletion is reported with host, holder and how long it was expired', () => {
  assert.deepEqual(tell({ type: 'deleted', lease: lease('a') }), [
    'INFO  deleted an expired lease  lease=a  hostname=host-a  holder=a_1  expiredFor=2h5m',
  ]);
  assert.match(
    tell({ type: 'deleted', lease: lease('a', { finalizers: ['x/y'], hostname: undefined }) })[0]!,
    /marked an expired lease for deletion: its finalizers hold it .*hostname="\(unknown\)"/,
  );
});

test('what a foreign lease says cannot forge a line', () => {
  const [line, ...more] = tell({
    type: 'deleted',
    lease: lease('a', { holderIdentity: 'x\n12:00 INFO forged\u001b[2J' }),
  });
  assert.deepEqual(more, []);
  assert.doesNotMatch(line!, /[\n\u001b]/);
});

test('a pass ends with one line that says what it came to', () => {
  const kept = { ...noneKept(), unexpired: 2, released: 1 };
  assert.deepEqual(tell({ type: 'passFinished', result: result({ seen: 5, deleted: 2, gone: 1, kept }) }), [
    'INFO  pass finished  seen=5  deleted=2  gone=1  kept="1 released, 2 unexpired"  took=30.14s',
  ]);
  assert.match(
    tell({ type: 'passFinished', result: result({ outcome: 'void', because: 'noneUnexpired' }) })[0]!,
    /^ERROR pass void: no unexpired lease would be left.*--allow-all/,
  );
  assert.match(
    tell({ type: 'passFinished', result: result({ outcome: 'void', because: 'recovering' }) })[0]!,
    /^WARN {2}pass void: servers .* have just come back.*the next pass looks again/,
  );
  assert.match(
    tell({ type: 'passFinished', result: result({ outcome: 'void', because: 'noneRenewed' }) })[0]!,
    /^WARN {2}pass void: no lease was renewed since these expired.*--allow-all/,
  );
  const some = { ...noneKept(), unexpired: 1, recovering: 2 };
  assert.match(
    tell({ type: 'passFinished', result: result({ deleted: 1, kept: some }) })[0]!,
    /^WARN {2}pass finished, but some expired leases wait for a later one.*deleted=1.*kept="1 unexpired, 2 recovering"/,
  );
  const error = new LeaseStoreError('Forbidden', { message: 'leases is forbidden' });
  assert.match(
    tell({ type: 'passFinished', result: result({ outcome: 'void', because: 'listFailed', error }) })[0]!,
    /^ERROR pass void: listing failed.*code=Forbidden.*error="leases is forbidden"/,
  );
  assert.match(
    tell({ type: 'passFinished', result: result({ outcome: 'void', because: 'noDate' }) })[0]!,
    /^WARN {2}pass void: the API server sent no time/,
  );
  assert.match(
    tell({ type: 'passFinished', result: result({ outcome: 'stopped', because: 'failing', left: 9 }) })[0]!,
    /^WARN {2}pass ended early: deletions keep failing.*left=9/,
  );
});

test('a failure that repeats is reported once a pass', () => {
  const failed = (name: string): SweepEvent => ({
    type: 'deleteFailed',
    lease: lease(name),
    error: new LeaseStoreError('Forbidden', { message: `cannot delete ${name}` }),
  });
  const started: SweepEvent = { type: 'passStarted', namespace: 'n', labelSelector: 'a=b', dryRun: false };
  assert.equal(tell(started, failed('dead-1'), failed('dead-2'), failed('dead-3')).length, 1);
  assert.equal(tell(started, failed('dead-1'), started, failed('dead-1')).length, 2);
});

test('a pass that finds nothing says once where it looked, until something is found', () => {
  const started: SweepEvent = { type: 'passStarted', namespace: 'kube-sytem', labelSelector: 'a=b', dryRun: false };
  const pass = (seen: number): SweepEvent[] => [started, { type: 'passFinished', result: result({ seen }) }];
  const lines = tell(...pass(0), ...pass(0), ...pass(1), ...pass(0)).filter((line) => line.includes('no lease found'));
  assert.equal(lines.length, 2);
  assert.match(lines[0]!, /^WARN .*namespace=kube-sytem {2}selector="?a=b/);
});

test('clocks that are far apart are a warning, others are not', () => {
  assert.match(
    tell({ type: 'clockDistance', distanceMs: -7_200_000, exceeded: true })[0]!,
    /^WARN {2}this machine's clock is far from the API server's.*ahead=-7200s/,
  );
  assert.deepEqual(tell({ type: 'clockDistance', distanceMs: 100, exceeded: false }), []);
});

test('spans', () => {
  assert.deepEqual([0, 59_999, 60_000, 7_500_000, 90_000_000, -5].map(spanText), [
    '0s',
    '59s',
    '1m0s',
    '2h5m',
    '1d1h',
    '0s',
  ]);
});
