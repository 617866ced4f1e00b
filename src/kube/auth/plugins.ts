/**
 * Credentials from plugins: `exec` commands and `auth-provider`s (oidc, gcp, azure), by client-node's own code for them,
 * which is imported only when the user has one.
 *
 * Guarantees: a plugin runs once for all who wait, again when its credential expires or was refused, never twice within
 * 5 s, and no longer than 60 s. Errors name the command, never what it printed on stdout.
 */
import { spawn } from 'node:child_process';
import { LeaseStoreError } from '../../lease/store.ts';
import type { Clock } from '../../runtime/clock.ts';
import { clean } from '../wire/api-errors.ts';
import { headersOf, load, secureContext } from './material.ts';
import type { CredentialSource, Credentials } from './material.ts';

import type { KubeSettings } from './settings.ts';

/** Milliseconds from the end of a run of a plugin to the next. */
const PLUGIN_GAP_MS = 5_000;
/** Milliseconds a plugin may take: somebody may have to touch a key. */
const PLUGIN_TIMEOUT_MS = 60_000;
/** Milliseconds an auth-provider's token is used before it is asked again; it renews by itself. */
const PROVIDER_TTL_MS = 30_000;

interface PluginAnswer {
  readonly token: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Wall clock, milliseconds since the epoch. */
  readonly expiresAt: number;
}

export function pluginSource(settings: KubeSettings, clock: Clock, files: () => Credentials): CredentialSource {
  const { user } = settings;
  let stop = new AbortController();
  const ask = user.exec ? () => askExec(user.exec ?? {}, settings, stop.signal) : () => askProvider(settings, clock);
  let answer: { readonly credentials: Credentials; readonly base: Credentials; readonly expiresAt: number } | undefined;
  let failure: LeaseStoreError | undefined;
  let running: Promise<Credentials> | undefined;
  let lastRun = Number.NEGATIVE_INFINITY;
  let refused = false;

  const run = async (base: Credentials): Promise<Credentials> => {
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
      lastRun = clock.monotonic();
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
        if (failure && !valid) throw failure;
        // Expired or refused already, perhaps by a clock that is wrong: the server decides.
        if (answer) return answer.credentials;
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
