/**
 * From settings to what a request carries: tokens and PEM texts read from their files, headers and TLS contexts made of
 * them. A file that did not change is not read again. Errors name the file or the field, never its content.
 */
import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { SecureContext, SecureContextOptions } from 'node:tls';
import { clean } from '../wire/foreign-text.ts';
import { KubeConfigError } from './settings.ts';
import type { KubeSettings, PemSource, UserSettings } from './settings.ts';

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

/** What a plugin made. */
export interface PluginAnswer {
  readonly token: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  /** Wall clock, milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface Loaded {
  readonly token: string | undefined;
  /** The token was read from its file. */
  readonly fromFile: boolean;
  /** The PEM texts, joined: equal when nothing changed. */
  readonly tls: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

const cache = Symbol('text');
export interface WatchedFile {
  readonly path: string;
  [cache]?: { readonly stamp: string; readonly text: string };
}

export function watchedFiles({ ca, user }: KubeSettings): WatchedFile[] {
  const paths = [ca?.file, user.certificate?.file, user.key?.file, user.tokenFile];
  return paths.filter((path) => path !== undefined).map((path) => ({ path }));
}

/** @param before what was loaded last, if anything was: a token file that was good does not give way to an inline token */
export function load(settings: KubeSettings, files: readonly WatchedFile[], before?: Loaded): Loaded {
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
  const { token, fromFile } = loadToken(user, read, source, before?.fromFile !== true);
  if (!server.startsWith('https:')) return { token, fromFile, tls: '', ca: undefined, cert: undefined, key: undefined };
  const ca = settings.insecureSkipTlsVerify ? undefined : text(settings.ca, /-----BEGIN (TRUSTED )?CERTIFICATE-----/);
  const cert = text(user.certificate, /-----BEGIN CERTIFICATE-----/);
  const key = text(user.key, /-----BEGIN [A-Z ]*PRIVATE KEY-----/);
  if ((cert === undefined) !== (key === undefined)) {
    const field = cert === undefined ? 'client-certificate' : 'client-key';
    throw new KubeConfigError('InvalidCertificate', `${source}: ${field} is missing: certificate and key go together`, {
      field,
    });
  }
  return { token, fromFile, tls: `${ca ?? ''}\0${cert ?? ''}\0${key ?? ''}`, ca, cert, key };
}

function loadToken(
  user: UserSettings,
  read: (path: string, field: string) => string,
  source: string,
  mayBeInline: boolean,
): Pick<Loaded, 'token' | 'fromFile'> {
  let token = user.token;
  let fromFile = false;
  if (user.tokenFile !== undefined) {
    try {
      const text = read(user.tokenFile, 'tokenFile').trim();
      if (text === '') {
        throw new KubeConfigError('InvalidToken', `${source}: tokenFile: ${user.tokenFile} is empty`, {
          file: user.tokenFile,
          field: 'tokenFile',
        });
      }
      token = text;
      fromFile = true;
    } catch (error) {
      if (token === undefined || !mayBeInline) throw error;
    }
  }
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token)) {
    throw new KubeConfigError('InvalidToken', `${source}: the token holds characters that no header can carry`, {
      file: user.tokenFile,
      field: user.tokenFile === undefined ? 'token' : 'tokenFile',
    });
  }
  return { token, fromFile };
}

/** One context for all connections: the CA is parsed once. */
export function secureContext(settings: KubeSettings, loaded: Loaded): SecureContext | undefined {
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

export function headersOf(user: UserSettings, token: string | undefined): string[] {
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
      for (const value of values) headers.push(`impersonate-extra-${headerName(key)}`, value);
    }
  }
  return headers;
}

/** What of a key no header's name may hold, percent-encoded: the API server decodes it. */
const headerName = (key: string): string =>
  encodeURIComponent(key).replace(/[()]/g, (c) => `%${c.charCodeAt(0).toString(16)}`);
