/**
 * LeaseStore: where leases live, as the capabilities see it. Adapters implement it; policies know nothing else.
 *
 * Every method settles: with its answer, or with a LeaseStoreError, at the latest when its signal or its timeout says so.
 * A write either tells that it was refused (`mayHaveCommitted` false) or that nobody knows (`mayHaveCommitted` true).
 */
import type { Lease } from './lease.ts';
import type { MicroTime } from './micro-time.ts';

/** How one call may end before its answer. */
export interface CallOptions {
  /** Ends the call at once with code `Aborted`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Milliseconds for this one attempt; the adapter's default when left out. The error is code `Timeout`. A credential
   * plugin's time counts for urgent calls alone.
   */
  readonly timeoutMs?: number | undefined;
  /**
   * True for what a held lease depends on: renewals, take-overs, releases and the reads between them. Such a call never
   * waits for calls that are not urgent, however many of them are under way or hang. Default false.
   */
  readonly urgent?: boolean | undefined;
}

/** Names one lease. */
export interface LeaseRef {
  readonly namespace: string;
  readonly name: string;
}

/** Which leases of one namespace; all of them without selectors. */
export interface LeaseQuery {
  readonly namespace: string;
  /** Kubernetes' selector syntax, for instance `a=b,c in (d,e)`. */
  readonly labelSelector?: string | undefined;
  /** For instance `metadata.name=x`. */
  readonly fieldSelector?: string | undefined;
}

/** Which part of a list. */
export interface PageQuery extends LeaseQuery {
  /** Leases a page at the most; the server's choice when left out. */
  readonly limit?: number | undefined;
  /** From the page before. */
  readonly continue?: string | undefined;
}

/** One part of a list; all pages of a list show one state of the server. */
export interface LeasePage {
  readonly leases: readonly Lease[];
  readonly resourceVersion: string;
  /** Present when more pages follow. */
  readonly continue?: string | undefined;
  /** The server's clock as its `Date` header gave it: whole seconds, cut off. */
  readonly serverDate?: MicroTime | undefined;
  /** How long the answer was, where the adapter knows. */
  readonly bytes?: number | undefined;
}

/** The one version of an object that a deletion may meet. */
export interface Preconditions {
  readonly uid: string;
  readonly resourceVersion: string;
}

/**
 * What a watch tells. `list` is the whole state and replaces all that was known; it comes first, and again whenever
 * the watch could not be continued. `fresh` says that nothing was missed until now. `lost` says that what is known may
 * be old from now on, and why; the watch goes on trying.
 */
export type LeaseEvent =
  | { readonly type: 'list'; readonly leases: readonly Lease[]; readonly serverDate?: MicroTime | undefined }
  | { readonly type: 'added' | 'modified' | 'deleted'; readonly lease: Lease }
  | { readonly type: 'fresh' }
  | { readonly type: 'lost'; readonly error: LeaseStoreError };

/** Where leases live: `connect` gives one over a Kubernetes API. Every method throws LeaseStoreError only. */
export interface LeaseStore {
  /** @throws LeaseStoreError `NotFound` when there is none */
  get(ref: LeaseRef, options?: CallOptions): Promise<Lease>;
  /** @throws LeaseStoreError `AlreadyExists` when the name is taken, `NamespaceNotFound` */
  create(lease: Lease, options?: CallOptions): Promise<Lease>;
  /**
   * Replaces the lease of exactly this uid and resourceVersion.
   * @throws LeaseStoreError `Conflict` when it changed, was deleted or was recreated since
   * @throws TypeError when uid or resourceVersion is empty: an API server would create or overwrite it then
   */
  update(lease: Lease, options?: CallOptions): Promise<Lease>;
  /** @throws LeaseStoreError `Conflict` when a precondition does not hold, `NotFound` when it is gone */
  delete(ref: LeaseRef, preconditions: Preconditions, options?: CallOptions): Promise<void>;
  /** One page, read consistently (never from a cache that may be old). */
  list(query: PageQuery, options?: CallOptions): Promise<LeasePage>;
  /**
   * Follows the leases of a query until the signal aborts; then the iteration ends without an error.
   * Survives silence, cuts, 410 and bad lines by itself. Ends with an error only for what cannot heal by itself soon:
   * `Forbidden`.
   */
  watch(query: LeaseQuery, signal: AbortSignal): AsyncIterable<LeaseEvent>;
  /** Calls of one urgency that it carries at a time, where that is bounded: more wait for each other. */
  readonly concurrency?: number | undefined;
}

