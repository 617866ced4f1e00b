/**
 * Publishes one process's identity lease: claims it, renews it, stands by when superseded, leaves it as asked.
 *
 * Guarantees: one PUT per renewal and nothing else while all is well; every PUT names the uid and the version it was made
 * from; the lease is never deleted to be made anew, so a watcher never sees it missing; `run` settles only when all it
 * began has ended, at the latest `shutdownTimeoutMs` after its signal.
 * Not guaranteed: that another process with our hostname stays away. That is detected and told, not resolved.
 */
import type { Lease } from '../lease/lease.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseStore } from '../lease/store.ts';
import { Allowance } from '../runtime/allowance.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import { Wake } from '../runtime/wake.ts';
import { Attempts } from './attempts.ts';
import { created, decide, identitySelf, renewed, takenOver } from './decide.ts';
import type { Self } from './decide.ts';
import type { PublisherEvent, PublisherStatus, ShutdownOutcome } from './publisher-events.ts';
import type { ServerHealth } from './server-health.ts';
import { Neighbours } from './neighbours.ts';
import { IDENTITY_BETWEEN, IDENTITY_ROWS, RENEW_JITTER } from './identity-options.ts';
import type { PublisherOptions } from './publisher-options.ts';
import type { IdentityChanges, IdentityOptions, ShutdownPolicy } from './identity-options.ts';
import { Stop } from './stop.ts';
import { Tenure } from './tenure.ts';
import { withdraw } from './withdraw.ts';
import { Writer } from './writer.ts';

/** Looks that hints of the watch may cause: so many at once, and one more after so many milliseconds. */
const [HINTS_AT_ONCE, HINT_EVERY_MS] = [5, 1_000];

/**
 * Keeps one process's identity lease: claims it, takes it over from a process before, renews it, stands by when
 * superseded, and leaves it as the shutdown policy says.
 */
export class Publisher {
  readonly #store: LeaseStore;
  readonly #clock: Clock;
  readonly #random: () => number;
  #options: IdentityOptions;
  readonly #observe: Observe<PublisherEvent>;
  readonly #health: ServerHealth | undefined;
  #self: Self;
  readonly #attempts: Attempts;
  readonly #neighbours: Neighbours;

  readonly #tenure: Tenure;
  readonly #writer: Writer;
  /** True: only a hint asks for the look. */
  #hinted = false;
  readonly #hints: Allowance;
  #wake = new Wake();

