/** `release` as a user runs it: exit codes, and the words that say why. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { leaseName } from '../../src/lease/names.ts';
import { runProgram } from '../support/process.ts';
import { LEASES, claimed, embedded, publish, seenEmbedded, terminate } from './support.ts';

it('release: refused while the host is renewed, done when it is gone, and never twice', async (t) => {
  const { kubeconfig, server } = await embedded(t);
  const at = seenEmbedded(server);
  const program = publish(t, kubeconfig, 'master-1', '--renew-interval', '300ms');
  await claimed(program, at, 'master-1');
  const labels = { 'k8s-app': 'my-proxy', 'kubernetes.io/hostname': 'master-1' };
  await at.call('POST', LEASES, { metadata: { name: 'other', labels }, spec: { holderIdentity: 'x' } });
  const release = (...args: string[]) =>
    runProgram(['release', 'master-1', '--observe', '1s', '--kubeconfig', kubeconfig, ...args]);
  const refused = await release();
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /somebody renews the lease of "master-1": kube-apiserver-\w+ \(holder .*stop its publisher first, or use --force/,
  );
  assert.ok(await at.lease('master-1'));
  await terminate(program);
  const done = await release();
  assert.deepEqual([done.code, done.stdout], [0, `lease ${leaseName('master-1')} deleted\n`]);
  const none = await release('--force');
  assert.equal(none.code, 1);
  assert.equal((await at.call('GET', `${LEASES}/other`)).status, 200, 'another product’s');
  assert.match(
    none.stderr,
    /no lease of host "master-1" among those with label apiserver\S+=kube-apiserver in namespace kube-system/,
  );
});
