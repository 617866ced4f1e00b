/**
 * A bare client that deletes leases: one list, and a DELETE for each that has expired by connections as many as it takes, nothing
 * judged and nothing looked at twice. What collecting takes at the least from Node.
 *
 *   node test/bench/bare-collect.ts KUBECONFIG CONNECTIONS
 */
import { readFileSync } from 'node:fs';
import { Pool } from 'undici';

const [, , kubeconfig = '', connections = '64'] = process.argv;
interface Config {
  readonly clusters: readonly { cluster: { server: string; 'certificate-authority-data': string } }[];
  readonly users: readonly {
    user: { token?: string; 'client-certificate-data'?: string; 'client-key-data'?: string };
  }[];
}
const { clusters, users } = JSON.parse(readFileSync(kubeconfig, 'utf8')) as Config;
const { server, 'certificate-authority-data': ca } = clusters[0]!.cluster;
const { token, 'client-certificate-data': cert, 'client-key-data': key } = users[0]!.user;
const decoded = (data: string | undefined): string | undefined =>
  data === undefined ? undefined : Buffer.from(data, 'base64').toString();
const pool = new Pool(server, {
  connections: Number(connections),
  connect: { ca: decoded(ca), cert: decoded(cert), key: decoded(key) },
});
const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases';
const began = performance.now();
const { body } = await pool.request({ path: LEASES, method: 'GET', headers });
const { items } = (await body.json()) as {
  items: { metadata: { name: string }; spec: { renewTime: string; leaseDurationSeconds: number } }[];
};
const expired = items.filter(({ spec }) => Date.parse(spec.renewTime) + spec.leaseDurationSeconds * 1000 < Date.now());
let next = 0;
const worker = async (): Promise<void> => {
  for (let lease = expired[next++]; lease; lease = expired[next++]) {
    const answer = await pool.request({ path: `${LEASES}/${lease.metadata.name}`, method: 'DELETE', headers });
    if (answer.statusCode !== 200) throw new Error(`DELETE: ${answer.statusCode}`);
    await answer.body.dump();
  }
};
await Promise.all(Array.from({ length: Number(connections) }, worker));
console.log(JSON.stringify({ deleted: expired.length, seconds: (performance.now() - began) / 1000 }));
await pool.close();
