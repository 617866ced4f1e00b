/** `leasekeeper heartbeat` on a real API server. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { seenReal } from './support.ts';
import { story } from './heartbeat-support.ts';

describe('on a real API server', { skip: realApiSkip() }, () => {
  let api: RealApi;
  before(async () => void (api = await startRealApi({ users: { beat: [] } })));
  after(() => api.stop());

  it('leases are kubelet’s field by field, and kubectl shows them', async (t) => {
    const world = { at: seenReal(api), kubeconfig: await api.kubeconfig() };
    await story(t, world);
    const args = ['--kubeconfig', world.kubeconfig, '-n', 'kube-node-lease', 'get', 'lease', 'virtual-1'];
    const { error, stdout, stderr } = spawnSync('kubectl', args, { encoding: 'utf8' });
    if (error) return t.diagnostic('kubectl is not installed: its table was not looked at');
    assert.match(stdout, /virtual-1 +virtual-1/, stderr);
  });
});
