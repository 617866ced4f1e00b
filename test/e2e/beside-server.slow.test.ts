/** `publish` under the very name of a real API server that publishes itself: that one keeps its lease, also when it comes later. */
import assert from 'node:assert/strict';
import { hostname } from 'node:os';
import { it } from 'node:test';
import { leaseName } from '../../src/lease/names.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { LEASES, lines, publish, seenReal, terminate, until } from './support.ts';
import type { LeaseJson } from './support.ts';

it('beside a real API server that publishes itself', { skip: realApiSkip() }, async (t) => {
  const api = await startRealApi({ featureGates: {} });
  t.after(() => api.stop());
  const at = seenReal(api);
  const path = `${LEASES}/${leaseName(hostname(), 'apiserver')}`;
  const lease = async (): Promise<LeaseJson | undefined> => {
    const { status, json } = await at.call('GET', path).catch(() => ({ status: 0, json: undefined }));
    return status === 200 ? (json as LeaseJson) : undefined;
  };
  const servers = await until("the server's own lease", lease).catch(() => undefined);
  if (!servers) return t.skip('this API server does not publish its identity');
  const renewal = (before: LeaseJson): Promise<LeaseJson> =>
    until('a renewal by the server', async () => {
      const now = await lease();
      return now && now.spec.renewTime !== before.spec.renewTime && now;
    });

  // However long the restart below takes, it is no silence that counts.
  const options = ['--lease-name-format', 'apiserver', '--shutdown-policy', 'delete', '--fresh-for', '300s'];
  const program = publish(t, await api.kubeconfig(), hostname(), ...options);
  await program.waitForLine(/publishes this lease itself/, { from: 'stderr', timeoutMs: 60_000 });
  let last = servers;
  for (let i = 0; i < 2; i++) last = await renewal(last);
  assert.deepEqual([last.metadata.uid, last.spec.holderIdentity], [servers.metadata.uid, servers.spec.holderIdentity]);

  // A restart of the server meets us while we stand by.
  await api.apiServer.kill();
  api.apiServer.start();
  await api.ready();
  const again = await until("the server's lease after its restart", lease);
  const renewed = await renewal(again);
  assert.equal(renewed.spec.holderIdentity, again.spec.holderIdentity);
  assert.deepEqual(lines(program, /created the lease|took the lease over/), [], 'we never wrote it');
  assert.equal(lines(program, /publishes this lease itself/).length, 1, 'said once');
  await terminate(program);
  assert.equal((await lease())?.metadata.uid, renewed.metadata.uid, 'no stop of ours deletes it');
});
