/**
 * Names, labels and holders of identity leases.
 *
 * Guarantees: the same hostname gives the same lease name on every machine; two hostnames never share a name or a
 * hostname label (as far as SHA-256 holds); every label value made here is valid. Hostnames are taken byte for byte.
 */
import { createHash } from 'node:crypto';
import type { Lease } from './lease.ts';

/** How Kubernetes marks identity leases (k8s.io/apiserver, since 1.20). */
export const IDENTITY_LABEL = 'apiserver.kubernetes.io/identity';
/** The label's value for kube-apiserver; other products have their own. */
export const IDENTITY_LABEL_VALUE = 'kube-apiserver';
/** Its key until Kubernetes 1.26, with the same value. */
export const EARLIER_IDENTITY_LABEL = 'k8s.io/component';
/** The well-known label of Kubernetes; kube-apiserver writes the whole hostname in it. */
export const HOSTNAME_LABEL = 'kubernetes.io/hostname';
/** Where the whole hostname stands when it is no valid label value. It counts only where it gives the label. */
export const HOSTNAME_ANNOTATION = 'leasekeeper.dev/hostname';

/** RFC 1123's bound on a host name, and Kubernetes' on the name of an object. */
const MAX_NAME_LENGTH = 253;
/** Kubernetes' bound on a label value. */
const MAX_LABEL_LENGTH = 63;

/** `sha256`: `<prefix>-<64 hex digits>`. `apiserver`: the name that kube-apiserver 1.27 and later gives itself. */
export type NameFormat = 'sha256' | 'apiserver';
export const NAME_FORMATS: readonly NameFormat[] = ['sha256', 'apiserver'];

const DEFAULT_PREFIX: Record<NameFormat, string> = { sha256: 'kube-apiserver', apiserver: 'apiserver' };
const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/;

/** Why a hostname cannot be used; `undefined` when it can. */
export function hostnameProblem(hostname: string): string | undefined {
  if (hostname === '') return 'must not be empty';
  if (hostname.length > MAX_NAME_LENGTH) {
    return `must be at most ${MAX_NAME_LENGTH} characters long, this one has ${hostname.length}`;
  }
  return undefined;
}

/** What machines are called that nobody has named. */
const NO_NAME =
  /^(localhost\d?|ip6-localhost|ip6-loopback|.*\.localhost|(.*\.)?localdomain\d?|\(none\)|127(\.\d+){3}|::1|0\.0\.0\.0|::)\.?$/i;

/** True for a hostname that several machines probably have: `localhost` and its kind. */
export const isLocalName = (hostname: string): boolean => NO_NAME.test(hostname);

/** Why a string is no name of a Kubernetes object (DNS-1123 subdomain); `undefined` when it is one. */
export function objectNameProblem(name: string): string | undefined {
  if (name === '') return 'must not be empty';
  if (name.length > MAX_NAME_LENGTH) return `must be at most ${MAX_NAME_LENGTH} characters long`;
  if (!DNS_SUBDOMAIN.test(name)) {
    return "must be lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit (DNS-1123 subdomain)";
  }
  return undefined;
}

export const isLabelValue = (value: string): boolean => LABEL_VALUE.test(value);

/** Why a string is no label key (`[prefix/]name`); `undefined` when it is one. */
export function labelKeyProblem(key: string): string | undefined {
  const slash = key.indexOf('/');
  const prefix = slash < 0 ? undefined : key.slice(0, slash);
  const name = key.slice(slash + 1);
  if (prefix !== undefined && objectNameProblem(prefix)) return `prefix ${objectNameProblem(prefix)}`;
  if (name === '' || !isLabelValue(name)) {
    return "name must be 1 to 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit";
  }
  return undefined;
}

/**
 * The name of a host's identity lease.
 * @param prefix what the name begins with; default `kube-apiserver` for format `sha256`, `apiserver` for `apiserver`
 * @param component format `apiserver`: whose name it is; default `kube-apiserver`, others are aggregated API servers
 */
