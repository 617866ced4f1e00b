/**
 * LeaderElector: contends for a Lease, and runs work only while it leads. Interoperates with client-go on the same Lease.
 *
 * Guarantees, if clock rates are within 1 % of each other and every contender keeps to the protocol: no two terms hold at
 * the same time; the work of one term has ended before this elector begins another, and before it releases the lease;
 * after every loss and every end of the work it contends again, until its signal aborts. A lease that client-go empties
 * although another holds it is waited for, not taken.
 * Not guaranteed: that what a guarded step started takes effect in time (see `Term.fencingToken`), and anything while
 * others delete a lease that is held, or put it back to an older state: then a newcomer that has not seen what was there may lead
 * while the one before has not noticed.
 */
import { holderIdentity } from '../lease/names.ts';
import type { MarkChanges, OwnerReference } from '../lease/lease.ts';
import { KIND_LABEL } from '../lease/marks.ts';
import type { LeaseKind } from '../lease/marks.ts';
import type { LeaseRef, LeaseStore } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { OptionsError, fillOptions, optionProblems } from '../runtime/options.ts';
import { Candidate } from './candidate.ts';
import type { ElectionEvent } from './election-events.ts';
import { MARK_ROWS } from '../runtime/mark-options.ts';
import { ELECTION_BETWEEN, ELECTION_ROWS, candidacyProblems, timing, workProblems } from './election-options.ts';
import type { ElectionOptions } from './election-options.ts';
import { lead } from './lead.ts';
import type { Work } from './lead.ts';
import { LeaseFollower } from './lease-follower.ts';
import type { WatchLease } from './lease-follower.ts';
import { standBy } from './standby.ts';
import { LeadershipError } from './term.ts';
import type { Term } from './term.ts';

/** What an elector is made of. */
export interface LeaderElectorOptions extends Partial<ElectionOptions> {
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** 0 to 1, uniformly: Math.random. */
  readonly random: () => number;
  /** The Lease contended for; it is created when there is none. */
  readonly lease: LeaseRef;
  /** Who we are, for people to read: a host's or a pod's name. 1 to 253 characters. */
  readonly id: string;
  /** Tells two processes with one id apart: a fresh one for every elector. Holder identity is `<id>_<uuid>`. */
  readonly uuid: string;
  /**
   * Runs once for every term won, and has to end when `term.signal` aborts. When it ends by itself, well or with an error,
   * the lease is released and contended for again, after a wait that doubles from the retry period up to 30 s unless a
   * term outlasted the lease duration.
   */
  readonly work: Work;
  /** Default: nobody listens. */
  readonly observe?: Observe<ElectionEvent> | undefined;
  /**
   * Called at once, before anything else is done, when the end of a term moves: with each renewal, and when the term is
   * lost (then `term.lost` says why). For what must end in time even where this process cannot end it.
   */
  readonly onDeadline?: ((term: Term) => void) | undefined;
  /** How the lease is followed. Default: a watch of its own by `metadata.name`; or a `createSharedWatch`'s. */
  readonly watch?: WatchLease | undefined;
  /** What the lease is for, as its label says when we create it. Default `election`. */
  readonly kind?: LeaseKind | undefined;
  /** Labels that the lease gets with each acquisition. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Annotations that the lease gets with each acquisition and renewal; undefined removes one. Asked for each time. */
  readonly annotations?: (() => MarkChanges) | undefined;
  /** Owners of the lease when we create it: when they go, the garbage collector of Kubernetes deletes it. */
  readonly owners?: readonly OwnerReference[] | undefined;
  /** True: `run` settles after the first term, however that ended. Default false. */
  readonly once?: boolean | undefined;
}

/** The longest wait between work that ended and contending again; the first is the retry period. */
const MAX_REST_MS = 30_000;

/** Contends for a Lease, with others of its kind and with client-go, and runs work only while it leads. */
export class LeaderElector {
  readonly holder: string;
  readonly #candidate: Candidate;
  readonly #watch: WatchLease;
  readonly #options: Pick<LeaderElectorOptions, 'work' | 'onDeadline' | 'once'> & Pick<ElectionOptions, 'onWorkError'>;
  #running = false;
  #term: Term | undefined;

