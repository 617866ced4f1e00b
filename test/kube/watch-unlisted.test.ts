/** Watching leases without the permission to list them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LeaseEvent, LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { watchLeases } from '../../src/kube/list-watch.ts';
import type { ByteStream, WatchFrom } from '../../src/kube/list-watch.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { leaseJson } from './support.ts';

const refused = (code: LeaseStoreErrorCode, message: string): LeaseStoreError => new LeaseStoreError(code, { message });
const line = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`;
const bookmark = (resourceVersion: string, end = false): string =>
  line('BOOKMARK', {
    metadata: { resourceVersion, ...(end && { annotations: { 'k8s.io/initial-events-end': 'true' } }) },
  });
const added = (name: string): string => line('ADDED', leaseJson(name));

/** Each stream tells its text, then ends or stays silent. An error: it is not opened. */
async function watched(
  streams: readonly ({ readonly text: string; readonly ends: boolean } | LeaseStoreError)[],
  unlisted = true,
): Promise<{ events: LeaseEvent[]; froms: WatchFrom[]; lists: number; done: unknown }> {
  const clock = new ManualClock();
  const stop = new AbortController();
  const events: LeaseEvent[] = [];
  const froms: WatchFrom[] = [];
  let lists = 0;
  let done: unknown = 'running';
  const left = [...streams];
  const loop = async (): Promise<void> => {
    const watch = watchLeases({
      clock,
      random: () => 0,
      signal: stop.signal,
      unlisted,
      list: () => {
        lists++;
        return Promise.reject(refused('Forbidden', 'you may not list'));
      },
      open: ({ timeoutSeconds: _, ...from }) => {
        froms.push(from);
        const next = left.shift();
        if (next instanceof LeaseStoreError) return Promise.reject(next);
        let sent = false;
        const stream: ByteStream = {
          read: async () => {
            if (!sent) {
              sent = true;
              return Buffer.from(next?.text ?? '');
            }
            if (next?.ends) return undefined;
            await new Promise<void>((resolve) => stop.signal.addEventListener('abort', () => resolve()));
            return undefined;
          },
          close: () => {},
        };
        return Promise.resolve(stream);
      },
    });
    for await (const event of watch) events.push(event);
  };
  void loop().then(
    () => (done = 'ended'),
    (error: unknown) => (done = error),
  );
  await clock.advance(5_000);
  stop.abort();
  await settle();
  return { events, froms, lists, done };
}
const names = (event: LeaseEvent | undefined): readonly string[] | undefined =>
  event?.type === 'list' ? event.leases.map(({ metadata }) => metadata.name) : undefined;
const INITIAL = { resourceVersion: '', sendInitialEvents: true };

test('the first list is made of what the watch begins with; listing is not tried again', async () => {
  const first = { text: added('a') + bookmark('5') + added('b') + bookmark('9', true) + added('c'), ends: true };
  const { events, froms, lists, done } = await watched([first, { text: '', ends: false }]);
  assert.equal(lists, 1);
  assert.deepEqual(names(events[0]), ['a', 'b']);
  assert.equal(events[1]?.type, 'added');
  assert.deepEqual(froms[0], INITIAL);
  // From where it ended, as any other.
  assert.equal(froms[1]?.sendInitialEvents, undefined);
  assert.notEqual(froms[1]?.resourceVersion, '');
  assert.equal(done, 'ended');
});

test('an empty namespace is an empty list', async () => {
  const { events } = await watched([{ text: bookmark('9', true), ends: false }]);
  assert.deepEqual(events, [{ type: 'list', leases: [], serverDate: undefined }]);
});

test('cut off before all of it was sent: nothing of it is passed on, and it begins again', async () => {
  const { events, froms, lists } = await watched([
    { text: added('a'), ends: true },
    { text: added('b') + bookmark('9', true), ends: false },
  ]);
  assert.deepEqual(
    events.map(({ type }) => type),
    ['lost', 'list'],
  );
  assert.deepEqual(names(events[1]), ['b']);
  assert.deepEqual(froms, [INITIAL, INITIAL]);
  assert.equal(lists, 1);
});

test('410: begins again with everything that there is', async () => {
  const gone = line('ERROR', { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 410, reason: 'Expired' });
  const { events, froms, lists } = await watched([
    { text: bookmark('9', true) + gone, ends: true },
    { text: added('a') + bookmark('12', true), ends: false },
  ]);
  assert.deepEqual(
    events.map(({ type }) => type),
    ['list', 'lost', 'list'],
  );
  assert.deepEqual(froms, [INITIAL, INITIAL]);
  assert.equal(lists, 1);
});

test('where the server does not know how, the permission to list is what is missing; where it forbids, that to watch', async () => {
  const unknown = await watched([refused('Invalid', 'no')]);
  assert.equal((unknown.done as Error).message, 'you may not list');
  const forbidden = await watched([refused('Forbidden', 'you may not watch')]);
  assert.equal((forbidden.done as Error).message, 'you may not watch');
  const { done, froms } = await watched([], false);
  assert.deepEqual([(done as Error).message, froms], ['you may not list', []]);
});

test('a first list without end is given up: memory is bounded', async () => {
  const big = line('ADDED', { ...leaseJson('big'), x: 'x'.repeat(6 * 1024 * 1024) });
  const { events } = await watched([{ text: big.repeat(24), ends: false }]);
  assert.equal(events[0]?.type, 'lost');
  assert.match(events[0].error.message, /more than is read of one list/);
});
