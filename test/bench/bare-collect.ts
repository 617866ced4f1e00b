/**
 * A bare client that deletes leases: one list, and a DELETE for each that has expired by connections as many as it takes, nothing
 * judged and nothing looked at twice. What collecting takes at the least from Node. With `checked` it asks the server for as
 * much as the sweeper does: two lists in pages of 500, and preconditions.
 *
 *   node test/bench/bare-collect.ts KUBECONFIG CONNECTIONS [checked]
 */
import { readFileSync } from 'node:fs';
import { Pool } from 'undici';

const [, , kubeconfig = '', connections = '64', checked] = process.argv;
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
interface Lease {
  readonly metadata: { name: string; uid: string; resourceVersion: string };
  readonly spec: { renewTime: string; leaseDurationSeconds: number };
}
async function list(query: string): Promise<Lease[]> {
  const all: Lease[] = [];
  for (let token: string | undefined = ''; token !== undefined;) {
    const path = `${LEASES}${query}${token && `&continue=${token}`}`;
    const { body } = await pool.request({ path, method: 'GET', headers });
    const page = (await body.json()) as { items: Lease[]; metadata: { continue?: string } };
    all.push(...page.items);
    token = page.metadata.continue;
  }
  return all;
}
const began = performance.now();
const query = checked ? '?limit=500' : '';
if (checked) await list(query);
const items = await list(query);
const expired = items.filter(({ spec }) => Date.parse(spec.renewTime) + spec.leaseDurationSeconds * 1000 < Date.now());
let next = 0;
const worker = async (): Promise<void> => {
  for (let lease = expired[next++]; lease; lease = expired[next++]) {
    const { name, uid, resourceVersion } = lease.metadata;
    const answer = await pool.request({
      path: `${LEASES}/${name}`,
      method: 'DELETE',
      ...(checked
        ? {
            headers: { ...headers, 'content-type': 'application/json' },
            body: JSON.stringify({ kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid, resourceVersion } }),
            // Otherwise a DELETE with a body costs its connection.
            reset: false,
          }
        : { headers }),
    });
    if (answer.statusCode !== 200) throw new Error(`DELETE: ${answer.statusCode}`);
    await answer.body.dump();
  }
};
await Promise.all(Array.from({ length: Number(connections) }, worker));
console.log(JSON.stringify({ deleted: expired.length, seconds: (performance.now() - began) / 1000 }));
await pool.close();
