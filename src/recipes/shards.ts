/**
 * Shards: spreads keys over the live members of a ring.
 *
 * Guarantees: a key is never in two hands. It is held by exactly one term of one member's Lease (see ring-view.ts for when it
 * is free), and its holder ends it at the deadline of that term, when its record is no longer the holder's own last write,
 * and when the holder has not seen the ring for as long as a term lasts. A key that is to move is drained first: its work is
 * asked to end, then its Lease is released, then the next member begins. Sizes differ by at most one once all see the same;
 * a dead member's keys move once its duration has passed, a leaving one's in one round trip.
 * A key whose holder is asked to step down goes to another member, or to the one that is named, which gives one of its own in return.
 * A member writes one renewal, whatever number of keys it holds.
 * Does not guarantee that keys whose Lease was deleted, or never was there, begin at once: they are waited for, one duration
 * from when the ring was first seen.
 */
import { askedToStepDown, versionToken } from '../election/decide.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import { checkedWork } from '../election/election-options.ts';
import { LeadershipError } from '../election/term.ts';
import type { Term } from '../election/term.ts';
import { newLease, withChanges } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import { KIND_LABEL, STEP_DOWN_ANNOTATION, TERM_ANNOTATION, stepDownMark, termMarkText } from '../lease/marks.ts';
import { MicroTime } from '../lease/micro-time.ts';
import { isCalled } from '../lease/names.ts';
import { OwnWrites } from '../lease/own-writes.ts';
import { recordOf, sameRecord } from '../lease/record.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { isStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Backoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { INT32_MAX, checkedOptions, fillOptions } from '../runtime/options.ts';
import { Wake } from '../runtime/wake.ts';
import { assign } from './assign.ts';
import { KEYS_ROWS, MEMBER_ROWS } from './recipe-options.ts';
import { RING_LABEL, RingMember, namePart } from './ring-member.ts';
import type { RingEvent, RingMemberOptions } from './ring-member.ts';
import { MEMBER_ANNOTATION, memberTermText, sameMemberTerm } from './ring-view.ts';
import type { MemberTerm } from './ring-view.ts';

/** A key's term: over when its member's term is, when another's record is seen, or the ring was not seen for too long. */
export interface ShardTerm extends Term {
  readonly key: string;
}

/** What a member does with a key, until `term.signal` aborts. When it ends by itself it is begun again, after a pause. */
export type ShardWork = (term: ShardTerm) => Promise<void>;

/** What shards report to their observer. */
export type ShardEvent =
  /** Of the member's own Lease. */
  | ElectionEvent
  | RingEvent
  | { readonly type: 'keyHeld'; readonly key: string; readonly fencingToken: number }
  | { readonly type: 'keyReleased'; readonly key: string }
  /** Ended without a release: the member's term is over, another's record was seen, or the ring was not seen for too long. */
  | { readonly type: 'keyLost'; readonly key: string; readonly why: 'term' | 'record' | 'view' }
  /** The work ended by itself and is begun again after `retryInMs`; with an error, it failed. */
  | { readonly type: 'keyWorkEnded'; readonly key: string; readonly retryInMs: number; readonly error?: unknown }
  /** A member was silent for its duration; its Lease, as taken. */
  | { readonly type: 'memberTaken'; readonly member: string; readonly lease: Lease }
  | { readonly type: 'keyFailed'; readonly key: string; readonly error: LeaseStoreError };

/** What shards are made of. */
export interface ShardsOptions extends Omit<RingMemberOptions, 'observe' | 'annotations' | 'onDeadline' | 'onProof'> {
  /** What is shared: so many keys, `0` to `count - 1`, or names. */
  readonly keys: number | readonly string[];
  readonly work: ShardWork;
  /**
   * Called at once, before anything else is done, when the end of a key's term moves, and when the key is lost (then
   * `term.lost` says why): as an elector's.
   */
  readonly onDeadline?: ((term: ShardTerm) => void) | undefined;
  /** Default: nobody listens. */
  readonly observe?: Observe<ShardEvent> | undefined;
}

/** Requests under way at once for keys. */
const MAX_REQUESTS = 32;
/** The longest wait between two runs of a work that ends by itself; the first is the retry period. */
const MAX_REST_MS = 30_000;
/** The longest pause between two looks at everything, in milliseconds. */
const MAX_PAUSE_MS = 500;
/** Between two tries of a request for one key that failed, in milliseconds. */
const RETRY_MS = 500;

