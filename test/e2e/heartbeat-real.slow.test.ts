/** `leasekeeper heartbeat` on a real API server. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { after, before, describe, it } from 'node:test';
import type { RealApi } from '../support/real-api.ts';
import { realApiSkip, startRealApi } from '../support/real-api.ts';
import { runProgram } from '../support/process.ts';
import { seenReal, until } from './support.ts';
import { NODES, heartbeat, lease, makeNode, story } from './heartbeat-support.ts';

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

  it('nodes says what their conditions and leases say', async (t) => {
    const world = { at: seenReal(api), kubeconfig: await api.kubeconfig() };
    await makeNode(world, 'up');
    await makeNode(world, 'down', {}, 'False');
    await makeNode(world, 'lost', {}, 'Unknown');
    await world.at.call('POST', NODES, { apiVersion: 'v1', kind: 'Node', metadata: { name: 'bare' } });
    const names = ['up', 'down', 'lost', 'bare'].flatMap((name) => ['--node', name]);
    heartbeat(t, world, ...names, '--renew-interval', '500ms');
    await until('their leases', async () => (await lease(world, 'bare')) && lease(world, 'up'));
    const graces = ['--grace', '30s', '--startup-grace', '1s'];
    const { code, stdout, stderr } = await runProgram(
      ['nodes', '--kubeconfig', world.kubeconfig, ...names, ...graces],
      { timeoutMs: 60_000 },
    );
    assert.equal(code, 0, stderr);
    const said = stdout
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((row) => row.split(/ {2,}/).slice(0, 2).join(' '));
    assert.deepEqual(said, ['bare Unknown', 'down NotReady', 'lost Unknown', 'up Ready']);
  });
});