/** Branch on these, never on a message. */
export type LeaseStoreErrorCode =
  /** 404 for the lease itself. */
  | 'NotFound'
  /** 404 for the namespace: only a POST says so. */
  | 'NamespaceNotFound'
  /** 403 because the namespace is being deleted. */
  | 'NamespaceTerminating'
  /** 409 to a POST. */
  | 'AlreadyExists'
  /** 409: version or uid is not the one that was read. */
  | 'Conflict'
  /** 422 or 400: the server refuses the object; the same request will be refused again. */
  | 'Invalid'
  /** 401. */
  | 'Unauthorized'
  /** 403 by authorization. */
  | 'Forbidden'
  /** 429. */
  | 'TooManyRequests'
  /** 410: a version or continue token that the server no longer has. */
  | 'Expired'
  /** 5xx. */
  | 'ServerError'
  /** No answer within the attempt's timeout. */
  | 'Timeout'
  /** No connection, or it broke; the cause is the socket's error. */
  | 'Unavailable'
  /** An answer that is none of the Kubernetes API's: no JSON, no Lease. */
  | 'BadAnswer'
  /** An answer that is larger than what is read of one. */
  | 'TooLarge'
  /** The credentials could not be loaded or made (a token file, an exec plugin). */
  | 'Credentials'
  /** The caller's signal. */
  | 'Aborted';

/** What a LeaseStoreError is made of, besides its code. */
export interface LeaseStoreErrorOptions {
  readonly message: string;
  /** HTTP status, where there was an answer. */
  readonly status?: number | undefined;
  /** Milliseconds the server asks to wait. */
  readonly retryAfterMs?: number | undefined;
  readonly mayHaveCommitted?: boolean | undefined;
  readonly cause?: unknown;
}

const RETRYABLE: ReadonlySet<LeaseStoreErrorCode> = new Set<LeaseStoreErrorCode>([
  'TooManyRequests',
  'Expired',
  'ServerError',
  'Timeout',
  'Unavailable',
  'BadAnswer',
  'TooLarge',
]);

/** The only error that a LeaseStore throws, but for a TypeError on wrong use. */
export class LeaseStoreError extends Error {
  override readonly name = 'LeaseStoreError';
  readonly code: LeaseStoreErrorCode;
  /** HTTP status; undefined: there was no answer. */
  readonly status: number | undefined;
  /** Milliseconds that the server asks to wait; undefined: it asks for nothing. */
  readonly retryAfterMs: number | undefined;
  /** True when a write may have been carried out although no answer tells so. */
  readonly mayHaveCommitted: boolean;

  constructor(code: LeaseStoreErrorCode, options: LeaseStoreErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status;
    this.retryAfterMs = options.retryAfterMs;
    this.mayHaveCommitted = options.mayHaveCommitted ?? false;
  }

  /** True when the same request may succeed later without anybody changing anything. */
  get retryable(): boolean {
    return RETRYABLE.has(this.code);
  }
}

/** True for a LeaseStoreError of one of these codes. */
export function isStoreError<Code extends LeaseStoreErrorCode>(
  error: unknown,
  ...codes: Code[]
): error is LeaseStoreError & { readonly code: Code } {
  return error instanceof LeaseStoreError && (codes.length === 0 || (codes as string[]).includes(error.code));
}