  /** @throws OptionsError with everything that is wrong */
  constructor(options: LeaderElectorOptions) {
    const { store, clock, random, lease, id, uuid, work, observe, onDeadline, watch, once } = options;
    const { kind = 'election', labels = {}, annotations = () => ({}), owners = [] } = options;
    const chosen = fillOptions(ELECTION_ROWS, options);
    const wrong = optionProblems(ELECTION_ROWS, chosen, ELECTION_BETWEEN);
    const marks = optionProblems({ labels: MARK_ROWS.labels, owners: MARK_ROWS.owners }, { labels, owners });
    // What a lease is for decides who may delete it, and who waits for whom.
    const other = marks.length === 0 && (labels[KIND_LABEL] ?? kind) !== kind;
    if (other) marks.push({ field: 'labels', value: labels, rule: `must not have our own label ${KIND_LABEL}` });
    const problems = [...candidacyProblems(lease, id, uuid), ...workProblems(work), ...wrong, ...marks];
    if (problems.length > 0) throw new OptionsError('LeaderElector', problems);
    this.holder = holderIdentity(id, uuid);
    this.#candidate = new Candidate({
      store,
      clock,
      random,
      ref: { namespace: lease.namespace, name: lease.name },
      holder: this.holder,
      timing: timing(chosen),
      marks: { kind, labels, annotations, owners },
      observe: containedObserver(observe),
    });
    this.#watch =
      watch ??
      (({ namespace, name }, signal) => store.watch({ namespace, fieldSelector: `metadata.name=${name}` }, signal));
    this.#options = { work, onDeadline, onWorkError: chosen.onWorkError, once };
  }

  /** Holder identity of the one last seen to hold the lease; undefined: nobody, or not known yet. */
  get leader(): string | undefined {
    return this.#candidate.leader;
  }

  /** The term that we hold; undefined while we do not lead. */
  get term(): Term | undefined {
    return this.#term !== undefined && this.#term.remainingMs > 0 ? this.#term : undefined;
  }

  /**
   * Contends until the signal aborts, and runs the work once for every term won. Settles once the work has ended and the
   * lease is released; at the latest `workTimeoutMs` and a renew deadline after the signal.
   * @throws LeadershipError `WorkNotEnded` when the work did not end in time; it may still be running
   * @throws what the work threw, where `onWorkError` is `reject`
   * @throws TypeError when it runs already
   */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#running) throw new TypeError('LeaderElector.run: it runs already');
    this.#running = true;
    const follower = new LeaseFollower(this.#candidate, this.#watch);
    const following = new AbortController();
    const over = new AbortController();
    const onAbort = (): void => over.abort();
    if (signal.aborted) onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    let failure: { readonly error: unknown } | undefined;
    const followed = follower.run(following.signal).catch((error: unknown) => {
      failure = { error };
      over.abort();
    });
    try {
      await this.#contend(follower, over.signal);
    } finally {
      signal.removeEventListener('abort', onAbort);
      following.abort();
      await followed;
      this.#running = false;
    }
    if (failure) throw failure.error;
  }

  async #contend(follower: LeaseFollower, signal: AbortSignal): Promise<void> {
    const candidate = this.#candidate;
    const { clock, random, timing } = candidate;
    const { work, onDeadline = () => {}, onWorkError, once = false } = this.#options;
    const onTerm = (term: Term | undefined): void => void (this.#term = term);
    const rest = createBackoff({ firstMs: timing.retryPeriodMs, capMs: MAX_REST_MS, random });
    while (!signal.aborted) {
      const acquired = await standBy(candidate, follower, signal);
      if (signal.aborted) {
        // Never began: nothing to wait for. What may have been written without an answer is looked for.
        const lost = candidate.writes.lost.findLast(({ opens }) => opens);
        if (acquired) await candidate.release(acquired.lease);
        else if (lost && lost.sentAt + timing.leaseDurationMs > candidate.now()) await candidate.release(undefined);
        return;
      }
      if (!acquired) return;
      const began = candidate.now();
      const { how, failure } = await lead({ candidate, work, onDeadline, onTerm, signal, once }, acquired);
      if (how === 'abandoned') {
        const { workTimeoutMs } = timing;
        throw new LeadershipError('WorkNotEnded', `the work did not end within ${workTimeoutMs} ms of being asked to`);
      }
      if (failure && onWorkError === 'reject') throw failure.error;
      if (once) return;
      if ((how === 'ended' || how === 'steppedDown') && !signal.aborted) {
        // Who steps down lets others begin, and has not failed: one that is asked again and again is there each time.
        if (how === 'steppedDown' || candidate.now() - began > timing.leaseDurationMs) rest.reset();
        await sleep(clock, rest.next(), signal);
      }
    }
  }
}