/** One key that this member holds. */
interface Held {
  readonly key: string;
  readonly leaseName: string;
  /** The version that we wrote, as answered, or as seen since. */
  lease: Lease;
  /** Monotonic milliseconds of the answer: a view whose proof is later shows our write, or what followed it. */
  readonly answeredAt: number;
  /** The view has shown our write. */
  shown: boolean;
  /** It was reported as lost, and not as held since. */
  lost: boolean;
  /** A write that releases it was sent, and may take effect at any time: no work begins any more. */
  releasing: boolean;
  /** The work may begin before that. */
  readonly atOnce: boolean;
  /** It came because another was asked to step down, as the how-many-th of those: it is not the one to be given in return. */
  readonly asked: number;
  /** The work that runs; undefined: none does. */
  run: { readonly abort: AbortController; readonly term: ShardTerm; ended: Promise<void> } | undefined;
  /** When the work may be begun again, in monotonic milliseconds. */
  startAt: number;
  readonly rest: Backoff;
}

/** Keys shared among the members of a ring: each is held by one at most, and its work runs while it is. */
export class Shards {
  readonly #options: ShardsOptions;
  readonly #clock: Clock;
  readonly #observe: Observe<ShardEvent>;
  readonly #member: RingMember;
  readonly #durationMs: number;
  /** How old what is seen of the ring may be while a key is held, in milliseconds. */
  readonly #viewMs: number;
  /** And how old until everything must have ended. */
  readonly #holdMs: number;
  readonly #retryPeriodMs: number;
  /** Names of the keys' Leases, and the keys. */
  #keys: ReadonlyMap<string, string>;
  readonly #held = new Map<string, Held>();
  /** Requests under way, by Lease; and when one that failed may be tried again. */
  readonly #busy = new Set<string>();
  readonly #retryAt = new Map<string, number>();
  /** Writes of our own whose answers were lost, by Lease. */
  readonly #lost = new Map<string, OwnWrites>();
  /** Since when a key names our own term although we do not hold it, by the version seen. */
  readonly #ghosts = new Map<string, { readonly version: string; readonly since: number }>();
  #lastMicros = 0;
  #asks = 0;
  /** What a request threw that is no store error: a mistake of the program. */
  #mistake: { readonly error: unknown } | undefined;
  readonly #wake = new Wake();
  #term: Term | undefined;

