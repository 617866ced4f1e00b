import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { Endings } from '../../src/kube/wire/endings.ts';

const listeners = (signal: AbortSignal): number => getEventListeners(signal, 'abort').length;

test('a signal ends its own calls, once each, and by one listener', () => {
  const endings = new Endings();
  const [one, other] = [new AbortController(), new AbortController()];
  const ended: string[] = [];
  const call = (name: string, signal?: AbortSignal) => {
    const end = (): void => {
      ended.push(name);
      endings.delete(end, signal);
    };
    endings.add(end, signal);
    return () => endings.delete(end, signal);
  };
  call('a', one.signal);
  const b = call('b', one.signal);
  call('c', one.signal);
  call('d', other.signal);
  call('e');
  b();
  b();
  assert.equal(listeners(one.signal), 1);
  one.abort();
  assert.deepEqual(ended.toSorted(), ['a', 'c']);
  assert.equal(listeners(one.signal), 0);
  endings.endAll();
  assert.deepEqual(ended.slice(2).toSorted(), ['d', 'e']);
  assert.equal(listeners(other.signal), 0);
  other.abort();
  assert.equal(ended.length, 4);
});

test('a signal that serves again and again has a listener while calls are under way', () => {
  const endings = new Endings();
  const { signal } = new AbortController();
  for (let i = 0; i < 3; i++) {
    const ends = Array.from({ length: 40 }, () => () => {});
    for (const end of ends) endings.add(end, signal);
    assert.equal(listeners(signal), 1);
    for (const end of ends) endings.delete(end, signal);
    assert.equal(listeners(signal), 0);
  }
});

test('while a signal ends calls none is ended that another has deleted, and one that throws keeps no other', (t) => {
  const uncaught: (() => void)[] = [];
  t.mock.method(globalThis, 'queueMicrotask', (later: () => void) => uncaught.push(later));
  const endings = new Endings();
  const controller = new AbortController();
  const ended: string[] = [];
  const deleted = (): void => void ended.push('deleted');
  const first = (): void => {
    ended.push('first');
    endings.delete(deleted, controller.signal);
    throw new Error('its fault');
  };
  const last = (): void => void ended.push('last');
  for (const end of [first, deleted, last]) endings.add(end, controller.signal);
  controller.abort();
  t.mock.restoreAll();
  assert.deepEqual(ended, ['first', 'last']);
  assert.equal(uncaught.length, 1);
  assert.throws(uncaught[0]!, { message: 'its fault' });
});
