/** The census on a real API server: its own lease, another product's, and Events as kubectl shows them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { hostname } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { leaseName } from '../../src/lease/names.ts';
import { runProgram } from '../support/process.ts';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import type { Seen } from './support.ts';
import { LEASES, claimed, kubectlSkip, lines, publish, seenReal, terminate, until } from './support.ts';

describe('census on a real API server', { skip: realApiSkip() }, () => {
  let api: RealApi;
  let at: Seen;
  let kubeconfig: string;
  before(async () => {
    api = await startRealApi({ featureGates: { APIServerIdentity: true } });
    at = seenReal(api);
    kubeconfig = await api.kubeconfig();
  });
  after(() => api?.stop());
  const count = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await runProgram(['count', '--kubeconfig', kubeconfig, ...args]);
    assert.deepEqual([code, stderr], [0, '']);
    return stdout;
  };

  it("counts a kube-apiserver's own lease; ours for the same hostname makes no second instance", async (t) => {
    await until('its own lease', async () => (await count()) === '1\n');
    assert.equal(await count('--live'), '1\n');
    const beside = publish(t, kubeconfig, hostname(), '--shutdown-policy=delete');
    await claimed(beside, at, hostname());
    await beside.waitForLine(/another identity lease carries this hostname/);
    assert.equal(await count(), '1\n');
    const { stdout } = await runProgram(['get', '--kubeconfig', kubeconfig]);
    assert.equal(stdout.trim().split('\n').length, 3, `two leases:\n${stdout}`);
    const other = publish(t, kubeconfig, 'elsewhere', '--shutdown-policy=delete');
    await claimed(other, at, 'elsewhere');
    assert.equal(await count('--live', '--expect=2'), '2\n');
    await Promise.all([terminate(beside), terminate(other)]);
    assert.equal(await count(), '1\n');
  });

  it("counts konnectivity's leases with options alone", async () => {
    for (const [id, agoMs] of [
      ['one', 1_000],
      ['two', 20_000],
      ['late', 45_000],
    ] as const) {
      const renewTime = new Date(Date.now() - agoMs).toISOString().replace('Z', '000Z');
      const { status } = await at.call('POST', LEASES, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: `konnectivity-proxy-server-${id}`, labels: { 'k8s-app': 'konnectivity-server' } },
        spec: { holderIdentity: id, leaseDurationSeconds: 30, renewTime },
      });
      assert.equal(status, 201);
    }
    const which = ['--identity-label=k8s-app', '--identity-label-value=konnectivity-server'];
    assert.equal(await count(...which), '2\n');
    assert.equal(await count(...which, '--fresh-for=15s', '--live'), '1\n');
  });

  it('tells a claim as an Event of the lease, as kubectl describe shows it', { skip: kubectlSkip() }, async (t) => {
    const program = publish(t, kubeconfig, 'described', '--shutdown-policy=delete');
    await claimed(program, at, 'described');
    const described = await until('the Event', async () => {
      const args = ['--kubeconfig', kubeconfig, '-n', 'kube-system', 'describe', 'lease', leaseName('described')];
      const { stdout } = await promisify(execFile)('kubectl', args);
      return /LeaseClaimed/.test(stdout) && stdout;
    });
    assert.match(described, /Normal +LeaseClaimed +\S+ +leasekeeper +.* created the lease/);
    await terminate(program);
    assert.deepEqual(lines(program, /WARN|ERROR/), []);
  });
});
