/** Events about leases: which there are, how many, and when there are none. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { LeaseStoreErrorCode } from '../../src/lease/store.ts';
import { LeaseEvents } from '../../src/observe/lease-events.ts';
import type { EventBody, EventsOptions } from '../../src/observe/lease-events.ts';
import { ManualClock, settle } from '../../src/runtime/manual-clock.ts';
import { NOW, lease } from '../census/support.ts';

function rig(t: TestContext, answer: () => LeaseStoreErrorCode | undefined = () => undefined, instance = 'master-1') {
  const clock = new ManualClock(NOW);
  const posted: any[] = [];
  const givenUp: string[] = [];
  const lost: string[] = [];
  const enabled = { now: true };
  const events = new LeaseEvents({
    clock,
    instance,
    post: async (event: EventBody) => {
      posted.push(event);
      const code = answer();
      if (code) throw new LeaseStoreError(code, { message: code });
    },
    log: {
      info: ({ code }: { code: string }) => givenUp.push(code),
      debug: ({ code }: { code: string }) => lost.push(code),
    } as unknown as EventsOptions['log'],
    enabled: () => enabled.now,
  });
  const stop = new AbortController();
  const running = events.service.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
    assert.equal(clock.pending, 0, 'no timer is left');
  });
  return { clock, posted, givenUp, lost, enabled, events };
}
const mine = lease({ hostname: 'a', holder: 'new-holder' });

test('claimed, taken over, superseded and swept are reported; renewals and the rest are not', async (t) => {
  const { posted, events } = rig(t);
  events.publisher({ type: 'claimed', how: 'created', lease: mine });
  events.publisher({ type: 'claimed', how: 'recreated', lease: mine });
  events.publisher({ type: 'claimed', how: 'takenOver', lease: mine, from: 'old-holder' });
  events.publisher({ type: 'superseded', lease: mine });
  events.publisher({ type: 'renewed', lease: mine, latencyMs: 1 });
  events.publisher({ type: 'recovered', failures: 1 });
  events.sweep({ type: 'passStarted', namespace: 'kube-system', labelSelector: 'a=b', dryRun: false });
  const gone = {
    name: 'l',
    uid: 'u',
    resourceVersion: '1',
    holderIdentity: 'dead-holder',
    hostname: 'b',
    expiredForMs: 1,
  };
  events.sweep({ type: 'deleted', lease: gone as never });
  events.sweep({ type: 'wouldDelete', lease: gone as never });
  await settle();
  assert.deepEqual(
    posted.map((e) => [e.type, e.reason, e.regarding.name]),
    [
      ['Normal', 'LeaseClaimed', mine.metadata.name],
      ['Warning', 'LeaseClaimed', mine.metadata.name],
      ['Normal', 'LeaseTakenOver', mine.metadata.name],
      ['Warning', 'LeaseSuperseded', mine.metadata.name],
      ['Normal', 'LeaseSwept', 'l'],
    ],
  );
  assert.equal(posted[2].note, 'new-holder took the lease over from old-holder');
  assert.equal(new Set(posted.map((e) => e.metadata.name)).size, 5, 'each has a name of its own');
  for (const event of posted) {
    assert.equal(event.metadata.namespace, event.regarding.namespace);
    assert.equal(event.reportingController, 'leasekeeper');
    assert.equal(event.reportingInstance, 'master-1');
    assert.match(event.eventTime, /^2026-01-01T00:00:00\.\d{6}Z$/);
    assert.ok(event.note.length <= 1_024 && event.action.length > 0 && event.metadata.name.length <= 253);
  }
});

test('25 at once, then one every five minutes', async (t) => {
  const { clock, posted, events } = rig(t);
  const many = async (): Promise<void> => {
    for (let i = 0; i < 100; i++) events.publisher({ type: 'superseded', lease: mine });
    await settle();
  };
  await many();
  assert.equal(posted.length, 25);
  await clock.advance(299_999);
  await many();
  assert.equal(posted.length, 25);
  await clock.advance(1);
  await many();
  assert.equal(posted.length, 26);
  await clock.advance(86_400_000);
  await many();
  assert.equal(posted.length, 51);
});

test('without permission it falls silent after one word; other failures cost one Event each', async (t) => {
  let code: LeaseStoreErrorCode | undefined;
  const { posted, givenUp, lost, events } = rig(t, () => code);
  const one = async (): Promise<number> => {
    events.publisher({ type: 'superseded', lease: mine });
    await settle();
    return posted.length;
  };
  let sent = 0;
  // A token that is renewed late, an Event that one server finds invalid, a namespace that comes back.
  for (code of ['Unavailable', 'Unauthorized', 'Invalid', 'NamespaceNotFound', undefined] as const) {
    assert.equal(await one(), ++sent);
  }
  assert.deepEqual(givenUp, []);
  assert.deepEqual(lost, ['Unavailable', 'Unauthorized', 'Invalid', 'NamespaceNotFound']);
  code = 'Forbidden';
  assert.equal(await one(), ++sent);
  code = undefined;
  assert.equal(await one(), sent);
  assert.deepEqual(givenUp, ['Forbidden']);
});

test('a refusal for one Event does not cost those after it more than the rate allows', async (t) => {
  const { clock, posted, events } = rig(t, () => 'Unauthorized');
  for (let i = 0; i < 100; i++) events.publisher({ type: 'superseded', lease: mine });
  await settle();
  assert.equal(posted.length, 25);
  await clock.advance(300_000);
  events.publisher({ type: 'superseded', lease: mine });
  await settle();
  assert.equal(posted.length, 26);
});

test("what is long is cut to the API's limits, which are bytes, at a whole character", async (t) => {
  const bytes = (text: string): number => Buffer.byteLength(text);
  for (const character of ['x', 'é', '日', '😀', 'a日', '\ud800']) {
    const { posted, events } = rig(t, undefined, character.repeat(300));
    events.publisher({ type: 'claimed', how: 'created', lease: lease({ holder: character.repeat(2_000) }) });
    await settle();
    const { note, reportingInstance } = posted[0];
    assert.ok(bytes(note) <= 1_024 && bytes(note) > 1_018, `${bytes(note)} bytes of ${character}`);
    assert.ok(bytes(reportingInstance) <= 128 && bytes(reportingInstance) > 124, `${bytes(reportingInstance)} bytes`);
    assert.ok(note.endsWith('…'));
    const whole = character === '\ud800' ? note.length > 0 : note.isWellFormed() && reportingInstance.isWellFormed();
    assert.ok(whole, `${character} is not split`);
  }
});

test('a note that just fits is whole', async (t) => {
  const { posted, events } = rig(t);
  const rest = ' created the lease'.length;
  for (const length of [1_024 - rest, 1_025 - rest]) {
    events.publisher({ type: 'claimed', how: 'created', lease: lease({ holder: 'x'.repeat(length) }) });
  }
  await settle();
  assert.deepEqual(
    posted.map(({ note }) => [note.length, note.endsWith('lease')]),
    [
      [1_024, true],
      [1_022, false],
    ],
  );
});

test('the name of an Event about a lease with a long name is a valid one, wherever it is cut', async (t) => {
  const { posted, events } = rig(t);
  for (const end of ['-', '.', 'a-', 'a.']) {
    const name = `${'a'.repeat(230 - end.length)}${end}b${'c'.repeat(20)}`;
    events.publisher({ type: 'superseded', lease: lease({ name }) });
  }
  await settle();
  assert.equal(posted.length, 4);
  for (const { metadata } of posted) {
    assert.ok(metadata.name.length <= 253);
    assert.match(metadata.name, /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/);
  }
});

test('none while they are switched off, and those of that time never', async (t) => {
  const { posted, enabled, events } = rig(t);
  enabled.now = false;
  events.publisher({ type: 'claimed', how: 'created', lease: mine });
  enabled.now = true;
  await settle();
  assert.deepEqual(posted, []);
});
