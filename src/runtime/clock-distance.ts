/**
 * How far this machine's clock is from another's that says the time in whole seconds, as an HTTP `Date` does.
 */

/** Milliseconds that a time in whole seconds may be behind: it is cut off. */
const CUT_OFF_MS = 1_000;

/**
 * Milliseconds that our wall clock is ahead of the other (negative: behind), at the least: 0 when the answer is also what
 * equal clocks would have given.
 * @param sentMs our wall clock when the request was sent, milliseconds since the epoch
 * @param receivedMs our wall clock when the answer had arrived
 * @param dateMs what the answer says
 */
export function clockDistance(sentMs: number, receivedMs: number, dateMs: number): number {
  const ahead = sentMs - (dateMs + CUT_OFF_MS);
  const behind = receivedMs - dateMs;
  return ahead > 0 ? ahead : Math.min(behind, 0);
}
