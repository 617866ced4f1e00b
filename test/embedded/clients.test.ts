/**
 * The embedded server's kubeconfig in other programs: Kubernetes' client for JavaScript, and kubectl where it is on the
 * machine; over http without tokens, over TLS with them.
 */
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { CoordinationV1Api, KubeConfig, V1MicroTime, Watch, makeInformer } from '@kubernetes/client-node';
import type { V1Lease } from '@kubernetes/client-node';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import type { EmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { LEASES, until } from './support.ts';

const KINDS = { 'http, no tokens': undefined, 'TLS, tokens': { secret: { user: 'u' } } };
const noKubectl = spawnSync('kubectl', ['version', '--client']).status === 0 ? false : 'kubectl is not on this machine';

for (const [kind, tokens] of Object.entries(KINDS)) {
  test(`client-node: list, watch, informer (${kind})`, async (t) => {
    const server = await started(t, tokens);
    const config = new KubeConfig();
    config.loadFromString(server.kubeconfig());
    const api = config.makeApiClient(CoordinationV1Api);
    const namespace = 'kube-system';
    const list = (): Promise<{ items: V1Lease[] }> => api.listNamespacedLease({ namespace });
    const seen: string[] = [];
    const watch = await new Watch(config).watch(
      LEASES,
      {},
      (type: string, { metadata }: V1Lease) => void seen.push(`${type} ${metadata?.name}`),
      () => undefined,
    );
    const informed: string[] = [];
    const informer = makeInformer(config, LEASES, list);
    for (const verb of ['add', 'update', 'delete'] as const)
      informer.on(verb, ({ metadata }) => void informed.push(`${verb} ${metadata?.name}`));
    await informer.start();
    const body = { metadata: { name: 'a' }, spec: { holderIdentity: 'h', renewTime: new V1MicroTime() } };
    const made = await api.createNamespacedLease({ namespace, body });
    assert.equal((await list()).items.length, 1);
    const renewed = { ...made, spec: { ...made.spec, leaseTransitions: 1 } };
    await api.replaceNamespacedLease({ namespace, name: 'a', body: renewed });
    await api.deleteNamespacedLease({ namespace, name: 'a' });
    await until(() => seen.length >= 3 && informed.length >= 3, 'all events');
    await informer.stop();
    watch.abort();
    assert.deepEqual(seen, ['ADDED a', 'MODIFIED a', 'DELETED a']);
    assert.deepEqual(informed, ['add a', 'update a', 'delete a']);
  });

  test(`kubectl: apply, get, watch, conflicts (${kind})`, { skip: noKubectl }, async (t) => {
    const server = await started(t, tokens);
    const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-kubectl-'));
    t.after(() => rm(dir, { recursive: true }));
    const [config, manifest] = [join(dir, 'config'), join(dir, 'lease.json')];
    const args = ['--kubeconfig', config, '--cache-dir', join(dir, 'cache'), '-n', 'kube-system'];
    const kubectl = async (...more: string[]): Promise<string> => {
      const { stdout } = await promisify(execFile)('kubectl', [...args, ...more], { timeout: 60_000 });
      return stdout.trim();
    };
    await writeFile(config, server.kubeconfig());
    const metadata = { name: 'a', namespace: 'kube-system' };
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: { holderIdentity: 'h' } };
    await writeFile(manifest, JSON.stringify(lease));
    const watch = spawn('kubectl', [...args, 'get', 'lease', '--watch', '--output-watch-events', '--no-headers']);
    t.after(() => watch.kill());
    let output = '';
    watch.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await until(() => server.faults.openWatches === 1, 'the watch', 10_000);
    assert.match(await kubectl('apply', '-f', manifest), /created$/);
    assert.match(await kubectl('get', 'lease'), /^NAME +HOLDER +AGE\na +h +\d+s$/);
    assert.match(await kubectl('apply', '--server-side', '-f', manifest), /serverside-applied$/);
    await writeFile(manifest, JSON.stringify({ ...lease, spec: { holderIdentity: 'other' } }));
    await assert.rejects(
      kubectl('apply', '--server-side', '--field-manager=x', '-f', manifest),
      /conflict with "kubectl": \.spec\.holderIdentity/,
    );
    await kubectl('apply', '--server-side', '--field-manager=x', '--force-conflicts', '-f', manifest);
    assert.equal(await kubectl('get', 'lease', 'a', '-o', 'jsonpath={.spec.holderIdentity}'), 'other');
    await kubectl('delete', 'lease', 'a', '--cascade=foreground');
    await until(() => output.includes('DELETED'), 'the deletion in the watch', 5_000);
    assert.match(output, /^ADDED +a +h/);
  });
}

async function started(
  t: { after(hook: () => Promise<void>): void },
  tokens: (typeof KINDS)[keyof typeof KINDS],
): Promise<EmbeddedServer> {
  const server = await startEmbeddedServer({ tokens });
  t.after(() => server.close());
  assert.equal(new URL(server.url).protocol, tokens ? 'https:' : 'http:');
  return server;
}
