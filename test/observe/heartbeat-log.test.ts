/** What the log says of heartbeats and of nodes: an outage in a few lines, however many nodes there are. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NodeAvailability } from '../../src/availability/node-register.ts';
import { logAvailability } from '../../src/observe/availability-log.ts';
import { logCensus } from '../../src/observe/census-log.ts';
import { logHeartbeat } from '../../src/observe/heartbeat-log.ts';
import { createLog } from '../../src/observe/pino-log.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { many } from '../heartbeat/world.ts';
import { storeError } from '../support/memory-api.ts';

function logged(): { log: ReturnType<typeof createLog>; lines: string[] } {
  const lines: string[] = [];
  const log = createLog({
    level: 'info',
    format: 'text',
    output: { err: (text) => lines.push(...text.trimEnd().split('\n')) },
  });
  return { log, lines };
}

test('a thousand nodes that become Unknown: some by name, the rest as a number', async () => {
  const { log, lines } = logged();
  const clock = new ManualClock();
  const observe = logAvailability(log, clock);
  const node = (name: string, status: NodeAvailability['status']): NodeAvailability => ({
    name,
    uid: 'u',
    status,
    hasLease: true,
    renewedAgoMs: 50_400,
  });
  for (const name of many(1_000)) observe({ type: 'changed', node: node(name, 'Ready'), from: 'Pending' });
  assert.equal(lines.length, 0, 'that a node is Ready is no news');
  for (const name of many(1_000)) observe({ type: 'changed', node: node(name, 'Unknown'), from: 'Ready' });
  assert.equal(lines.length, 20);
  assert.match(lines[0] ?? '', /WARN +the Node is Unknown +node=node-00000 +renewed="?50s ago/);
  await clock.advance(60_000);
  observe({ type: 'changed', node: node('node-00000', 'Ready'), from: 'Unknown' });
  assert.match(lines[20] ?? '', /events=980/);
  assert.match(lines[21] ?? '', /INFO +the Node is Ready again +node=node-00000/);
});

test('an outage of a thousand heartbeats: a line for each kind of failure, and one when it is over', () => {
  const { log, lines } = logged();
  const observe = logHeartbeat(log, new ManualClock());
  const failed = (node: string, code: 'Unavailable' | 'Timeout'): void =>
    observe({ type: 'failed', node, operation: 'update', error: storeError(code), attempt: 1, retryInMs: 200 });
  for (const name of many(1_000)) failed(name, 'Unavailable');
  for (const name of many(1_000)) failed(name, 'Timeout');
  assert.equal(lines.length, 2);
  for (const name of many(1_000)) observe({ type: 'recovered', node: name, failures: 2 });
  assert.equal(lines.length, 3);
  assert.match(lines[2] ?? '', /requests succeed again for all nodes/);
});

test('a failure is news again once the node that failed last is gone', () => {
  const { log, lines } = logged();
  const observe = logHeartbeat(log, new ManualClock());
  const failed = (node: string): void =>
    observe({ type: 'failed', node, operation: 'update', error: storeError('Forbidden'), attempt: 1, retryInMs: 200 });
  failed('a');
  observe({ type: 'nodeGone', node: 'a', uid: 'u' });
  failed('b');
  assert.equal(lines.length, 3);
  assert.match(lines[2] ?? '', /writing a heartbeat failed.* node=b/);
});

test('a lease whose time has not come: which, and by how much; of a thousand some by name', () => {
  const { log, lines } = logged();
  const observe = logCensus(log, new ManualClock());
  for (const name of many(1_000)) {
    const lease = { namespace: 'kube-system', name, hostname: 'master-1', uid: 'u', aheadMs: 7_200_400 };
    observe({ type: 'ahead', lease: { ...lease, kind: 'identity', state: 'stale', terminating: false } });
  }
  assert.equal(lines.length, 20);
  assert.match(
    lines[0] ?? '',
    /WARN.*ahead of the API server's clock.*lease=kube-system\/node-00000.*hostname=master-1.*ahead=7200s/,
  );
});

test('a Node that is NotReady, and Ready again', () => {
  const { log, lines } = logged();
  const observe = logAvailability(log, new ManualClock());
  const node = { name: 'a', uid: 'u', hasLease: true } as const;
  observe({ type: 'changed', node: { ...node, status: 'NotReady' }, from: 'Ready' });
  observe({ type: 'changed', node: { ...node, status: 'Ready' }, from: 'NotReady' });
  assert.match(lines[0] ?? '', /WARN +the Node is NotReady +node=a/);
  assert.match(lines[1] ?? '', /INFO +the Node is Ready again +node=a/);
});
