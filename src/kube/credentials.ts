/**
 * What a request carries to prove who we are, always fresh: headers and the TLS context.
 *
 * Guarantees: in steady state `current` answers at once from memory (no file, no promise). Files that rotate (tokens,
 * client certificates, CAs) are looked at every 10 s at the most often, and at once after the server said 401. What
 * cannot be read then (a rotation half done) leaves what was good in force. An exec plugin runs once for all who wait,
 * again when its credential expires or was refused, never twice within 5 s, and no longer than 60 s. Errors name the
 * file, the field or the command, never its content.
 *
 * client-node's plugins do the talking: ExecAuth for `exec`, KubeConfig for `auth-provider` (oidc, gcp, azure). They are
 * imported only when the user has one.
 */
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { SecureContext, SecureContextOptions } from 'node:tls';
import { LeaseStoreError } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { KubeConfigError } from './config.ts';
import type { KubeSettings, PemSource, UserSettings } from './config.ts';
import { clean } from './errors.ts';

/** Milliseconds between two looks at a file. Kubelet writes a new token at 80 % of its life: minutes before the end. */
const CHECK_MS = 10_000;
/** Milliseconds until the next look after one that failed. */
const RECHECK_MS = 1_000;
/** Milliseconds between two runs of a plugin. */
const PLUGIN_GAP_MS = 5_000;
/** Milliseconds a plugin may take: somebody may have to touch a key. */
const PLUGIN_TIMEOUT_MS = 60_000;
/** Milliseconds an auth-provider's token is used before it is asked again; it renews by itself. */
const PROVIDER_TTL_MS = 30_000;

/** Immutable: another object means that something changed. */
export interface Credentials {
  /** name, value, name, value … */
  readonly headers: readonly string[];
  /** Undefined without TLS. */
  readonly secureContext: SecureContext | undefined;
}

export interface CredentialSource {
  /**
   * The credentials for a request now; a promise only when a plugin must be asked.
   * @throws LeaseStoreError `Credentials`
   */
  current(): Credentials | Promise<Credentials>;
  /** The server answered 401 to these. */
  rejected(credentials: Credentials): void;
  /** Ends a plugin that runs. */
  close(): void;
}

/**
 * Reads every file once.
 * @throws KubeConfigError when one cannot be read or used
 */
export function createCredentials(settings: KubeSettings, clock: Clock): CredentialSource {
  const { user } = settings;
  const files = watchedFiles(settings);
  let state = load(settings, files);
  let current: Credentials = { headers: headersOf(user, state.token), secureContext: secureContext(settings, state) };
  // By the wall clock, which takes a fraction of the time to ask (no system file is read); after a step back it is time, too.
  const wall = (): number => clock.wallMicros() / 1000;
  let lastCheck = wall();
  let nextCheck = lastCheck + CHECK_MS;

  const fileSource = (): Credentials => {
    if (files.length === 0) return current;
    const now = wall();
    if (now < nextCheck && now >= lastCheck) return current;
    lastCheck = now;
    nextCheck = now + CHECK_MS;
    try {
      const next = load(settings, files);
      if (next.token === state.token && next.tls === state.tls) return current;
      current = {
        headers: next.token === state.token ? current.headers : headersOf(user, next.token),
        secureContext: next.tls === state.tls ? current.secureContext : secureContext(settings, next),
      };
      state = next;
    } catch {
      nextCheck = now + RECHECK_MS;
    }
    return current;
  };
  const recheck = (credentials: Credentials): void => {
    if (credentials === current) nextCheck = 0;
  };
  // A token or password of the user's own wins over its plugins, as in client-go.
  if (state.token !== undefined || user.username !== undefined || (!user.exec && !user.authProvider)) {
    return { current: fileSource, rejected: recheck, close: () => undefined };
  }
  return pluginSource(settings, clock, fileSource);
}

