/**
 * Where the API server is and who we are there: kubeconfig files or the pod's service account, as plain data.
 *
 * Order, the one of controller-runtime: the file named by the caller; the files of KUBECONFIG, merged (of each name the
 * first one wins, a file that is not there is passed over, paths are relative to their own file); the service account
 * of the pod; ~/.kube/config. Every fault is a KubeConfigError that names file, field and rule, and never a credential.
 *
 * A KubeConfig object of client-node's is read as if it were such a file.
 */
import { isUtf8 } from 'node:buffer';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import net from 'node:net';
import { boolean, isObject, pem, string, userSettings, wrong } from './kubeconfig-fields.ts';
import type { Entry, Json } from './kubeconfig-fields.ts';
import { readYaml } from './read-yaml.ts';
import { proxyFor } from '../wire/proxy.ts';
import { KubeConfigError } from './settings.ts';
import type { KubeSettings } from './settings.ts';

/** Where the configuration lies. */
export interface LoadOptions {
  /** A KubeConfig object of `@kubernetes/client-node`, 1.4 or 2; before everything else. Its data is read, not its code. */
  readonly kubeConfig?: KubeConfigObject | undefined;
  /** A kubeconfig file; before everything but an object. */
  readonly kubeconfig?: string | undefined;
  /** A context of the kubeconfig; default: its current-context. Leaves the service account out. */
  readonly context?: string | undefined;
  /** Default: process.env. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default: the user's. */
  readonly home?: string;
  /** Default: where kubelet mounts it. */
  readonly serviceAccountDir?: string;
}

/** As much of client-node's KubeConfig as says where the server is and who we are. */
export interface KubeConfigObject {
  readonly currentContext?: string | null | undefined;
  readonly contexts?: readonly Readonly<Named & { cluster: string; user: string; namespace?: string | undefined }>[];
  readonly clusters?: readonly Readonly<Named & { server: string }>[];
  readonly users?: readonly Readonly<Named>[];
}
interface Named {
  name: string;
}

const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';
interface Merged {
  currentContext: string | undefined;
  readonly contexts: Map<string, Entry>;
  readonly clusters: Map<string, Entry>;
  readonly users: Map<string, Entry>;
}

const noEntries = (): Merged => ({
  currentContext: undefined,
  contexts: new Map(),
  clusters: new Map(),
  users: new Map(),
});

/** @throws KubeConfigError */
export async function loadKubeConfig(options: LoadOptions = {}): Promise<KubeSettings> {
  const env = options.env ?? process.env;
  if (options.kubeConfig) return fromObject(options.kubeConfig, options, env);
  if (options.kubeconfig) return fromFiles([options.kubeconfig], options, env);
  const listed = listedFiles(env);
  if (listed.length > 0) return fromFiles(listed, options, env);
  if (!options.context) {
    const inCluster = fromServiceAccount(options.serviceAccountDir ?? SERVICE_ACCOUNT_DIR, env);
    if (inCluster) return inCluster;
  }
  const usual = usualFile(options, env);
  if (usual !== undefined && existsSync(usual)) return fromFiles([usual], options, env);
  const missing = usual === undefined ? 'this user has no home directory' : `${usual} does not exist`;
  throw new KubeConfigError(
    'NoConfiguration',
    `no Kubernetes configuration: KUBECONFIG is not set, this is no pod with a service account, and ${missing}; name a kubeconfig file`,
    { file: usual },
  );
}

type Env = Readonly<Record<string, string | undefined>>;

const listedFiles = (env: Env): string[] => (env['KUBECONFIG'] ?? '').split(delimiter).filter((file) => file !== '');

function usualFile(options: LoadOptions, env: Env): string | undefined {
  let home = options.home ?? env['HOME'];
  try {
    home ??= homedir();
  } catch {
    // A user without an entry in /etc/passwd, as in a container that runs as any number.
    return undefined;
  }
  return join(home, '.kube', 'config');
}

