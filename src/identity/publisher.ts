/**
 * Publishes one process's identity lease: claims it, renews it, stands by when superseded, leaves it as asked.
 *
 * Guarantees: one PUT per renewal and nothing else while all is well; every PUT and DELETE names the uid and the version it
 * was made from; the lease is never deleted and created again, so a watcher never sees it missing; of a lease only a
 * version whose holder is us is ever deleted. A write whose answer was lost is remembered: it is distinguished from a second
 * writer, and leaving waits for it as long as it could still take effect. So nothing of ours comes after an outcome, but
 * after `unknown`, and after `kept`: then the lease stays, and what is under way may still renew it. Within one process
 * renewTime goes back only when the clock was stepped back by more than `maxSkewMs`. Beside an API server whose own lease
 * takes part in peer proxying it holds none, unless `besideServer` says so. `run` settles only when all it began has ended,
 * at the latest `shutdownTimeoutMs` after its signal.
 * Not guaranteed: that another process with our hostname stays away. That is detected and reported, not resolved.
 */
import { publishedExpiry } from '../lease/expiry.ts';
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { OwnWrites } from '../lease/own-writes.ts';
import type { OwnWrite } from '../lease/own-writes.ts';
import { recordOf, silence } from '../lease/record.ts';
import type { LeaseRecord, Silence } from '../lease/record.ts';
import { isStoreError } from '../lease/store.ts';
import type { CallOptions, LeaseStore, LeaseStoreError } from '../lease/store.ts';
import { TokenBucket } from '../runtime/token-bucket.ts';
import { createBackoff } from '../runtime/backoff.ts';
import type { Backoff } from '../runtime/backoff.ts';
import { aborted, sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Given } from '../runtime/options.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { Wake } from '../runtime/wake.ts';
import { created, decide, identitySelf, renewed, takenOver } from './decide.ts';
import type { Self, Verdict } from './decide.ts';
import { IDENTITY_BETWEEN, IDENTITY_ROWS, RENEW_JITTER } from './identity-options.ts';
import type { IdentityChanges, IdentityOptions } from './identity-options.ts';
import { Neighbours } from './neighbours.ts';
import type {
  PublisherEvent,
  PublisherOperation,
  PublisherPhase,
  PublisherStatus,
  ShutdownOutcome,
} from './publisher-events.ts';
import type { HealthRefusal, ServerHealth } from './server-health.ts';

/** Reads that hints of the watch may cause: so many at once, and one more after so many milliseconds. */
const [HINTS_AT_ONCE, HINT_EVERY_MS] = [5, 1_000];
/** First wait after a failure, in milliseconds (component-helpers' own). */
const FIRST_BACKOFF_MS = 200;
/** Conflicts in a row that are answered at once; after these the waits of a failure apply (component-helpers' own). */
const CONFLICTS_AT_ONCE = 5;
/** Longest wait between two tries to delete the lease, in milliseconds. */
const LEAVING_BACKOFF_CAP_MS = 1_000;

/** What a publisher is made of: its collaborators, and the options of `IdentityOptions`, all but the hostname optional. */
export interface PublisherOptions extends Given<IdentityOptions> {
  readonly hostname: string;
  readonly store: LeaseStore;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** From `holderIdentity`: a fresh one for every process start, kept for the life of the process. */
  readonly holder: string;
  /** Default: nobody listens. */
  readonly observe?: Observe<PublisherEvent> | undefined;
  /** The server beside us; left out: the lease stands for this process alone. */
  readonly health?: ServerHealth | undefined;
  /** Milliseconds that our clock is ahead of the API server's, as far as is known; left out: nobody knows. */
  readonly clockDistanceMs?: (() => number | undefined) | undefined;
}

interface Claiming {
  readonly how: 'created' | 'recreated' | 'takenOver';
  /** What was taken over. */
  readonly took?: LeaseRecord;
}

/**
 * Keeps one process's identity lease: claims it, takes it over from a process before, renews it, stands by when
 * superseded, and leaves it as the shutdown policy says. While switched off (`enable(false)`) it holds none.
 */