interface Loaded {
  readonly token: string | undefined;
  /** The PEM texts, joined: equal when nothing changed. */
  readonly tls: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

const cache = Symbol('text');
interface WatchedFile {
  readonly path: string;
  [cache]?: { readonly stamp: string; readonly text: string };
}

function watchedFiles({ ca, user }: KubeSettings): WatchedFile[] {
  const paths = [ca?.file, user.certificate?.file, user.key?.file, user.tokenFile];
  return paths.filter((path) => path !== undefined).map((path) => ({ path }));
}

function load(settings: KubeSettings, files: readonly WatchedFile[]): Loaded {
  const { user, server, source } = settings;
  const read = (path: string, field: string): string => {
    const file = files.find((f) => f.path === path) ?? { path };
    try {
      const { mtimeMs, ctimeMs, ino, size } = statSync(path);
      const stamp = `${mtimeMs} ${ctimeMs} ${ino} ${size}`;
      if (file[cache]?.stamp !== stamp) file[cache] = { stamp, text: readFileSync(path, 'utf8') };
      return file[cache].text;
    } catch (cause) {
      const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
      throw new KubeConfigError('FileUnreadable', `${source}: ${field}: cannot read ${path} (${code})`, {
        file: path,
        field,
        cause,
      });
    }
  };
  const text = (pem: PemSource | undefined, kind: RegExp): string | undefined => {
    if (!pem) return undefined;
    const value = pem.data ?? read(pem.file ?? '', pem.field);
    if (!kind.test(value)) {
      const where = pem.file ?? pem.field;
      throw new KubeConfigError(
        'InvalidCertificate',
        `${source}: ${pem.field}: ${where} holds no PEM block of that kind`,
        {
          file: pem.file,
          field: pem.field,
        },
      );
    }
    return value;
  };
  const token = loadToken(user, read, source);
  if (!server.startsWith('https:')) return { token, tls: '', ca: undefined, cert: undefined, key: undefined };
  const ca = settings.insecureSkipTlsVerify ? undefined : text(settings.ca, /-----BEGIN (TRUSTED )?CERTIFICATE-----/);
  const cert = text(user.certificate, /-----BEGIN CERTIFICATE-----/);
  const key = text(user.key, /-----BEGIN [A-Z ]*PRIVATE KEY-----/);
  if ((cert === undefined) !== (key === undefined)) {
    const field = cert === undefined ? 'client-certificate' : 'client-key';
    throw new KubeConfigError('InvalidCertificate', `${source}: ${field} is missing: certificate and key go together`, {
      field,
    });
  }
  return { token, tls: `${ca ?? ''}\0${cert ?? ''}\0${key ?? ''}`, ca, cert, key };
}

function loadToken(
  user: UserSettings,
  read: (path: string, field: string) => string,
  source: string,
): string | undefined {
  let token = user.token;
  if (user.tokenFile !== undefined) {
    try {
      const fromFile = read(user.tokenFile, 'tokenFile').trim();
      if (fromFile === '') {
        throw new KubeConfigError('InvalidToken', `${source}: tokenFile: ${user.tokenFile} is empty`, {
          file: user.tokenFile,
          field: 'tokenFile',
        });
      }
      token = fromFile;
    } catch (error) {
      if (token === undefined) throw error;
    }
  }
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new KubeConfigError('InvalidToken', `${source}: the token holds characters that no header can carry`, {
      file: user.tokenFile,
      field: user.tokenFile === undefined ? 'token' : 'tokenFile',
    });
  }
  return token;
}

/** One context for all connections: the CA is parsed once. */
function secureContext(settings: KubeSettings, loaded: Loaded): SecureContext | undefined {
  if (!settings.server.startsWith('https:')) return undefined;
  const options: SecureContextOptions = {};
  if (loaded.ca !== undefined) options.ca = loaded.ca;
  if (loaded.cert !== undefined) options.cert = loaded.cert;
  if (loaded.key !== undefined) options.key = loaded.key;
  try {
    // createSecureContext passes over a CA that it cannot read.
    if (loaded.ca !== undefined) new X509Certificate(loaded.ca);
    return createSecureContext(options);
  } catch (cause) {
    // OpenSSL's words ("key values mismatch", "bad base64 decode") name no content.
    throw new KubeConfigError(
      'InvalidCertificate',
      `${settings.source}: certificate, key or CA cannot be used: ${clean((cause as Error).message, 200)}`,
      { cause },
    );
  }
}

