/**
 * A real Kubernetes API server for tests: `etcd` and `kube-apiserver` from the directory that KUBEBUILDER_ASSETS names.
 *
 * Guarantees: they listen on free ports of loopback, keep everything in one temporary directory, answer /readyz before
 * `startRealApi` resolves, and are gone with that directory after `stop`. They are started with the flags that
 * controller-runtime's envtest passes, so that a full kube-apiserver does as well.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { leaveNoDirectory } from './children.ts';
import { freePorts } from './free-ports.ts';
import { ServerProcess } from './server-process.ts';

export interface RealApiOptions {
  /** Default `RBAC`. */
  readonly authorizationMode?: 'RBAC' | 'AlwaysAllow';
  /** Default `{ APIServerIdentity: false }`, so that the server's own lease and requests do not disturb counts. */
  readonly featureGates?: Readonly<Record<string, boolean>>;
  /** Users besides `admin` (of system:masters), by name, with their groups. Each gets a token. */
  readonly users?: Readonly<Record<string, readonly string[]>>;
  readonly apiServerArgs?: readonly string[];
  readonly etcdArgs?: readonly string[];
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Why tests against a real API server cannot run here; false when they can. For node:test's `skip`. */
export function realApiSkip(): string | false {
  const assets = process.env['KUBEBUILDER_ASSETS'];
  if (!assets) return 'KUBEBUILDER_ASSETS is not set: it names a directory with etcd and kube-apiserver';
  const missing = ['etcd', 'kube-apiserver'].filter((name) => !existsSync(join(assets, name)));
  return missing.length > 0 && `KUBEBUILDER_ASSETS=${assets} lacks ${missing.join(' and ')}`;
}

export async function startRealApi(options: RealApiOptions = {}): Promise<RealApi> {
  const skip = realApiSkip();
  if (skip) throw new Error(skip);
  const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-api-'));
  const forget = leaveNoDirectory(dir);
  const [client, peer, secure] = await freePorts(3);
  const etcdUrl = `http://127.0.0.1:${client}`;
  const certs = join(dir, 'certs');
  await mkdir(certs);
  const users = { admin: ['system:masters'], ...options.users };
  const tokens = Object.fromEntries(Object.keys(users).map((name) => [name, randomBytes(16).toString('hex')]));
  const rows = Object.entries(users).map(([name, groups]) => `${tokens[name]},${name},${name},"${groups.join(',')}"`);
  await writeFile(join(dir, 'tokens.csv'), `${rows.join('\n')}\n`);
  const pair = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  await writeFile(join(dir, 'sa.key'), pair.privateKey);
  await writeFile(join(dir, 'sa.pub'), pair.publicKey);
  const gates = Object.entries(options.featureGates ?? { APIServerIdentity: false });
  // From 1.36 on a full server without an identity refuses to start with this one on.
  if (gates.some(([name, on]) => name === 'APIServerIdentity' && !on)) {
    gates.push(['UnknownVersionInteroperabilityProxy', false]);
  }
  const binary = (name: string): string => join(process.env['KUBEBUILDER_ASSETS']!, name);
  const etcd = new ServerProcess({
    command: binary('etcd'),
    args: [
      `--data-dir=${join(dir, 'etcd')}`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      '--unsafe-no-fsync',
      ...(options.etcdArgs ?? []),
    ],
    log: join(dir, 'etcd.log'),
  });
  const apiServer = new ServerProcess({
    command: binary('kube-apiserver'),
    args: [
      `--etcd-servers=${etcdUrl}`,
      '--bind-address=127.0.0.1',
      // Loopback is no address to advertise to a cluster; any other will do, nobody calls it.
      '--advertise-address=10.0.0.1',
      `--secure-port=${secure}`,
      `--cert-dir=${certs}`,
      `--token-auth-file=${join(dir, 'tokens.csv')}`,
      `--authorization-mode=${options.authorizationMode ?? 'RBAC'}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      '--disable-admission-plugins=ServiceAccount',
      `--service-account-issuer=https://127.0.0.1:${secure}/`,
      `--service-account-key-file=${join(dir, 'sa.pub')}`,
      `--service-account-signing-key-file=${join(dir, 'sa.key')}`,
      '--allow-privileged=true',
      ...(gates.length > 0 ? [`--feature-gates=${gates.map(([name, on]) => `${name}=${on}`).join(',')}`] : []),
      ...(options.apiServerArgs ?? []),
    ],
    log: join(dir, 'kube-apiserver.log'),
  });
  const api = new RealApi({ dir, url: `https://127.0.0.1:${secure}`, etcdUrl, tokens, certs, etcd, apiServer, forget });
  try {
    etcd.start();
    await etcdReady(etcd, etcdUrl);
    apiServer.start();
    await api.ready();
  } catch (error) {
    await api.stop();
    throw error;
  }
  return api;
}

