/**
 * One process as a member of a ring: keeps its member Lease, and follows the Leases of the whole ring by one watch.
 *
 * Guarantees: one renewal, whatever the ring holds; `proof` never runs ahead: everything that was committed before it has
 * been seen (the watch has shown a write of our own that was sent then, and shows changes in their order); work runs in a
 * term of the member Lease, and has ended before the next term begins. Of all members one deletes what those that have gone
 * left behind.
 */
import { createHash } from 'node:crypto';
import { LeaderElector } from '../election/elector.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import type { ElectionOptions } from '../election/election-options.ts';
import type { Term } from '../election/term.ts';
import type { Lease, MarkChanges, OwnerReference } from '../lease/lease.ts';
import { KIND_LABEL } from '../lease/marks.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { holderIdentity, isLabelValue, objectNameProblem } from '../lease/names.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseEvent, LeaseRef, LeaseStore, LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { Follower } from '../runtime/follow.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { OptionsError, fillOptions } from '../runtime/options.ts';
import { MEMBER_ROWS } from './recipe-options.ts';
import { RingView } from './ring-view.ts';

/** The label that makes Leases one ring; its value is the ring's name. */
export const RING_LABEL = 'leasekeeper.dev/ring';

/** Names of Leases are made of readable parts of this length and a hash where they would not do. */
const MAX_PART = 80;
const REOPEN_FIRST_MS = 500;
const REOPEN_CAP_MS = 4_000;
/** A member Lease that nobody holds, or whose holder died, is deleted after so many durations; then no key names it any more. */
const TIDY_DURATIONS = 4;
/** Own writes whose echo may still come; a retry period apart. */
const MAX_ECHOES = 64;

/** What a member of a ring is made of. */
export interface RingMemberOptions extends Partial<ElectionOptions> {
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** The ring, by namespace and name; the name is a label value as well: at most 63 characters. */
  readonly ring: LeaseRef;
  /** This process, for people to read; unique in the ring, or else two processes take turns. 1 to 253 characters. */
  readonly id: string;
  /** Tells two processes with one id apart: a fresh one for every member. */
  readonly uuid: string;
  /** Labels that the member Lease gets with each acquisition; default none. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Owners of the member Lease when we create it: when they go, the garbage collector of Kubernetes deletes it. Default none. */
  readonly owners?: readonly OwnerReference[] | undefined;
  /** What stands on the member Lease besides, asked for at each renewal. */
  readonly annotations?: (() => MarkChanges) | undefined;
  /** As an elector's, of the member Lease. */
  readonly onDeadline?: ((term: Term) => void) | undefined;
  /** Called at once when more is known to have been seen. */
  readonly onProof?: (() => void) | undefined;
  /** Default: nobody listens. */
  readonly observe?: Observe<ElectionEvent | RingEvent> | undefined;
}

/** What a member reports of its ring, besides its own Lease. */
export type RingEvent =
  /** The ring cannot be followed: reported once each time it begins. */
  | { readonly type: 'ringLost'; readonly ring: LeaseRef; readonly error: LeaseStoreError | undefined }
  | { readonly type: 'ringSynced'; readonly ring: LeaseRef }
  /** The Lease of a member that has gone could not be deleted: reported once until one could. */
  | { readonly type: 'tidyFailed'; readonly ring: LeaseRef; readonly lease: LeaseRef; readonly error: LeaseStoreError };

export class RingMember {
  readonly view: RingView;
  /** Name of the member Lease. */
  readonly leaseName: string;
  readonly holder: string;
  readonly #options: RingMemberOptions;
  readonly #observe: Observe<ElectionEvent | RingEvent>;
  readonly #follower: Follower<LeaseEvent>;
  readonly #echoes: { readonly renewTime: MicroTime; readonly sentAt: number }[] = [];
  readonly #onNews: () => void;
  readonly #work: (term: Term) => Promise<void>;
  readonly #durationMs: number;
  #proof = -Infinity;
  #sentAt = -Infinity;
  #lost = false;

