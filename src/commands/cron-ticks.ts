/**
 * Schedules, by node-cron: a cron expression as ticks. In the time zone of the process (TZ).
 */
import type { NodeCron } from 'node-cron';
import { wrong } from '../config/bindings.ts';
import type { Wrong } from '../config/bindings.ts';
import type { Ticks } from '../sweep/sweeper.ts';

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
