import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeaderElector } from '../../src/election/elector.ts';
import { timing } from '../../src/election/election-options.ts';
import { HeldTerm } from '../../src/election/term.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { REF, obedient } from './actors.ts';

const OPTIONS = {
  leaseDurationSeconds: 15,
  renewDeadlineMs: 10_000,
  retryPeriodMs: 2_000,
  workTimeoutMs: 30_000,
  onWorkError: 'retry',
} as const;

test('stopped by an observer of `leading`: the work is asked to end, and the lease is released', async () => {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock });
  const stop = new AbortController();
  const elector = new LeaderElector({
    store,
    clock,
    random: () => 0.5,
    lease: REF,
    id: 'a',
    uuid: '1',
    observe: ({ type }) => type === 'leading' && stop.abort(),
    work: obedient,
  });
  let done = false;
  const run = elector.run(stop.signal);
  void run.then(() => (done = true));
  await clock.advance(100);
  assert(done);
  assert.equal(store.peek(REF)?.spec.holderIdentity, '');
  assert.equal(clock.pending, 0);
});

test('a renewal that was sent before the last one known moves nothing', () => {
  const clock = new ManualClock();
  const parts = { lease: REF, holder: 'a_1', fencingToken: 0, clock, timing: timing(OPTIONS), onLost() {} };
  const held = new HeldTerm({ ...parts, sentAt: 2 });
  const { deadline } = held;
  assert(held.renewed(1));
  assert.equal(held.deadline, deadline);
  held.end();
});

test('a term that is lost aborts its signal even when its observer throws', () => {
  const held = new HeldTerm({
    lease: REF,
    holder: 'a_1',
    fencingToken: 0,
    clock: new ManualClock(),
    timing: timing(OPTIONS),
    sentAt: 0,
    onLost() {
      throw new Error('a bug');
    },
  });
  assert.throws(() => held.lose('taken'), /a bug/);
  assert(held.term.signal.aborted);
  assert.throws(() => held.term.check(), { code: 'LeadershipLost', reason: 'taken' });
});