  /**
   * @param work what is done in a term of the member Lease; ends when its signal aborts
   * @param onNews called after each change that was seen
   * @throws OptionsError with everything that is wrong
   */
  constructor(options: RingMemberOptions, work: (term: Term) => Promise<void>, onNews: () => void) {
    const { ring, id, uuid, clock, random, store } = options;
    const problems = ringProblems(ring);
    if (problems.length > 0) throw new OptionsError('ring', problems);
    this.#options = options;
    this.#observe = containedObserver(options.observe);
    this.#work = work;
    this.#onNews = onNews;
    this.leaseName = `${ring.name}-m-${namePart(id)}`;
    this.holder = holderIdentity(id, uuid);
    // Checked now, not at the start.
    this.#elector();
    this.#durationMs = fillOptions(MEMBER_ROWS, options).leaseDurationSeconds * 1000;
    this.view = new RingView(this.#durationMs, isMember);
    const backoff = createBackoff({ firstMs: REOPEN_FIRST_MS, capMs: REOPEN_CAP_MS, random });
    const labelSelector = `${RING_LABEL}=${ring.name}`;
    this.#follower = new Follower({
      clock,
      open: (signal) => store.watch({ namespace: ring.namespace, labelSelector }, signal),
      onEvent: (event) => {
        if (event.type === 'list') backoff.reset();
        this.#see(event);
      },
      onEnd: (error) => {
        this.#lose(error);
        return backoff.next(error?.retryAfterMs);
      },
    });
  }

  /** Monotonic milliseconds: whatever was committed before has been seen. -Infinity before anything was. */
  get proof(): number {
    return this.#proof;
  }

  /** Monotonic milliseconds at which the last write of the member Lease was sent; -Infinity before the first. */
  get sentAt(): number {
    return this.#sentAt;
  }

  /** Keeps the member Lease, and runs the work in each of its terms, until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    // The ring is followed for as long as anything of ours may still be written.
    const sides = new AbortController();
    const over = new AbortController();
    let failure: { readonly error: unknown } | undefined;
    const beside = [this.#follower.run(sides.signal), this.#tidy(sides.signal)].map((side) =>
      side.catch((error: unknown) => {
        failure ??= { error };
        over.abort();
      }),
    );
    try {
      await this.#elector().run(AbortSignal.any([signal, over.signal]));
    } finally {
      sides.abort();
      await Promise.all(beside);
    }
    if (failure) throw failure.error;
  }

  /** Deletes the Leases of members that have gone, in the version that was seen: each restart may leave one. */
  async #tidy(signal: AbortSignal): Promise<void> {
    const { clock, store, ring } = this.#options;
    let refused = false;
    while (await sleep(clock, this.#durationMs, signal)) {
      const now = clock.monotonic();
      // One tidies for all.
      if (this.view.live(now)[0] !== this.leaseName) continue;
      for (const { metadata } of this.view.forsaken(now - TIDY_DURATIONS * this.#durationMs)) {
        const { namespace, name, uid, resourceVersion } = metadata;
        try {
          await store.delete({ namespace, name }, { uid, resourceVersion }, { signal });
          refused = false;
        } catch (error) {
          if (!isStoreError(error)) throw error;
          // Somebody else did it, or it has come back.
          if (signal.aborted || isStoreError(error, 'Conflict', 'NotFound')) continue;
          if (!refused) this.#observe({ type: 'tidyFailed', ring, lease: { namespace, name }, error });
          refused = true;
        }
      }
    }
  }

  #elector(): LeaderElector {
    const { ring, store, annotations, owners, labels, observe: _, onProof: __, ...options } = this.#options;
    return new LeaderElector({
      ...options,
      ...fillOptions(MEMBER_ROWS, options),
      lease: { namespace: ring.namespace, name: this.leaseName },
      kind: 'member',
      // Also on a Lease that somebody else made.
      labels: { ...labels, [RING_LABEL]: ring.name, [KIND_LABEL]: 'member' },
      ...(annotations && { annotations }),
      ...(owners && { owners }),
      store: this.#recording(store),
      work: this.#work,
      observe: this.#observe,
    });
  }

  /** The store, with a note of when each write of the member Lease was sent. */
  #recording(store: LeaseStore): LeaseStore {
    const note = (lease: Lease): void => {
      const { renewTime } = lease.spec;
      if (renewTime === undefined) return;
      this.#sentAt = this.#options.clock.monotonic();
      this.#echoes.push({ renewTime, sentAt: this.#sentAt });
      if (this.#echoes.length > MAX_ECHOES) this.#echoes.shift();
    };
    return {
      get: (ref, options) => store.get(ref, options),
      list: (query, options) => store.list(query, options),
      watch: (query, signal) => store.watch(query, signal),
      delete: (ref, preconditions, options) => store.delete(ref, preconditions, options),
      create: (lease, options) => {
        note(lease);
        return store.create(lease, options);
      },
      update: (lease, options) => {
        note(lease);
        return store.update(lease, options);
      },
    };
  }

  #see(event: LeaseEvent): void {
    if (event.type === 'lost') return this.#lose(event.error);
    if (event.type !== 'fresh') {
      this.view.see(event, this.#options.clock.monotonic());
      const leases = event.type === 'list' ? event.leases : [event.lease];
      for (const lease of leases) if (lease.metadata.name === this.leaseName) this.#echo(lease);
    }
    if (this.#lost && (event.type === 'list' || event.type === 'fresh')) {
      this.#lost = false;
      this.#observe({ type: 'ringSynced', ring: this.#options.ring });
    }
    this.#onNews();
  }

  #echo({ spec }: Lease): void {
    if (spec.holderIdentity !== this.holder) return;
    const at = this.#echoes.findLastIndex(({ renewTime }) => renewTime.equals(spec.renewTime));
    if (at < 0) return;
    this.#proof = Math.max(this.#proof, this.#echoes[at]?.sentAt ?? -Infinity);
    this.#echoes.splice(0, at + 1);
    this.#options.onProof?.();
  }

  #lose(error: LeaseStoreError | undefined): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#observe({ type: 'ringLost', ring: this.#options.ring, error });
  }
}

export const isMember = (lease: Lease): boolean => lease.metadata.labels[KIND_LABEL] === 'member';

/** Text as part of a Lease's name: itself where it can be, else a readable part and a hash. */
export function namePart(text: string): string {
  if (text.length <= MAX_PART && objectNameProblem(text) === undefined) return text;
  const digits = createHash('sha256').update(text).digest('hex').slice(0, 16);
  const readable = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_PART - digits.length - 1)
    .replace(/^-+|-+$/g, '');
  return readable === '' ? digits : `${readable}-${digits}`;
}

function ringProblems({ namespace, name }: LeaseRef): { field: string; value: unknown; rule: string }[] {
  const problems = [];
  const badNamespace = objectNameProblem(namespace);
  if (badNamespace) problems.push({ field: 'ring.namespace', value: namespace, rule: badNamespace });
  const badName =
    objectNameProblem(name) ?? (isLabelValue(name) ? undefined : 'must be at most 63 characters: it is a label value');
  if (badName) problems.push({ field: 'ring.name', value: name, rule: badName });
  return problems;
}
