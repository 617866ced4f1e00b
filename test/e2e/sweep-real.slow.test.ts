/** `leasekeeper sweep` and `publish --sweep`: what goes, what stays, what it costs, as a process on a real API server. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { connect } from '../../src/kube/connection.ts';
import type { Connection } from '../../src/kube/connection.ts';
import { withChanges } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { Sweeper } from '../../src/sweep/sweeper.ts';
import { runProgram, startProgram } from '../support/process.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { claimed, publish, seenReal, terminate, until } from './support.ts';
import { HOUR, clock, seed } from './sweep-support.ts';
import type { Sketch } from './sweep-support.ts';

describe('sweep on a real API server', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let kubeconfig: string;
  let connection: Connection;
  before(async () => {
    api = await startRealApi();
    kubeconfig = await api.kubeconfig();
    connection = await connect({ kubeconfig, clock, random: Math.random });
  });
  after(async () => {
    await connection?.close();
    await api?.stop();
  });

  const names = async (namespace = 'kube-system'): Promise<Set<string>> => {
    const { items } = await api.json<{ items: { metadata: { name: string } }[] }>(
      'GET',
      `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
    );
    return new Set(items.map(({ metadata }) => metadata.name));
  };

  it('of 5,000 leases of which 4,000 expired exactly those go: the pages of two lists and one DELETE each', async () => {
    const dead = Array.from({ length: 4000 }, (_, i) => ({ name: `dead-${i}`, age: 2 * HOUR }));
    const living = Array.from({ length: 996 }, (_, i) => ({ name: `live-${i}`, age: i }));
    await api.createNamespace('elsewhere');
    const others: Sketch[] = [
      { name: 'released', age: 2 * HOUR, holder: '' },
      { name: 'renewed-just-now', age: 0 },
      { name: 'not-quite', age: HOUR - 60 },
      { name: 'terminating', age: 2 * HOUR },
      // These four are not even listed. Their names come before the last listed one: a server that still has keys to look
      // at would hand out one more, empty page.
      { name: 'bare', age: 2 * HOUR, product: '' },
      { name: 'another-product', age: 2 * HOUR, product: 'konnectivity-server' },
      { name: 'elsewhere', age: 2 * HOUR, namespace: 'elsewhere' },
      { name: 'elsewhere-too', age: 2 * HOUR, namespace: 'default' },
    ];
    await seed(connection, [...dead, ...living, ...others]);
    const at = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/terminating';
    const finalizers = [{ op: 'add', path: '/metadata/finalizers', value: ['example.com/keep'] }];
    await api.request('PATCH', at, finalizers, { headers: { 'content-type': 'application/json-patch+json' } });
    await api.json('DELETE', at);
    const verbs = ['LIST', 'DELETE', 'GET', 'PUT', 'POST', 'PATCH', 'WATCH', 'DELETECOLLECTION'] as const;
    const count = async (): Promise<Record<string, number>> =>
      Object.fromEntries(await Promise.all(verbs.map(async (verb) => [verb, await api.requestCount({ verb })])));
    const before = await count();

    const sweep = await runProgram(['sweep', '--once', '--confirm-after=0', '--kubeconfig', kubeconfig]);
    assert.equal(sweep.code, 0, sweep.stderr);
    assert.match(
      sweep.stderr,
      /pass finished {2}seen=5000 {2}deleted=4000 {2}kept="1 terminating, 1 released, 998 unexpired"/,
    );
    assert.match(
      sweep.stderr,
      /deleted an expired lease {2}lease=dead-7 {2}hostname=host-dead-7 {2}holder=dead-7_1 {2}expiredFor=(59m\d+s|1h0m)\n/,
    );
    assert.equal(sweep.stderr.match(/deleted an expired lease/g)?.length, 4000);

    const requests = await until('the server to have counted them all', async () => {
      const now = await count();
      const more = Object.fromEntries(verbs.map((verb) => [verb, now[verb]! - before[verb]!]));
      return more['DELETE']! >= 4000 && more;
    });
    const none = { GET: 0, PUT: 0, POST: 0, PATCH: 0, WATCH: 0, DELETECOLLECTION: 0 };
    assert.deepEqual(requests, { ...none, LIST: 20, DELETE: 4000 });
    const left = await names();
    const kept = [...living, ...others.filter(({ namespace }) => namespace === undefined)].map(({ name }) => name);
    assert.deepEqual([...left].sort(), kept.sort());
    assert.ok((await names('elsewhere')).has('elsewhere'));
    assert.ok((await names('default')).has('elsewhere-too'));
  });

  it('publishers renew while four sweepers run: no living lease is lost, the dead ones go', async (t) => {
    const namespace = 'stress';
    await api.createNamespace(namespace);
    // Two seconds of duration, renewed every 400 ms: an answer that is late brings a lease to the edge of expiry.
    const live = Array.from({ length: 60 }, (_, i) => ({ name: `live-${i}`, age: 0, namespace, duration: 2 }));
    await seed(connection, live);
    const stop = new AbortController();
    t.after(() => Promise.resolve(stop.abort()));
    const lost: string[] = [];
    const renewing = live.map(async ({ name }) => {
      let lease = await connection.store.get({ namespace, name });
      while (!stop.signal.aborted) {
        try {
          const renewTime = MicroTime.fromEpochMicros(clock.wallMicros());
          lease = await connection.store.update(withChanges(lease, { spec: { renewTime } }));
        } catch (error) {
          lost.push(`${name}: ${String(error)}`);
          return;
        }
        await new Promise((resolve) => setTimeout(resolve, 400));
      }
    });
    let deleted = 0;
    const sweeping = Array.from({ length: 4 }, async () => {
      const sweeper = new Sweeper({
        store: connection.store,
        clock,
        random: Math.random,
        observe: (event) => void (event.type === 'deleted' && deleted++),
        namespace,
        confirmAfterMs: 100,
        pageSize: 50,
      });
      while (!stop.signal.aborted) await sweeper.sweepOnce(stop.signal);
    });
    for (let round = 0; round < 8; round++) {
      const dead = Array.from({ length: 25 }, (_, i) => ({
        name: `dead-${round}-${i}`,
        age: HOUR,
        namespace,
        duration: 2,
      }));
      await seed(connection, dead);
      await new Promise((resolve) => setTimeout(resolve, 700));
    }
    await until('the dead to be gone', async () => (await names(namespace)).size <= live.length);
    stop.abort();
    await Promise.all([...renewing, ...sweeping]);
    assert.deepEqual(lost, []);
    assert.equal((await names(namespace)).size, live.length);
    assert.equal(deleted, 200, 'each dead lease by one sweeper');
  });

  it('a sweeper killed in the middle leaves the rest to the next pass', async (t) => {
    const namespace = 'killed';
    await api.createNamespace(namespace);
    const dead = Array.from({ length: 300 }, (_, i) => ({ name: `dead-${i}`, age: 2 * HOUR, namespace }));
    await seed(connection, [...dead, { name: 'live', age: 0, namespace }]);
    const args = ['sweep', '--once', '--confirm-after=0', '-n', namespace, '--kubeconfig', kubeconfig];
    const first = startProgram([...args, '--qps=50'], { t });
    await first.waitForLine(/deleted an expired lease/);
    await first.kill();
    const left = (await names(namespace)).size;
    assert.ok(left > 1 && left < 301, `${left} left`);
    const second = await runProgram(args);
    assert.equal(second.code, 0, second.stderr);
    assert.deepEqual([...(await names(namespace))], ['live']);
  });

  it('publish --sweep sweeps beside the publisher, and never the lease that it publishes', async (t) => {
    const at = seenReal(api);
    await seed(connection, [{ name: 'crashed', age: 2 * HOUR }]);
    const program = publish(
      t,
      kubeconfig,
      'sweeping',
      '--sweep',
      '--sweep-confirm-after=600ms',
      '--renew-interval=200ms',
    );
    await claimed(program, at, 'sweeping');
    await program.waitForLine(/deleted an expired lease {2}lease=crashed/);
    assert.ok(await at.lease('sweeping'));
    await terminate(program);
  });
});
