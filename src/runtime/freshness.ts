/**
 * How far silence is proved: follows a watch of leases, and tells until which moment nothing was missed.
 *
 * Guarantees: silence counts up to the last proof, and a watch that is lost proves nothing until it has caught up. Silence is
 * acted upon only once a stalled process has had time to read what waits in its socket. A watch that tells nothing when
 * silence would change something, or for `quietMs`, may be dead: it is replaced. `run` settles when its signal aborts,
 * leaving no timer and no watch.
 */
import type { LeaseEvent, LeaseStoreError } from '../lease/store.ts';
import { createBackoff } from './backoff.ts';
import type { Clock } from './clock.ts';
import { Follower } from './follow.ts';

/** How long silence may wait for the next event to prove it before the watch is replaced, in milliseconds. */
const PROOF_SLACK_MS = 1_000;
/** How long after a proof, or a stall, silence is acted upon, in milliseconds. It also spaces the walks over all leases. */
const ACT_AFTER_MS = 100;
/** How long after a loss what the watch tells may have happened during it, in milliseconds. */
const CATCH_UP_MS = 1_000;
/** Waits before a watch that ended is opened again, in milliseconds. */
const REOPEN_FIRST_MS = 500;
const REOPEN_CAP_MS = 4_000;

/** What changes when leases fall silent. */
export interface Watched {
  /** The monotonic millisecond before which silence changes nothing; Infinity: it never does. It may be too early. */
  readonly deadline: number;
  /** Lets silence up to `at` change what it must, and works the deadline out again. */
  advance(at: number): void;
}

/** What was seen of the leases themselves. */
export type LeaseNews = Exclude<LeaseEvent, { type: 'fresh' | 'lost' }>;

interface FreshnessOptions {
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  readonly open: (signal: AbortSignal) => AsyncIterable<LeaseEvent>;
  readonly watched: Watched;
  /** Milliseconds without a word after which the watch is replaced; default: only when silence would change something. */
  readonly quietMs?: number | undefined;
  /**
   * Takes in a list or a change.
   * @param sinceMs how long ago it can have happened at the most, in milliseconds: 0 when it is happening, Infinity for
   *   the first list
   * @param quietMs milliseconds since the watch was opened or last sent something: a list was not asked for before
   */
  readonly onNews: (news: LeaseNews, now: number, sinceMs: number, quietMs: number) => void;
  /**
   * Nothing was missed until `proof`.
   * @param after `start` and `loss`: for the first time, or for the first time since a loss
   */
  readonly onProof: (proof: number, after: 'start' | 'loss' | undefined) => void;
  /** @param before undefined: nothing was lost until now */
  readonly onLost: (error: LeaseStoreError, before: LeaseStoreError | undefined) => void;
  readonly onReplaced?: ((silentMs: number) => void) | undefined;
}

export class Freshness {
  readonly #options: FreshnessOptions;
  readonly #clock: Clock;
  readonly #follower: Follower<LeaseEvent>;
  readonly #backoff;
  #proof: number | undefined;
  /** When the watch was opened, or last sent something. */
  #heardAt = 0;
  #lost: LeaseStoreError | undefined;
  /** The last loss that ended: its first moment, and the one until which its events may still arrive. */
  #gap = { from: 0, until: -Infinity };
  /** Since the loss the watch sent something, but not that nothing was missed. */
  #heard = false;
  /** The watch was replaced, and the new one has proved nothing yet: replacing that too would never get a list. */
  #replaced = false;
  #armedFor = Infinity;
  /** The last timer fired late, and was put off. */
  #putOff = false;
  #disarm: () => void = () => {};

