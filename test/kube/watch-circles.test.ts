/** Servers that would have the watch run in a circle, or never begin. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseLease } from '../../src/lease/lease.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { LeaseEvent, LeasePage } from '../../src/lease/store.ts';
import { watchLeases } from '../../src/kube/list-watch.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { leaseJson, statusBody } from './support.ts';

const line = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`;
const bookmark = (resourceVersion: string): string => line('BOOKMARK', { metadata: { resourceVersion } });
const error = (code: number): string => line('ERROR', statusBody(code, 'X', 'x'));

interface Asked {
  lists: number;
  readonly opens: string[];
  readonly events: LeaseEvent[];
  /** `running`, `ended`, or the error. */
  done: unknown;
}

/** Watches for so long on a manual clock; every stream tells the same and ends. */
async function watched(
  ms: number,
  answer: (() => string) | LeaseStoreError,
  list: () => LeasePage = () => ({ leases: [], resourceVersion: '5' }),
): Promise<Asked> {
  const clock = new ManualClock();
  const stop = new AbortController();
  const asked: Asked = { lists: 0, opens: [], events: [], done: 'running' };
  const watch = watchLeases({
    clock,
    random: () => 1,
    signal: stop.signal,
    list: async () => {
      // Ends a circle without pauses, which no clock would.
      if (++asked.lists > 1_000) {
        stop.abort();
        throw new LeaseStoreError('Aborted', { message: 'a circle' });
      }
      return list();
    },
    open: async ({ resourceVersion }) => {
      asked.opens.push(resourceVersion);
      if (answer instanceof LeaseStoreError) throw answer;
      let read = 0;
      return { read: async () => (read++ === 0 ? Buffer.from(answer()) : undefined), close: () => undefined };
    },
  });
  void (async () => {
    for await (const event of watch) asked.events.push(event);
  })().then(
    () => (asked.done = 'ended'),
    (e: unknown) => (asked.done = e),
  );
  await clock.advance(ms);
  stop.abort();
  await settle();
  return asked;
}

test('a bookmark and then 410 at once, for ever: a list with growing pauses between', async () => {
  const { lists } = await watched(60_000, () => bookmark('6') + error(410));
  // 0.5, 1, 2 and then 4 s.
  assert.ok(lists >= 10 && lists <= 20, String(lists));
});

test('one version that the server cannot go on from: the fourth try is a list', async () => {
  const fault = new LeaseStoreError('ServerError', { message: 'too large a version', status: 504 });
  for (const answer of [() => error(500), () => bookmark('5') + error(500), () => '', fault]) {
    // Pauses of 0.5 and 1 s between the tries, 2 s before the list.
    const { lists, opens } = await watched(3_499, answer);
    assert.deepEqual([lists, opens], [1, ['5', '5', '5']]);
    const later = await watched(3_500, answer);
    assert.equal(later.lists, 2);
  }
});

test('versions that go on, or a network that is away, need no list', async () => {
  let version = 5;
  const away = new LeaseStoreError('Unavailable', { message: 'away' });
  assert.equal((await watched(60_000, away)).lists, 1);
  const moving = watched(60_000, () => bookmark(String(++version)) + error(500));
  assert.equal((await moving).lists, 1);
});

test('a continue token that comes again is a bad answer, reported after the second page', async () => {
  let n = 0;
  for (const tokens of [['same'], ['a', 'b']]) {
    const { lists, events, done } = await watched(
      0,
      () => '',
      () => ({
        leases: [],
        resourceVersion: '5',
        continue: tokens[n++ % tokens.length],
      }),
    );
    assert.equal(lists, tokens.length + 1);
    const [event] = events;
    assert.ok(event?.type === 'lost' && event.error.code === 'BadAnswer', String(done));
  }
});

test('a page of 200,000', async () => {
  const leases = Array<LeasePage['leases'][number]>(200_000).fill(parseLease(leaseJson('a')));
  const { events, done } = await watched(
    0,
    () => bookmark('6'),
    () => ({ leases, resourceVersion: '5' }),
  );
  const [event] = events;
  assert.ok(event?.type === 'list', String(done));
  assert.equal(event.leases.length, 200_000);
});