function headersOf(user: UserSettings, token: string | undefined): string[] {
  const headers: string[] = [];
  if (token !== undefined) headers.push('authorization', `Bearer ${token}`);
  else if (user.username !== undefined) {
    const pair = Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64');
    headers.push('authorization', `Basic ${pair}`);
  }
  if (user.impersonate) {
    const { user: name, groups, uid, extra } = user.impersonate;
    headers.push('impersonate-user', name);
    if (uid !== undefined) headers.push('impersonate-uid', uid);
    for (const group of groups) headers.push('impersonate-group', group);
    for (const [key, values] of Object.entries(extra)) {
      for (const value of values) headers.push(`impersonate-extra-${encodeURIComponent(key)}`, value);
    }
  }
  return headers;
}

interface PluginAnswer {
  readonly token: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Wall clock, milliseconds since the epoch. */
  readonly expiresAt: number;
}

function pluginSource(settings: KubeSettings, clock: Clock, files: () => Credentials): CredentialSource {
  const { user } = settings;
  let stop = new AbortController();
  const ask = user.exec ? () => askExec(user.exec ?? {}, settings, stop.signal) : () => askProvider(settings, clock);
  let answer: { readonly credentials: Credentials; readonly base: Credentials; readonly expiresAt: number } | undefined;
  let failure: LeaseStoreError | undefined;
  let running: Promise<Credentials> | undefined;
  let lastRun = Number.NEGATIVE_INFINITY;
  let refused = false;

  const run = async (base: Credentials): Promise<Credentials> => {
    lastRun = clock.monotonic();
    stop = new AbortController();
    const cancel = clock.schedule(PLUGIN_TIMEOUT_MS, () => stop.abort());
    try {
      const got = await ask();
      refused = false;
      failure = undefined;
      const loaded = got.cert === undefined ? undefined : { ...load(settings, []), cert: got.cert, key: got.key };
      const credentials: Credentials = {
        headers: got.token === undefined ? base.headers : headersOf(user, got.token),
        secureContext: loaded ? secureContext(settings, loaded) : base.secureContext,
      };
      answer = { credentials, base, expiresAt: got.expiresAt };
      return credentials;
    } catch (cause) {
      failure = new LeaseStoreError('Credentials', {
        message: cause instanceof Error ? cause.message : 'the credential plugin failed',
      });
      throw failure;
    } finally {
      cancel();
      running = undefined;
    }
  };
  return {
    current() {
      const base = files();
      const valid = answer && answer.base === base && clock.wallMicros() / 1000 < answer.expiresAt;
      if (answer && valid && !refused) return answer.credentials;
      if (running) return running;
      if (clock.monotonic() - lastRun < PLUGIN_GAP_MS) {
        if (answer && valid) return answer.credentials;
        if (failure) throw failure;
      }
      running = run(base);
      return running;
    },
    rejected(credentials) {
      if (credentials === answer?.credentials) refused = true;
    },
    close: () => stop.abort(),
  };
}

