/**
 * X.509 certificates of chosen subjects, names, keys and times: the server's own, and whatever a test needs.
 *
 * Guarantees: what Go, OpenSSL and Node take for a certificate of its kind; nothing is written to disk.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

export interface Certificate {
  readonly subject: string;
  /** PEM. */
  readonly cert: string;
  /** PEM, PKCS 8. */
  readonly key: string;
}

interface CertificateOptions {
  readonly subject: string;
  /** Of the subject: the group that a Kubernetes API reads of it. */
  readonly organization?: string;
  /** DNS names and IP addresses. */
  readonly names?: readonly string[];
  /** May issue others. */
  readonly authority?: boolean;
  /** Default: itself. */
  readonly issuer?: Certificate;
  /** Default `ec`, of P-256; `rsa` of 2048 bits. */
  readonly keyType?: 'ec' | 'rsa';
  /** Milliseconds since the epoch; default an hour ago and a day ahead. */
  readonly from?: number;
  readonly until?: number;
}

const HOUR_MS = 3_600_000;

export function makeCertificate(options: CertificateOptions): Certificate {
  const { subject, organization, issuer, names = [], authority = false } = options;
  const { from = Date.now() - HOUR_MS, until = Date.now() + 24 * HOUR_MS } = options;
  const { publicKey, privateKey } =
    options.keyType === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = issuer ? createPrivateKey(issuer.key) : privateKey;
  const algorithm = signer.asymmetricKeyType === 'ec' ? seq(oid(ECDSA_SHA256)) : seq(oid(RSA_SHA256), der(0x05));
  const extensions = [
    ...(authority ? [extension(BASIC_CONSTRAINTS, seq(der(0x01, TRUE)), true)] : []),
    ...(names.length > 0 ? [extension(ALTERNATIVE_NAMES, seq(...names.map(alternativeName)))] : []),
  ];
  const content = seq(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    distinguishedName(issuer?.subject ?? subject),
    seq(time(from), time(until)),
    distinguishedName(subject, organization),
    publicKey.export({ type: 'spki', format: 'der' }),
    ...(extensions.length > 0 ? [der(0xa3, seq(...extensions))] : []),
  );
  const signature = der(0x03, Buffer.from([0]), sign('sha256', content, signer));
  const base64 = seq(content, algorithm, signature).toString('base64');
  return {
    subject,
    cert: `-----BEGIN CERTIFICATE-----\n${base64.replace(/.{1,64}/g, '$&\n')}-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

const ECDSA_SHA256 = '1.2.840.10045.4.3.2';
const RSA_SHA256 = '1.2.840.113549.1.1.11';
const COMMON_NAME = '2.5.4.3';
const ORGANIZATION = '2.5.4.10';
const BASIC_CONSTRAINTS = '2.5.29.19';
const ALTERNATIVE_NAMES = '2.5.29.17';
const TRUE = Buffer.from([0xff]);

/** DER: tag, length, content. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const seq = (...parts: readonly Buffer[]): Buffer => der(0x30, ...parts);

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes = rest.flatMap((part) => {
    const digits = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) digits.unshift((left & 0x7f) | 0x80);
    return digits;
  });
  return der(0x06, Buffer.from([first * 40 + second, ...bytes]));
}

const attribute = (type: string, text: string): Buffer => der(0x31, seq(oid(type), der(0x0c, Buffer.from(text))));

const distinguishedName = (common: string, organization?: string): Buffer =>
  seq(...(organization === undefined ? [] : [attribute(ORGANIZATION, organization)]), attribute(COMMON_NAME, common));

const extension = (id: string, value: Buffer, critical = false): Buffer =>
  seq(oid(id), ...(critical ? [der(0x01, TRUE)] : []), der(0x04, value));

/** UTCTime, as RFC 5280 wants it until 2049. */
const time = (ms: number): Buffer =>
  der(0x17, Buffer.from(`${new Date(ms).toISOString().slice(2, 19).replace(/[-:T]/g, '')}Z`));

function alternativeName(name: string): Buffer {
  const family = isIP(name);
  if (family === 0) return der(0x82, Buffer.from(name));
  if (family === 4) return der(0x87, Buffer.from(name.split('.').map(Number)));
  const words = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [left, right] = [words(name.split('::')[0] ?? ''), words(name.split('::')[1] ?? '')];
  const all = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return der(0x87, Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex'));
}
