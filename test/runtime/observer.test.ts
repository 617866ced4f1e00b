import assert from 'node:assert/strict';
import { it } from 'node:test';
import { containedObserver, observers } from '../../src/runtime/observer.ts';

it('tells every listener, in order', () => {
  const seen: string[] = [];
  observers<string>(
    (event) => seen.push(`a ${event}`),
    (event) => seen.push(`b ${event}`),
  )('x');
  assert.deepEqual(seen, ['a x', 'b x']);
});

it('reports the first error of an observer and goes on, thrown or rejected', async () => {
  const reported: unknown[] = [];
  const seen: string[] = [];
  const observe = containedObserver<string>(
    (event) => {
      seen.push(event);
      throw new Error(event);
    },
    (error) => reported.push(error),
  );
  observe('a');
  observe('b');
  assert.deepEqual(seen, ['a', 'b']);
  assert.deepEqual(reported.map(String), ['Error: a']);
  const late = containedObserver<string>(
    // An asynchronous function where none is expected, as JavaScript allows.
    ((event: string) => Promise.reject(new Error(event))) as (event: string) => void,
    (error) => reported.push(error),
  );
  late('c');
  late('d');
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(reported.map(String), ['Error: a', 'Error: c']);
});

it('one listener that throws keeps no other from the event', () => {
  const seen: string[] = [];
  const warned = process.listeners('warning');
  process.removeAllListeners('warning');
  process.once('warning', () => {});
  observers<string>(
    () => {
      throw new Error('x');
    },
    (event) => seen.push(event),
  )('x');
  assert.deepEqual(seen, ['x']);
  setImmediate(() => warned.forEach((listener) => process.on('warning', listener)));
});
