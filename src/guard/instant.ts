/**
 * Instants that two processes of one machine understand alike, and that a suspended machine does not stretch.
 *
 * `running` is CLOCK_MONOTONIC: exact, but it stands still in suspend. `sinceBoot` is the uptime, in steps of 10 ms: it
 * counts suspend. Both are the machine's, the same for all processes. An instant has come when either says so, so that whichever of the
 * two is behind can only make things happen too early.
 */
import { uptime } from 'node:os';

export interface Instant {
  /** Milliseconds. */
  readonly running: number;
  /** Milliseconds. */
  readonly sinceBoot: number;
}

/** How far the two may disagree before the machine is believed to have been suspended: as in runtime/clock.ts. */
const TOLERANCE_MS = 100;

export function systemNow(): Instant {
  return { running: Number(process.hrtime.bigint()) / 1e6, sinceBoot: uptime() * 1000 };
}

export const later = ({ running, sinceBoot }: Instant, ms: number): Instant => ({
  running: running + ms,
  sinceBoot: sinceBoot + ms,
});

/** Milliseconds until then; 0 or less once it has come. */
export function msUntil(then: Instant, now: Instant): number {
  const running = then.running - now.running;
  const sinceBoot = then.sinceBoot - now.sinceBoot;
  return sinceBoot < running - TOLERANCE_MS ? sinceBoot : running;
}
