/**
 * Sweeping on a schedule: cron expressions as ticks, by node-cron, in the time zone of the process (TZ), and a sweeper whose
 * settings change while it runs.
 */
import { isDeepStrictEqual } from 'node:util';
import type { NodeCron } from 'node-cron';
import { wrong } from '../config/bindings.ts';
import type { Wrong } from '../config/bindings.ts';
import type { SweepSettings } from '../config/sweep-flags.ts';
import { Latest } from '../runtime/latest.ts';
import { Sweeper } from '../sweep/sweeper.ts';
import type { SweeperOptions, Ticks } from '../sweep/sweeper.ts';

const SILENT = { info() {}, warn() {}, error() {}, debug() {} };

/** Loaded only by who has a schedule. */
const load = async (): Promise<NodeCron> => (await import('node-cron')).default;

/** A range of numbers as long as these is written out by node-cron, number by number, before it is refused. */
const TOO_MUCH = /\d{4}/;
const MAX_LENGTH = 1_000;

/** What is wrong with a cron expression. */
export async function scheduleProblem(expression: string): Promise<string | undefined> {
  if (TOO_MUCH.test(expression) || expression.length > MAX_LENGTH) {
    return `must be a cron expression such as */5 * * * *, without numbers of four digits and at most ${MAX_LENGTH} characters long`;
  }
  const { valid, errors } = (await load()).validateDetailed(expression);
  if (valid) return undefined;
  const why = errors
    .map(({ field, message }) => (field === 'expression' ? message : `${field}: ${message}`))
    .join('; ');
  return `must be a cron expression such as */5 * * * * (${why})`;
}

/** For the options of a sweep. */
export const scheduleRules = async (schedule: string): Promise<Wrong[]> =>
  wrong('sweepSchedule', schedule, await scheduleProblem(schedule));

/** Ticks at the times of a valid expression, until unsubscribed. Whether the last tick's work still runs is the listener's business. */
export async function cronTicks(expression: string): Promise<Ticks> {
  const cron = await load();
  return (onTick) => {
    const task = cron.schedule(expression, () => onTick(), { logger: SILENT, suppressMissedWarning: true });
    return () => void task.destroy();
  };
}

/**
 * A sweeper as a service. Without settings it rests.
 *
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
