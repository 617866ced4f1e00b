/**
 * What leasekeeper writes on a Lease beside its record: which kind of lease it is, and whose term it is in.
 *
 * Guarantees: what is read here was checked, whatever wrote it; what others put on a lease stays.
 */
import type { Lease } from './lease.ts';

/** The label that says what a lease is for. On every lease that an elector or a recipe creates. */
export const KIND_LABEL = 'leasekeeper.dev/kind';
/** Values of `KIND_LABEL`. */
export const LEASE_KINDS = ['election', 'lock', 'once', 'cron', 'semaphore', 'member', 'shard'] as const;
export type LeaseKind = (typeof LEASE_KINDS)[number];

/**
 * The annotation that says whose term a lease is in: set by the write that begins the term, removed by the release in one
 * PUT with the record. So an empty holder beside a mark of the record's transitions was not released by its holder.
 */
export const TERM_ANNOTATION = 'leasekeeper.dev/term';

/** The annotation by which somebody asks the holder of a term to end it; removed by the write that begins the next one. */
export const STEP_DOWN_ANNOTATION = 'leasekeeper.dev/step-down';

/** What the process behind a lease says of itself, as JSON. */
export const PAYLOAD_ANNOTATION = 'leasekeeper.dev/payload';

/** The annotations that recipes and elections set on leases of these kinds. */
export const KIND_ANNOTATIONS: readonly string[] = [
  TERM_ANNOTATION,
  STEP_DOWN_ANNOTATION,
  PAYLOAD_ANNOTATION,
  ...['done', 'fires', 'slots', 'member'].map((name) => `leasekeeper.dev/${name}`),
];

/** The API's bound on its numbers. */
const INT32_MAX = 2_147_483_647;
/** A holder is `<id>_<uuid>`, each of at most 253 characters; what is longer is nobody's of ours. */
const MAX_MARK_LENGTH = 2_000;

/** A term, as its holder marked it. */
interface TermMark {
  readonly holder: string;
  /** leaseTransitions of the term. */
  readonly transitions: number;
  readonly durationSeconds: number;
}

/** As the annotation has it. */
export const termMarkText = ({ holder, transitions, durationSeconds }: TermMark): string =>
  JSON.stringify({ holder, transitions, durationSeconds });

/** The mark on a lease; undefined: none, or none that can be read. */
export function termMark(lease: Lease): TermMark | undefined {
  const { holder, transitions, durationSeconds } = readMark(lease, TERM_ANNOTATION);
  if (typeof holder !== 'string' || !isWhole(transitions) || !isWhole(durationSeconds)) return undefined;
  return { holder, transitions, durationSeconds };
}

/** A request to end one term: it names that term, so that the next leader is not meant. */
interface StepDownMark {
  readonly holder: string;
  /** leaseTransitions of the term. */
  readonly transitions: number;
  /** Who is to lead next: a holder identity, or its part before the uuid; undefined: anybody. */
  readonly to?: string | undefined;
}

/** As the annotation has it. */
export const stepDownMarkText = ({ holder, transitions, to }: StepDownMark): string =>
  JSON.stringify({ holder, transitions, to });

/** The request on a lease; undefined: none, or none that can be read. */
export function stepDownMark(lease: Lease): StepDownMark | undefined {
  const { holder, transitions, to } = readMark(lease, STEP_DOWN_ANNOTATION);
  if (typeof holder !== 'string' || !isWhole(transitions)) return undefined;
  return { holder, transitions, to: typeof to === 'string' && to !== '' ? to : undefined };
}

function readMark({ metadata }: Lease, annotation: string): Partial<Record<string, unknown>> {
  const text = metadata.annotations[annotation];
  if (text === undefined || text.length > MAX_MARK_LENGTH) return {};
  try {
    return (JSON.parse(text) as Partial<Record<string, unknown>> | null) ?? {};
  } catch {
    return {};
  }
}

const isWhole = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= INT32_MAX;
