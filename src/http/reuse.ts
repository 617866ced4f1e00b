/**
 * An answer that is costly to make, made seldom enough: it never takes more than a twentieth of the time, however often it
 * is asked for. What is cheap to make is made anew each time.
 */
import type { Clock } from '../runtime/clock.ts';

/** For how many times the time that it took to make an answer is given again. */
export const REUSE_FACTOR = 20;

export function reuse<T>(clock: Clock, make: () => T): () => T {
  let made: { readonly answer: T; readonly until: number } | undefined;
  return () => {
    const began = clock.monotonic();
    if (made && began < made.until) return made.answer;
    const answer = make();
    made = { answer, until: began + (clock.monotonic() - began) * REUSE_FACTOR };
    return answer;
  };
}
