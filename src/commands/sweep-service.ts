/**
 * A sweeper whose settings change while it runs, as a service. Without settings it rests.
 */
import { isDeepStrictEqual } from 'node:util';
import type { SweepSettings } from '../config/sweep-flags.ts';
import { Latest } from '../runtime/latest.ts';
import type { SweeperOptions, Ticks } from '../sweep/sweeper.ts';
import { Sweeper } from '../sweep/sweeper.ts';
import { cronTicks } from './cron-ticks.ts';

/**
 * @param settings undefined: no sweeping, until others are set. New ones end the pass that runs, and begin with one
 * @param ticks for tests; default by node-cron
 */
export function sweepService(
  parts: Pick<SweeperOptions, 'store' | 'clock' | 'random' | 'observe' | 'own' | 'nodes'>,
  settings: SweepSettings | undefined,
  ticks: (schedule: string) => Promise<Ticks> = cronTicks,
): Latest<SweepSettings | undefined> {
  const work = async (desired: SweepSettings | undefined, signal: AbortSignal): Promise<void> => {
    if (desired === undefined) return;
    await new Sweeper({ ...parts, ...desired.options, ticks: await ticks(desired.schedule) }).run(signal);
  };
  return new Latest('sweeper', settings, work, isDeepStrictEqual);
}
