/** One loop for every watch: reopening, replacing, stopping. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { Follower } from '../../src/runtime/follow.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';

/** A watch that gives what it is asked for, until it is ended or its signal aborts. */
function source() {
  const opened: { emit(event: string): void; end(error?: Error): void; readonly signal: AbortSignal }[] = [];
  const open = async function* (signal: AbortSignal): AsyncGenerator<string> {
    const inbox: string[] = [];
    let wake = (): void => {};
    let ended: { error: Error | undefined } | undefined;
    opened.push({
      signal,
      emit: (event) => (inbox.push(event), wake()),
      end: (error) => ((ended = { error }), wake()),
    });
    signal.addEventListener('abort', () => wake());
    for (;;) {
      const event = inbox.shift();
      if (event !== undefined) yield event;
      else if (ended?.error) throw ended.error;
      else if (ended || signal.aborted) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  return { opened, open };
}

test('opens again after the pause that the end asks for, at once when replaced, and leaves nothing at the stop', async () => {
  const clock = new ManualClock();
  const { opened, open } = source();
  const events: string[] = [];
  const ends: (string | undefined)[] = [];
  const follower = new Follower<string>({
    clock,
    open,
    onEvent: (event) => void events.push(event),
    onEnd: (error) => (ends.push(error?.code), 500),
  });
  const stop = new AbortController();
  const running = follower.run(stop.signal);
  await settle();
  opened[0]?.emit('a');
  await settle();
  opened[0]?.end(new LeaseStoreError('Forbidden', { message: 'no' }));
  await settle();
  assert.equal(opened.length, 1);
  await clock.advance(500);
  assert.equal(opened.length, 2);
  follower.replace();
  opened[1]?.emit('of a watch that was replaced');
  await settle();
  assert.equal(opened.length, 3);
  opened[2]?.end();
  await settle();
  stop.abort();
  await running;
  assert.deepEqual(events, ['a']);
  assert.deepEqual(ends, ['Forbidden', undefined]);
  assert.equal(clock.pending, 0);
});

test('what is no error of a store ends it', async () => {
  const { opened, open } = source();
  const follower = new Follower({ clock: new ManualClock(), open, onEvent: () => {}, onEnd: () => 0 });
  const running = follower.run(new AbortController().signal);
  await settle();
  opened[0]?.end(new TypeError('a mistake'));
  await assert.rejects(running, TypeError);
});