export class Publisher {
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #observe: Observe<PublisherEvent>;
  readonly #health: ServerHealth | undefined;
  readonly #clockDistanceMs: () => number | undefined;
  readonly #neighbours: Neighbours;
  readonly #hints: TokenBucket;
  readonly #wake = new Wake();
  readonly #writes = new OwnWrites();
  #given: Given<IdentityOptions>;
  #options: IdentityOptions;
  #self: Self;
  #backoff: Backoff;
  #enabled = true;
  #switched = new AbortController();
  #phase: PublisherPhase = 'idle';
  /** The version that we hold, as last answered. */
  #lease: Lease | undefined;
  /** True: the next request is a GET. */
  #mustRead = true;
  /** True: only a hint asks for the read. */
  #hinted = false;
  /** The other's record while we stand by, and the other holder while another holds the lease. */
  #watched: Silence | undefined;
  #heldBy: string | undefined;
  /** The claim that was sent last, for when its answer is lost. */
  #claiming: Claiming | undefined;
  /** The lease as we last wrote it, from the first time that we held it on; and the record that we took over last. */
  #last: LeaseRecord | undefined;
  #took: LeaseRecord | undefined;
  /** Since when the lease that we knew is gone, monotonic milliseconds. */
  #goneSince: number | undefined;
  /** When, in monotonic milliseconds, our holder was last found with another's renewTime, and how often in a window. */
  #foreign = { at: -Infinity, times: 0 };
  /** What was reported already: the version that was put back, the object that is marked for deletion, a clock that is off. */
  #restored: Lease | undefined;
  #terminating: string | undefined;
  #clockOff = false;
  /** Of the last write, microseconds since the epoch. */
  #lastMicros = -Infinity;
  /** Monotonic milliseconds, from before the renewal was sent. */
  #renewedAt: number | undefined;
  #conflicts = 0;
  #failures = 0;
  #lastError: LeaseStoreError | undefined;