async function fromFiles(names: readonly string[], options: LoadOptions, env: Env): Promise<KubeSettings> {
  const files = names.map((name) => resolve(name));
  return { ...choose(await readFiles(files), files.join(delimiter), options.context, env), files };
}

/** The contexts that there are to choose from. @throws KubeConfigError */
export async function contextNames(options: LoadOptions = {}): Promise<string[]> {
  const env = options.env ?? process.env;
  const listed = options.kubeconfig ? [options.kubeconfig] : listedFiles(env);
  const usual = usualFile(options, env);
  const files = listed.length > 0 || usual === undefined ? listed : [usual];
  return [...(await readFiles(files.map((name) => resolve(name)))).contexts.keys()];
}

/** Of each name the first one wins; a file that is not there is passed over. @throws KubeConfigError when none is */
async function readFiles(files: readonly string[]): Promise<Merged> {
  const merged = noEntries();
  let found = 0;
  for (const file of files) {
    const text = readText(file);
    if (text === undefined) continue;
    found++;
    const root = await readYaml(text).catch((cause: Error) => {
      throw new KubeConfigError('InvalidYaml', `${file}: ${cause.message}`, { file });
    });
    merge(merged, root, file);
  }
  const file = files.join(delimiter);
  if (found === 0) throw new KubeConfigError('FileNotFound', `kubeconfig ${file}: no such file`, { file });
  return merged;
}

/** What the fields of client-node's objects are in a kubeconfig. */
const FIELDS: Readonly<Record<string, string>> = {
  caData: 'certificate-authority-data',
  caFile: 'certificate-authority',
  skipTLSVerify: 'insecure-skip-tls-verify',
  tlsServerName: 'tls-server-name',
  proxyUrl: 'proxy-url',
  certData: 'client-certificate-data',
  certFile: 'client-certificate',
  keyData: 'client-key-data',
  keyFile: 'client-key',
  authProvider: 'auth-provider',
  impersonateUser: 'as',
};

function fromObject(
  config: KubeConfigObject,
  options: LoadOptions,
  env: Readonly<Record<string, string | undefined>>,
): KubeSettings {
  const source = 'kubeConfig';
  const entries = (items: readonly object[] | undefined, key: string): Json[] =>
    (items ?? []).map((item) => {
      const { name, ...fields } = item as Json;
      const value = Object.fromEntries(Object.entries(fields).map(([field, of]) => [FIELDS[field] ?? field, of]));
      // What its loadFromCluster makes of the pod's token.
      const provider = value['auth-provider'];
      if (isObject(provider) && provider['name'] === 'tokenFile' && isObject(provider['config'])) {
        delete value['auth-provider'];
        value['tokenFile'] = provider['config']['tokenFile'];
      }
      return { name, [key]: value };
    });
  const merged = noEntries();
  const root = {
    'current-context': config.currentContext,
    contexts: entries(config.contexts, 'context'),
    clusters: entries(config.clusters, 'cluster'),
    users: entries(config.users, 'user'),
  };
  merge(merged, root, source);
  return choose(merged, source, options.context, env);
}

/**
 * The file's text; undefined where there is none.
 * @throws KubeConfigError for one that cannot be read: to pass it over could lead to another cluster
 */
function readText(file: string): string | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    if (code === 'ENOENT') return undefined;
    throw new KubeConfigError('FileUnreadable', `${file}: cannot be read (${code})`, { file, cause });
  }
  // As PowerShell writes it.
  const mark = bytes.length >= 2 ? bytes.readUInt16BE(0) : 0;
  if (mark === 0xfffe) return bytes.toString('utf16le', 2);
  if (mark === 0xfeff && bytes.length % 2 === 0) return bytes.swap16().toString('utf16le', 2);
  if (!isUtf8(bytes)) throw new KubeConfigError('InvalidYaml', `${file}: is no UTF-8`, { file });
  return bytes.toString('utf8').replace(/^\uFEFF/, '');
}

