/**
 * The state of an API server's Leases in memory: what every MemoryStore that shares it reads and writes.
 *
 * Guarantees: each write is one commit with the next resourceVersion, and `history` keeps every one of them in order;
 * a refused write changes nothing; a PUT that changes nothing commits nothing, as in Kubernetes. Synchronous: waiting,
 * faults and lost answers are the MemoryStore's. What is handed out is frozen, so that nobody edits the store by accident.
 */
import type { Lease, LeaseSpec } from '../../src/lease/lease.ts';
import { leaseToJson, newLease, withChanges } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { isLabelValue, labelKeyProblem, objectNameProblem } from '../../src/lease/names.ts';
import type { LeasePage, LeaseRef, LeaseStoreErrorCode, PageQuery, Preconditions } from '../../src/lease/store.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { matcher } from './selectors.ts';

/** A state that was committed. `before` is missing for a creation, `after` for a removal. */
export interface Commit {
  readonly verb: 'create' | 'update' | 'delete';
  readonly namespace: string;
  readonly name: string;
  readonly resourceVersion: string;
  /** Monotonic milliseconds of the server's clock. */
  readonly at: number;
  /** The store that wrote it, or `somebody`. */
  readonly by: string;
  readonly before: Lease | undefined;
  readonly after: Lease | undefined;
  /** The last state, with this commit's resourceVersion: what a watcher is sent. */
  readonly lease: Lease;
  /** The request that made it; missing where somebody changed the state without one. */
  readonly request: Request | undefined;
}

/** What a commit tells of its request. */
export interface Request {
  readonly verb: string;
  /** Monotonic milliseconds of its client's clock, when it was sent. */
  readonly at: number;
}

/** What `put` takes: a lease with as little said as the test cares for. */
export interface LeaseSketch {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly finalizers?: readonly string[];
  readonly spec?: LeaseSpec;
  /** Default: the server's now. */
  readonly creationTimestamp?: MicroTime;
}

interface Snapshot {
  readonly leases: readonly Lease[];
  readonly resourceVersion: string;
}

const STATUS: Partial<Record<LeaseStoreErrorCode, number>> = {
  NotFound: 404,
  NamespaceNotFound: 404,
  NamespaceTerminating: 403,
  AlreadyExists: 409,
  Conflict: 409,
  Invalid: 422,
  Unauthorized: 401,
  Forbidden: 403,
  TooManyRequests: 429,
  Expired: 410,
  ServerError: 500,
};

/** A LeaseStoreError as this server's answer would give it, with the status that belongs to the code. */
export function storeError(
  code: LeaseStoreErrorCode,
  message: string = code,
  more: { retryAfterMs?: number; mayHaveCommitted?: boolean } = {},
): LeaseStoreError {
  return new LeaseStoreError(code, { message, status: STATUS[code], ...more });
}

export class MemoryApi {
  /** Every commit since the start, oldest first. */
  readonly history: Commit[] = [];
  readonly clock: Clock;
  readonly #leases = new Map<string, Lease>();
  readonly #namespaces = new Map<string, 'active' | 'terminating'>();
  readonly #listeners = new Set<(commit: Commit) => void>();
  /** What is left of a list, by continue token. */
  readonly #snapshots = new Map<string, Snapshot>();
  #version = 1;
  #uids = 0;
  #pages = 0;
  #request: Request | undefined;

