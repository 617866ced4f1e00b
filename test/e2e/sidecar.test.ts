/** `elect` without a command: beside a program that asks who leads. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { TestContext } from 'node:test';
import type { Program } from '../support/process.ts';
import { runProgram, startProgram } from '../support/process.ts';
import { TIMES } from './elect-support.ts';
import type { LeaseJson } from './support.ts';
import { embedded, until } from './support.ts';

interface Sidecar {
  readonly id: string;
  readonly program: Program;
  readonly url: string;
}

async function start(t: TestContext, kubeconfig: string, id: string, ...more: string[]): Promise<Sidecar> {
  const args = ['--kubeconfig', kubeconfig, '--lease', 'sidecar', '--id', id, '--http', '0', ...TIMES, ...more];
  const program = startProgram(['elect', ...args], { t });
  const line = await program.waitForLine(/contending for the lease/, { timeoutMs: 20_000 });
  return { id, program, url: /url=(\S+)/.exec(line)![1]! };
}
async function ask({ url }: Sidecar, path: string): Promise<{ status: number; body: Record<string, unknown> }> {
  const answer = await fetch(new URL(path, url));
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}
const leads = async (one: Sidecar): Promise<boolean> => (await ask(one, '/leader')).status === 200;

describe('elect as a sidecar', () => {
  test('/leader on two, a step-down, and the last one out', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const path = '/apis/coordination.k8s.io/v1/namespaces/default/leases/sidecar';
    const marks = ['--label', 'team=web', '--annotation', 'note=a, b', '--owner', 'apps/v1/Deployment/web/0-1'];
    const a = await start(t, kubeconfig, 'a', ...marks, '--delete-on-exit');
    await until('a to lead', () => leads(a), 20_000);
    const { metadata } = (await at.call('GET', path)).json as LeaseJson & { metadata: { ownerReferences: object } };
    assert.deepEqual(metadata.labels, { 'leasekeeper.dev/kind': 'election', team: 'web' });
    assert.equal(metadata.annotations?.['note'], 'a, b');
    assert.deepEqual(metadata.ownerReferences, [
      { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: '0-1' },
    ]);
    const b = await start(t, kubeconfig, 'b', '--delete-on-exit');
    await until('b to know who leads', async () => (await ask(b, '/')).body['name'] === 'a', 20_000);
    const { status, body } = await ask(b, '/leader');
    assert.deepEqual([status, body['leading'], body['name']], [503, false, 'a']);
    for (const path of ['/', '/v1/leader']) assert.equal((await ask(b, path)).status, 200);
    assert.equal((await fetch(new URL('/healthz', b.url))).status, 200);
    const down = await runProgram(['step-down', 'sidecar', '--to', 'b', '--kubeconfig', kubeconfig], { t });
    assert.equal(down.code, 0, down.stderr);
    await until('b to lead', () => leads(b), 20_000);
    assert.equal(await leads(a), false);
    // The other is there: nothing is deleted.
    a.program.signal('SIGTERM');
    assert.equal((await a.program.exitWithin(120_000)).code, 0, a.program.output());
    assert.equal((await at.call('GET', path)).status, 200);
    b.program.signal('SIGTERM');
    assert.equal((await b.program.exitWithin(120_000)).code, 0, b.program.output());
    assert.equal((await at.call('GET', path)).status, 404);
  });
});
