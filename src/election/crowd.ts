/**
 * How long a candidate lets others go first, so that of a thousand that see a lease free a few write and the others see
 * who won. Pure.
 *
 * Each draws its wait at random, by how many it believes to contend: about `FIRST` of them draw (almost) none, and with each
 * further piece of time, in which the news of who won should have come, twice as many have gone. So few write at once however
 * many there are, and the longest wait grows with the logarithm of that belief. Nobody is known at the start: then nobody waits. Races that were lost raise the belief, by how
 * long the server took to refuse (which grows with the crowd that writes); slow successions lower it. Why the first contest of
 * a crowd is not thinned: docs/decisions/herd.md.
 */

/** Candidates that go first, of those believed to be there. */
const FIRST = 2;
/** Those who go first spread over this. */
const FIRST_MS = 20;
/** In each further piece of time twice as many go: as long as a lost race took, within these bounds. */
const DOUBLING_MS = 100;
const LONGEST_DOUBLING_MS = 200;
/** A lost race multiplies the belief at least by this. */
const GROWTH = 4;
/** The longest refusal that a crowd explains, in milliseconds; a longer one means a slow network. */
const CROWDED_MS = 500;
/** What is late is late beyond the way there and back, of which this is the most that is allowed for, in milliseconds. */
const MAX_WAY_MS = 100;
const MAX_CONTENDERS = 2_048;

/** What is believed of the others. */
export interface Crowd {
  /** Candidates at one time, ourselves among them; a mean, so no whole number. */
  readonly contenders: number;
  /** Milliseconds that the last lost race took to be lost. */
  readonly refusalMs: number;
}

export const NOBODY_ELSE: Crowd = { contenders: 1, refusalMs: 0 };

/** Milliseconds to wait once the lease can be had. */
export function headStart({ contenders, refusalMs }: Crowd, random: () => number): number {
  if (contenders <= 1) return 0;
  const later = Math.max(0, Math.log2((random() * contenders) / FIRST));
  return random() * FIRST_MS + later * Math.min(Math.max(refusalMs, DOUBLING_MS), LONGEST_DOUBLING_MS);
}

/** Another was faster, although we wrote. @param tookMs from our sending to the refusal */
export function lostRace({ contenders }: Crowd, tookMs: number): Crowd {
  return {
    contenders: Math.min(Math.max(contenders * GROWTH, Math.min(tookMs, CROWDED_MS)), MAX_CONTENDERS),
    refusalMs: tookMs,
  };
}

/** Somebody took the lease so long after it could be had, and we had not lost a race for it. */
export function sawSuccession(crowd: Crowd, afterMs: number): Crowd {
  const lateMs = afterMs - FIRST_MS - 4 * Math.min(crowd.refusalMs, MAX_WAY_MS);
  if (lateMs <= 0) return crowd;
  return { ...crowd, contenders: Math.max(1, crowd.contenders / Math.min(2 ** (lateMs / DOUBLING_MS), GROWTH)) };
}
