/**
 * Names for the leases of your own product: `<product>-<hash of what tells one deployment of it from another>`.
 *
 * Guarantees: a name is a DNS label (so also a label value) of at most 63 characters; the same parts give the same name
 * everywhere, and two different products or lists of parts never the same (as far as 128 bits of SHA-256 hold): `['a', 'b']`
 * is not `['ab']`, nor product `a` with `b-c` product `a-b` with `c`. What would collide with Kubernetes' own leases is
 * refused.
 */
import { createHash } from 'node:crypto';
import { base32 } from './names.ts';

const HASH_BYTES = 16;
/** Base32 digits of the hash. */
const HASH_LENGTH = 26;
const MAX_LENGTH = 63;
/** Characters of a product's name: what the hash and its dash leave of a DNS label. */
export const MAX_PRODUCT_LENGTH = MAX_LENGTH - HASH_LENGTH - 1;

/** First words of names that Kubernetes' own components take: kube-scheduler, apiserver-…, k8s.io's, and so on. */
export const RESERVED_PREFIXES: readonly string[] = [
  'apiserver',
  'cloud-controller-manager',
  'k8s',
  'kube',
  'kubernetes',
  'konnectivity-proxy-server',
  'system',
];

const DNS_LABEL = /^[a-z]([-a-z0-9]*[a-z0-9])?$/;

/** A name cannot be made: which argument, its value, and the rule it breaks. */
export class WorkloadNameError extends RangeError {
  override readonly name = 'WorkloadNameError';
  readonly code = 'InvalidWorkloadName';
  /** `product`, `parts` or `parts[i]`. */
  readonly field: string;
  readonly value: unknown;
  readonly rule: string;
  constructor(field: string, value: unknown, rule: string) {
    super(`${field} ${JSON.stringify(value) ?? String(value)}: ${rule}`);
    this.field = field;
    this.value = value;
    this.rule = rule;
  }
}

/** Why a product's name cannot be used; `undefined` when it can. */
export function productProblem(product: string): string | undefined {
  if (product === '') return 'must not be empty';
  if (product.length > MAX_PRODUCT_LENGTH) return `must be at most ${MAX_PRODUCT_LENGTH} characters long`;
  if (!DNS_LABEL.test(product)) {
    return "must be lower-case letters, digits and '-', beginning with a letter and ending with a letter or digit";
  }
  const reserved = RESERVED_PREFIXES.find((prefix) => product === prefix || product.startsWith(`${prefix}-`));
  return reserved === undefined ? undefined : `must not begin with "${reserved}": leases of Kubernetes are called so`;
}

/**
 * The name of a product's lease.
 * @param product 1 to 36 characters, for instance `my-operator`
 * @param parts what tells one deployment from another, in order: a namespace and a release, say; at least one, none empty
 * @throws WorkloadNameError
 */
export function workloadLeaseName(product: string, parts: readonly string[]): string {
  const rule = productProblem(product);
  if (rule !== undefined) throw new WorkloadNameError('product', product, rule);
  if (parts.length === 0) throw new WorkloadNameError('parts', parts, 'must hold at least one part');
  const hash = createHash('sha256');
  // Each with its length before it: no two lists give the same bytes.
  for (const [i, part] of [product, ...parts].entries()) {
    const field = `parts[${i - 1}]`;
    if (typeof part !== 'string' || part === '')
      throw new WorkloadNameError(field, part, 'must be a text that is not empty');
    // A lone surrogate becomes the same bytes as any other.
    if (!part.isWellFormed()) throw new WorkloadNameError(field, part, 'must be well-formed Unicode');
    const bytes = Buffer.from(part);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    hash.update(length).update(bytes);
  }
  return `${product}-${base32(hash.digest().subarray(0, HASH_BYTES))}`;
}