interface RealApiParts {
  readonly dir: string;
  readonly url: string;
  readonly etcdUrl: string;
  readonly tokens: Readonly<Record<string, string>>;
  readonly certs: string;
  readonly etcd: ServerProcess;
  readonly apiServer: ServerProcess;
  readonly forget: () => void;
}

export class RealApi {
  /** `https://127.0.0.1:PORT`. */
  readonly url: string;
  readonly etcdUrl: string;
  /** Where everything lies; tests may put files of their own there. */
  readonly dir: string;
  /** Pause, kill and start again: see ServerProcess. Wait for `ready()` after a start. */
  readonly etcd: ServerProcess;
  readonly apiServer: ServerProcess;
  readonly #tokens: Readonly<Record<string, string>>;
  readonly #caFile: string;
  readonly #forget: () => void;
  #ca: string | undefined;

  constructor({ dir, url, etcdUrl, tokens, certs, etcd, apiServer, forget }: RealApiParts) {
    this.dir = dir;
    this.url = url;
    this.etcdUrl = etcdUrl;
    this.etcd = etcd;
    this.apiServer = apiServer;
    this.#tokens = tokens;
    this.#forget = forget;
    // Self-signed, by the server, at its first start.
    this.#caFile = join(certs, 'apiserver.crt');
  }

  /** The bearer token of `admin` or one of the users. */
  token(user = 'admin'): string {
    const token = this.#tokens[user];
    if (token === undefined) throw new Error(`no user ${user}`);
    return token;
  }

