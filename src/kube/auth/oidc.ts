/**
 * The `auth-provider: oidc` of kubeconfigs: the id-token, and a new one by the refresh token when it has expired.
 *
 * Guarantees: tokens go to the issuer and its token endpoint, over TLS alone. New tokens are kept in memory and written
 * back to the kubeconfig, as kubectl does, since a refresh token may be good for one use only; tokens that another program
 * wrote there meanwhile are taken. Errors quote no token.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { withTimeout } from '../../runtime/clock.ts';
import type { Clock } from '../../runtime/clock.ts';
import { clean } from '../wire/foreign-text.ts';
import { createConnector } from '../wire/connector.ts';
import { Exchange } from '../wire/exchange.ts';
import type { WholeAnswer } from '../wire/exchange.ts';
import { nodeClient } from '../wire/node-client.ts';
import type { PluginAnswer } from './material.ts';
import { loadYaml, readYaml } from './read-yaml.ts';
import type { OidcSettings } from './settings.ts';

/** Milliseconds for each of the two requests. */
const TIMEOUT_MS = 10_000;
/** Milliseconds before its end at which an id-token is no longer used; client-go's. */
const MARGIN_MS = 10_000;
const ANSWER_BYTES = 1024 * 1024;

interface Tokens {
  readonly idToken?: string | undefined;
  readonly refreshToken?: string | undefined;
}

export function oidcProvider(oidc: OidcSettings, clock: Clock): (signal: AbortSignal) => Promise<PluginAnswer> {
  let tokens: Tokens = oidc;
  /** As the kubeconfig had them when it was last looked at. */
  let written: Tokens = oidc;
  const usable = (): PluginAnswer | undefined => {
    const { idToken } = tokens;
    if (idToken === undefined) return undefined;
    const expiresAt = expiryOf(idToken) - MARGIN_MS;
    return clock.wallMicros() / 1000 < expiresAt
      ? { token: idToken, cert: undefined, key: undefined, expiresAt }
      : undefined;
  };
  return async (signal) => {
    const before = usable();
    if (before) return before;
    const now = await storedTokens(oidc);
    if (now && (now.idToken !== written.idToken || now.refreshToken !== written.refreshToken)) tokens = written = now;
    const stored = usable();
    if (stored) return stored;
    const { refreshToken } = tokens;
    if (refreshToken === undefined) {
      throw failed('the id-token has expired and there is no refresh-token: sign in again, or use an exec plugin');
    }
    const send = sender(oidc, clock, signal);
    tokens = await refresh(oidc, refreshToken, send);
    if (await store(oidc, refreshToken, tokens)) written = tokens;
    const fresh = usable();
    if (!fresh) throw failed('the new id-token has expired already: is the clock of this machine right?');
    return fresh;
  };
}

const failed = (words: string): Error => new Error(`auth-provider oidc: ${words}`);

/** Milliseconds since the epoch. */
function expiryOf(idToken: string): number {
  try {
    const payload = JSON.parse(Buffer.from(idToken.split('.')[1] ?? '', 'base64url').toString()) as { exp?: unknown };
    if (typeof payload.exp === 'number') return payload.exp * 1000;
  } catch {
    // Said below.
  }
  throw failed('the id-token is no JSON Web Token with an expiry');
}

type Send = (url: string, form?: string, authorization?: string) => Promise<WholeAnswer>;

function sender(oidc: OidcSettings, clock: Clock, signal: AbortSignal): Send {
  const ca = oidc.ca?.data ?? (oidc.ca?.file === undefined ? undefined : readFileSync(oidc.ca.file, 'utf8'));
  return async (text, form, authorization) => {
    const url = URL.parse(text);
    if (url?.protocol !== 'https:') throw failed(`"${clean(text, 200)}" is no https URL: tokens go over TLS alone`);
    const proxy = oidc.proxyFor(url);
    const connector = createConnector({
      server: url,
      secureContext: createSecureContext(ca === undefined ? {} : { ca }),
      insecureSkipTlsVerify: false,
      proxy: proxy === undefined ? undefined : new URL(proxy),
      connectTimeoutMs: TIMEOUT_MS,
      clock,
    });
    const client = nodeClient({
      origin: url.origin,
      open: (callback) => connector.open(callback),
      onConnect: () => undefined,
    });
    const headers = ['accept', 'application/json'];
    if (form !== undefined) headers.push('content-type', 'application/x-www-form-urlencoded');
    if (authorization !== undefined) headers.push('authorization', authorization);
    const method = form === undefined ? 'GET' : 'POST';
    const request = { path: url.pathname + url.search, method, headers, body: form ?? null } as const;
    const ask = (limit: AbortSignal): Promise<WholeAnswer> =>
      new Promise((done, reject) => {
        const exchange = new Exchange(ANSWER_BYTES, { done, failed: reject });
        limit.addEventListener('abort', () => {
          exchange.giveUp();
          reject(limit.reason as Error);
        });
        client.dispatch(request, exchange);
      });
    try {
      return await withTimeout(clock, TIMEOUT_MS, signal, ask);
    } catch (error) {
      throw failed(`${url.origin}: ${clean((error as Error).message, 300)}`);
    } finally {
      await client.destroy();
    }
  };
}

