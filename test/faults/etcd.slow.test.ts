/**
 * What goes wrong with etcd: for everybody at once.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { etcdAt } from '../support/etcd.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { survive } from './survive.ts';
import type { FaultCase } from './world.ts';

/** Enough for all that is written here, and soon filled. */
const QUOTA_BYTES = 16 * 1024 * 1024;
const LEASES = '/apis/coordination.k8s.io/v1/leases';

describe('faults of etcd', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let kubeconfig: string;
  before(async () => {
    api = await startRealApi({ etcdArgs: [`--quota-backend-bytes=${QUOTA_BYTES}`] });
    kubeconfig = await api.kubeconfig();
  });
  after(() => api?.stop());

  const fault = (name: string, begin: FaultCase['begin'], more: Partial<FaultCase> = {}): void => {
    it(name, (t) => survive(t, api, { name, through: kubeconfig, beside: kubeconfig, local: false, begin, ...more }));
  };

  fault('etcd killed and restarted', async () => {
    await api.etcd.kill();
    return async () => {
      api.etcd.start();
      await api.ready();
    };
  });

  fault('etcd stopped and continued', () => {
    api.etcd.pause();
    return async () => {
      api.etcd.continue();
      await api.ready();
    };
  });

  fault('etcd compacted: watches get 410', async () => {
    const { metadata } = await api.json<{ metadata: { resourceVersion: string } }>('GET', `${LEASES}?limit=1`);
    await api.apiServer.kill();
    return async () => {
      const etcd = etcdAt(api.etcdUrl);
      // The server's own cache begins again after these, and the history before them is gone.
      for (let i = 0; i < 10; i++) await etcd.put('elsewhere');
      await etcd.compact(await etcd.put('elsewhere'));
      api.apiServer.start();
      await api.ready();
      const watch = `${LEASES}?watch=true&timeoutSeconds=1&resourceVersion=${metadata.resourceVersion}`;
      const { text } = await api.request('GET', watch);
      assert.match(text, /"code":410/, 'the version that was watched is not known any more');
    };
  });

  fault(
    'etcd out of space: reads and deletions pass, writes do not',
    async () => {
      const etcd = etcdAt(api.etcdUrl);
      await etcd.fill();
      return () => etcd.makeRoom();
    },
    // Long enough for a pass that begins once the leases of a second have expired.
    { deaf: false, readOnly: true, holdMs: 5_500 },
  );
});
