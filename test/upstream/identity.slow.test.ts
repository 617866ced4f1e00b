/** kube-apiserver's identity, as upstream asserts it of its own: by `leasekeeper publish`. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import { realApiSkip } from '../support/real-api.ts';
import type { Program } from '../support/process.ts';
import { publish, until } from '../e2e/support.ts';
import type { LeaseJson } from '../e2e/support.ts';
import { IDENTITY, REDUCED, ago, leaseAt, leasesOf, makeLease, startServer, stop } from './support.ts';
import type { Server } from './support.ts';

/** Computed here once more, from Kubernetes' description of it. */
function identityName(hostname: string): string {
  const counted = (text: string): Buffer => {
    const bytes = Buffer.from(text);
    return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
  };
  const hash = createHash('sha256')
    .update(Buffer.concat([counted(hostname), counted('kube-apiserver')]))
    .digest();
  let bits = 0n;
  for (const byte of hash.subarray(0, 16)) bits = (bits << 8n) | BigInt(byte);
  bits <<= 2n;
  const letters = Array.from(
    { length: 26 },
    (_, i) => 'abcdefghijklmnopqrstuvwxyz234567'[Number((bits >> BigInt(125 - 5 * i)) & 31n)],
  );
  return `apiserver-${letters.join('')}`;
}

describe('identity', { skip: realApiSkip() }, () => {
  let server: Server;
  before(async () => void (server = await startServer()));
  after(() => server?.api.stop());
  const identities = (): Promise<readonly LeaseJson[]> =>
    leasesOf(server, 'kube-system', 'apiserver.kubernetes.io/identity=kube-apiserver');
  const start = (t: TestContext, host: string): Program =>
    publish(t, server.kubeconfig, host, '--lease-name-format=apiserver', '--renew-interval=500ms');

  test('test/integration/controlplane/apiserver_identity_test.go TestCreateLeaseOnStart: a start makes one lease, named by its hostname’s hash and labelled with the hostname', async (t) => {
    const program = start(t, 'one-start');
    const [lease, ...more] = await until('the lease', async () => {
      const found = await identities();
      return found.length > 0 && found;
    });
    assert.deepEqual(more, []);
    assert.equal(lease?.metadata.name, identityName('one-start'));
    assert.equal(lease.metadata.labels?.['kubernetes.io/hostname'], 'one-start');
    await stop(program);
  });

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    test(`test/e2e/apimachinery/apiserver_identity.go "kube-apiserver identity should persist after restart": after ${signal} the lease stays one, with another holder and a later renewal`, async (t) => {
      const host = signal.toLowerCase();
      const name = identityName(host);
      const first = start(t, host);
      const lease = await until('the lease', () => leaseAt(server, 'kube-system', name));
      const number = (await identities()).length;
      if (signal === 'SIGTERM') await stop(first);
      else await first.kill();
      start(t, host);
      const later = await until('another holder, and its heartbeat', async () => {
        const now = await leaseAt(server, 'kube-system', name);
        return now && now.spec.holderIdentity !== lease.spec.holderIdentity && now;
      });
      assert.ok(later.spec.renewTime! > lease.spec.renewTime!);
      assert.equal(later.metadata.uid, lease.metadata.uid, 'the very object, which upstream recreates');
      assert.equal((await identities()).length, number);
    });
  }

  test('pkg/controlplane/controller/apiserverleasegc/gc_controller_test.go Test_Controller, by kube-apiserver’s own collector: at its start the expired go, ours stays', async (t) => {
    if (!server.full) return t.skip(REDUCED);
    const own = await startServer({ featureGates: {} });
    t.after(() => own.api.stop());
    const spec = { holderIdentity: 'gone', leaseDurationSeconds: 10, renewTime: ago(60) };
    await makeLease(own, { name: 'expired', labels: IDENTITY, spec });
    publish(t, own.kubeconfig, 'beside', '--lease-name-format=apiserver');
    const ours = await until('our lease', () => leaseAt(own, 'kube-system', identityName('beside')));
    await own.api.apiServer.kill();
    own.api.apiServer.start();
    await own.api.ready();
    await until('the collector', async () => (await leaseAt(own, 'kube-system', 'expired')) === undefined);
    const kept = await leaseAt(own, 'kube-system', identityName('beside'));
    assert.deepEqual([kept?.metadata.uid, kept?.spec.holderIdentity], [ours.metadata.uid, ours.spec.holderIdentity]);
  });
});