async function askExec(
  exec: Readonly<Record<string, unknown>>,
  settings: KubeSettings,
  signal: AbortSignal,
): Promise<PluginAnswer> {
  const { ExecAuth } = await import('@kubernetes/client-node/dist/exec_auth.js');
  const command = String(exec['command']);
  // A new one each time: its own cache ends by the clock alone, not by a 401.
  const plugin = new ExecAuth() as unknown as {
    execFn: unknown;
    getCredential(user: object): Promise<{ status?: Record<string, unknown> } | null>;
  };
  plugin.execFn = (file: string, args: string[] | undefined, options: object) =>
    spawn(file, args ?? [], {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
      killSignal: 'SIGKILL',
      signal,
    });
  const info = {
    apiVersion: exec['apiVersion'] ?? 'client.authentication.k8s.io/v1',
    kind: 'ExecCredential',
    spec: { interactive: false, ...(exec['provideClusterInfo'] === true ? { cluster: clusterInfo(settings) } : {}) },
  };
  const env = Array.isArray(exec['env']) ? (exec['env'] as unknown[]) : [];
  const user = {
    name: 'user',
    exec: { ...exec, env: [...env, { name: 'KUBERNETES_EXEC_INFO', value: JSON.stringify(info) }] },
  };
  let status: Record<string, unknown> | undefined;
  try {
    status = (await plugin.getCredential(user))?.status;
  } catch (error) {
    // Its own error as the cause could carry the credential into a log.
    // eslint-disable-next-line preserve-caught-error
    throw new Error(`exec plugin ${command}: ${pluginWords(error)}`);
  }
  const text = (key: string): string | undefined =>
    typeof status?.[key] === 'string' && status[key] !== '' ? status[key] : undefined;
  const token = text('token');
  if (token === undefined && text('clientCertificateData') === undefined) {
    throw new Error(`exec plugin ${command}: its answer has neither status.token nor status.clientCertificateData`);
  }
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new Error(`exec plugin ${command}: its token holds characters that no header can carry`);
  }
  const expiry = Date.parse(text('expirationTimestamp') ?? '');
  return {
    token,
    cert: text('clientCertificateData'),
    key: text('clientKeyData'),
    expiresAt: Number.isNaN(expiry) ? Number.POSITIVE_INFINITY : expiry,
  };
}

const clusterInfo = (s: KubeSettings): object => ({
  server: s.server,
  'insecure-skip-tls-verify': s.insecureSkipTlsVerify,
  ...(s.tlsServerName === undefined ? {} : { 'tls-server-name': s.tlsServerName }),
  ...(s.ca?.data === undefined ? {} : { 'certificate-authority-data': Buffer.from(s.ca.data).toString('base64') }),
});

/** What a plugin wrote to stderr, without anything that may be a token; its stdout, which holds one, never. */
function pluginWords(error: unknown): string {
  if (error instanceof SyntaxError) return 'its answer is no JSON';
  if (!(error instanceof Error)) return 'failed';
  if (error.name === 'AbortError') return 'it took longer than a minute, or was ended with the program';
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'there is no such command';
  const words = clean(error.message, 300).replace(/[\w\-+/=.]{32,}/g, '[…]');
  return words === '' ? 'it failed without a word' : words;
}

async function askProvider(settings: KubeSettings, clock: Clock): Promise<PluginAnswer> {
  const { KubeConfig } = await import('@kubernetes/client-node/dist/config.js');
  const config = new KubeConfig();
  config.loadFromClusterAndUser(
    { name: 'cluster', server: 'https://localhost', skipTLSVerify: false },
    { name: 'user', authProvider: settings.user.authProvider },
  );
  const options: { headers?: Record<string, unknown> } = {};
  const name = String(settings.user.authProvider?.['name']);
  try {
    await config.applyToHTTPSOptions(options as Parameters<typeof config.applyToHTTPSOptions>[0]);
  } catch (error) {
    // Its own error as the cause could carry the credential into a log.
    // eslint-disable-next-line preserve-caught-error
    throw new Error(`auth-provider ${name}: ${pluginWords(error)}`);
  }
  const value = options.headers?.['Authorization'];
  if (typeof value !== 'string' || !value.startsWith('Bearer ')) {
    throw new Error(`auth-provider ${name}: it is not known, or has no token and cannot make one`);
  }
  return {
    token: value.slice('Bearer '.length),
    cert: undefined,
    key: undefined,
    expiresAt: clock.wallMicros() / 1000 + PROVIDER_TTL_MS,
  };
}
