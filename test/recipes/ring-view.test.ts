/** Which key may be taken, from every order in which Leases of members and keys change, go and come back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newLease, withChanges } from '../../src/lease/lease.ts';
import type { Lease } from '../../src/lease/lease.ts';
import { TERM_ANNOTATION, termMarkText } from '../../src/lease/marks.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import {
  MEMBER_ANNOTATION,
  RingView,
  memberTermOf,
  memberTermText,
  parseMemberTerm,
} from '../../src/recipes/ring-view.ts';
import type { MemberTerm } from '../../src/recipes/ring-view.ts';

const NS = 'default';
const time = (n: number): MicroTime => MicroTime.fromEpochMs(Date.UTC(2026, 0, 1) + n);
let version = 0;

function member(
  name: string,
  holder: string,
  transitions: number,
  renewed: number,
  more: { uid?: string; term?: boolean; mark?: number } = {},
): Lease {
  const mark = termMarkText({ holder, transitions: more.mark ?? transitions, durationSeconds: 15 });
  const annotations = more.term === false ? {} : { [TERM_ANNOTATION]: mark };
  return newLease(
    {
      name,
      namespace: NS,
      uid: more.uid ?? `uid-${name}`,
      resourceVersion: String(++version),
      labels: { kind: 'member' },
      annotations,
    },
    { holderIdentity: holder, leaseTransitions: transitions, leaseDurationSeconds: 15, renewTime: time(renewed) },
  );
}
const termOf = (lease: Lease): MemberTerm => memberTermOf(lease, 15_000) as MemberTerm;

function key(name: string, term: MemberTerm | undefined, more: { uid?: string; at?: number } = {}): Lease {
  return newLease(
    {
      name,
      namespace: NS,
      uid: more.uid ?? `uid-${name}`,
      resourceVersion: String(++version),
      annotations: term ? { [MEMBER_ANNOTATION]: memberTermText(name, term) } : {},
    },
    { holderIdentity: term?.holder ?? '', leaseDurationSeconds: 15, renewTime: time(more.at ?? 0) },
  );
}

const view = (): RingView => new RingView(15_000, (lease) => lease.metadata.labels['kind'] === 'member');
const A = member('a', 'a_1', 3, 0);

function held(): RingView {
  const ring = view();
  ring.see({ type: 'list', leases: [A, key('k', termOf(A))] }, 0);
  return ring;
}
const modified = (lease: Lease) => ({ type: 'modified' as const, lease });

test('a key whose Lease is not there is free a duration after the whole ring was first seen, or after it went', () => {
  const ring = view();
  assert.equal(ring.key('k').freeAt, Infinity, 'nothing was seen yet');
  ring.see({ type: 'list', leases: [] }, 100);
  assert.equal(ring.key('k').freeAt, 15_100);
  const lease = key('k', undefined);
  ring.see({ type: 'added', lease }, 200);
  assert.equal(ring.key('k').freeAt, 15_200, 'nobody creates a released key: it was brought along');
  ring.see({ type: 'deleted', lease }, 300);
  assert.equal(ring.key('k').freeAt, 15_300);
});

test('a key whose Lease is not there is waited for as long as the longest term of any member', () => {
  const ring = view();
  const slow = withChanges(A, { spec: { leaseDurationSeconds: 60 } });
  ring.see({ type: 'list', leases: [slow] }, 0);
  assert.equal(ring.key('k').freeAt, 60_000);
});

test('a key that was never there is waited for from each list: it may have come and gone in between', () => {
  const ring = view();
  ring.see({ type: 'list', leases: [] }, 0);
  assert.equal(ring.key('k').freeAt, 15_000);
  ring.see({ type: 'list', leases: [] }, 40_000);
  assert.equal(ring.key('k').freeAt, 55_000);
});

test('what was put back under a term that then ends is waited for all the same', () => {
  const B = member('b', 'b_1', 1, 0);
  const ring = view();
  const held = (transitions: number, term: MemberTerm): Lease => {
    const lease = key('k', term, { at: transitions });
    return { ...lease, spec: { ...lease.spec, leaseTransitions: transitions } };
  };
  ring.see({ type: 'list', leases: [A, B, held(5, termOf(A))] }, 0);
  ring.see(modified(held(4, termOf(B))), 1_000);
  ring.see(modified(member('b', '', 2, 2_000, { term: false })), 2_000);
  assert.equal(ring.key('k').freeAt, 16_000, 'a may not have learned that its key is gone');
});

test('a release is believed over what it follows, and not when it was put back', () => {
  const state = (transitions: number, term?: MemberTerm): Lease => {
    const lease = key('k', term, { at: transitions });
    return { ...lease, spec: { ...lease.spec, leaseTransitions: transitions } };
  };
  const there = view();
  there.see({ type: 'list', leases: [A, state(1)] }, 0);
  assert.equal(there.key('k').freeAt, 0, 'released before we came');
  there.see(modified(state(2, termOf(A))), 100);
  assert.equal(there.key('k').freeAt, Infinity);
  there.see(modified(state(1)), 200);
  assert.equal(there.key('k').freeAt, 15_200, 'put back: its holder goes on until it learns of it');
  const released = view();
  released.see({ type: 'list', leases: [A, state(2, termOf(A))] }, 0);
  released.see(modified(state(2)), 300);
  assert.equal(released.key('k').freeAt, 300);
});

test('a key that we created waits where another came and went before it, or may have unseen', () => {
  const ring = view();
  ring.see({ type: 'list', leases: [A] }, 0);
  ring.see({ type: 'added', lease: key('k', termOf(A), { uid: 'first' }) }, 16_000);
  assert.equal(ring.key('k').notBefore, 15_000, 'nothing was there since the list');
  ring.see({ type: 'deleted', lease: key('k', termOf(A), { uid: 'first' }) }, 17_000);
  ring.see({ type: 'added', lease: key('k', termOf(A), { uid: 'second' }) }, 17_001);
  assert.equal(ring.key('k').notBefore, 32_000, 'the first may still be in a hand that has not learned of its end');
  ring.see({ type: 'list', leases: [A] }, 40_000);
  ring.see({ type: 'list', leases: [A, key('k', termOf(A), { uid: 'third' })] }, 60_000);
  assert.equal(ring.key('k').notBefore, 75_000, 'others may have come and gone between the lists');
});

test('held by exactly the term that it names, however it was renewed since', () => {
  const ring = held();
  assert.equal(ring.key('k').freeAt, Infinity);
  ring.see(modified(member('a', 'a_1', 3, 5_000)), 5_000);
  assert.equal(ring.key('k').freeAt, Infinity);
  assert.deepEqual(ring.live(19_999), ['a']);
  assert.deepEqual(ring.live(20_000), []);
  assert.equal(ring.silentMember('k', 19_999), undefined);
  assert.equal(ring.silentMember('k', 20_000)?.metadata.name, 'a');
  assert.equal(ring.key('k').freeAt, Infinity, "the member's Lease has to be taken first");
});

test('free at once when the member of the term was taken, or released its Lease, before our eyes', () => {
  const taken = held();
  taken.see(modified(member('a', '', 4, 16_000, { term: false })), 16_000);
  assert.equal(taken.key('k').freeAt, 16_000);
  const again = held();
  again.see(modified(member('a', 'a_2', 4, 16_000)), 16_000);
  assert.equal(again.key('k').freeAt, 16_000, 'the next process of its name holds it');
  const released = held();
  released.see(modified(member('a', '', 3, 2_000, { term: false })), 2_000);
  assert.equal(released.key('k').freeAt, 2_000);
});

test('what proves nothing is waited for: emptied by another, deleted, created again, set back, another holder', () => {
  const cases: [string, (ring: RingView) => void][] = [
    ['emptied, but not by its holder', (ring) => ring.see(modified(member('a', '', 3, 2_000)), 2_000)],
    ['put back to an earlier release', (ring) => ring.see(modified(member('a', '', 3, -500, { term: false })), 2_000)],
    ['emptied and counted on', (ring) => ring.see(modified(member('a', '', 8, 2_000, { mark: 3 })), 2_000)],
    ['counted on by hand', (ring) => ring.see(modified(member('a', 'a_1', 8, 2_000, { mark: 3 })), 2_000)],
    ['deleted', (ring) => ring.see({ type: 'deleted', lease: A }, 2_000)],
    ['another uid', (ring) => ring.see(modified(member('a', 'a_2', 9, 2_000, { uid: 'other' })), 2_000)],
    ['an older state', (ring) => ring.see(modified(member('a', 'a_0', 2, 2_000)), 2_000)],
    ['another holder with the same transitions', (ring) => ring.see(modified(member('a', 'a_9', 3, 2_000)), 2_000)],
    ['not in a list any more', (ring) => ring.see({ type: 'list', leases: [key('k', termOf(A))] }, 2_000)],
  ];
  for (const [name, change] of cases) {
    const ring = held();
    change(ring);
    assert.equal(ring.key('k').freeAt, 17_000, name);
  }
});

test('what broke once stays broken until it matches again: a later take-over proves nothing of the first holder', () => {
  const ring = held();
  ring.see(modified(member('a', 'a_0', 2, 2_000)), 2_000);
  ring.see(modified(member('a', 'a_5', 4, 3_000)), 3_000);
  assert.equal(ring.key('k').freeAt, 17_000);
  ring.see(modified(member('a', 'a_1', 3, 4_000)), 4_000);
  assert.equal(ring.key('k').freeAt, Infinity);
});

test('a member that joins late has not seen the term that a key names: it waits', () => {
  const ring = view();
  ring.see({ type: 'list', leases: [member('a', '', 4, 0, { term: false }), key('k', termOf(A))] }, 100);
  assert.equal(ring.key('k').freeAt, 15_100);
});

test('a record put back that names a term which has long given the key away is waited for, whatever its member does', () => {
  const B = member('b', 'b_1', 1, 0);
  const ring = view();
  ring.see({ type: 'list', leases: [A, B, key('k', termOf(B))] }, 0);
  // The key names a again, who lives in the same term and does not hold it.
  ring.see(modified(key('k', termOf(A), { at: 7 })), 1_000);
  assert.equal(ring.key('k').freeAt, Infinity);
});

test('a record put back that names a shorter term is waited for as long as the term that it hides', () => {
  const ring = held();
  const long = { ...termOf(A), durationMs: 60_000 };
  ring.see(modified(key('k', long, { at: 2 })), 1_000);
  ring.see(modified(key('k', { ...termOf(A), holder: 'z_1' }, { at: 1 })), 2_000);
  assert.equal(ring.key('k').freeAt, 62_000);
});

test('a text that cannot be read, or a holder without one, is no release', () => {
  for (const text of ['x', '{}', 'null', '[]', '{"lease":1}']) assert.equal(parseMemberTerm(text), undefined, text);
  const ring = view();
  const odd = newLease(
    { name: 'k', namespace: NS, uid: 'u', resourceVersion: '1', annotations: { [MEMBER_ANNOTATION]: 'x' } },
    {},
  );
  const foreign = newLease(
    { name: 'l', namespace: NS, uid: 'u', resourceVersion: '1' },
    { holderIdentity: 'somebody' },
  );
  ring.see({ type: 'list', leases: [odd, foreign] }, 50);
  assert.equal(ring.key('k').freeAt, 15_050);
  assert.equal(ring.key('l').freeAt, 15_050);
});

test('in a list read again, a key that named a term before its member changed is known to have done so', () => {
  const ring = held();
  ring.see({ type: 'list', leases: [member('a', '', 4, 16_000, { term: false }), key('k', termOf(A))] }, 16_500);
  assert.equal(ring.key('k').freeAt, 16_500);
});

test('labels and annotations of others change nothing', () => {
  const ring = held();
  const before = ring.lease('k') as Lease;
  ring.see(modified({ ...before, metadata: { ...before.metadata, resourceVersion: '99', labels: { x: 'y' } } }), 3_000);
  ring.see(modified(member('a', '', 3, 4_000, { term: false })), 4_000);
  assert.equal(ring.key('k').freeAt, 4_000);
  assert.equal(ring.lease('k')?.metadata.resourceVersion, '99');
});