  /** @throws OptionsError with all that is wrong with the options */
  constructor(options: PublisherOptions) {
    const { store, clock, random, holder, observe, health, clockDistanceMs = () => undefined, ...given } = options;
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#observe = containedObserver(observe);
    this.#health = health;
    this.#clockDistanceMs = clockDistanceMs;
    this.#given = given;
    this.#options = checkedIdentity(given);
    this.#self = identitySelf(this.#options, holder);
    this.#backoff = this.#createBackoff(this.#options.renewIntervalMs);
    this.#hints = new TokenBucket(clock, HINTS_AT_ONCE, HINT_EVERY_MS);
    this.#neighbours = new Neighbours({
      store,
      clock,
      self: this.#self,
      onDisturbed: (lease, deleted) => this.#disturbed(lease, deleted),
      onPeer: () => this.#wake.now(),
      observe: this.#observe,
    });
  }

  /** As they are now. */
  get options(): IdentityOptions {
    return this.#options;
  }

  /** How it stands at the moment. */
  get status(): PublisherStatus {
    return {
      phase: this.#enabled ? this.#phase : 'disabled',
      namespace: this.#self.namespace,
      lease: this.#self.name,
      holder: this.#self.holder,
      heldBy: this.#heldBy,
      renewedAt: this.#renewedAt,
      failures: this.#failures,
      lastError: this.#lastError,
      twins: this.#neighbours.twins,
      finalizers: this.#lease?.metadata.deletionTimestamp && this.#lease.metadata.finalizers,
    };
  }

  /**
   * Takes other times, or another shutdown policy, while it runs or before it does: what it holds and knows it keeps. A
   * lease that is held is renewed at once, so that nobody is left with the old duration.
   * @throws OptionsError when they cannot be used together with those it has
   */
  update(changed: IdentityChanges): void {
    const { leaseDurationSeconds, renewIntervalMs, requestTimeoutMs, shutdownPolicy, freshForMs, maxSkewMs } = changed;
    const times = { leaseDurationSeconds, renewIntervalMs, requestTimeoutMs, freshForMs, maxSkewMs };
    const changes = { ...times, shutdownPolicy };
    const known = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
    const given = { ...this.#given, ...known };
    const [before, after] = [this.#options, checkedIdentity(given)];
    this.#given = given;
    this.#options = after;
    this.#self = identitySelf(after, this.#self.holder);
    if (after.renewIntervalMs !== before.renewIntervalMs) this.#backoff = this.#createBackoff(after.renewIntervalMs);
    else if (after.leaseDurationSeconds === before.leaseDurationSeconds) return;
    this.#wake.now();
  }

  /**
   * Switches publishing off and on again, while it runs or before it does. Off: our lease is deleted, for as long as that
   * takes. Of several switches during a request only the last one counts; off and on again loses nothing.
   */
  enable(on: boolean): void {
    if (on === this.#enabled) return;
    this.#enabled = on;
    this.#switched.abort();
    this.#switched = new AbortController();
    this.#wake.now();
  }

  /**
   * Publishes until the signal aborts, then leaves the lease as the policy says. May be run again afterwards, with the
   * same holder and all that it knows of newer processes.
   */
  async run(signal: AbortSignal): Promise<ShutdownOutcome> {
    const stop = createStop(this.#clock, signal, this.#options);
    let outcome: ShutdownOutcome = 'absent';
    try {
      do {
        const published = this.#enabled;
        if (published) await this.#publish(stop);
        if (this.#enabled && !stop.begun.aborted) continue;
        this.#phase = 'stopping';
        outcome = await this.#leave(stop.end);
        if (this.#enabled && !stop.begun.aborted) continue;
        if (published) this.#observe({ type: 'stopped', outcome, lease: this.#self.name });
        if (!this.#enabled) await aborted(AbortSignal.any([stop.begun, this.#switched.signal]));
      } while (!stop.begun.aborted);
      return outcome;
    } finally {
      this.#phase = 'idle';
      stop.dispose();
    }
  }

  /** Until the stop begins or it is switched off. */
  async #publish(stop: Stop): Promise<void> {
    const sides = new AbortController();
    const running = Promise.all([
      this.#neighbours.run(sides.signal),
      this.#health?.run(sides.signal, (healthy, reason) => this.#serverChanged(healthy, reason)),
    ]);
    running.catch(() => stop.begin());
    try {
      this.#phase = 'claiming';
      this.#mustRead = true;
      // A lease beside a server that takes part in peer proxying would disturb its peers, however short it is there.
      const known = AbortSignal.any([stop.begun, this.#neighbours.known]);
      if (!known.aborted) await sleep(this.#clock, this.#options.requestTimeoutMs, known);
      while (!stop.begun.aborted && this.#enabled) {
        const waitMs = await this.#turn(stop);
        if (waitMs > 0) await this.#wake.wait(this.#clock, waitMs, stop.begun);
      }
    } finally {
      sides.abort();
      await running;
    }
  }

  /** One step of at most a read and a write; milliseconds until the next. */
  async #turn(stop: Stop): Promise<number> {
    if (this.#health?.healthy === false) {
      this.#phase = 'waitingForServer';
      return this.#options.renewIntervalMs;
    }
    const waitMs = this.#hinted ? this.#hints.take() : 0;
    if (waitMs > 0) return waitMs;
    this.#hinted = false;
    const peer = this.#peer;
    if (peer) {
      if (this.#lease || this.#writes.lost.length > 0) await this.#withdraw(stop.begun);
      else if (!this.#self.sharedName) await this.#clear(stop.begun);
      if (!stop.begun.aborted) this.#yieldTo(peer, 'besideServer');
      return this.#interval();
    }
    if (this.#phase === 'waitingForServer') this.#phase = this.#lease ? 'holding' : 'claiming';
    if (this.#lease === undefined || this.#mustRead) return this.#claim(stop);
    return this.#write('renew', renewed(this.#self, this.#lease, this.#time()), stop);
  }

  async #claim(stop: Stop): Promise<number> {
    let seen: Lease | undefined;
    try {
      seen = await this.#get(stop.begun);
    } catch (error) {
      return this.#mayClaim(stop) ? this.#failed('get', error) : 0;
    }
    if (!this.#mayClaim(stop)) {
      if (seen?.spec.holderIdentity === this.#self.holder && this.#isOurs(seen)) this.#lease = seen;
      return 0;
    }
    const now = this.#clock.monotonic();
    const { all: written, acknowledged } = this.#writes;
    this.#goneSince = seen || !(this.#last ?? this.#watched) ? undefined : (this.#goneSince ?? now);
    const verdict = decide(
      this.#self,
      {
        written,
        acknowledged,
        last: this.#last,
        took: this.#took,
        putBack: this.#restored && recordOf(this.#restored),
        watched: this.#watched,
        goneSince: this.#goneSince,
        foreignRenewals: this.#foreignRenewals(now),
      },
      seen,
      now,
    );
    if ('restored' in verdict && verdict.restored) {
      const { lease } = verdict;
      const said = this.#restored?.metadata.resourceVersion === lease.metadata.resourceVersion;
      this.#restored = lease;
      if (!said) this.#observe({ type: 'restored', lease });
    }
    switch (verdict.do) {
      case 'wait':
        return verdict.leftMs;
      case 'create': {
        const again = this.#lease !== undefined || this.#claiming?.how === 'recreated';
        this.#claiming = { how: again ? 'recreated' : 'created' };
        this.#phase = 'claiming';
        this.#lease = undefined;
        return this.#write('create', created(this.#self, this.#time()), stop);
      }
      case 'takeOver':
        this.#claiming = { how: 'takenOver', took: recordOf(verdict.lease) };
        return this.#write('takeOver', takenOver(this.#self, verdict.lease, this.#time()), stop);
      case 'adopt':
        return this.#adopt(verdict);
      case 'standBy':
        this.#yieldTo(verdict.lease, verdict.rival === 'server' ? 'besideServer' : 'superseded');
        this.#watched = verdict.watched;
        return Math.min(this.#interval(), verdict.leftMs);
      case 'refuse':
        this.#yieldTo(verdict.lease, 'foreign');
        return this.#interval();
    }
  }

  /** Asked again after each answer: much may have happened while that was under way. */
  #mayClaim(stop: Stop): boolean {
    return !stop.begun.aborted && this.#enabled && this.#health?.healthy !== false && !this.#peer;
  }

  /** The lease is ours although our last write was refused or unanswered. */
  #adopt({ lease, write, restored }: Extract<Verdict, { do: 'adopt' }>): number {
    const lostAnswer = write !== undefined && write !== this.#writes.acknowledged;
    if (write) this.#stored(write, lease);
    this.#hold(lease);
    if (!write && !restored) {
      const now = this.#clock.monotonic();
      this.#foreign = { at: now, times: this.#foreignRenewals(now) + 1 };
      // Under a name that an API server shares it is probably that one: the next time tells.
      if (!this.#self.sharedName) this.#observe({ type: 'secondWriter', lease });
    }
    // What was adopted is no renewal of now: make one. Until a write succeeds, failures and their waits go on counting.
    if (!lostAnswer) return 0;
    this.#succeeded();
    this.#renewedAt = write.sentAt;
    this.#observe({ type: 'adopted', lease });
    this.#claimed(lease);
    return Math.max(0, write.sentAt + this.#interval() - this.#clock.monotonic());
  }

  /** Sends one write, once; milliseconds until the next step. */
  async #write(operation: 'create' | 'takeOver' | 'renew', lease: Lease, stop: Stop): Promise<number> {
    const call = this.#call(stop.writes);
    const base = operation === 'create' ? undefined : lease;
    const began = this.#clock.monotonic();
    const write = this.#writes.sending(lease.spec.renewTime!, began, base, {});
    let answer: Lease;
    try {
      answer = await (base ? this.#store.update(lease, call) : this.#store.create(lease, call));
    } catch (error) {
      if (!isStoreError(error)) throw error;
      const changed = isStoreError(error, 'Conflict', 'AlreadyExists', 'NotFound');
      if (error.mayHaveCommitted) this.#writes.answerLost(write);
      // Where something on the way sends a request twice, the answer may be a conflict with our own write.
      else if (!changed) this.#writes.refused(write);
      // Only a GET can tell how things stand.
      if (changed || error.mayHaveCommitted) this.#mustRead = true;
      if (stop.begun.aborted) return 0;
      if (!changed) return this.#failed(operation, error);
      return ++this.#conflicts <= CONFLICTS_AT_ONCE ? 0 : this.#backoff.next();
    }
    this.#stored(write, answer);
    this.#succeeded();
    this.#checkClock();
    this.#hold(answer);
    this.#renewedAt = began;
    const latencyMs = this.#clock.monotonic() - began;
    if (operation === 'renew') this.#observe({ type: 'renewed', lease: answer, latencyMs });
    else this.#claimed(answer);
    return this.#interval();
  }

  #hold(lease: Lease): void {
    this.#lease = lease;
    this.#mustRead = false;
    this.#watched = undefined;
    this.#goneSince = undefined;
    this.#heldBy = undefined;
    this.#phase = 'holding';
    const { uid, deletionTimestamp } = lease.metadata;
    if (!deletionTimestamp || this.#terminating === uid) return;
    this.#terminating = uid;
    this.#observe({ type: 'terminating', lease });
  }

  #stored(write: OwnWrite, lease: Lease): void {
    this.#writes.stored(write, lease);
    this.#restored = undefined;
    this.#last = recordOf(lease);
  }

  /** The claim under way, if there is one, has succeeded with this version. */
  #claimed(lease: Lease): void {
    if (this.#claiming === undefined) return;
    const { how, took } = this.#claiming;
    this.#took = took ?? this.#took;
    this.#claiming = undefined;
    this.#observe({ type: 'claimed', lease, how, ...(took && { from: took.holder ?? '' }) });
  }

  /** Another holds it. */
  #yieldTo(lease: Lease, phase: 'superseded' | 'besideServer' | 'foreign'): void {
    this.#succeeded();
    this.#foreign = { at: -Infinity, times: 0 };
    this.#lease = undefined;
    this.#mustRead = true;
    this.#claiming = undefined;
    this.#heldBy = lease.spec.holderIdentity ?? '';
    if (this.#phase === phase) return;
    this.#phase = phase;
    if (phase === 'besideServer') this.#observe({ type: phase, lease, peerProxying: lease === this.#peer });
    else this.#observe({ type: phase, lease });
  }

  /** Renewals of ours in between are no news: the other may renew less often than we do. */
  #foreignRenewals(now: number): number {
    return now - this.#foreign.at <= this.#self.windowMs ? this.#foreign.times : 0;
  }

  #succeeded(): void {
    this.#conflicts = 0;
    this.#backoff.reset();
    if (this.#failures > 0) this.#observe({ type: 'recovered', failures: this.#failures });
    this.#failures = 0;
    this.#lastError = undefined;
  }

  /**
   * Milliseconds to wait.
   * @throws the error itself when no store reported it
   */
  #failed(operation: PublisherOperation, error: unknown, backoff = this.#backoff): number {
    if (!isStoreError(error)) throw error;
    const retryInMs = backoff.next(error.retryAfterMs);
    this.#lastError = error;
    const holdsUntil = this.#lease && publishedExpiry(this.#lease);
    this.#observe({ type: 'failed', operation, error, attempt: ++this.#failures, retryInMs, holdsUntil });
    return retryInMs;
  }

  /** Reported when it begins to be off, and when it is right again. */
  #checkClock(): void {
    const distanceMs = this.#clockDistanceMs();
    if (distanceMs === undefined) return;
    const exceeded = Math.abs(distanceMs) > this.#options.maxSkewMs;
    if (exceeded !== this.#clockOff) this.#observe({ type: 'clockDistance', distanceMs, exceeded });
    this.#clockOff = exceeded;
  }

  #disturbed(lease: Lease, deleted: boolean): void {
    if (this.#phase === 'holding') {
      // The end of a lease before ours may be reported late.
      if (deleted && lease.metadata.uid !== this.#lease?.metadata.uid) return;
      // Beside a server with peers it goes because we deleted it.
      if (!deleted || !this.#peer) this.#observe({ type: 'disturbed', lease, deleted });
    } else if (!['superseded', 'besideServer', 'foreign'].includes(this.#phase)) return;
    this.#hinted = true;
    this.#mustRead = true;
    this.#wake.now();
  }

  #serverChanged(healthy: boolean, reason: string | HealthRefusal): void {
    this.#observe({
      type: 'serverHealth',
      healthy,
      ...(typeof reason === 'string' ? { reason } : { reason: reason.refused, refused: true }),
    });
    // While it was away our lease may have been collected or taken: read before the first renewal.
    this.#mustRead = true;
    this.#wake.now();
  }

  /** Leaves the lease as the policy says, or deletes it because we are switched off: then until we are switched on again. */
  async #leave(end: AbortSignal): Promise<ShutdownOutcome> {
    if (this.#lease === undefined && this.#writes.lost.length === 0)
      return this.#heldBy === undefined ? 'absent' : 'notOurs';
    if (!this.#enabled) return this.#withdraw(AbortSignal.any([end, this.#switched.signal]));
    if (this.#peer) return this.#withdraw(end);
    const { shutdownPolicy } = this.#options;
    // One that refuses our credentials is alive.
    const remove =
      shutdownPolicy === 'auto' ? typeof (await this.#health?.ask(end)) === 'string' : shutdownPolicy === 'delete';
    return remove ? this.#withdraw(end) : 'kept';
  }

  /** Deletes what a process before us left under our name, once nobody has renewed it for our window: it disturbs peers too. */
  async #clear(signal: AbortSignal): Promise<void> {
    const { labelKey, labelValue, windowMs } = this.#self;
    try {
      const seen = await this.#get(signal);
      const ours = seen?.metadata.labels[labelKey] === labelValue;
      const now = this.#clock.monotonic();
      this.#watched = seen && ours ? silence(this.#watched, seen, now) : undefined;
      if (!seen || !this.#watched || now - this.#watched.since < windowMs) return;
      if (!this.#enabled || !this.#peer) return;
      const { uid, resourceVersion } = seen.metadata;
      await this.#store.delete(seen.metadata, { uid, resourceVersion }, this.#call(signal));
      this.#watched = undefined;
    } catch (error) {
      // It is looked at again with the next turn.
      if (!isStoreError(error)) throw error;
    }
  }

  /** Deletes our lease, only as long as its record is our own write. */
  async #withdraw(signal: AbortSignal): Promise<ShutdownOutcome> {
    const { namespace, name } = this.#self;
    const backoff = this.#createBackoff(LEAVING_BACKOFF_CAP_MS);
    let known = this.#lease && this.#isOurs(this.#lease) ? this.#lease : undefined;
    let outcome: ShutdownOutcome | undefined;
    let conflicts = 0;
    while (!signal.aborted) {
      let operation: PublisherOperation = 'delete';
      try {
        if (known !== undefined) {
          const { uid, resourceVersion, finalizers } = known.metadata;
          await this.#store.delete({ namespace, name }, { uid, resourceVersion }, this.#call(signal));
          // It goes when they do: no PUT of ours can follow, and a POST finds the name taken.
          outcome = finalizers.length > 0 ? 'terminating' : 'deleted';
          known = undefined;
          if (outcome === 'terminating') this.#writes.forgetLost();
          // A PUT that is still under way carries the uid that is gone now; a POST does not.
          this.#writes.observed(undefined, this.#clock.monotonic());
        } else {
          operation = 'get';
          const seen = await this.#get(signal);
          const own = seen && this.#writes.find(seen);
          if (own && seen.spec.holderIdentity === this.#self.holder) {
            this.#lease = known = seen;
            this.#stored(own, seen);
            continue;
          }
          // It was stored, and somebody has given the lease away since.
          if (own) this.#writes.refused(own);
          if (outcome !== 'deleted') outcome = seen === undefined ? 'absent' : 'notOurs';
          // Another's lease is no reason not to wait: it keeps a POST of ours out only for as long as it is there.
          if (this.#writes.lost.length > 0) await sleep(this.#clock, backoff.next(), signal);
        }
        if (this.#writes.lost.length > 0) continue;
        this.#lease = undefined;
        this.#renewedAt = undefined;
        return outcome;
      } catch (error) {
        if (!isStoreError(error)) throw error;
        if (signal.aborted) break;
        if (operation === 'delete' && (error.code === 'Conflict' || error.code === 'NotFound')) {
          // Changed since, by a write of ours whose answer was lost, by a successor, or it is gone: read again.
          known = undefined;
          if (++conflicts > CONFLICTS_AT_ONCE) await sleep(this.#clock, backoff.next(), signal);
        } else await sleep(this.#clock, this.#failed(operation, error, backoff), signal);
      }
    }
    return 'unknown';
  }

  /** Of what names us as its holder: under a shared name it may be an API server that renews in our name. */
  #isOurs(lease: Lease): boolean {
    return !this.#self.sharedName || this.#writes.find(lease) !== undefined;
  }

  /** The lease under our name, and what that says of writes whose answers were lost. */
  async #get(signal: AbortSignal): Promise<Lease | undefined> {
    const { namespace, name } = this.#self;
    let seen: Lease | undefined;
    try {
      seen = await this.#store.get({ namespace, name }, this.#call(signal));
    } catch (error) {
      if (!isStoreError(error, 'NotFound')) throw error;
    }
    this.#writes.observed(seen, this.#clock.monotonic());
    return seen;
  }

  #call(signal: AbortSignal): CallOptions {
    return { signal, timeoutMs: this.#options.requestTimeoutMs, urgent: true };
  }

  /** The wall clock; what it was stepped back by waits until it has come again, unless that is more than a clock is off. */
  #time(): MicroTime {
    let micros = this.#clock.wallMicros();
    const backMs = (this.#lastMicros - micros) / 1000;
    if (backMs > this.#options.maxSkewMs) this.#observe({ type: 'clockSteppedBack', byMs: backMs });
    else if (backMs >= 0) micros = this.#lastMicros + 1;
    const time = this.#writes.time(micros);
    this.#lastMicros = time.epochMicros;
    return time;
  }

  /** The lease of the server beside us, where ours would disturb its peers. */
  get #peer(): Lease | undefined {
    return this.#options.besideServer === 'auto' ? this.#neighbours.peer : undefined;
  }

  /** Milliseconds to the next renewal. */
  #interval(): number {
    return this.#options.renewIntervalMs * (1 + RENEW_JITTER * this.#random());
  }

  #createBackoff(capMs: number): Backoff {
    return createBackoff({ firstMs: FIRST_BACKOFF_MS, capMs, random: this.#random });
  }
}

/** The stages of a bounded stop: nothing new is begun, then writes in flight are given up, then everything is. */
interface Stop {
  readonly begun: AbortSignal;
  readonly writes: AbortSignal;
  readonly end: AbortSignal;
  /** Begins the stop without the signal, for a failure of our own. */
  begin(): void;
  /** Leaves no timer or listener. */
  dispose(): void;
}

function createStop(clock: Clock, signal: AbortSignal, { requestTimeoutMs, shutdownTimeoutMs }: IdentityOptions): Stop {
  const [begun, writes, end] = [new AbortController(), new AbortController(), new AbortController()];
  const timers: (() => void)[] = [];
  const onAbort = (): void => {
    timers.push(clock.schedule(Math.min(requestTimeoutMs, shutdownTimeoutMs / 2), () => writes.abort()));
    timers.push(clock.schedule(shutdownTimeoutMs, () => end.abort()));
    begun.abort();
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return {
    begun: begun.signal,
    writes: writes.signal,
    end: end.signal,
    begin: () => begun.abort(),
    dispose() {
      signal.removeEventListener('abort', onAbort);
      for (const cancel of timers) cancel();
    },
  };
}

const checkedIdentity = (given: Given<IdentityOptions>): IdentityOptions =>
  checkedOptions('Publisher', IDENTITY_ROWS, given, IDENTITY_BETWEEN);
