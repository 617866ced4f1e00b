/**
 * Schedules, by node-cron: a cron expression as ticks. In the time zone of the process (TZ).
 */
import type { NodeCron } from 'node-cron';
import type { Ticks } from '../sweep/sweeper.ts';

const SILENT = { info() {}, warn() {}, error() {}, debug() {} };

/** Loaded only by who has a schedule. */
const load = async (): Promise<NodeCron> => (await import('node-cron')).default;

/** What is wrong with a cron expression. */
export async function scheduleProblem(expression: string): Promise<string | undefined> {
  const { valid, errors } = (await load()).validateDetailed(expression);
  if (valid) return undefined;
  const why = errors
    .map(({ field, message }) => (field === 'expression' ? message : `${field}: ${message}`))
    .join('; ');
  return `must be a cron expression such as */5 * * * * (${why})`;
}

/** Ticks at the times of a valid expression, until unsubscribed. Whether the last tick's work still runs is the listener's business. */
export async function cronTicks(expression: string): Promise<Ticks> {
  const cron = await load();
  return (onTick) => {
    const task = cron.schedule(expression, () => onTick(), { logger: SILENT, suppressMissedWarning: true });
    return () => void task.destroy();
  };
}
