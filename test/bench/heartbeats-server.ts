/**
 * An embedded server with N Nodes, as a process of its own: prints its kubeconfig's path, ends when its input does.
 *
 *   node test/bench/heartbeats-server.ts N DIRECTORY
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startEmbeddedServer } from '../../src/embedded/embedded-server.ts';

const [, , count = '10', directory = '.'] = process.argv;
const server = await startEmbeddedServer({ logSize: 10, historySize: 1000 });
for (let i = 0; i < Number(count); i++) {
  const metadata = { name: `node-${String(i).padStart(5, '0')}` };
  const body = JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata });
  const headers = { 'content-type': 'application/json' };
  const { status } = server.handle({ method: 'POST', url: '/api/v1/nodes', headers, body });
  if (status !== 201) throw new Error(`a Node was refused with ${status}`);
}
const path = join(directory, `kubeconfig-${process.pid}`);
writeFileSync(path, server.kubeconfig());
console.log(path);
process.stdin.resume().on('end', () => void server.close());
