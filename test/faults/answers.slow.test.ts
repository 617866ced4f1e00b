/**
 * What a real API server's answers can do to a process: lost, refused, too late.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import { connect } from '../../src/kube/connection.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { Sweeper } from '../../src/sweep/sweeper.ts';
import { until } from '../e2e/support.ts';
import { startHttpProxy, statusBody } from '../support/fault-proxy.ts';
import type { HttpProxy } from '../support/fault-proxy.ts';
import { record } from '../support/proof.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { survive } from './survive.ts';
import type { FaultCase } from './world.ts';

type More = Pick<FaultCase, 'deaf' | 'holdMs'>;
const WRITES = /^(PUT|POST|DELETE)$/;
/** In answers. */
const HTTP: readonly (More & { name: string; begin: (proxy: HttpProxy) => void })[] = [
  {
    name: 'answers to writes lost',
    deaf: false,
    begin: (proxy) => {
      let n = 0;
      proxy.rule({ match: ({ method }) => WRITES.test(method) && ++n % 2 === 0, fault: { loseAnswer: true } });
    },
  },
  {
    name: '429 with Retry-After',
    begin: (proxy) => {
      const body = statusBody(429, 'TooManyRequests', 'the server has received too many requests');
      proxy.rule({ fault: { answer: { status: 429, headers: { 'retry-after': '1' }, body } } });
      proxy.cut();
    },
  },
  {
    name: '500 to everything',
    begin: (proxy) => {
      const body = statusBody(500, 'InternalError', 'etcdserver: leader changed');
      proxy.rule({ fault: { answer: { status: 500, body } } });
      proxy.cut();
    },
  },
  {
    name: 'watches refused with 410',
    deaf: false,
    begin: (proxy) => {
      const body = statusBody(410, 'Expired', 'too old resource version');
      proxy.rule({ path: /[?&]watch=(true|1)/, fault: { answer: { status: 410, body } } });
      proxy.cut();
    },
  },
];

describe('faults of the answers of a real API server', { skip: realApiSkip(), concurrency: 2 }, () => {
  let api: RealApi;
  let beside: string;
  before(async () => {
    api = await startRealApi();
    beside = await api.kubeconfig();
  });
  after(() => api?.stop());

  for (const { name, begin, ...more } of HTTP) {
    it(name, async (t: TestContext) => {
      const proxy = await startHttpProxy(api.url, await api.tls());
      t.after(() => proxy.close());
      const through = await api.kubeconfig({ server: proxy.url });
      await survive(t, api, {
        name,
        through,
        beside,
        begin: () => {
          begin(proxy);
          return () => Promise.resolve(proxy.clear());
        },
        ...more,
      });
    });
  }

  it('a DELETE late on its way, its lease renewed meanwhile', async (t) => {
    const tried = { kind: 'fault', fault: 'DELETE late on its way', capability: 'sweeper' } as const;
    try {
      await lateDelete(t, api);
      record({ ...tried, survived: true, backAfterMs: 0 });
    } catch (error) {
      record({ ...tried, survived: false });
      throw error;
    }
  });
});

/** Only the precondition keeps a lease that came back to life after both looks. */
async function lateDelete(t: TestContext, api: RealApi): Promise<void> {
  const proxy = await startHttpProxy(api.url, await api.tls());
  t.after(() => proxy.close());
  const namespace = 'late-delete';
  await api.createNamespace(namespace);
  const path = `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`;
  const put = async (name: string, renewTime: string, method = 'POST'): Promise<void> => {
    const metadata = { name, labels: { late: 'yes' } };
    const spec = { holderIdentity: name, leaseDurationSeconds: 60, renewTime };
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const to = method === 'PATCH' ? `${path}/${name}` : path;
    const { status, text } = await api.request(method, to, { metadata, spec }, { headers: { 'content-type': type } });
    assert.ok(status < 300, text);
  };
  const now = (): string => new Date().toISOString().replace('Z', '000Z');
  for (const name of ['dead', 'back']) await put(name, '2026-01-01T00:00:00.000000Z');
  await put('living', now());
  proxy.rule({ method: 'DELETE', fault: { delayMs: 1_500 } });
  const clock = createSystemClock();
  const kubeconfig = await api.kubeconfig({ server: proxy.url });
  const connection = await connect({ kubeconfig, clock, random: Math.random });
  t.after(() => connection.close());
  const options = { namespace, labelSelector: 'late=yes', confirmAfterMs: 0 };
  const sweeper = new Sweeper({ store: connection.store, clock, random: Math.random, ...options });
  const pass = sweeper.sweepOnce(new AbortController().signal);
  await until('the DELETEs to be on their way', () => proxy.count('DELETE') === 2);
  await put('back', now(), 'PATCH');
  const { deleted, changed } = await pass;
  assert.deepEqual([deleted, changed], [1, 1]);
  assert.equal((await api.request('GET', `${path}/back`)).status, 200);
  assert.equal((await api.request('GET', `${path}/dead`)).status, 404);
}
