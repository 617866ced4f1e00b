/** What /v1/nodes and the probes of `nodes` and `heartbeat` answer. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HeartbeatStatus } from '../../src/heartbeat/heartbeat-events.ts';
import type { AvailabilityStatus } from '../../src/availability/node-monitor.ts';
import type { NodeAvailability } from '../../src/availability/node-register.ts';
import type { HttpAnswer } from '../../src/http/answer.ts';
import { heartbeatCheck } from '../../src/http/health-endpoint.ts';
import { availabilityCheck, nodesEndpoint } from '../../src/http/nodes-endpoint.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

const KNOWN: AvailabilityStatus = {
  known: true,
  synced: true,
  graceMs: 50_000,
  startupGraceMs: 60_000,
  freshnessMs: 1_500,
  counts: { Ready: 2, NotReady: 0, Unknown: 1, Pending: 0 },
};
const node = (name: string): NodeAvailability => ({ name, uid: `uid-${name}`, status: 'Ready', hasLease: true });
const parsed = ({ status, body }: HttpAnswer): Record<string, any> => ({ status, ...JSON.parse(String(body)) });

class Source {
  status: AvailabilityStatus = KNOWN;
  nodes = [node('a'), node('b')];
  made = 0;
  snapshot(): { nodes: NodeAvailability[]; freshnessMs?: number | undefined } {
    this.made++;
    return { nodes: this.nodes, freshnessMs: this.status.freshnessMs };
  }
}
const world = (): { source: Source; clock: ManualClock; answer: () => HttpAnswer } => {
  const source = new Source();
  const clock = new ManualClock();
  return { source, clock, answer: nodesEndpoint(source, clock, ({ name, status }) => ({ name, status })) };
};

test('known: counts and nodes, by which clock, how fresh', () => {
  const { answer } = world();
  assert.deepEqual(parsed(answer()), {
    status: 200,
    known: true,
    clock: 'observed',
    graceSeconds: 50,
    startupGraceSeconds: 60,
    synced: true,
    error: null,
    reason: null,
    message: null,
    counts: { ready: 2, notReady: 0, unknown: 1, pending: 0 },
    ageSeconds: 1.5,
    nodes: [
      { name: 'a', status: 'Ready' },
      { name: 'b', status: 'Ready' },
    ],
    nodesAgeSeconds: 1.5,
    last: null,
  });
});

test('unknown is 503 with nothing in place of numbers; what was known last comes with its age', () => {
  const { answer, source } = world();
  const error = new LeaseStoreError('Unavailable', { message: 'no connection' });
  source.status = { ...KNOWN, known: false, reason: 'TooOld', synced: false, freshnessMs: 60_000, error };
  const { status, counts, nodes, ageSeconds, reason, last, ...rest } = parsed(answer());
  assert.deepEqual([status, counts, nodes, ageSeconds, reason], [503, null, null, null, 'TooOld']);
  assert.deepEqual(last.counts, { ready: 2, notReady: 0, unknown: 1, pending: 0 });
  assert.deepEqual([last.nodes.length, last.ageSeconds, last.nodesAgeSeconds], [2, 60, 60]);
  assert.deepEqual(rest['error'], { code: 'Unavailable', message: 'no connection' });

  source.status = { ...KNOWN, known: false, reason: 'NotSynced', synced: false, freshnessMs: undefined };
  const never = parsed(answer());
  source.status = KNOWN;
  assert.deepEqual(Object.keys(never).sort(), Object.keys(parsed(answer())).sort(), 'one shape');
  assert.deepEqual([never.status, never.counts, never.nodes, never.last], [503, null, null, null]);
});

test('a list that takes 30 ms to make is given again for 600 ms, and says how old it is', async () => {
  const { source, clock } = world();
  const answer = nodesEndpoint(source, clock, ({ name }) => {
    clock.jump(15);
    return { name };
  });
  answer();
  source.nodes = [node('a')];
  await clock.advance(500);
  const again = parsed(answer());
  assert.deepEqual([again.nodes.length, again.nodesAgeSeconds], [2, 2.03]);
  await clock.advance(100);
  assert.equal(parsed(answer()).nodes.length, 1);
  assert.equal(source.made, 2);
});

test('readyz of nodes: ready as long as it is known who is', () => {
  assert.deepEqual(availabilityCheck(KNOWN), {
    name: 'nodes',
    ok: true,
    note: '2 Ready, 0 NotReady, 1 Unknown, 0 Pending, last known 1.5 s ago',
  });
  assert.equal(availabilityCheck({ ...KNOWN, known: false, reason: 'TooOld' }).ok, false);
});

test('readyz of heartbeats: not before the Nodes are read, not once every lease has run out, else yes', () => {
  const status: HeartbeatStatus = {
    nodes: 3,
    held: 3,
    failing: 0,
    backlog: 0,
    inFlight: 0,
    overdueMs: 0,
    writtenAt: 100_000,
    nodesSynced: true,
  };
  const check = (changes: Partial<HeartbeatStatus>, read = true): [boolean, string] => {
    const { ok, note } = heartbeatCheck({ ...status, ...changes }, read, 40_000, 141_000);
    return [ok, note];
  };
  assert.deepEqual(check({}), [true, '3 of 3 nodes have their heartbeat']);
  assert.deepEqual(check({ nodes: 0, held: 0, nodesSynced: false, writtenAt: undefined }, false), [
    false,
    'the Nodes were not read yet',
  ]);
  assert.deepEqual(check({ nodes: 0, held: 0, writtenAt: undefined })[0], true, 'no Nodes: nothing to keep');
  assert.match(check({ nodesSynced: false })[1], /cannot be followed/);
  assert.equal(check({ failing: 1, overdueMs: 90_000, writtenAt: 140_000 })[0], true, 'one node fails');
  assert.equal(check({ failing: 3, overdueMs: 39_000 })[0], true, 'the API is away for a while');
  assert.equal(check({ failing: 3, overdueMs: 45_000 })[0], false, 'for longer than leases last');
  assert.equal(check({ held: 0, overdueMs: 45_000, writtenAt: undefined })[0], false, 'never wrote one');
});