export function leaseName(
  hostname: string,
  format: NameFormat = 'sha256',
  prefix = DEFAULT_PREFIX[format],
  component = IDENTITY_LABEL_VALUE,
): string {
  if (format === 'sha256') return `${prefix}-${createHash('sha256').update(hostname).digest('hex')}`;
  // k8s.io/apiserver's hash over two length-prefixed strings: the hostname and the component.
  const hash = createHash('sha256');
  for (const part of [Buffer.from(hostname), Buffer.from(component)]) {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(part.length);
    hash.update(length).update(part);
  }
  return `${prefix}-${base32(hash.digest().subarray(0, 16))}`;
}

/** Why a text is no `[NAMESPACE/]NAME` of an object; `undefined` when it is one. */
export function refProblem(text: string): string | undefined {
  const parts = text.split('/');
  if (parts.length > 2) return 'must be [NAMESPACE/]NAME';
  const [name = '', namespace] = parts.toReversed();
  if (namespace !== undefined && objectNameProblem(namespace)) return `the namespace ${objectNameProblem(namespace)}`;
  return objectNameProblem(name) && `the name ${objectNameProblem(name)}`;
}

/**
 * An object by `[NAMESPACE/]NAME`, as `refProblem` allows it.
 * @param namespace where the text names none
 */
export function parseRef(text: string, namespace: string): { readonly namespace: string; readonly name: string } {
  const slash = text.indexOf('/');
  return slash < 0 ? { namespace, name: text } : { namespace: text.slice(0, slash), name: text.slice(slash + 1) };
}

/** The holder identity of one process, `<name>_<uuid>`: a fresh UUID for every start. */
export const holderIdentity = (name: string, uuid: string): string => `${name}_${uuid}`;

const UUID_END = /_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A holder without what makes it unique. */
export const holderName = (holder: string): string => holder.replace(UUID_END, '');

/** Whether a holder is a process of this name, as `holderIdentity` makes it. */
export const isProcessOf = (name: string, holder: string): boolean => holder !== name && holderName(holder) === name;

/** Whether somebody calls this holder so: by its whole identity, or by the part before its uuid. */
export const isCalled = (holder: string, name: string): boolean =>
  holder === name || holder.slice(0, Math.max(holder.lastIndexOf('_'), 0)) === name;

/**
 * The hostname as a label value: itself when that is valid, else a readable part of it and 16 hex digits of its hash.
 * The hash is joined by `-`, and what is shortened always ends in it, so no two hostnames give the same value unless
 * one of them was made to look like the other's shortened form.
 */
export function hostnameLabel(hostname: string): string {
  if (hostname !== '' && isLabelValue(hostname)) return hostname;
  const digits = createHash('sha256').update(hostname).digest('hex').slice(0, 16);
  const readable = hostname
    .replace(/[^-A-Za-z0-9_.]/g, '-')
    .slice(0, MAX_LABEL_LENGTH - digits.length - 1)
    .replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '');
  return readable === '' ? digits : `${readable}-${digits}`;
}

/** The labels and annotations that tell which host a lease belongs to. */
export function hostnameMarks(hostname: string): {
  labels: Record<string, string>;
  annotations: Record<string, string>;
} {
  const value = hostnameLabel(hostname);
  return {
    labels: { [HOSTNAME_LABEL]: value },
    annotations: value === hostname ? {} : { [HOSTNAME_ANNOTATION]: hostname },
  };
}

/**
 * The hostname that a lease was published for; `undefined` when it carries none. An annotation that does not give the label
 * was put there by somebody else, and is not believed.
 */
export function hostnameOf({ metadata }: Lease): string | undefined {
  const label = metadata.labels[HOSTNAME_LABEL];
  const whole = metadata.annotations[HOSTNAME_ANNOTATION];
  return whole !== undefined && hostnameProblem(whole) === undefined && hostnameLabel(whole) === label ? whole : label;
}

/** RFC 4648 base32, lower case, without padding. */
export function base32(bytes: Uint8Array): string {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567';
  let bits = 0;
  let value = 0;
  let out = '';
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff;
    bits += 8;
    for (; bits >= 5; bits -= 5) out += alphabet[(value >>> (bits - 5)) & 31];
  }
  return bits > 0 ? out + alphabet[(value << (5 - bits)) & 31] : out;
}
