import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Latest } from '../../src/runtime/latest.ts';
import { settle } from '../../src/runtime/manual-clock.ts';

/** Work that records when it begins and ends, and ends only when asked to. */
function world(value: string) {
  const history: string[] = [];
  let running = 0;
  let release: (() => void) | undefined;
  const stop = new AbortController();
  const latest = new Latest('it', value, async (w, signal) => {
    assert.equal(++running, 1, 'one at a time');
    history.push(`begin ${w}`);
    signal.addEventListener('abort', () => history.push(`asked to end ${w}`), { once: true });
    await new Promise<void>((resolve) => (release = resolve));
    history.push(`end ${w}`);
    running--;
  });
  const done = latest.run(stop.signal);
  return { history, latest, stop, done, release: () => release?.() };
}

test('of several values while the work ends only the last one counts', async () => {
  const w = world('a');
  await settle();
  w.latest.set('b');
  w.latest.set('c');
  await settle();
  assert.deepEqual(w.history, ['begin a', 'asked to end a']);
  w.release();
  await settle();
  assert.deepEqual(w.history.slice(2), ['end a', 'begin c']);
  w.stop.abort();
  w.release();
  await w.done;
});

test('the same value disturbs nothing; a value and the one before again run the work again', async () => {
  const w = world('a');
  await settle();
  w.latest.set('a');
  await settle();
  assert.deepEqual(w.history, ['begin a']);
  w.latest.set('b');
  w.latest.set('a');
  w.release();
  await settle();
  assert.deepEqual(w.history.slice(1), ['asked to end a', 'end a', 'begin a']);
  w.stop.abort();
  w.release();
  await w.done;
});

test('it settles only when the work has ended, and begins nothing after the stop', async () => {
  const w = world('a');
  await settle();
  let ended = false;
  void w.done.then(() => (ended = true));
  w.stop.abort();
  w.latest.set('b');
  await settle();
  assert.equal(ended, false);
  w.release();
  await settle();
  assert.equal(ended, true);
  assert.deepEqual(w.history, ['begin a', 'asked to end a', 'end a']);
});

test('work that ends by itself is not repeated until the next value', async () => {
  let runs = 0;
  const stop = new AbortController();
  const latest = new Latest('it', 1, () => Promise.resolve(runs++));
  const done = latest.run(stop.signal);
  await settle();
  assert.equal(runs, 1);
  latest.set(2);
  await settle();
  assert.equal(runs, 2);
  stop.abort();
  await done;
});

test('what the work throws ends it', async () => {
  const latest = new Latest('it', 1, () => Promise.reject(new Error('broken')));
  await assert.rejects(latest.run(new AbortController().signal), /broken/);
});