function merge(into: Merged, root: unknown, file: string): void {
  if (root === null || root === undefined) return;
  if (!isObject(root)) throw wrong(file, 'the file', 'must be a mapping, as kubectl config view prints it');
  for (const [key, value] of [
    ['kind', 'Config'],
    ['apiVersion', 'v1'],
  ] as const) {
    if ((root[key] ?? value) !== value) throw wrong(file, key, `must be ${value}`);
  }
  const current = root['current-context'];
  if (current !== undefined && current !== null && typeof current !== 'string') {
    throw wrong(file, 'current-context', 'must be a string');
  }
  if (current && into.currentContext === undefined) into.currentContext = current;
  for (const [list, key] of [
    ['contexts', 'context'],
    ['clusters', 'cluster'],
    ['users', 'user'],
  ] as const) {
    const items = root[list] ?? [];
    if (!Array.isArray(items)) throw wrong(file, list, 'must be a list');
    const here = new Set<string>();
    items.forEach((item: unknown, i) => {
      const { name = '', [key]: value = {} } = (item ?? {}) as Json;
      if (typeof name !== 'string') throw wrong(file, `${list}[${i}].name`, 'must be a string');
      if (!isObject(value ?? {})) throw wrong(file, `${list}[${i}].${key}`, 'must be a mapping');
      // Which of the two is meant, nobody can say.
      if (here.has(name)) throw wrong(file, `${list}[${i}].name`, `must not stand twice: "${name.slice(0, 100)}"`);
      here.add(name);
      if (!into[list].has(name)) into[list].set(name, { value: (value ?? {}) as Json, file });
    });
  }
}

function choose(
  merged: Merged,
  source: string,
  wanted: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): KubeSettings {
  const name = wanted || merged.currentContext;
  if (name === undefined) {
    throw new KubeConfigError(
      'NoCurrentContext',
      `${source}: current-context is not set; set it or name a context (${known(merged.contexts)})`,
      { file: source, field: 'current-context' },
    );
  }
  const context = merged.contexts.get(name);
  if (!context) {
    throw new KubeConfigError(
      'ContextNotFound',
      `${source}: context "${name}" does not exist (${known(merged.contexts)})`,
      { file: source, field: wanted ? 'contexts' : 'current-context' },
    );
  }
  const inContext = `contexts[${name}].context`;
  const clusterName = string(context, inContext, 'cluster');
  const cluster = clusterName === undefined ? undefined : merged.clusters.get(clusterName);
  if (!cluster) {
    throw new KubeConfigError(
      'ClusterNotFound',
      `${source}: cluster "${clusterName ?? ''}" of context "${name}" does not exist (${known(merged.clusters)})`,
      { file: context.file, field: `${inContext}.cluster` },
    );
  }
  const userName = string(context, inContext, 'user');
  const user = userName === undefined ? undefined : merged.users.get(userName);
  if (userName !== undefined && !user) {
    throw new KubeConfigError(
      'UserNotFound',
      `${source}: user "${userName}" of context "${name}" does not exist (${known(merged.users)})`,
      { file: context.file, field: `${inContext}.user` },
    );
  }
  const inCluster = `clusters[${clusterName}].cluster`;
  const server = checkServer(string(cluster, inCluster, 'server'), cluster.file, `${inCluster}.server`);
  const secure = server.url.protocol === 'https:';
  const insecureSkipTlsVerify = boolean(cluster, inCluster, 'insecure-skip-tls-verify');
  const ca = pem(cluster, inCluster, 'certificate-authority');
  if (secure && ca && insecureSkipTlsVerify) {
    throw wrong(
      cluster.file,
      `${inCluster}.insecure-skip-tls-verify`,
      'must not be true beside a certificate-authority',
    );
  }
  const proxy = string(cluster, inCluster, 'proxy-url');
  return {
    server: server.text,
    ca,
    rootFiles: rootFiles(env),
    insecureSkipTlsVerify,
    tlsServerName: string(cluster, inCluster, 'tls-server-name'),
    proxyUrl: checkProxy(
      proxy ?? proxyFor(server.url, env),
      cluster.file,
      proxy === undefined ? 'HTTPS_PROXY' : `${inCluster}.proxy-url`,
    ),
    user: user
      ? userSettings(user, {
          name: userName ?? '',
          cluster: cluster.value,
          secure,
          proxyFor: (url) => proxyFor(url, env),
        })
      : {},
    namespace: string(context, inContext, 'namespace'),
    context: name,
    source,
  };
}

