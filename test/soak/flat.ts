/**
 * Whether a series is flat, by a statistic that single outliers do not move: the median of its last third against that
 * of its middle third. The first third is the warm-up.
 */
import { median } from '../bench/measure.ts';

export interface Verdict {
  readonly middle: number;
  readonly last: number;
  readonly allowed: number;
  readonly flat: boolean;
}

/** @param room how much the last third may be above the middle one: a share of it, and so much more */
export function isFlat(values: readonly number[], room: { readonly share: number; readonly more: number }): Verdict {
  const third = Math.floor(values.length / 3);
  const middle = median(values.slice(third, 2 * third));
  const last = median(values.slice(2 * third));
  const allowed = middle * (1 + room.share) + room.more;
  // Too few samples say nothing.
  return { middle, last, allowed, flat: third >= 3 && last <= allowed };
}