  /** @param clock the server's: creationTimestamp, serverDate, Commit.at */
  constructor(clock: Clock) {
    this.clock = clock;
    for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) this.namespace(name);
  }

  /** Makes a namespace exist, vanish, or be in deletion. */
  namespace(name: string, phase: 'active' | 'terminating' | 'absent' = 'active'): void {
    if (phase === 'absent') this.#namespaces.delete(name);
    else this.#namespaces.set(name, phase);
  }

  /** The lease as it is now, without a request; `undefined` when there is none. */
  peek(ref: LeaseRef): Lease | undefined {
    return this.#leases.get(keyOf(ref));
  }

  /** All leases now, by namespace and name. */
  all(): Lease[] {
    return [...this.#leases.keys()].sort().map((key) => this.#leases.get(key)!);
  }

  /**
   * As somebody else: stores this lease, with a new uid unless it is there already; then what the sketch does not name of
   * its metadata stays, and the spec is replaced. No validation.
   */
  put(sketch: LeaseSketch): Lease {
    const { name, namespace = 'kube-system', spec = {}, ...metadata } = sketch;
    const ref = { namespace, name };
    const before = this.peek(ref);
    const lease = newLease({ ...ref, ...before?.metadata, ...metadata }, spec);
    const made = { uid: before?.metadata.uid ?? this.#newUid(), creationTimestamp: this.#created(lease) };
    return this.#commit(before ? 'update' : 'create', 'somebody', before, withMetadata(lease, made)).lease;
  }

  /**
   * As somebody else: changes the lease that is there.
   * @throws Error when there is none
   */
  edit(ref: LeaseRef, change: (lease: Lease) => Lease | { spec: LeaseSpec }): Lease {
    const before = this.peek(ref);
    if (!before) throw new Error(`edit: no lease ${keyOf(ref)}`);
    const changed = change(before);
    const after = 'metadata' in changed ? changed : withChanges(before, changed);
    return this.#commit('update', 'somebody', before, after).lease;
  }

  /** As somebody else: removes the lease at once, finalizers or not. False when there was none. */
  remove(ref: LeaseRef): boolean {
    const before = this.peek(ref);
    if (before) this.#commit('delete', 'somebody', before, undefined);
    return before !== undefined;
  }

  /** Forgets old versions: continue tokens given until now are answered with `Expired`. */
  compact(): void {
    this.#snapshots.clear();
  }

  /** Calls back on every commit from now on, until the returned function is called. */
  onCommit(listener: (commit: Commit) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Does what a request asks for; the commits made meanwhile name it. */
  serve<T>(request: Request, act: () => T): T {
    this.#request = request;
    try {
      return act();
    } finally {
      this.#request = undefined;
    }
  }

  get(ref: LeaseRef): Lease {
    const lease = this.peek(ref);
    if (!lease) throw storeError('NotFound', `leases.coordination.k8s.io "${ref.name}" not found`);
    return lease;
  }

  create(lease: Lease, by: string): Lease {
    const { name, namespace, resourceVersion } = lease.metadata;
    const phase = this.#namespaces.get(namespace);
    if (!phase) throw storeError('NamespaceNotFound', `namespaces "${namespace}" not found`);
    if (phase === 'terminating') {
      throw storeError(
        'NamespaceTerminating',
        `unable to create new content in namespace ${namespace} because it is being terminated`,
      );
    }
    validate(lease);
    // What the real server answers to a POST with a version is an internal error, not a 422.
    if (resourceVersion !== '')
      throw storeError('ServerError', 'resourceVersion should not be set on objects to be created');
    if (this.peek({ namespace, name }))
      throw storeError('AlreadyExists', `leases.coordination.k8s.io "${name}" already exists`);
    const made = { uid: this.#newUid(), creationTimestamp: this.#now(), deletionTimestamp: undefined };
    return this.#commit('create', by, undefined, withMetadata(lease, made)).lease;
  }

  update(lease: Lease, by: string): Lease {
    const { name, namespace, uid, resourceVersion } = lease.metadata;
    const before = this.peek({ namespace, name });
    // A PUT without a uid makes what is not there, whatever version it was made from.
    if (!before && uid === '') return this.create(withMetadata(lease, { resourceVersion: '' }), by);
    if (before && resourceVersion === '') {
      throw storeError(
        'Invalid',
        `leases.coordination.k8s.io "${name}" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update`,
      );
    }
    // The uid is a precondition that comes first: a lease that is not there has none, hence 409 and not 404.
    const another = uid !== '' && before?.metadata.uid !== uid;
    if (another || before?.metadata.resourceVersion !== resourceVersion) {
      throw storeError(
        'Conflict',
        `Operation cannot be fulfilled on leases.coordination.k8s.io "${name}": the object has been modified`,
      );
    }
    validate(lease);
    const { creationTimestamp, deletionTimestamp } = before.metadata;
    const after = withMetadata(lease, { uid: before.metadata.uid, creationTimestamp, deletionTimestamp });
    if (deletionTimestamp && after.metadata.finalizers.length === 0) {
      return this.#commit('delete', by, after, undefined).lease;
    }
    return same(before, after) ? before : this.#commit('update', by, before, after).lease;
  }

  /** @param preconditions an empty one is none */
  delete(ref: LeaseRef, preconditions: Preconditions, by: string): void {
    const before = this.get(ref);
    const { uid, resourceVersion, finalizers, deletionTimestamp } = before.metadata;
    const differs = (asked: string, is: string): boolean => asked !== '' && asked !== is;
    if (differs(preconditions.uid, uid) || differs(preconditions.resourceVersion, resourceVersion)) {
      throw storeError(
        'Conflict',
        `Operation cannot be fulfilled on leases.coordination.k8s.io "${ref.name}": Precondition failed`,
      );
    }
    if (finalizers.length === 0) this.#commit('delete', by, before, undefined);
    else if (!deletionTimestamp) {
      this.#commit('update', by, before, withMetadata(before, { deletionTimestamp: this.#now() }));
    }
  }

  list(query: PageQuery): LeasePage {
    const matches = matcher(query);
    const token = query.continue;
    const limit = query.limit === undefined || query.limit <= 0 ? Infinity : query.limit;
    let rest: Snapshot;
    if (token === undefined || token === '') {
      rest = { leases: this.all().filter(matches), resourceVersion: String(this.#version) };
    } else {
      if (!/^page-\d+$/.test(token))
        throw new LeaseStoreError('Invalid', { message: 'continue key is not valid', status: 400 });
      const kept = this.#snapshots.get(token);
      if (!kept) throw storeError('Expired', 'The provided continue parameter is too old');
      rest = kept;
    }
    const { leases, resourceVersion } = rest;
    const page = { leases: leases.slice(0, limit), resourceVersion, serverDate: this.#now() };
    if (leases.length <= limit) return page;
    const next = `page-${++this.#pages}`;
    this.#snapshots.set(next, { leases: leases.slice(limit), resourceVersion });
    return { ...page, continue: next };
  }

  #commit(verb: Commit['verb'], by: string, before: Lease | undefined, after: Lease | undefined): Commit {
    const resourceVersion = String(++this.#version);
    const lease = freeze(withMetadata((after ?? before)!, { resourceVersion }));
    const { namespace, name } = lease.metadata;
    if (after) this.#leases.set(keyOf(lease.metadata), lease);
    else this.#leases.delete(keyOf(lease.metadata));
    const at = this.clock.monotonic();
    const request = by === 'somebody' ? undefined : this.#request;
    const commit = { verb, namespace, name, resourceVersion, at, by, before, after: after && lease, lease, request };
    this.history.push(commit);
    for (const listener of this.#listeners) listener(commit);
    return commit;
  }

  #newUid(): string {
    return `00000000-0000-4000-8000-${(++this.#uids).toString(16).padStart(12, '0')}`;
  }

  #created(lease: Lease): MicroTime {
    return lease.metadata.creationTimestamp ?? this.#now();
  }

  /** metav1.Time and the Date header have whole seconds, cut off. */
  #now(): MicroTime {
    return MicroTime.fromEpochMicros(Math.floor(this.clock.wallMicros() / 1e6) * 1e6);
  }
}

const keyOf = ({ namespace, name }: LeaseRef): string => `${namespace}/${name}`;

function withMetadata(lease: Lease, metadata: Partial<Lease['metadata']>): Lease {
  return { ...lease, metadata: { ...lease.metadata, ...metadata } };
}

/** True when a write of `after` over `before` would change nothing. */
function same(before: Lease, after: Lease): boolean {
  const [a, b] = [before.spec.renewTime, after.spec.renewTime];
  if (a ? !a.equals(b) : b) return false;
  return JSON.stringify(leaseToJson(before)) === JSON.stringify(leaseToJson(after));
}

function freeze(lease: Lease): Lease {
  Object.freeze(lease.metadata.labels);
  Object.freeze(lease.metadata.annotations);
  Object.freeze(lease.metadata);
  Object.freeze(lease.spec);
  return Object.freeze(lease);
}

function validate({ metadata, spec }: Lease): void {
  const problems: string[] = [];
  const name = objectNameProblem(metadata.name);
  if (name) problems.push(`metadata.name: ${name}`);
  for (const key in metadata.labels) {
    if (labelKeyProblem(key)) problems.push(`metadata.labels: Invalid value: "${key}"`);
    if (!isLabelValue(metadata.labels[key]!))
      problems.push(`metadata.labels: Invalid value: "${metadata.labels[key]}"`);
  }
  const { leaseDurationSeconds: duration, leaseTransitions: transitions } = spec;
  if (duration !== undefined && !(isInt32(duration) && duration > 0)) {
    problems.push(`spec.leaseDurationSeconds: Invalid value: ${duration}: must be greater than 0`);
  }
  if (transitions !== undefined && !(isInt32(transitions) && transitions >= 0)) {
    problems.push(`spec.leaseTransitions: Invalid value: ${transitions}: must be greater than or equal to 0`);
  }
  if (problems.length > 0) {
    throw storeError('Invalid', `Lease.coordination.k8s.io "${metadata.name}" is invalid: ${problems.join(', ')}`);
  }
}

const isInt32 = (n: number): boolean => Number.isInteger(n) && n <= 2_147_483_647;
