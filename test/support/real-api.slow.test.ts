import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { it } from 'node:test';
import { realApiSkip, startRealApi } from './real-api.ts';

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';

it('a real API server starts, counts, obeys RBAC, pauses, comes back and goes', { skip: realApiSkip() }, async (t) => {
  const api = await startRealApi({ users: { alice: ['devs'] } });
  t.after(() => api.stop());
  const before = await api.requestCount({ verb: 'post' });
  await api.json('POST', LEASES, { metadata: { name: 'x' } });
  assert.equal((await api.requestCount({ verb: 'post' })) - before, 1);

  assert.equal((await api.request('GET', LEASES, undefined, { user: 'alice' })).status, 403);
  const rules = [{ apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['list'] }];
  await api.allow('alice', { namespace: 'kube-system', rules });
  for (let status = 0; status !== 200;) ({ status } = await api.request('GET', LEASES, undefined, { user: 'alice' }));

  api.apiServer.pause();
  await assert.rejects(api.request('GET', `${LEASES}/x`, undefined, { timeoutMs: 200 }), /no answer within 200 ms/);
  api.apiServer.continue();
  assert.equal((await api.request('GET', `${LEASES}/x`)).status, 200);

  await api.apiServer.kill();
  await assert.rejects(api.request('GET', LEASES), { code: 'ECONNREFUSED' });
  api.apiServer.start();
  await api.ready();
  assert.equal((await api.request('GET', `${LEASES}/x`)).status, 200);

  const pids = [api.etcd.pid!, api.apiServer.pid!];
  await api.stop();
  for (const pid of pids) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  assert.equal(existsSync(api.dir), false);
});
