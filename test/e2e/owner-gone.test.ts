/** `sweep --owner-gone` as a user runs it. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { runProgram } from '../support/process.ts';
import { LEASES, lease, makeNode } from './heartbeat-support.ts';
import { embedded } from './support.ts';

it('sweep --owner-gone takes the heartbeat whose Node is gone, and leaves the one of a Node that is not ready', async (t) => {
  const { kubeconfig, at } = await embedded(t);
  const world = { at, kubeconfig };
  await makeNode(world, 'not-ready');
  for (const name of ['not-ready', 'gone']) {
    const spec = { holderIdentity: name, leaseDurationSeconds: 40, renewTime: '2026-01-01T00:00:00.000000Z' };
    const { status } = await at.call('POST', LEASES, { metadata: { name }, spec });
    assert.equal(status, 201);
  }
  const sweep = (...args: string[]) =>
    runProgram(['sweep', '--once', '--owner-gone', '--confirm-after', '200ms', '--kubeconfig', kubeconfig, ...args]);
  const dry = await sweep('--dry-run');
  assert.match(dry.stdout, /would delete gone of gone: no such Node, not written between two looks/);
  assert.match(dry.stdout, /1 of 2 leases would be deleted; kept: 1 of Nodes that are there/);
  assert.ok(await lease(world, 'gone'));
  const { code, stderr } = await sweep();
  assert.equal(code, 0, stderr);
  assert.match(stderr, /deleted a heartbeat whose Node is gone/);
  assert.equal(await lease(world, 'gone'), undefined);
  assert.ok(await lease(world, 'not-ready'));
});