  constructor(options: FreshnessOptions) {
    const { clock, open, random } = options;
    this.#options = options;
    this.#clock = clock;
    this.#backoff = createBackoff({ firstMs: REOPEN_FIRST_MS, capMs: REOPEN_CAP_MS, random });
    this.#follower = new Follower({
      clock,
      open: (signal) => {
        this.#heardAt = clock.monotonic();
        return open(signal);
      },
      onEvent: (event) => this.#fold(event),
      onEnd: (error) => {
        if (error) this.#lose(error);
        return this.#backoff.next();
      },
    });
  }

  /** The monotonic millisecond until which nothing was missed; undefined before the first list. */
  get proof(): number | undefined {
    return this.#proof;
  }

  /** Why nothing is proved at present. */
  get lost(): LeaseStoreError | undefined {
    return this.#lost;
  }

  async run(signal: AbortSignal): Promise<void> {
    try {
      await this.#follower.run(signal);
    } finally {
      this.#setTimer(Infinity);
    }
  }

  /** The deadline became an earlier one without news. */
  rearm(): void {
    if (this.#proof !== undefined && this.#lost === undefined) this.#arm(this.#proof);
  }

  #fold(event: LeaseEvent): void {
    const now = this.#clock.monotonic();
    const quietMs = now - this.#heardAt;
    this.#heardAt = now;
    if (event.type === 'lost') return this.#lose(event.error);
    if (event.type === 'fresh') {
      if (this.#proof !== undefined) this.#prove(now);
      return;
    }
    // While lost, and just after, a change happened at some time since the last proof; else it is happening.
    const proof = this.#proof ?? -Infinity;
    const whole = event.type === 'list';
    const since = whole || this.#lost ? proof : now < this.#gap.until ? this.#gap.from : now;
    this.#options.onNews(event, now, now - since, quietMs);
    if (whole || !this.#lost) this.#prove(now);
    else if (!this.#heard) {
      this.#heard = true;
      this.#setTimer(now + PROOF_SLACK_MS);
    }
  }

  #prove(now: number): void {
    const after = this.#proof === undefined ? 'start' : this.#lost ? 'loss' : undefined;
    if (this.#lost && this.#proof !== undefined) this.#gap = { from: this.#proof, until: now + CATCH_UP_MS };
    this.#proof = now;
    this.#lost = undefined;
    this.#heard = false;
    this.#replaced = false;
    this.#backoff.reset();
    this.#options.onProof(now, after);
    this.#arm(now);
  }

  #lose(error: LeaseStoreError): void {
    const before = this.#lost;
    this.#lost = error;
    this.#heard = false;
    this.#setTimer(Infinity);
    this.#options.onLost(error, before);
  }

  /** Wakes up when a proof will be missing. While one event follows another this is a comparison. */
  #arm(now: number): void {
    if (this.#replaced) return;
    const { watched, quietMs = Infinity } = this.#options;
    const due = watched.deadline < now ? now + ACT_AFTER_MS : watched.deadline + PROOF_SLACK_MS;
    const at = Math.min(now + quietMs, due);
    if (at < this.#armedFor) this.#setTimer(at);
  }

  #setTimer(at: number): void {
    this.#disarm();
    this.#armedFor = at;
    this.#disarm = at === Infinity ? () => {} : this.#clock.schedule(at - this.#clock.monotonic(), () => this.#wake());
  }

  #wake(): void {
    const now = this.#clock.monotonic();
    // A timer this late is that of a stalled process: the first of what waits in its socket may be all that was read.
    this.#putOff = !this.#putOff && now - this.#armedFor > ACT_AFTER_MS;
    this.#armedFor = Infinity;
    if (this.#putOff) return this.#setTimer(now + ACT_AFTER_MS);
    const { watched, quietMs = Infinity } = this.#options;
    const proof = this.#proof ?? -Infinity;
    if (!this.#lost && now > watched.deadline) {
      // The deadline is that of leases as they were: most have been renewed since.
      watched.advance(proof);
      this.#options.onProof(proof, undefined);
    }
    const silent = now >= watched.deadline + PROOF_SLACK_MS || now - proof >= quietMs;
    if (!silent && !this.#lost) return this.#arm(proof);
    this.#replaced = true;
    this.#options.onReplaced?.(now - proof);
    this.#follower.replace();
  }
}
