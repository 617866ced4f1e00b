/**
 * The fields of a kubeconfig's entries, read from untrusted YAML. Every fault is a KubeConfigError `InvalidField` that
 * names file, field and rule, and never a value.
 */
import { dirname, isAbsolute, join } from 'node:path';
import { isHeaderText } from './material.ts';
import { KubeConfigError } from './settings.ts';
import type { ExecSettings, OidcSettings, PemSource, UserSettings } from './settings.ts';

export type Json = Record<string, unknown>;
/** A cluster, a user or a context, and the file that it is in. */
export interface Entry {
  readonly value: Json;
  readonly file: string;
}
/** What a user's fields may be read with. */
interface UserContext {
  readonly name: string;
  /** For a plugin that is to know it. */
  readonly cluster: Json;
  /** Without TLS nothing that proves who we are is read, but what contradicts itself is refused all the same. */
  readonly secure: boolean;
  /** The proxy for a URL. */
  readonly proxyFor: (url: URL) => string | undefined;
}

export function userSettings(entry: Entry, { name, cluster, secure, proxyFor }: UserContext): UserSettings {
  const { file } = entry;
  const at = `users[${name}].user`;
  const text = (key: string): string | undefined => string(entry, at, key);
  const [token, tokenFile, username, password] = ['token', 'tokenFile', 'username', 'password'].map(text);
  const exec = mapping(entry, at, 'exec');
  const provider = mapping(entry, at, 'auth-provider');
  const basic = username ?? password;
  if ((token ?? (secure ? tokenFile : undefined)) !== undefined && basic !== undefined) {
    throw wrong(file, at, 'must have either a token or a username and password, not both');
  }
  if (exec && provider) throw wrong(file, `${at}.auth-provider`, 'must not stand beside exec');
  const certificate = pem(entry, at, 'client-certificate');
  const key = pem(entry, at, 'client-key');
  if (certificate && !key) throw wrong(file, `${at}.client-key`, 'is missing: certificate and key go together');
  const impersonate = impersonation(entry, at);
  const plugin = exec && execSettings({ value: exec, file }, `${at}.exec`, cluster, secure);
  if (!secure) {
    // Without it we would act as somebody whom the API server asks for nothing: with more rights, perhaps.
    if (impersonate) throw wrong(file, `${at}.as`, 'needs a server with https: nobody is believed without TLS');
    return {};
  }
  if (key && !certificate) throw wrong(file, `${at}.client-certificate`, 'is missing: certificate and key go together');
  if (username === undefined && password !== undefined) throw wrong(file, `${at}.username`, 'is missing');
  return {
    certificate,
    key,
    token,
    tokenFile: tokenFile === undefined ? undefined : beside(file, tokenFile),
    username,
    password,
    impersonate,
    exec: plugin,
    oidc: provider && oidcSettings({ value: provider, file }, `${at}.auth-provider`, name, proxyFor),
  };
}

const EXEC_VERSION = 'client.authentication.k8s.io/';
const MODES = ['Never', 'IfAvailable', 'Always'] as const;

function execSettings(entry: Entry, at: string, cluster: Json, secure: boolean): ExecSettings {
  const command = string(entry, at, 'command');
  if (command === undefined) throw wrong(entry.file, `${at}.command`, 'must name a command');
  const apiVersion = string(entry, at, 'apiVersion');
  const known = apiVersion === `${EXEC_VERSION}v1` || apiVersion === `${EXEC_VERSION}v1beta1`;
  if (apiVersion === undefined || (!known && secure)) {
    throw wrong(entry.file, `${at}.apiVersion`, `must be ${EXEC_VERSION}v1 or ${EXEC_VERSION}v1beta1`);
  }
  const mode =
    string(entry, at, 'interactiveMode') ?? (/v1(alpha|beta)1$/.test(apiVersion) ? 'IfAvailable' : undefined);
  const interactiveMode = MODES.find((known) => known === mode);
  if (interactiveMode === undefined) {
    throw wrong(entry.file, `${at}.interactiveMode`, `must be ${MODES.slice(0, -1).join(', ')} or ${MODES.at(-1)}`);
  }
  const args = strings(entry, at, 'args');
  const env = list(entry, at, 'env').map((item): [string, string] => {
    const { name, value } = isObject(item) ? item : {};
    if (typeof name !== 'string' || name === '' || typeof (value ?? '') !== 'string') {
      throw wrong(entry.file, `${at}.env`, 'must be a list of name and value, both strings');
    }
    return [name, (value ?? '') as string];
  });
  return {
    // As kubectl: a command with a slash in it is relative to its file, one without is looked up in PATH.
    command: /[/\\]/.test(command) ? beside(entry.file, command) : command,
    args,
    env: Object.fromEntries(env),
    apiVersion,
    interactiveMode,
    installHint: string(entry, at, 'installHint'),
    cluster: boolean(entry, at, 'provideClusterInfo') ? clusterInfo(cluster) : undefined,
  };
}

/** As client-go gives it; the CA is added when the plugin runs. */
function clusterInfo(cluster: Json): Json {
  const info: Json = { server: cluster['server'] };
  for (const key of ['tls-server-name', 'insecure-skip-tls-verify', 'proxy-url', 'disable-compression']) {
    if (cluster[key]) info[key] = cluster[key];
  }
  const extensions = Array.isArray(cluster['extensions']) ? (cluster['extensions'] as unknown[]) : [];
  const config = extensions.find((e) => isObject(e) && e['name'] === 'client.authentication.k8s.io/exec');
  if (isObject(config)) info['config'] = config['extension'];
  return info;
}

