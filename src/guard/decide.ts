/**
 * What the watchdog does with the command it watches. Pure.
 *
 * Guarantees: from `killAt` on the process group is killed, again and again until nothing of it is left, whether or not
 * anybody asks; before that it is asked to end (SIGTERM) from `endAt` on, and when the command itself has ended and left
 * others of its group behind. Nothing that comes later puts off what was asked for once.
 */
import { msUntil } from './instant.ts';
import type { Instant } from './instant.ts';

export interface Watched {
  /** The end of the term, as last heard: the group is asked to end. */
  readonly endAt: Instant;
  /** Before others may lead, as last heard: the group is killed. */
  readonly killAt: Instant;
  /** It was asked to end. */
  readonly asked: boolean;
  /** By when it must have ended, where it was asked. */
  readonly stopBy: Instant | undefined;
  /** The term is over, or leasekeeper is. */
  readonly doomed: boolean;
  /** The command's own process has ended. */
  readonly exited: boolean;
  /** Nothing of its process group is left. */
  readonly gone: boolean;
}

type Action =
  | { readonly do: 'ended' }
  | { readonly do: 'kill' }
  | { readonly do: 'ask' }
  /** Decide again after so many milliseconds. */
  | { readonly do: 'wait'; readonly ms: number };

/**
 * A timer stands still with the machine, so what is left to wait is worked out again this often, in milliseconds. The
 * elector reckons with a lag of 100 ms after a suspend.
 */
const CHECK_MS = 100;
/** A process that ends tells its parent; the rest of its group tells nobody. */
const CHECK_AT_REST_MS = 20;

export function decide(w: Watched, now: Instant): Action {
  if (w.exited && w.gone) return { do: 'ended' };
  const untilKill = Math.min(msUntil(w.killAt, now), w.stopBy ? msUntil(w.stopBy, now) : Infinity);
  if (w.doomed || untilKill <= 0) return { do: 'kill' };
  const untilAsk = w.asked ? Infinity : msUntil(w.endAt, now);
  if (!w.asked && (w.exited || untilAsk <= 0)) return { do: 'ask' };
  return { do: 'wait', ms: Math.min(untilKill, untilAsk, w.exited ? CHECK_AT_REST_MS : CHECK_MS) };
}