async function refresh(oidc: OidcSettings, refreshToken: string, send: Send): Promise<Tokens> {
  const discovered = await send(`${oidc.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`);
  const { token_endpoint: endpoint } = readJson(discovered.body);
  if (discovered.status !== 200 || typeof endpoint !== 'string') {
    throw failed(`${oidc.issuer}: its discovery answers ${discovered.status} and names no token_endpoint`);
  }
  const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken });
  const id = encodeURIComponent(oidc.clientId);
  const pair = Buffer.from(`${id}:${encodeURIComponent(oidc.clientSecret ?? '')}`).toString('base64');
  let answer = await send(endpoint, form.toString(), `Basic ${pair}`);
  if (answer.status < 200 || answer.status > 299) {
    // Some providers take the client's id and secret in the body alone.
    form.set('client_id', oidc.clientId);
    if (oidc.clientSecret !== undefined) form.set('client_secret', oidc.clientSecret);
    answer = await send(endpoint, form.toString());
  }
  const json = readJson(answer.body);
  if (answer.status < 200 || answer.status > 299) {
    const words = typeof json['error'] === 'string' && /^[a-z_]{1,40}$/.test(json['error']) ? ` ${json['error']}` : '';
    throw failed(`the provider refuses the refresh-token (${answer.status}${words}): sign in again`);
  }
  if (typeof json['id_token'] !== 'string') {
    throw failed('the provider answers with no id_token: sign in with the scope openid, or use an exec plugin');
  }
  const next = json['refresh_token'];
  return { idToken: json['id_token'], refreshToken: typeof next === 'string' && next !== '' ? next : refreshToken };
}

function readJson(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

interface StoredUser {
  readonly name?: unknown;
  readonly user?: { readonly 'auth-provider'?: { readonly config?: Readonly<Record<string, unknown>> } };
}

/** The tokens that stand in the kubeconfig now. */
async function storedTokens({ stored }: OidcSettings): Promise<Tokens | undefined> {
  if (!stored) return undefined;
  try {
    const root = (await readYaml(readFileSync(stored.file, 'utf8'))) as { users?: readonly StoredUser[] };
    const config = root.users?.find(({ name }) => name === stored.user)?.user?.['auth-provider']?.config;
    const token = (key: string): string | undefined => {
      const value = config?.[key];
      return typeof value === 'string' && value !== '' ? value : undefined;
    };
    return config && { idToken: token('id-token'), refreshToken: token('refresh-token') };
  } catch {
    return undefined;
  }
}

/**
 * Writes new tokens where the old refresh token stands; where that cannot be, or another program writes there at this moment,
 * they are kept in memory alone.
 */
async function store(oidc: OidcSettings, old: string, { idToken, refreshToken }: Tokens): Promise<boolean> {
  if (!oidc.stored || (await storedTokens(oidc))?.refreshToken !== old) return false;
  const { parseDocument, isSeq, isMap } = await loadYaml();
  let lock: string | undefined;
  try {
    const { file } = oidc.stored;
    // kubectl's own lock.
    writeFileSync(`${file}.lock`, '', { flag: 'wx' });
    lock = `${file}.lock`;
    const document = parseDocument(readFileSync(file, 'utf8'), { logLevel: 'silent' });
    const users = document.get('users');
    if (!isSeq(users)) return false;
    const at = users.items.findIndex((item) => isMap(item) && item.get('name') === oidc.stored?.user);
    const config = ['users', at, 'user', 'auth-provider', 'config'];
    document.setIn([...config, 'id-token'], idToken);
    document.setIn([...config, 'refresh-token'], refreshToken);
    // In place, so that owner, mode and links stay.
    writeFileSync(file, document.toString({ lineWidth: 0 }));
    return true;
  } catch {
    return false;
  } finally {
    if (lock !== undefined) rmSync(lock, { force: true });
  }
}