/** What kubectl itself names in place of what it no longer has. */
const EXEC_INSTEAD: Readonly<Record<string, string>> = {
  gcp: 'use the exec plugin gke-gcloud-auth-plugin (gcloud container clusters get-credentials writes it)',
  azure: 'use the exec plugin kubelogin (kubelogin convert-kubeconfig writes it)',
};

function oidcSettings(
  entry: Entry,
  at: string,
  user: string,
  proxyFor: (url: URL) => string | undefined,
): OidcSettings {
  const { file } = entry;
  const name = string(entry, at, 'name') ?? '';
  if (name !== 'oidc') {
    const instead = Object.hasOwn(EXEC_INSTEAD, name) ? EXEC_INSTEAD[name] : 'oidc is the only one; use an exec plugin';
    throw wrong(file, at, `"${name.slice(0, 100)}" is not known to Kubernetes clients any more: ${instead}`);
  }
  const config: Entry = { value: mapping(entry, at, 'config') ?? {}, file };
  const text = (key: string): string | undefined => string(config, `${at}.config`, key);
  const needed = (key: string): string => {
    const value = text(key);
    if (value === undefined) throw wrong(file, `${at}.config.${key}`, 'is missing');
    return value;
  };
  return {
    issuer: needed('idp-issuer-url'),
    clientId: needed('client-id'),
    clientSecret: text('client-secret'),
    idToken: text('id-token'),
    refreshToken: text('refresh-token'),
    ca: pem(config, `${at}.config`, 'idp-certificate-authority'),
    // An object made in code lies in no file.
    stored: isAbsolute(file) ? { file, user } : undefined,
    proxyFor,
  };
}

function impersonation(entry: Entry, at: string): UserSettings['impersonate'] {
  const { file } = entry;
  const user = string(entry, at, 'as');
  const uid = string(entry, at, 'as-uid');
  const groups = strings(entry, at, 'as-groups');
  const more: Entry = { value: mapping(entry, at, 'as-user-extra') ?? {}, file };
  const extra = Object.keys(more.value).map((key) => [key, strings(more, `${at}.as-user-extra`, key)] as const);
  if (user === undefined) {
    const alone = uid !== undefined ? 'as-uid' : groups.length > 0 ? 'as-groups' : 'as-user-extra';
    // Left out, it would leave us with all our own rights.
    if (alone !== 'as-user-extra' || extra.length > 0)
      throw wrong(file, `${at}.${alone}`, 'needs a user to act as: as');
    return undefined;
  }
  const check = (key: string, good: boolean): void => {
    if (!good) throw wrong(file, `${at}.${key}`, 'holds characters that no header can carry');
  };
  check('as', isHeaderText(user));
  check('as-uid', uid === undefined || isHeaderText(uid));
  check('as-groups', groups.every(isHeaderText));
  check(
    'as-user-extra',
    extra.every(([key, values]) => key.isWellFormed() && values.every(isHeaderText)),
  );
  return { user, uid, groups, extra: Object.fromEntries(extra) };
}

export function pem(entry: Entry, at: string, key: string): PemSource | undefined {
  const data = string(entry, at, `${key}-data`);
  const path = string(entry, at, key);
  const field = `${at}.${key}`;
  if (data === undefined) return path === undefined ? undefined : { file: beside(entry.file, path), field };
  if (path !== undefined) throw wrong(entry.file, `${field}-data`, `must not stand beside ${key}`);
  if (!/^[A-Za-z0-9+/\r\n]*={0,2}[\r\n]*$/.test(data)) throw wrong(entry.file, `${field}-data`, 'is no base64');
  return { data: Buffer.from(data, 'base64').toString('latin1'), field: `${field}-data` };
}

/** A string that is not empty; absent and null are undefined. */
export function string(entry: Entry, at: string, key: string): string | undefined {
  const value = entry.value[key];
  if (value === undefined || value === null || value === '') return undefined;
  // YAML reads an unquoted 12345 as a number: a password or a token made of digits is meant.
  if (typeof value === 'number') throw wrong(entry.file, `${at}.${key}`, 'must be a string; put it in quotes');
  if (typeof value !== 'string') throw wrong(entry.file, `${at}.${key}`, 'must be a string');
  return value;
}

function mapping(entry: Entry, at: string, key: string): Json | undefined {
  const value = entry.value[key];
  if (value === undefined || value === null) return undefined;
  if (!isObject(value)) throw wrong(entry.file, `${at}.${key}`, 'must be a mapping');
  return value;
}

function list(entry: Entry, at: string, key: string): unknown[] {
  const value = entry.value[key] ?? [];
  if (!Array.isArray(value)) throw wrong(entry.file, `${at}.${key}`, 'must be a list');
  return value;
}

/** Absent and null are false. */
export function boolean(entry: Entry, at: string, key: string): boolean {
  const value = entry.value[key] ?? false;
  if (typeof value !== 'boolean') throw wrong(entry.file, `${at}.${key}`, 'must be true or false');
  return value;
}

function strings(entry: Entry, at: string, key: string): string[] {
  return list(entry, at, key).map((item) => {
    if (typeof item !== 'string') throw wrong(entry.file, `${at}.${key}`, 'must be a list of strings');
    return item;
  });
}

const beside = (file: string, path: string): string => (isAbsolute(path) ? path : join(dirname(file), path));
export const wrong = (file: string, field: string, rule: string): KubeConfigError =>
  new KubeConfigError('InvalidField', `${file}: ${field} ${rule}`, { file, field });
export const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);
