/** Who leads, over HTTP. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { leaderAnswer } from '../../src/http/leader-endpoint.ts';

const UUID = '11111111-2222-4333-8444-555555555555';
const view = {
  lease: { namespace: 'ns', name: 'job' },
  holder: `a_${UUID}`,
  leader: `b_${UUID}`,
  remainingMs: 0,
  fencingToken: undefined,
};
const body = ({ body }: { body: unknown }): unknown => JSON.parse(String(body));

test('the leader answers 200 wherever it is asked, with how long that holds at the most', () => {
  const leads = { ...view, leader: view.holder, remainingMs: 8_123.9, fencingToken: 7 };
  for (const others of [200, 503] as const) {
    const answer = leaderAnswer(leads, others);
    assert.equal(answer.status, 200);
    assert.deepEqual(body(answer), {
      name: 'a',
      leader: view.holder,
      leading: true,
      lease: 'ns/job',
      holder: view.holder,
      fencingToken: 7,
      remainingSeconds: 8.123,
    });
  }
});

test('who does not lead answers 503 at /leader alone, and names the leader where one is known', () => {
  const standby = { name: 'b', leader: view.leader, leading: false, lease: 'ns/job', holder: view.holder };
  assert.deepEqual([leaderAnswer(view).status, leaderAnswer(view, 503).status], [200, 503]);
  assert.deepEqual(body(leaderAnswer(view, 503)), standby);
  const { name: _, leader: __, ...nobody } = standby;
  assert.deepEqual(body(leaderAnswer({ ...view, leader: undefined }, 503)), nobody);
});
