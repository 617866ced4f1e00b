/** What `sweep --owner-gone` serves of its two sweepers, whose passes run at the same time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sweepEndpoints } from '../../src/commands/endpoints.ts';
import { createLog } from '../../src/observe/pino-log.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import type { PassResult, SweepEvent } from '../../src/sweep/sweep-events.ts';

test('each sweeper has metrics and a check of its own, in whatever order their passes run', async () => {
  const endpoints = sweepEndpoints({
    address: { host: '127.0.0.1', port: 0 },
    security: undefined,
    log: createLog({ level: 'error', format: 'text', output: { err: () => {} } }),
    clock: createSystemClock(),
    transport: { clockDistanceMs: () => undefined, certificateExpiresAt: () => undefined, answeredAt: () => undefined },
  });
  const [identities, heartbeats] = [endpoints.observer('sweep'), endpoints.observer('heartbeats')];
  const started = (namespace: string): SweepEvent => ({
    type: 'passStarted',
    namespace,
    labelSelector: 'a=b',
    dryRun: false,
  });
  const finished = (rest: Partial<PassResult>): SweepEvent => {
    const none = { deleted: 0, changed: 0, gone: 0, failed: 0, left: 0, dryRun: false, tookMs: 1 };
    return { type: 'passFinished', result: { ...none, outcome: 'completed', ...rest } as PassResult };
  };
  const { url, services } = await endpoints.listen();
  const stop = new AbortController();
  const done = services.map(({ run }) => run(stop.signal));
  const get = async (path: string) => (await fetch(new URL(path, url))).text();

  identities(started('kube-system'));
  heartbeats(started('kube-node-lease'));
  heartbeats({ type: 'looked', look: 1, leases: 1, pages: 1, tookMs: 1 });
  assert.match(await get('/readyz?verbose'), /\[-\]sweep failed: .*not listed yet[^]*\[\+\]heartbeats ok/);
  identities({ type: 'looked', look: 1, leases: 1, pages: 1, tookMs: 1 });
  identities(finished({ outcome: 'void', because: 'noDate' }));
  heartbeats(finished({ deleted: 3 }));

  assert.match(
    await get('/readyz?verbose'),
    /\[\+\]sweep ok: last pass void \(noDate\)\n\[\+\]heartbeats ok: last pass completed\n/,
  );
  const metrics = await get('/metrics');
  const sample = (text: string): void => assert.ok(metrics.includes(`${text}\n`), text);
  const [ofIdentities, ofHeartbeats] = ['kube-system', 'kube-node-lease'].map(
    (n) => `lease_namespace="${n}",product="b"`,
  );
  sample(`leasekeeper_sweep_passes_total{${ofIdentities},outcome="void",reason="noDate"} 1`);
  sample(`leasekeeper_sweep_leases_total{${ofIdentities},result="deleted"} 0`);
  sample(`leasekeeper_sweep_passes_total{${ofHeartbeats},outcome="completed",reason=""} 1`);
  sample(`leasekeeper_sweep_leases_total{${ofHeartbeats},result="deleted"} 3`);
  stop.abort();
  await Promise.all(done);
});
