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
 *   are short, and hold nobody back. What is held back outlives any silence that ends in each pass anew.
 * - *Unproven.* Nobody who still holds an unexpired lease has renewed since this one expired. Where renewals are refused,
 *   leases of an hour expire while one of a day has long to go; it proves nothing until it is renewed.
 *
 * Times are those that the holders wrote: a clock that is far ahead makes a silence look shorter, and a renewal later, by
 * so much; one that is behind holds up nobody else.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';

/** How many times the longest silence that ended: outages come in a row, with moments in between that do for some. */
const SILENCE_FACTOR = 3;

/** A lease at the first look. */
export interface Silence {
  /** When its holder last wrote. */
  readonly since: MicroTime;
  /** Milliseconds until the look. */
  readonly ms: number;
}

/** By name: a holder whose lease was deleted makes it anew. */
export type Silences = ReadonlyMap<string, Silence>;

/** When the holder last wrote, as far as is known. */
export const lastWrite = (lease: Lease): MicroTime | undefined =>
  lease.spec.renewTime ?? lease.metadata.creationTimestamp;

/** Milliseconds since the holder last wrote; 0 when that is not known, or lies ahead. */
export function silenceMs(lease: Lease, now: MicroTime): number {
  const last = lastWrite(lease);
  return last ? Math.max(0, now.since(last)) : 0;
}

/**
 * Those silences of the first look whose end could hold back one of the expired leases; usually none but theirs.
 * @param held with a holder, and not being deleted
 * @param expired which of them are expired
 */
export function longSilences(held: readonly Lease[], expired: (lease: Lease) => boolean, now: MicroTime): Silences {
  let shortest = Infinity;
  for (const lease of held) if (expired(lease)) shortest = Math.min(shortest, silenceMs(lease, now));
  const silences = new Map<string, Silence>();
  for (const lease of held) {
    const since = lastWrite(lease);
    const ms = silenceMs(lease, now);
    if (since && ms * SILENCE_FACTOR >= shortest) silences.set(lease.metadata.name, { since, ms });
  }
  return silences;
}

/** What the second look shows of others, gathered lease by lease. */
export class Witnesses {
  readonly #silences: Silences;
  readonly #now: MicroTime;
  #longestEndedMs = 0;
  #lastRenewal: MicroTime | undefined;

  /** @param now the earliest that it can be on the API server's clock */
  constructor(silences: Silences, now: MicroTime) {
    this.#silences = silences;
    this.#now = now;
  }

  /** A held, unexpired lease of the second look. */
  hear(lease: Lease): void {
    const last = lastWrite(lease);
    if (!last) return;
    const before = this.#silences.get(lease.metadata.name);
    const renewedNow = before !== undefined && last.compare(before.since) > 0;
    if (renewedNow) {
      // A clock that is behind makes every renewal look old: by that clock too it must have been silent for so long.
      this.#longestEndedMs = Math.max(this.#longestEndedMs, Math.min(before.ms, last.since(before.since)));
    }
    const renewal = renewedNow && last.compare(this.#now) < 0 ? this.#now : last;
    if (!this.#lastRenewal || renewal.compare(this.#lastRenewal) > 0) this.#lastRenewal = renewal;
  }

  /** Others were silent for about as long as this one, and came back just now. */
  recovering(lease: Lease): boolean {
    return silenceMs(lease, this.#now) <= SILENCE_FACTOR * this.#longestEndedMs;
  }

  /** Somebody renewed after this moment. */
  renewedSince(moment: MicroTime): boolean {
    return this.#lastRenewal !== undefined && this.#lastRenewal.compare(moment) > 0;
  }
}