  /** @throws OptionsError with everything that is wrong */
  constructor(options: ShardsOptions) {
    const { keys, work, observe, onDeadline: _, ...rest } = options;
    checkedWork('Shards', work);
    this.#options = options;
    this.#clock = options.clock;
    this.#observe = containedObserver(observe);
    this.#keys = keyNames(options.ring.name, keys);
    const member: RingMemberOptions = {
      ...rest,
      // What a key's work throws is reported and begun again; anything else is a mistake of the program, and ends the run.
      onWorkError: 'reject',
      onDeadline: () => this.#onDeadline(),
      onProof: () => this.#onDeadline(),
      observe: this.#observe,
    };
    this.#member = new RingMember(
      member,
      (term) => this.#lead(term),
      () => this.#wake.now(),
    );
    const { leaseDurationSeconds, renewDeadlineMs, retryPeriodMs } = fillOptions(MEMBER_ROWS, options);
    this.#durationMs = leaseDurationSeconds * 1000;
    // As of a term of the member: what has ended this long after the proof has ended before anybody may take the key.
    this.#holdMs = this.#durationMs * 0.99 - 100;
    this.#viewMs = Math.min(renewDeadlineMs, this.#holdMs);
    this.#retryPeriodMs = retryPeriodMs;
  }

  /** The keys that this member holds now, sorted. */
  get held(): string[] {
    return [...this.#held.values()]
      .filter((held) => !this.#isOver(held))
      .map(({ key }) => key)
      .sort();
  }

  /**
   * Other keys from now on: those that are no more are given back, new ones begin once they are free.
   * @throws OptionsError
   */
  update(keys: number | readonly string[]): void {
    this.#keys = keyNames(this.#options.ring.name, keys);
    this.#wake.now();
  }

  /** Takes part until the signal aborts; settles once the work of all keys has ended and the member Lease is released. */
  run(signal: AbortSignal): Promise<void> {
    return this.#member.run(signal);
  }

  #onDeadline(): void {
    const { onDeadline } = this.#options;
    if (onDeadline) for (const { run } of this.#held.values()) if (run) onDeadline(run.term);
  }

  /** One term of the member Lease. */
  async #lead(term: Term): Promise<void> {
    const { view, leaseName, holder } = this.#member;
    this.#term = term;
    this.#ghosts.clear();
    this.#lost.clear();
    const onAbort = (): void => this.#wake.now();
    term.signal.addEventListener('abort', onAbort, { once: true });
    // Sent before this term began: the write that won it, as a rule.
    const began = this.#member.sentAt;
    let own: MemberTerm | undefined;
    try {
      while (!term.signal.aborted) {
        if (this.#mistake) throw this.#mistake.error;
        const now = this.#clock.monotonic();
        const shown = view.memberTerm(leaseName);
        // What is shown may be of the term before, until a renewal of this one is.
        if (own === undefined && this.#member.proof >= began && shown?.holder === holder) own = shown;
        if (own && !(shown && sameMemberTerm(own, shown))) own = undefined;
        if (own && now < this.#member.proof + this.#viewMs) this.#turn(own, term, now);
        else for (const held of this.#held.values()) this.#endRun(held, own ? 'view' : 'record');
        // Where a look takes long there are many keys: changes are gathered, so that most of the time is left to others.
        const tookMs = this.#clock.monotonic() - now;
        if (tookMs > 1) await sleep(this.#clock, Math.min(MAX_PAUSE_MS, 4 * tookMs), term.signal);
        await this.#wake.wait(this.#clock, Math.max(0, this.#nextAt(now) - this.#clock.monotonic()), term.signal);
      }
    } finally {
      term.signal.removeEventListener('abort', onAbort);
      for (const { run } of this.#held.values()) run?.abort.abort(term.signal.reason);
      for (const { run } of this.#held.values()) await run?.ended;
      for (const held of this.#held.values()) this.#over(held, term.remainingMs > 0 ? undefined : 'term');
      this.#held.clear();
      this.#term = undefined;
    }
  }

  /** Looks at everything once: ends what is not ours any more, gives back what is to move, begins what is ours. */
  #turn(own: MemberTerm, term: Term, now: number): void {
    const { view, leaseName } = this.#member;
    for (const held of [...this.#held.values()]) this.#confirm(held);
    const live = view.live(now);
    if (!live.includes(leaseName)) live.push(leaseName);
    const holderOf = (name: string): string | undefined =>
      this.#held.has(name) ? leaseName : view.key(name).heldBy?.lease;
    const passedOn = this.#passedOn(live, holderOf, now);
    const keys = [...this.#keys.keys()];
    const nextOf = (name: string): string | undefined => passedOn.get(name) ?? holderOf(name);
    const stays = (name: string): number => (passedOn.has(name) ? Infinity : (this.#held.get(name)?.asked ?? 0));
    const mine = new Set(assign(live, keys, nextOf, stays).get(leaseName));
    for (const held of [...this.#held.values()]) {
      const { holderIdentity: holder = '', leaseTransitions: transitions = 0 } = held.lease.spec;
      const asked = askedToStepDown(held.lease, { holder, transitions });
      if (!mine.has(held.leaseName) || held.releasing || asked) this.#drain(held, now);
      else if (!held.run && now >= held.startAt && (held.shown || held.atOnce)) this.#start(held, term);
    }
    for (const name of this.#ghosts.keys()) if (!view.lease(name)) this.#ghosts.delete(name);
    for (const name of view.keys) this.#checkGhost(name, own, mine.has(name), now);
    for (const name of mine) {
      if (this.#held.has(name) || this.#ghosts.has(name)) continue;
      const { freeAt, lease } = view.key(name);
      if (now >= freeAt) this.#request(name, now, () => this.#acquire(name, lease, own, term, passedOn.has(name)));
      else {
        const silent = view.silentMember(name, now);
        if (silent) this.#request(silent.metadata.name, now, () => this.#take(silent));
      }
    }
  }

  /**
   * Keys whose holder has stepped down when it was asked to, and the member that each goes to: the one that is named, else
   * another than the holder, the one with the fewest keys. For one duration: then all are alike.
   */
  #passedOn(
    live: readonly string[],
    holderOf: (name: string) => string | undefined,
    now: number,
  ): ReadonlyMap<string, string> {
    const { view } = this.#member;
    const next = new Map<string, string>();
    for (const name of this.#keys.keys()) {
      const { lease, freeAt } = view.key(name);
      if (!lease?.metadata.annotations[STEP_DOWN_ANNOTATION] || lease.spec.holderIdentity) continue;
      const asked = stepDownMark(lease);
      if (asked?.transitions !== lease.spec.leaseTransitions || now >= freeAt + this.#durationMs) continue;
      const called = (member: string, as: string): boolean => isCalled(view.memberTerm(member)?.holder ?? '', as);
      const others = live.filter((member) => !called(member, asked?.holder ?? ''));
      const { to } = asked ?? {};
      const sizes = new Map(others.map((member) => [member, 0]));
      for (const key of this.#keys.keys()) {
        const holder = holderOf(key);
        if (holder !== undefined && sizes.has(holder)) sizes.set(holder, (sizes.get(holder) ?? 0) + 1);
      }
      const smallest = [...sizes].sort(([a, m], [b, n]) => m - n || (a < b ? -1 : 1))[0]?.[0];
      const chosen = (to === undefined ? undefined : others.find((member) => called(member, to))) ?? smallest;
      if (chosen !== undefined) next.set(name, chosen);
    }
    return next;
  }

  /** Follows the record of a key that we hold. */
  #confirm(held: Held): void {
    const seen = this.#member.view.lease(held.leaseName);
    if (seen && sameRecord(recordOf(seen), recordOf(held.lease)) && memberMark(seen) === memberMark(held.lease)) {
      if (!held.shown && !held.atOnce) held.startAt = this.#member.view.key(held.leaseName).notBefore;
      held.shown = true;
      held.lease = seen;
    } else if (held.shown || this.#member.proof > held.answeredAt) {
      // Another wrote it, or it is gone: no hand but ours may be on it for as long as ours is, so ours goes at once.
      if (!held.releasing) this.#endRun(held, 'record');
      // What is shown before its answer is the release, or what followed it.
      else this.#over(held);
      if (!held.run) this.#held.delete(held.leaseName);
    }
  }

  /**
   * A key that names our own term although we do not hold it: our own write whose answer was lost, or an older record that
   * was put back, under which another may still work until it notices.
   */
  #checkGhost(name: string, own: MemberTerm, mine: boolean, now: number): void {
    const { heldBy, lease } = this.#member.view.key(name);
    if (this.#held.has(name) || !lease || !heldBy || !sameMemberTerm(heldBy, own)) {
      this.#ghosts.delete(name);
      return;
    }
    const write = this.#lost.get(name)?.find(lease);
    if (write) {
      // Shown before its answer is there: that one decides, or, once it is lost, this.
      if (this.#busy.has(name)) return;
      this.#lost.delete(name);
      const key = this.#keys.get(name);
      if (key !== undefined) this.#hold(key, name, lease, now, write.baseUid !== undefined);
      return;
    }
    const version = lease.metadata.resourceVersion;
    const ghost = this.#ghosts.get(name);
    if (ghost?.version !== version) this.#ghosts.set(name, { version, since: ghost?.since ?? now });
    if (now < (this.#ghosts.get(name)?.since ?? now) + this.#member.view.longestMs || this.#busy.has(name)) return;
    this.#request(name, now, async () => {
      await this.#options.store.update(released(lease, this.#time()), { urgent: true });
      if (mine) this.#wake.now();
    });
  }

  /** Runs one request for a Lease, unless one runs or one has just failed. */
  #request(name: string, now: number, send: () => Promise<void>): void {
    if (this.#busy.has(name) || this.#busy.size >= MAX_REQUESTS || now < (this.#retryAt.get(name) ?? 0)) return;
    this.#busy.add(name);
    this.#retryAt.delete(name);
    void send()
      .catch((error: unknown) => {
        if (!isStoreError(error)) {
          this.#mistake = { error };
          return;
        }
        this.#retryAt.set(name, this.#clock.monotonic() + Math.max(RETRY_MS, error.retryAfterMs ?? 0));
        // What changed in between is shown by the watch.
        if (!isStoreError(error, 'Conflict', 'AlreadyExists', 'NotFound')) {
          this.#observe({ type: 'keyFailed', key: this.#keys.get(name) ?? name, error });
        }
      })
      .finally(() => {
        this.#busy.delete(name);
        this.#wake.now();
      });
  }

  async #acquire(name: string, base: Lease | undefined, own: MemberTerm, term: Term, asked: boolean): Promise<void> {
    const { store, ring } = this.#options;
    const key = this.#keys.get(name);
    if (key === undefined) return;
    const time = this.#time();
    const annotations = {
      [MEMBER_ANNOTATION]: memberTermText(key, own),
      [TERM_ANNOTATION]: termMarkText({
        holder: own.holder,
        transitions: (base?.spec.leaseTransitions ?? -1) + 1,
        durationSeconds: own.durationMs / 1000,
      }),
    };
    const spec = {
      holderIdentity: own.holder,
      leaseDurationSeconds: own.durationMs / 1000,
      acquireTime: time,
      renewTime: time,
      leaseTransitions: (base?.spec.leaseTransitions ?? -1) + 1,
    };
    const labels = { [KIND_LABEL]: 'shard', [RING_LABEL]: ring.name };
    const lease = base
      ? withChanges(base, { labels, annotations: { ...annotations, [STEP_DOWN_ANNOTATION]: undefined }, spec })
      : newLease({ namespace: ring.namespace, name, labels, annotations }, spec);
    const writes = this.#lost.get(name) ?? new OwnWrites();
    const write = writes.sending(time, this.#clock.monotonic(), base, {});
    this.#lost.set(name, writes);
    try {
      const call = { timeoutMs: Math.max(1, term.remainingMs), urgent: true };
      const answer = await (base ? store.update(lease, call) : store.create(lease, call));
      this.#lost.delete(name);
      if (term !== this.#term || term.signal.aborted || term.remainingMs === 0) return;
      // What is created out of nothing may follow what was created and deleted unseen: the view tells, a moment later.
      this.#hold(key, name, answer, this.#clock.monotonic(), base !== undefined, asked ? ++this.#asks : 0);
    } catch (error) {
      if (isStoreError(error) && error.mayHaveCommitted) writes.answerLost(write);
      else if (this.#lost.get(name) === writes && writes.lost.length === 0) this.#lost.delete(name);
      throw error;
    }
  }

  #hold(key: string, leaseName: string, lease: Lease, now: number, atOnce = true, asked = 0): void {
    const { random } = this.#options;
    this.#ghosts.delete(leaseName);
    this.#held.set(leaseName, {
      key,
      leaseName,
      lease,
      answeredAt: now,
      shown: false,
      lost: false,
      releasing: false,
      atOnce,
      asked,
      run: undefined,
      startAt: 0,
      rest: createBackoff({ firstMs: this.#retryPeriodMs, capMs: MAX_REST_MS, random }),
    });
    this.#observe({ type: 'keyHeld', key, fencingToken: tokenOf(lease) });
    this.#wake.now();
  }

  #start(held: Held, term: Term): void {
    const abort = new AbortController();
    const { work } = this.#options;
    const keyTerm = this.#keyTerm(held, term, abort.signal);
    const run = { abort, term: keyTerm, ended: Promise.resolve() };
    held.run = run;
    if (held.lost) this.#observe({ type: 'keyHeld', key: held.key, fencingToken: tokenOf(held.lease) });
    held.lost = false;
    run.ended = (async () => work(keyTerm))().then(
      () => this.#ended(held, abort.signal),
      (error: unknown) => this.#ended(held, abort.signal, { error }),
    );
  }

  #ended(held: Held, signal: AbortSignal, failed?: { readonly error: unknown }): void {
    held.run = undefined;
    if (!signal.aborted) {
      const retryInMs = held.rest.next();
      held.startAt = this.#clock.monotonic() + retryInMs;
      this.#observe({ type: 'keyWorkEnded', key: held.key, retryInMs, ...failed });
    }
    this.#wake.now();
  }

  #keyTerm(held: Held, term: Term, signal: AbortSignal): ShardTerm {
    const { key, leaseName, lease } = held;
    const { ring } = this.#options;
    const member = this.#member;
    const clock = this.#clock;
    const viewMs = this.#viewMs;
    const holdMs = this.#holdMs;
    const lost = (): boolean => held.run?.abort.signal !== signal || signal.reason instanceof KeyLost;
    return Object.freeze({
      key,
      lease: { namespace: ring.namespace, name: leaseName },
      holder: member.holder,
      fencingToken: tokenOf(lease),
      signal,
      get deadline() {
        return Math.min(term.deadline, member.proof + viewMs);
      },
      get expires() {
        return Math.min(term.expires, member.proof + holdMs);
      },
      get remainingMs() {
        if (lost() || term.remainingMs === 0) return 0;
        return Math.max(0, Math.min(term.remainingMs, member.proof + viewMs - clock.monotonic()));
      },
      get lost() {
        return lost() ? ('taken' as const) : term.lost;
      },
      check() {
        term.check();
        if (lost() || clock.monotonic() >= member.proof + viewMs) throw new KeyLost(key);
      },
    });
  }

  /** Asks the work to end because the key is not ours any more, or not known to be. */
  #endRun(held: Held, why: 'record' | 'view'): void {
    const { key, run } = held;
    this.#over(held, why);
    if (!run || run.abort.signal.reason instanceof KeyLost) return;
    // One that was asked to end already hears no second time; its `check` tells.
    run.abort.abort(new KeyLost(key));
    this.#options.onDeadline?.(run.term);
  }

  /** The key is to move: its work ends first, then its Lease is released. */
  #drain(held: Held, now: number): void {
    const { key, leaseName, run } = held;
    if (run) {
      run.abort.abort(new LeadershipError('SteppingDown', `the key ${key} moves to another member`));
      return;
    }
    this.#request(leaseName, now, async () => {
      held.releasing = true;
      await this.#options.store.update(released(held.lease, this.#time()), { urgent: true });
      if (this.#held.delete(leaseName)) this.#over(held);
    });
  }

  /** Takes a silent member's Lease, over the very version that was silent: its term has ended, and all keys see that. */
  async #take(silent: Lease): Promise<void> {
    const time = this.#time();
    const leaseTransitions = Math.min((silent.spec.leaseTransitions ?? 0) + 1, INT32_MAX);
    const spec = { holderIdentity: '', leaseTransitions, acquireTime: time, renewTime: time };
    const taken = withChanges(silent, { annotations: { [TERM_ANNOTATION]: undefined }, spec });
    const lease = await this.#options.store.update(taken, { urgent: true });
    this.#observe({ type: 'memberTaken', member: lease.metadata.name, lease });
  }

  /** Reports, once, that a key is not held any more. @param why it was lost; undefined: it was given back */
  #over(held: Held, why?: 'term' | 'record' | 'view'): void {
    const { key } = held;
    if (!held.lost) this.#observe(why === undefined ? { type: 'keyReleased', key } : { type: 'keyLost', key, why });
    held.lost = true;
  }

  #isOver(held: Held): boolean {
    const term = this.#term;
    if (!term || term.remainingMs === 0 || held.run?.abort.signal.reason instanceof KeyLost) return true;
    return this.#clock.monotonic() >= this.#member.proof + this.#viewMs;
  }

  /** A time of the wall clock that no other write of this member has. */
  #time(): MicroTime {
    this.#lastMicros = Math.max(this.#clock.wallMicros(), this.#lastMicros + 1);
    return MicroTime.fromEpochMicrosClamped(this.#lastMicros);
  }

  /** When something is to be looked at although nothing changes, in monotonic milliseconds. */
  #nextAt(now: number): number {
    let next = Math.min(this.#member.view.next(now), now + this.#durationMs);
    const consider = (at: number): void => {
      if (at > now && at < next) next = at;
    };
    consider(this.#member.proof + this.#viewMs);
    for (const { startAt } of this.#held.values()) consider(startAt);
    for (const at of this.#retryAt.values()) consider(at);
    for (const { since } of this.#ghosts.values()) consider(since + this.#member.view.longestMs);
    return next;
  }
}

const memberMark = ({ metadata }: Lease): string | undefined => metadata.annotations[MEMBER_ANNOTATION];

/** As of any term: see `Term.fencingToken`. */
const tokenOf = (lease: Lease): number => versionToken(lease) ?? lease.spec.leaseTransitions ?? 0;

/** The reason of a key's signal when the key is not this member's any more, or not known to be. */
class KeyLost extends LeadershipError {
  constructor(key: string) {
    super('LeadershipLost', `the key ${key} is not held any more, or not known to be`, 'taken');
  }
}

function released(lease: Lease, time: MicroTime): Lease {
  return withChanges(lease, {
    annotations: { [MEMBER_ANNOTATION]: undefined, [TERM_ANNOTATION]: undefined },
    spec: { holderIdentity: '', leaseDurationSeconds: 1, acquireTime: time, renewTime: time },
  });
}

/** The names of the keys' Leases, and the keys. @throws OptionsError */
function keyNames(ring: string, keys: number | readonly string[]): Map<string, string> {
  checkedOptions('Shards', KEYS_ROWS, { keys });
  const list = typeof keys === 'number' ? Array.from({ length: keys }, (_, i) => String(i)) : keys;
  return new Map(list.map((key) => [`${ring}-k-${namePart(key)}`, key]));
}
