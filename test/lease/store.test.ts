import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { isStoreError, LeaseStoreError } from '../../src/lease/store.ts';

const RETRYABLE: Record<LeaseStoreErrorCode, boolean> = {
  NotFound: false,
  NamespaceNotFound: false,
  NamespaceTerminating: false,
  AlreadyExists: false,
  Conflict: false,
  Invalid: false,
  Unauthorized: false,
  Forbidden: false,
  TooManyRequests: true,
  Expired: true,
  ServerError: true,
  Timeout: true,
  Unavailable: true,
  BadAnswer: true,
  TooLarge: true,
  Credentials: false,
  Aborted: false,
};
for (const [code, retryable] of Object.entries(RETRYABLE) as [LeaseStoreErrorCode, boolean][]) {
  it(`${code} is ${retryable ? '' : 'not '}worth a retry`, () => {
    assert.equal(new LeaseStoreError(code, { message: 'm' }).retryable, retryable);
  });
}

it('an error carries what is known, and nothing else', () => {
  const cause = new Error('socket');
  const full = new LeaseStoreError('Unavailable', {
    message: 'm',
    status: 503,
    retryAfterMs: 5,
    mayHaveCommitted: true,
    cause,
  });
  assert.deepEqual(
    [full.code, full.status, full.retryAfterMs, full.mayHaveCommitted, full.cause],
    ['Unavailable', 503, 5, true, cause],
  );
  const bare = new LeaseStoreError('Conflict', { message: 'm' });
  assert.deepEqual(
    [bare.status, bare.retryAfterMs, bare.mayHaveCommitted, 'cause' in bare],
    [undefined, undefined, false, false],
  );
});

it('isStoreError asks for the class, and for codes where some are given', () => {
  const error = new LeaseStoreError('Conflict', { message: 'm' });
  assert.equal(isStoreError(error), true);
  assert.equal(isStoreError(error, 'NotFound', 'Conflict'), true);
  assert.equal(isStoreError(error, 'NotFound'), false);
  assert.equal(isStoreError({ code: 'Conflict' }, 'Conflict'), false);
});