/** What Go's crypto/x509 takes for certificates of the machine, besides those that the system names itself. */
function rootFiles(env: Readonly<Record<string, string | undefined>>): string[] {
  const file = env['SSL_CERT_FILE'] ?? '';
  const directories = (env['SSL_CERT_DIR'] ?? '').split(delimiter);
  return [file, ...directories].filter((path) => path !== '');
}

function fromServiceAccount(dir: string, env: Readonly<Record<string, string | undefined>>): KubeSettings | undefined {
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  const tokenFile = join(dir, 'token');
  // One that is there but cannot be read is an error of the pod's, said when it is read.
  if (!host || !port || !existsSync(tokenFile)) return undefined;
  const text = `https://${net.isIPv6(host) ? `[${host}]` : host}:${port}`;
  const server = checkServer(text, dir, 'KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT');
  return {
    server: server.text,
    ca: { file: join(dir, 'ca.crt'), field: 'ca.crt' },
    rootFiles: rootFiles(env),
    insecureSkipTlsVerify: false,
    proxyUrl: checkProxy(proxyFor(server.url, env), dir, 'HTTPS_PROXY'),
    user: { tokenFile },
    namespace: podNamespace(join(dir, 'namespace')),
    source: 'service account',
  };
}

function podNamespace(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** A URL, or host:port, which means http as it does to kubectl. */
function checkServer(value: string | undefined, file: string, field: string): { url: URL; text: string } {
  const whole = value !== undefined && /^[a-z][a-z0-9+.-]*:\/\/[^/]/i.test(value);
  const url = value === undefined || /[\s\\]|^\//.test(value) ? null : URL.parse(whole ? value : `http://${value}`);
  const bad =
    !url ||
    !/^https?:$/.test(url.protocol) ||
    url.hostname === '' ||
    url.hash !== '' ||
    (!whole && url.pathname !== '/');
  if (bad || url.username !== '' || url.password !== '') {
    const shown =
      value === undefined
        ? 'is missing'
        : url?.username || url?.password
          ? 'holds a user or password'
          : `"${value.slice(0, 200)}" is no server`;
    throw new KubeConfigError('InvalidServer', `${file}: ${field} ${shown}; it must be like https://host:port`, {
      file,
      field,
    });
  }
  return { url, text: `${url.origin}${url.pathname.replace(/\/+$/, '')}` };
}

function checkProxy(value: string | undefined, file: string, field: string): string | undefined {
  if (value === undefined) return undefined;
  const url = URL.parse(value);
  if (!url || url.hostname === '' || !/^(https?|socks5h?):$/.test(url.protocol)) {
    // The value may hold a password and is not shown.
    throw new KubeConfigError(
      'InvalidProxy',
      `${file}: ${field} must be a URL with the scheme http, https, socks5 or socks5h`,
      { file, field },
    );
  }
  try {
    decodeURIComponent(url.username);
    decodeURIComponent(url.password);
  } catch {
    throw new KubeConfigError('InvalidProxy', `${file}: ${field}: write % as %25 in the user or password`, {
      file,
      field,
    });
  }
  return value;
}

const known = (map: ReadonlyMap<string, unknown>): string =>
  map.size === 0 ? 'there is none' : `there are: ${[...map.keys()].slice(0, 20).join(', ')}`;
