/**
 * From settings to what a request carries: tokens and PEM texts read from their files, headers and TLS contexts made of
 * them. A file that did not change is not read again. Errors name the file or the field, never its content.
 */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createSecureContext, getCACertificates } from 'node:tls';
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
  /** Milliseconds since the epoch at which the client certificate expires; undefined without one. */
  readonly certificateExpiresAt?: number | undefined;
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

interface Loaded {
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
interface WatchedFile {
  readonly path: string;
  [cache]?: { readonly stamp: string; readonly text: string };
}

export function watchedFiles({ ca, user }: KubeSettings): WatchedFile[] {
  const paths = [ca?.file, user.certificate?.file, user.key?.file, user.tokenFile];
  return paths.filter((path) => path !== undefined).map((path) => ({ path }));
}

/** @param before what was loaded last, if anything was: a token file that was good does not give way to an inline token */
export function load(settings: KubeSettings, files: readonly WatchedFile[], before?: Loaded): Loaded {
  const { user, source } = settings;
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
  const ca = settings.insecureSkipTlsVerify ? undefined : text(settings.ca, /-----BEGIN CERTIFICATE-----/);
  const cert = text(user.certificate, /-----BEGIN CERTIFICATE-----/);
  const key = text(user.key, /-----BEGIN [A-Z ]*PRIVATE KEY-----/);
  return { token, fromFile, tls: `${ca ?? ''}\0${cert ?? ''}\0${key ?? ''}`, ca, cert, key };
}

/** Printable ASCII: what lies beyond it arrives differently at each server. */
export const isHeaderText = (text: string): boolean => /^[\x20-\x7e]*$/.test(text);

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
  if (token !== undefined && !isHeaderText(token)) {
    throw new KubeConfigError('InvalidToken', `${source}: the token holds characters that no header can carry`, {
      file: user.tokenFile,
      field: user.tokenFile === undefined ? 'token' : 'tokenFile',
    });
  }
  return { token, fromFile };
}

/** What TLS is spoken with, and until when the server may believe who we are. */
interface Trust {
  /** One for all connections: the CA is parsed once. */
  readonly secureContext: SecureContext;
  /** Milliseconds since the epoch at which the client certificate expires. */
  readonly certificateExpiresAt: number | undefined;
}

export function trust(settings: KubeSettings, { ca, cert, key }: Loaded): Trust {
  const options: SecureContextOptions = {
    // As Go: whatever certificate is named as a CA is believed, be it an intermediate or the server's own.
    allowPartialTrustChain: true,
  };
  const unusable = (words: string, cause?: unknown): KubeConfigError =>
    new KubeConfigError('InvalidCertificate', `${settings.source}: ${words}`, { cause });
  if (ca !== undefined) {
    options.ca = certificatesOf(ca);
    if (options.ca.length === 0) throw unusable(`${settings.ca?.field ?? 'the CA'}: its certificate cannot be read`);
  } else if (!settings.insecureSkipTlsVerify) options.ca = machineRoots(settings.rootFiles ?? []);
  let certificateExpiresAt: number | undefined;
  try {
    if (cert !== undefined && key !== undefined) {
      options.cert = cert;
      options.key = key;
      const own = new X509Certificate(cert);
      certificateExpiresAt = Date.parse(own.validTo);
      // OpenSSL takes a certificate and a key of different kinds, and sends neither.
      // Of one kind it sees to it itself, and most keys say their kind.
      const kind = /BEGIN (EC|RSA) PRIVATE KEY/.exec(key)?.[1]?.toLowerCase();
      const alike = kind === own.publicKey.asymmetricKeyType;
      if (!alike && !own.checkPrivateKey(createPrivateKey(key)))
        throw new Error('the key belongs to another certificate');
    }
    return { secureContext: createSecureContext(options), certificateExpiresAt };
  } catch (cause) {
    // OpenSSL's words ("bad base64 decode") name no content.
    throw unusable(`the client certificate or its key cannot be used: ${clean((cause as Error).message, 200)}`, cause);
  }
}

/** The certificates of a PEM text that can be read; what cannot is passed over, as Go does. */
function certificatesOf(text: string): string[] {
  const blocks = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return blocks.filter((block) => {
    try {
      new X509Certificate(block);
      return true;
    } catch {
      return false;
    }
  });
}

/** Whom the machine trusts: Node's own list, the system's, and what the environment names. */
function machineRoots(files: readonly string[]): string[] {
  const named = files.flatMap((path) => {
    try {
      const paths = statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
      return paths.flatMap((file) => certificatesOf(readFileSync(file, 'latin1')));
    } catch {
      return [];
    }
  });
  // The two lists have much in common.
  return [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...named])];
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