  /** @throws OptionsError with everything that is wrong */
  constructor({ store, clock, random, holder, options: given, observe, health }: PublisherOptions) {
    const options = checkedOptions('Publisher', IDENTITY_ROWS, given, IDENTITY_BETWEEN);
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
    this.#observe = observe;
    this.#health = health;
    this.#self = identitySelf(options, holder);
    this.#tenure = new Tenure(observe);
    this.#hints = new Allowance(clock, HINTS_AT_ONCE, HINT_EVERY_MS);
    this.#attempts = new Attempts({ capMs: options.renewIntervalMs, random, observe });
    this.#writer = new Writer({ store, clock, attempts: this.#attempts, timeoutMs: options.requestTimeoutMs });
    this.#neighbours = new Neighbours({
      store,
      clock,
      self: this.#self,
      listener: {
        onDisturbed: (lease, deleted) => this.#onDisturbed(lease, deleted),
        onTwin: (lease) => observe({ type: 'twin', lease }),
        onTwinGone: (name) => observe({ type: 'twinGone', name }),
        onFailure: (error, retryInMs = 0) =>
          observe({ type: 'failed', operation: 'watch', error, attempt: 1, retryInMs }),
      },
    });
  }

  /** As they are now. */
  get options(): IdentityOptions {
    return this.#options;
  }

  /** How it stands at the moment. */
  get status(): PublisherStatus {
    return {
      phase: this.#tenure.phase,
      namespace: this.#self.namespace,
      lease: this.#self.name,
      holder: this.#self.holder,
      heldBy: this.#tenure.heldBy,
      renewedAt: this.#tenure.renewedAt,
      failures: this.#attempts.failures,
      lastError: this.#attempts.lastError,
      twins: this.#neighbours.twins,
    };
  }

  /**
   * Takes other times, or another shutdown policy, while it runs or before it does: what it holds and knows it keeps. A
   * lease that is held is renewed at once, so that nobody is left with the old duration.
   * @param changes over the options it has
   * @throws OptionsError with everything that is wrong; then nothing changes
   */
  update(changes: IdentityChanges): void {
    const before = this.#options;
    const { leaseDurationSeconds, renewIntervalMs, requestTimeoutMs, shutdownPolicy } = { ...before, ...changes };
    const after = { ...before, leaseDurationSeconds, renewIntervalMs, requestTimeoutMs, shutdownPolicy };
    this.#options = checkedOptions('Publisher', IDENTITY_ROWS, after, IDENTITY_BETWEEN);
    this.#self = { ...this.#self, leaseDurationSeconds };
    this.#writer.timeoutMs = requestTimeoutMs;
    if (renewIntervalMs !== before.renewIntervalMs) this.#attempts.cap(renewIntervalMs);
    else if (leaseDurationSeconds === before.leaseDurationSeconds) return;
    this.#wake.now();
  }

  /**
   * Publishes until the signal aborts, then leaves the lease as the policy says. May be run again afterwards, with the
   * same holder.
   * @param policy instead of the options' shutdown policy; a function is asked when it leaves
   */
  async run(signal: AbortSignal, policy?: ShutdownPolicy | (() => ShutdownPolicy)): Promise<ShutdownOutcome> {
    const { shutdownTimeoutMs, requestTimeoutMs } = this.#options;
    const grace = Math.min(requestTimeoutMs, shutdownTimeoutMs / 2);
    const stop = new Stop(this.#clock, signal, grace, shutdownTimeoutMs);
    const sides = new AbortController();
    const running = Promise.all([
      this.#neighbours.run(sides.signal),
      this.#health?.run(sides.signal, (healthy, reason) => this.#onHealth(healthy, reason)),
    ]);
    running.catch(() => stop.begin());
    try {
      this.#tenure.phase = 'claiming';
      this.#tenure.look = true;
      while (!stop.begun.aborted) {
        const waitMs = await this.#turn(stop);
        if (waitMs > 0) await this.#wake.wait(this.#clock, waitMs, stop.begun);
      }
      this.#tenure.phase = 'stopping';
      sides.abort();
      await running;
      const outcome = await this.#leave(
        (typeof policy === 'function' ? policy() : policy) ?? this.#options.shutdownPolicy,
        stop.end,
      );
      this.#observe({ type: 'stopped', outcome, lease: this.#self.name });
      return outcome;
    } finally {
      this.#tenure.phase = 'idle';
      stop.dispose();
      sides.abort();
      await running.catch(() => undefined);
    }
  }

  /**
   * After a run that ended with `unknown`: goes on deleting our lease until it is known to be gone, or the signal aborts
   * (again `unknown`). Not to be called during a run.
   */
  async withdraw(signal: AbortSignal): Promise<ShutdownOutcome> {
    this.#tenure.phase = 'stopping';
    try {
      const outcome = await this.#leave('delete', signal);
      this.#observe({ type: 'stopped', outcome, lease: this.#self.name });
      return outcome;
    } finally {
      this.#tenure.phase = 'idle';
    }
  }

  /** One step of at most a look and a write; milliseconds until the next. */
  async #turn(stop: Stop): Promise<number> {
    if (this.#health !== undefined && !this.#health.healthy) {
      this.#tenure.phase = 'waitingForServer';
      return this.#options.renewIntervalMs;
    }
    if (this.#tenure.phase === 'waitingForServer') this.#tenure.phase = this.#tenure.lease ? 'holding' : 'claiming';
    if (this.#tenure.lease === undefined || this.#tenure.look) return this.#claim(stop);
    const renewal = renewed(this.#self, this.#tenure.lease, this.#writer.now());
    return (await this.#write('renew', renewal, stop)) ?? this.#interval();
  }

  async #claim(stop: Stop): Promise<number> {
    const waitMs = this.#hinted ? this.#hints.take() : 0;
    if (waitMs > 0) return waitMs;
    this.#hinted = false;
    let seen: Lease | undefined;
    const { namespace, name } = this.#self;
    try {
      seen = await this.#store.get(
        { namespace, name },
        { signal: stop.begun, timeoutMs: this.#options.requestTimeoutMs },
      );
    } catch (error) {
      if (stop.begun.aborted) return 0;
      if (!isStoreError(error, 'NotFound')) return this.#attempts.failed('get', error);
    }
    this.#writer.written.looked(seen, this.#clock.monotonic());
    if (stop.begun.aborted) {
      if (seen?.spec.holderIdentity === this.#self.holder) this.#tenure.lease = seen;
      return 0;
    }
    const memory = { held: this.#tenure.held, sent: this.#writer.written.sent, watched: this.#tenure.watched };
    const verdict = decide(this.#self, memory, seen, this.#clock.monotonic());
    switch (verdict.do) {
      case 'create': {
        const again = this.#tenure.lease !== undefined || this.#tenure.claiming?.how === 'recreated';
        this.#tenure.claiming = { how: again ? 'recreated' : 'created' };
        this.#tenure.phase = 'claiming';
        this.#tenure.lease = undefined;
        return (await this.#write('create', created(this.#self, this.#writer.now()), stop)) ?? this.#interval();
      }
      case 'takeOver': {
        this.#tenure.claiming = { how: 'takenOver', from: verdict.lease.spec.holderIdentity ?? '' };
        return (
          (await this.#write('takeOver', takenOver(this.#self, verdict.lease, this.#writer.now()), stop)) ??
          this.#interval()
        );
      }
      case 'adopt':
        return this.#adopt(verdict.lease, verdict.sentAt);
      case 'standBy':
        this.#attempts.succeeded();
        this.#writer.settled();
        this.#tenure.yieldTo(verdict.lease, 'superseded');
        this.#tenure.watched = verdict.watched;
        return Math.min(this.#interval(), verdict.leftMs);
      case 'refuse':
        this.#attempts.succeeded();
        this.#writer.settled();
        this.#tenure.yieldTo(verdict.lease, 'foreign');
        return this.#interval();
    }
  }

  /** The lease is ours although our last write was refused or unanswered. */
  #adopt(lease: Lease, sentAt: number | undefined): number {
    const lostAnswer = sentAt !== undefined && !lease.spec.renewTime?.equals(this.#tenure.lease?.spec.renewTime);
    this.#tenure.hold(lease);
    if (sentAt === undefined) this.#observe({ type: 'secondWriter', lease });
    // What was adopted is no renewal of now: make one. Until a write succeeds, failures and their waits go on counting.
    if (!lostAnswer) return 0;
    this.#attempts.succeeded();
    this.#tenure.renewedAt = sentAt;
    this.#observe({ type: 'adopted', lease });
    this.#tenure.claimed(lease);
    return Math.max(0, sentAt + this.#interval() - this.#clock.monotonic());
  }

  /** Sends one write. Undefined when it succeeded; else milliseconds until the next step. */
  async #write(operation: 'create' | 'takeOver' | 'renew', lease: Lease, stop: Stop): Promise<number | undefined> {
    const result = await this.#writer.send(operation, lease, stop.writes);
    if (result.lease === undefined) {
      if (result.look) this.#tenure.look = true;
      return result.waitMs;
    }
    this.#tenure.hold(result.lease);
    this.#tenure.renewedAt = result.began;
    if (operation === 'renew') this.#observe({ type: 'renewed', lease: result.lease, latencyMs: result.latencyMs });
    else this.#tenure.claimed(result.lease);
    return undefined;
  }

  #onDisturbed(lease: Lease, deleted: boolean): void {
    if (this.#tenure.phase === 'holding') {
      // The end of a lease before ours may be told late.
      if (deleted && lease.metadata.uid !== this.#tenure.lease?.metadata.uid) return;
      this.#observe({ type: 'disturbed', lease, deleted });
    } else if (this.#tenure.phase !== 'superseded' && this.#tenure.phase !== 'foreign') return;
    this.#hinted = true;
    this.#tenure.look = true;
    this.#wake.now();
  }

  #onHealth(healthy: boolean, reason: string): void {
    this.#observe({ type: 'serverHealth', healthy, reason });
    // While it was away our lease may have been collected or taken: look before the first renewal.
    this.#tenure.look = true;
    this.#wake.now();
  }

  async #leave(policy: ShutdownPolicy, signal: AbortSignal): Promise<ShutdownOutcome> {
    const { lost } = this.#writer.written;
    if (this.#tenure.lease === undefined && lost.length === 0)
      return this.#tenure.heldBy === undefined ? 'absent' : 'notOurs';
    let remove = policy === 'delete';
    if (policy === 'auto' && this.#health) remove = (await this.#health.ask(signal)) !== undefined;
    if (!remove) return 'kept';
    const timeoutMs = this.#options.requestTimeoutMs;
    const parts = { store: this.#store, clock: this.#clock, random: this.#random, self: this.#self, timeoutMs };
    const outcome = await withdraw({ ...parts, observe: this.#observe }, this.#tenure.lease, lost, signal);
    // Not known to be gone, it is ours still, and so is whatever write may yet arrive.
    if (outcome === 'unknown') return outcome;
    this.#tenure.lease = undefined;
    this.#tenure.renewedAt = undefined;
    this.#writer.written.forgetLost();
    return outcome;
  }

  /** Milliseconds to the next renewal. */
  #interval(): number {
    return this.#options.renewIntervalMs * (1 + RENEW_JITTER * this.#random());
  }
}
