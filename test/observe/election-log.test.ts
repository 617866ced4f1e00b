import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ElectionEvent, ElectionHappening, ElectionOperation } from '../../src/election/election-events.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { logElection } from '../../src/observe/election-log.ts';
import { createLog } from '../../src/observe/pino-log.ts';

/** What is logged, as `level message`, at this level. */
function logged(events: readonly ElectionHappening[], level = 'info'): string[] {
  const lines: string[] = [];
  const observe = logElection(createLog({ level, format: 'json', output: { err: (line) => lines.push(line) } }));
  const common = { lease: { namespace: 'default', name: 'job' }, holder: 'us_1' };
  for (const event of events) observe({ ...event, ...common } as ElectionEvent);
  return lines.map((line) => {
    const { level: urgency, msg } = JSON.parse(line) as { level: string; msg: string };
    return `${urgency} ${msg}`;
  });
}
const term = { fencingToken: 3, deadline: 10, expires: 15 };
const leading = { type: 'leading', why: 'expired', uid: 'u', transitions: 3, ...term } as const;
const renewed = { type: 'renewed', ...term, latencyMs: 2, adopted: false } as const;
const failed = (operation: ElectionOperation, code: LeaseStoreErrorCode): ElectionHappening => ({
  type: 'failed',
  operation,
  error: new LeaseStoreError(code, { message: code }),
  retryInMs: 100,
});

test('a term: its beginning and its end, and nothing in between', () => {
  assert.deepEqual(
    logged([
      { type: 'contending' },
      { type: 'leaderObserved', leader: 'other', transitions: 2 },
      { type: 'leaderObserved', leader: undefined, transitions: 2 },
      { type: 'leaderObserved', leader: 'us_1', transitions: 3 },
      leading,
      renewed,
      renewed,
      { type: 'slowPath', fencingToken: 3 },
      { type: 'stopped', reason: 'shutdown', fencingToken: 3 },
      { type: 'released' },
    ]),
    ['info somebody else leads', 'info leading', 'info stopped leading: shutting down', 'info released the lease'],
  );
});

test('an outage: each kind of failure once, and its end once', () => {
  const outage = [failed('renew', 'Timeout'), failed('renew', 'Timeout'), failed('get', 'Unavailable')];
  assert.deepEqual(logged([leading, ...outage, ...outage, renewed, renewed, failed('renew', 'Timeout')]), [
    'info leading',
    'warn renewing the lease failed',
    'warn reading the lease failed',
    'info the API server answers again',
    'warn renewing the lease failed',
  ]);
});

test('what somebody must mend is an error; a lost term is a warning', () => {
  assert.deepEqual(logged([failed('create', 'Forbidden'), failed('watch', 'Forbidden')], 'warn'), [
    'error creating the lease failed',
    'warn watching the lease failed: it is read every few seconds instead',
  ]);
  assert.deepEqual(logged([{ type: 'stopped', reason: 'deadline', fencingToken: 3 }], 'warn'), [
    'warn leadership lost: no renewal succeeded before the renew deadline',
  ]);
});
