/**
 * What a caller adds to its Lease beside what leasekeeper writes: rules, stated once for everything that keeps one.
 */
import type { OwnerReference } from '../lease/lease.ts';
import { isLabelValue, labelKeyProblem } from '../lease/names.ts';
import type { OptionRows } from './options.ts';

/** What a caller adds to its Lease. */
export interface MarkOptions {
  /** Labels that each write puts on the lease; default none. */
  readonly labels: Readonly<Record<string, string>>;
  /** Annotations that each write puts on the lease; default none. `leasekeeper.dev/payload` is for a small payload as JSON. */
  readonly annotations: Readonly<Record<string, string>>;
  /**
   * Owners in the lease's namespace, or of the whole cluster; default none. The garbage collector of Kubernetes deletes the lease once all
   * of them are gone, so a name or uid that does not exist deletes it at once.
   */
  readonly owners: readonly OwnerReference[];
}

/** The API's bound on all annotations of an object, in bytes. */
const MAX_ANNOTATIONS_BYTES = 256 * 1024;

const first = (problems: Iterable<string | undefined>): string | undefined => {
  for (const problem of problems) if (problem !== undefined) return problem;
  return undefined;
};

const each = (value: unknown, problem: (key: string, text: string) => string | undefined): string | undefined => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'must be an object of texts';
  return first(
    Object.entries(value).map(([key, text]: [string, unknown]) => {
      const wrong =
        labelKeyProblem(key) ?? (typeof text === 'string' ? problem(key, text) : 'must have a text as its value');
      return wrong && `${JSON.stringify(key)} ${wrong}`;
    }),
  );
};

const ownerProblem = (owner: unknown): string | undefined => {
  const { apiVersion, kind, name, uid } = (owner ?? {}) as Record<string, unknown>;
  const named = [apiVersion, kind, name, uid].every((part) => typeof part === 'string' && part !== '');
  return named ? undefined : 'must each have an apiVersion, a kind, a name and a uid';
};

export const MARK_ROWS: OptionRows<MarkOptions> = {
  labels: {
    default: {},
    rule: (labels) =>
      each(labels, (_, value) =>
        isLabelValue(value) ? undefined : `must have a label value, not ${JSON.stringify(value)}`,
      ),
    text: 'further labels of the lease',
  },
  annotations: {
    default: {},
    rule: (annotations) =>
      each(annotations, () => undefined) ??
      (Buffer.byteLength(JSON.stringify(annotations)) > MAX_ANNOTATIONS_BYTES
        ? `must have at most ${MAX_ANNOTATIONS_BYTES} bytes in all`
        : undefined),
    text: 'further annotations of the lease',
  },
  owners: {
    default: [],
    rule: (owners) => (Array.isArray(owners) ? first(owners.map(ownerProblem)) : 'must be a list'),
    text: 'owners of the lease: when all of them are gone, the garbage collector of Kubernetes deletes it',
  },
};
