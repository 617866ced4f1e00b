/** What /livez and /readyz say, by table. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PING, censusCheck, healthz, leaseCheck } from '../../src/http/health-endpoint.ts';
import type { PublisherStatus } from '../../src/identity/publisher-events.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { lease } from '../census/support.ts';
import { World } from './support.ts';

const NOW = 100_000;
const STATUS = {
  phase: 'holding',
  namespace: 'kube-system',
  lease: 'kube-apiserver-x',
  holder: 'kube-apiserver-x_1',
  heldBy: undefined,
  renewedAt: NOW - 2_000,
  failures: 0,
  lastError: undefined,
  twins: [],
} as const;
const lastError = new LeaseStoreError('Unavailable', { message: 'no connection to https://api' });

const CASES: [name: string, status: PublisherStatus, ok: boolean, note: RegExp][] = [
  ['holding', STATUS, true, /^holding kube-apiserver-x, renewed 2\.0 s ago$/],
  [
    'failing, the lease still valid',
    { ...STATUS, failures: 3, lastError },
    true,
    /3 failures in a row, the last: no connection/,
  ],
  ['expired', { ...STATUS, renewedAt: NOW - 60_001, failures: 9, lastError }, false, /^expired: /],
  [
    'superseded',
    { ...STATUS, phase: 'superseded', heldBy: 'other_2' },
    true,
    /^superseded: .* held by other_2; standing by/,
  ],
  [
    'marked for deletion',
    { ...STATUS, finalizers: ['example.com/x'] },
    true,
    /renewed .* ago; marked for deletion, held by finalizers example\.com\/x$/,
  ],
  [
    'beside a server that publishes itself',
    { ...STATUS, phase: 'besideServer', heldBy: 'apiserver-x_1' },
    true,
    /^the API server of this host publishes itself \(holder apiserver-x_1\); standing by$/,
  ],
  ['disabled', { ...STATUS, phase: 'disabled' }, true, /^disabled by feature gate APIServerIdentity$/],
  [
    'claiming',
    { ...STATUS, phase: 'claiming', renewedAt: undefined, failures: 1, lastError },
    false,
    /not claimed yet; 1 fail/,
  ],
  ['foreign', { ...STATUS, phase: 'foreign', heldBy: 'theirs' }, false, /belongs to somebody else \(theirs\)/],
  ['the server beside us is down', { ...STATUS, phase: 'waitingForServer' }, true, /does not answer/],
  ['twins', { ...STATUS, twins: ['apiserver-y'] }, true, /also published as apiserver-y/],
  ['stopping', { ...STATUS, phase: 'stopping' }, true, /stopping/],
];

for (const [name, status, ok, note] of CASES) {
  test(`lease: ${name}`, () => {
    const check = leaseCheck(status, 60_000, NOW);
    assert.equal(check.ok, ok);
    assert.match(check.note, note);
  });
}

test('a failed check is 503 and always reported; a passed one only when asked for', async () => {
  const bad = { name: 'lease', ok: false, note: 'not claimed\nforged line' };
  const good = await healthz('readyz', () => [PING])(new URLSearchParams());
  assert.deepEqual([good.status, good.body], [200, 'ok']);
  const verbose = await healthz('readyz', () => [PING])(new URLSearchParams('verbose'));
  assert.deepEqual([verbose.status, verbose.body], [200, '[+]ping ok\nreadyz check passed\n']);
  const failed = await healthz('readyz', () => [PING, bad])(new URLSearchParams());
  assert.equal(failed.status, 503);
  assert.equal(failed.body, '[+]ping ok\n[-]lease failed: not claimed forged line\nreadyz check failed\n');
});

test('census: not ready before it was read, nor once it is too old; for a publisher it is only shown', async (t) => {
  const w = new World();
  t.after(() => w.close());
  assert.deepEqual(censusCheck(w.census.snapshot(), true), { name: 'census', ok: false, note: 'unknown (NotSynced)' });
  assert.equal(censusCheck(w.census.snapshot(), false).ok, true);
  await w.list(lease());
  assert.equal(censusCheck(w.census.snapshot(), true).note, '1 instances, 1 live, last known 0.0 s ago');
  await w.tell({ type: 'lost', error: lastError });
  await w.clock.advance(31_000);
  const old = censusCheck(w.census.snapshot(), true);
  assert.deepEqual(
    [old.ok, old.note],
    [false, 'unknown (TooOld, last known 31.0 s ago); no connection to https://api'],
  );
});