  /** The certificate to trust, PEM. */
  async ca(): Promise<string> {
    return (this.#ca ??= await readFile(this.#caFile, 'utf8'));
  }

  /** Its serving certificate, which is its own authority, and the key: for a proxy that stands in for it. */
  async tls(): Promise<{ ca: string; key: string }> {
    return { ca: await this.ca(), key: await readFile(this.#caFile.replace(/crt$/, 'key'), 'utf8') };
  }

  /**
   * Writes a kubeconfig and gives its path.
   * @param server another address, a proxy's for instance; a plain http one gets no CA
   */
  async kubeconfig({ user = 'admin', server = this.url, namespace = 'default' } = {}): Promise<string> {
    const cluster: Record<string, string> = { server };
    if (server.startsWith('https:')) {
      cluster['certificate-authority-data'] = Buffer.from(await this.ca()).toString('base64');
    }
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster }],
      users: [{ name: user, user: { token: this.token(user) } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user, namespace } }],
      'current-context': 'test',
    };
    const path = join(this.dir, `kubeconfig-${randomBytes(4).toString('hex')}.json`);
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  /** One request as a user (default admin), over a connection of its own. An object as body is sent as JSON. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    { user = 'admin', timeoutMs = 60_000, headers = {} as Record<string, string> } = {},
  ): Promise<Answer> {
    const ca = await this.ca();
    return new Promise((resolve, reject) => {
      const json = body === undefined ? {} : { 'content-type': 'application/json' };
      const authorization = `Bearer ${this.token(user)}`;
      const call = request(
        `${this.url}${path}`,
        { method, ca, agent: false, timeout: timeoutMs, headers: { authorization, ...json, ...headers } },
        (answer) => {
          const chunks: Buffer[] = [];
          answer.on('data', (chunk: Buffer) => chunks.push(chunk));
          answer.on('error', reject);
          answer.on('end', () => {
            resolve({
              status: answer.statusCode ?? 0,
              headers: answer.headers,
              text: Buffer.concat(chunks).toString(),
            });
          });
        },
      );
      call.on('timeout', () => call.destroy(new Error(`${method} ${path}: no answer within ${timeoutMs} ms`)));
      call.on('error', reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }

  /** Like `request`, for an answer that must be 2xx JSON. */
  async json<T = Record<string, unknown>>(method: string, path: string, body?: unknown): Promise<T> {
    const { status, text } = await this.request(method, path, body);
    if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${status} ${text}`);
    return JSON.parse(text) as T;
  }

  /** Lets a user do these verbs on these resources: of one namespace, or of the whole cluster. */
  async allow(user: string, { namespace, rules }: { namespace?: string; rules: readonly PolicyRule[] }): Promise<void> {
    const base = `/apis/rbac.authorization.k8s.io/v1/${namespace === undefined ? '' : `namespaces/${namespace}/`}`;
    const [role, binding] = namespace === undefined ? ['ClusterRole', 'ClusterRoleBinding'] : ['Role', 'RoleBinding'];
    const metadata = { name: `${user}-${randomBytes(4).toString('hex')}` };
    const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: user }];
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: role, name: metadata.name };
    await this.json('POST', `${base}${role.toLowerCase()}s`, { metadata, rules });
    await this.json('POST', `${base}${binding.toLowerCase()}s`, { metadata, subjects, roleRef });
  }

  async createNamespace(name: string): Promise<void> {
    await this.json('POST', '/api/v1/namespaces', { metadata: { name } });
  }

  /** A namespace that stays in deletion: nothing here empties it. */
  async createTerminatingNamespace(name: string): Promise<void> {
    await this.createNamespace(name);
    await this.json('DELETE', `/api/v1/namespaces/${name}`);
  }

  /** Requests that the server has answered since its start; a watch counts when it ends. */
  async requestCount({ resource = 'leases', verb }: { resource?: string; verb?: string } = {}): Promise<number> {
    const { text } = await this.request('GET', '/metrics');
    let count = 0;
    for (const line of text.split('\n')) {
      const sample = /^apiserver_request_total\{(.*)\} (\S+)$/.exec(line);
      if (!sample) continue;
      const labels = Object.fromEntries([...sample[1]!.matchAll(/(\w+)="([^"]*)"/g)].map((m) => [m[1]!, m[2]!]));
      const matches = labels['resource'] === resource && (verb === undefined || labels['verb'] === verb.toUpperCase());
      if (matches) count += Number(sample[2]);
    }
    return count;
  }

  /** Waits until /readyz answers 200. */
  async ready(timeoutMs = 120_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    let last: unknown;
    while (Date.now() < deadline) {
      this.etcd.assertRunning();
      this.apiServer.assertRunning();
      try {
        const { status, text } = await this.request('GET', '/readyz', undefined, { timeoutMs: 2_000 });
        // A full server makes its namespaces a moment after it says that it is ready.
        if (status === 200 && (await this.#hasNamespaces())) return;
        last = text;
      } catch (error) {
        last = error;
        // It may have been read while the server was still writing it.
        this.#ca = undefined;
      }
      await wait(30);
    }
    throw new Error(`kube-apiserver is not ready: ${String(last)}\n${this.apiServer.logTail()}`);
  }

  async #hasNamespaces(): Promise<boolean> {
    const { items } = await this.json<{ items: { metadata: { name: string } }[] }>('GET', '/api/v1/namespaces');
    return ['default', 'kube-system', 'kube-node-lease'].every((wanted) =>
      items.some(({ metadata }) => metadata.name === wanted),
    );
  }

  /** Ends both processes and removes the directory. May be called twice. */
  async stop(): Promise<void> {
    // In this order, and hard: a graceful end waits for open watches, and nothing here is worth keeping.
    await this.apiServer.kill();
    await this.etcd.kill();
    await rm(this.dir, { recursive: true, force: true });
    this.#forget();
  }
}

export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

async function etcdReady(etcd: ServerProcess, url: string): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (Date.now() < deadline) {
    etcd.assertRunning();
    const healthy = await fetch(`${url}/health`).then(
      async (answer) => (await answer.text(), answer.ok),
      () => false,
    );
    if (healthy) return;
    await wait(30);
  }
  throw new Error(`etcd is not ready\n${etcd.logTail()}`);
}
