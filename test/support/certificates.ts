/**
 * X.509 certificates made in the test: authorities, servers and clients of chosen names, keys and times.
 *
 * Guarantees: what Go, OpenSSL and Node take for a certificate of its kind; nothing is written to disk.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

export interface Identity {
  /** PEM. */
  readonly cert: string;
  /** PEM, PKCS 8. */
  readonly key: string;
}

export interface CertificateOptions {
  readonly subject: string;
  /** Of the subject: the group that a Kubernetes API reads of it. */
  readonly organization?: string;
  /** DNS names and IP addresses. */
  readonly names?: readonly string[];
  readonly authority?: boolean;
  /** Default: itself. */
  readonly issuer?: Identity & { readonly subject: string };
  readonly keyType?: 'ec' | 'rsa';
  /** Milliseconds since the epoch; default an hour ago and a day ahead. */
  readonly from?: number;
  readonly until?: number;
}

type Made = Identity & { readonly subject: string };

export function makeCertificate(options: CertificateOptions): Made {
  const { subject, issuer, names = [], authority = false, keyType = 'ec' } = options;
  const { publicKey, privateKey } =
    keyType === 'ec'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const signer: KeyObject = issuer ? createPrivateKey(issuer.key) : privateKey;
  const algorithm =
    signer.asymmetricKeyType === 'ec' ? seq(oid('1.2.840.10045.4.3.2')) : seq(oid('1.2.840.113549.1.1.11'), der(0x05));
  const name = (common: string, organization?: string): Buffer =>
    seq(
      ...(organization === undefined ? [] : [der(0x31, seq(oid('2.5.4.10'), utf8(organization)))]),
      der(0x31, seq(oid('2.5.4.3'), utf8(common))),
    );
  const extensions = [
    ...(authority ? [extension('2.5.29.19', true, seq(der(0x01, Buffer.from([0xff]))))] : []),
    ...(names.length > 0 ? [extension('2.5.29.17', false, seq(...names.map(alternative)))] : []),
  ];
  const from = options.from ?? Date.now() - 3_600_000;
  const to = seq(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    name(issuer?.subject ?? subject),
    seq(time(from), time(options.until ?? Date.now() + 86_400_000)),
    name(subject, options.organization),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [der(0xa3, seq(...extensions))] : []),
  );
  const signature = der(0x03, Buffer.concat([Buffer.from([0]), sign('sha256', to, signer)]));
  return {
    subject,
    cert: pem('CERTIFICATE', seq(to, algorithm, signature)),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}
const seq = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);
const utf8 = (text: string): Buffer => der(0x0c, Buffer.from(text));

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const digits = [part & 127];
    for (let left = part >> 7; left > 0; left >>= 7) digits.unshift((left & 127) | 128);
    bytes.push(...digits);
  }
  return der(0x06, Buffer.from(bytes));
}

/** GeneralizedTime, in whole seconds. */
const time = (ms: number): Buffer =>
  // RFC 5280: until 2049 as UTCTime.
  der(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replace(/[-:T]/g, '')}Z`));

function alternative(name: string): Buffer {
  const family = isIP(name);
  if (family === 0) return der(0x82, Buffer.from(name));
  if (family === 4) return der(0x87, Buffer.from(name.split('.').map(Number)));
  const [left = '', right = ''] = name.split('::');
  const words = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const missing = 8 - words(left).length - words(right).length;
  const all = [...words(left), ...Array<string>(missing).fill('0'), ...words(right)];
  return der(0x87, Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex'));
}

const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
  seq(oid(id), ...(critical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value));

const pem = (label: string, bytes: Buffer): string =>
  `-----BEGIN ${label}-----\n${bytes.toString('base64').replace(/(.{64})(?=.)/g, '$1\n')}\n-----END ${label}-----\n`;
