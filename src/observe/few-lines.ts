/**
 * A bound on what the log tells of single nodes: a few lines a minute, and how many were left out.
 */
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from './log.ts';

/** Lines about single nodes in each minute. */
const LINES_A_MINUTE = 20;
const MINUTE_MS = 60_000;

/** Writes a line; past the bound at level `debug`. */
export type FewLines = (level: 'info' | 'warn', fields: object, text: string) => void;

export function fewLines(log: Logger, clock: Clock): FewLines {
  let lines = 0;
  let leftOut = 0;
  let minute = clock.monotonic();
  /** Whether one more may be written. */
  const room = (): boolean => {
    const now = clock.monotonic();
    if (now - minute >= MINUTE_MS) {
      if (leftOut > 0) log.info({ events: leftOut }, 'more happened to single nodes than is told here');
      [minute, lines, leftOut] = [now, 0, 0];
    }
    if (lines < LINES_A_MINUTE) return ++lines > 0;
    leftOut++;
    return false;
  };
  return (level, fields, text) => log[room() ? level : 'debug'](fields, text);
}
