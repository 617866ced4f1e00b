import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';
import { leaseStoreContract } from './lease-store.ts';
import { contractOver } from './over-http.ts';

leaseStoreContract('embedded server', async () => {
  const server = await startEmbeddedServer();
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-contract-'));
  const send = async (method: string, path: string, body?: object): Promise<void> => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${server.url}${path}`, {
      method,
      headers,
      ...(body && { body: JSON.stringify(body) }),
    });
    assert.ok(answer.ok, await answer.text());
  };
  await send('POST', '/api/v1/namespaces', { metadata: { name: 'terminating' } });
  // A namespace goes when it is empty: this lease keeps it.
  const held = { metadata: { name: 'held', finalizers: ['example.com/keep'] } };
  await send('POST', '/apis/coordination.k8s.io/v1/namespaces/terminating/leases', held);
  await send('DELETE', '/api/v1/namespaces/terminating');
  return contractOver({
    url: server.url,
    kubeconfig: async (address) => {
      const path = join(dir, `${new URL(address).port}.yaml`);
      await writeFile(path, server.kubeconfig().replaceAll(server.url, address));
      return path;
    },
    terminatingNamespace: 'terminating',
    close: async () => {
      await server.close();
      await rm(dir, { recursive: true });
    },
  });
});
