/**
 * Whether renewals work at all: what the other leases say about the silence of one. Pure.
 *
 * An expired lease may be a living server's that could not renew: the API was away, or etcd had no space. Two signs of
 * that are in the leases beside it:
 *
 * - *Recovering.* Somebody who was silent for long renewed between the two looks. What kept it silent may have kept others
 *   too, who have not had their turn yet: the API may have been there for moments only. So a lease is collected only when it
 *   has been silent for more than three times the longest silence that ended so. Only this factor, not any recovery, holds
 *   a lease back: else one server whose lease is shorter than its renewals would stop all sweeping for ever; its silences
 *   are short, and hold nobody back. And where somebody had renewed at the first look, the API was not away for longer:
 *   then a silence counts for at most the duration that the expired lease was published for, so that one lease of 68 years
 *   whose renewTime jumps cannot hold back all others. What is held back outlives any silence that ends again in each pass.
 * - *Unproven.* Nobody who still holds an unexpired lease has renewed since this one expired. Where renewals are refused,
 *   leases of an hour expire while one of a day has long to go; it proves nothing until it is renewed. And one that
 *   is held only since about the first look proves no more than that look did: who comes when the API does may be the
 *   first of many.
 *
 * Times are those that the holders wrote. The clock of one that came back may be wrong; the clock of one that is silent may
 * make its silence look longer or shorter.
 */
import { UNTIMED_LEASE_LIFE_MS } from '../lease/expiry.ts';
import type { Lease } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';

/** How many times the longest silence that ended: outages come in a row, with moments in between that do for some. */
const SILENCE_FACTOR = 3;

/** By how much a holder's clock may be ahead and make its silence look shorter, in milliseconds. */
const CLOCK_MARGIN_MS = 60_000;

/** A holder renewed just now may seem ahead by this much, as a `Date` has whole seconds; whose clock is ahead is not believed. */
const DATE_SLACK_MS = 2_000;

/** A lease at the first look. */
interface Silence {
  /** When its holder last wrote. */
  readonly since: MicroTime;
  /** Milliseconds until the look. */
  readonly ms: number;
}

export interface Silences {
  /** The first look. */
  readonly at: MicroTime;
  /** By name: a holder whose lease was deleted creates it again. */
  readonly byName: ReadonlyMap<string, Silence>;
  /** The shortest silence that is known, in milliseconds, and the renewal before it; Infinity, undefined: none is. */
  readonly freshestMs: number;
  readonly lastRenewal: MicroTime | undefined;
}

/** When the holder last wrote, as far as is known. */
const lastWrite = (lease: Lease): MicroTime | undefined => lease.spec.renewTime ?? lease.metadata.creationTimestamp;

const earlier = (time: MicroTime, ms: number): MicroTime =>
  MicroTime.fromEpochMicrosClamped(Math.round(time.epochMicros - ms * 1000));

/** Milliseconds that a lease was published for. */
const publishedMs = ({ spec }: Lease): number => (spec.leaseDurationSeconds ?? UNTIMED_LEASE_LIFE_MS / 1000) * 1000;

/** Milliseconds since the holder last wrote; 0 when that is not known, or lies ahead. */
function silenceMs(lease: Lease, now: MicroTime): number {
  const last = lastWrite(lease);
  return last ? Math.max(0, now.since(last)) : 0;
}

/**
 * Those silences of the first look whose end could hold back one of the expired leases, usually none but theirs; and the
 * leases written by a clock that was ahead, whose silence nobody knows yet.
 * @param held with a holder, and not being deleted
 * @param expired which of them are expired
 */
export function longSilences(held: readonly Lease[], expired: (lease: Lease) => boolean, now: MicroTime): Silences {
  let shortest = Infinity;
  let freshestMs = Infinity;
  for (const lease of held) if (expired(lease)) shortest = Math.min(shortest, silenceMs(lease, now));
  const byName = new Map<string, Silence>();
  for (const lease of held) {
    const since = lastWrite(lease);
    const ms = silenceMs(lease, now);
    if (since && now.since(since) > -DATE_SLACK_MS) freshestMs = Math.min(freshestMs, ms);
    if (since && (ms * SILENCE_FACTOR >= shortest || ms === 0)) byName.set(lease.metadata.name, { since, ms });
  }
  const lastRenewal = freshestMs < Infinity ? earlier(now, freshestMs) : undefined;
  return { at: now, byName, freshestMs, lastRenewal };
}

/** What the second look shows of others, gathered lease by lease. */
export class Witnesses {
  readonly #silences: Silences | undefined;
  readonly #since: MicroTime | undefined;
  readonly #now: MicroTime;
  #longestEndedMs = 0;
  #lastRenewal: MicroTime | undefined;

  /** @param now the earliest that it can be on the API server's clock */
  constructor(silences: Silences | undefined, now: MicroTime) {
    this.#silences = silences;
    this.#since = silences && earlier(silences.at, CLOCK_MARGIN_MS);
    this.#now = now;
  }

  /** A held, unexpired lease of the second look. */
  hear(lease: Lease): void {
    const before = this.#silences?.byName.get(lease.metadata.name);
    const wrote = lastWrite(lease);
    const known = before || !this.#begunSince(lease) ? wrote : this.#silences?.lastRenewal;
    if (!known || !wrote) return;
    const last = wrote.compare(known) < 0 ? wrote : known;
    const renewedNow = before !== undefined && last.compare(before.since) > 0;
    if (renewedNow) this.#longestEndedMs = Math.max(this.#longestEndedMs, this.#endedMs(before, last));
    const renewal = renewedNow && last.compare(this.#now) < 0 ? this.#now : last;
    if (!this.#lastRenewal || renewal.compare(this.#lastRenewal) > 0) this.#lastRenewal = renewal;
  }

  /** Whether a lease was created, or by what it says taken, since the first look; or shortly before, as clocks go. */
  #begunSince({ metadata: { creationTimestamp }, spec: { acquireTime } }: Lease): boolean {
    const since = this.#since;
    return since !== undefined && [creationTimestamp, acquireTime].some((begun) => begun && begun.compare(since) >= 0);
  }

  /**
   * By the API server's clock, and within what the holder's own clock allows: that alone tells the time between its two
   * writes, of which all but the time between the looks was silence. So a clock that is ahead or behind misleads nobody.
   */
  #endedMs({ since, ms }: Silence, last: MicroTime): number {
    const betweenMs = last.since(since);
    const looksMs = this.#silences ? this.#now.since(this.#silences.at) : 0;
    return Math.min(Math.max(ms, betweenMs - looksMs), betweenMs);
  }

  /** Others were silent for about as long as this one, and came back just now. */
  recovering(lease: Lease): boolean {
    const awayMs = (this.#silences?.freshestMs ?? Infinity) + CLOCK_MARGIN_MS;
    const countedMs = Math.min(this.#longestEndedMs, Math.max(awayMs, publishedMs(lease)));
    return silenceMs(lease, this.#now) <= SILENCE_FACTOR * countedMs;
  }

  /** Somebody renewed after this moment. */
  renewedSince(moment: MicroTime): boolean {
    return this.#lastRenewal !== undefined && this.#lastRenewal.compare(moment) > 0;
  }
}
