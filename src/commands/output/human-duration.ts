/**
 * Spans of time for people, in kubectl's words: two or three significant figures (k8s.io/apimachinery, HumanDuration).
 */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/** Below each bound: the unit that is reported, and the smaller one that follows unless it is 0. The first that fits counts. */
const STEPS: readonly (readonly [below: number, unit: Unit, rest?: Unit])[] = [
  [2 * MINUTE, ['s', 1]],
  [10 * MINUTE, ['m', MINUTE], ['s', 1]],
  [3 * HOUR, ['m', MINUTE]],
  [8 * HOUR, ['h', HOUR], ['m', MINUTE]],
  [2 * DAY, ['h', HOUR]],
  [8 * DAY, ['d', DAY], ['h', HOUR]],
  [2 * YEAR, ['d', DAY]],
  [8 * YEAR, ['y', YEAR], ['d', DAY]],
  [Infinity, ['y', YEAR]],
];
type Unit = readonly [letter: string, seconds: number];

/** `3600s`; undefined: not known. */
export const secondsText = (seconds: number | undefined): string | undefined =>
  seconds === undefined ? undefined : `${seconds}s`;

/**
 * `5s`, `2m30s`, `4h`, `3d12h`. Up to two seconds below 0 are `0s`, because clocks differ; more are `<invalid>`.
 * @param ms milliseconds; `undefined` gives `<unknown>`
 */
export function humanDuration(ms: number | undefined): string {
  if (ms === undefined || Number.isNaN(ms)) return '<unknown>';
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return '<invalid>';
  if (seconds <= 0) return '0s';
  for (const [below, [letter, size], rest] of STEPS) {
    if (seconds >= below) continue;
    const left = rest ? Math.floor((seconds % size) / rest[1]) : 0;
    return `${Math.floor(seconds / size)}${letter}${rest && left > 0 ? `${left}${rest[0]}` : ''}`;
  }
  return '<invalid>';
}
