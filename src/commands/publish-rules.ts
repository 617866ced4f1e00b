/**
 * What must hold between the options of `publish`.
 */
import { hostname } from 'node:os';
import type { Wrong } from '../config/bindings.ts';
import { publishSettings } from '../config/publish-flags.ts';
import type { PublishValues } from '../config/publish-flags.ts';
import { scheduleRules } from './cron-ticks.ts';

export const publishRules = async (values: PublishValues): Promise<Wrong[]> => [
  ...publishSettings(values, hostname()).wrong,
  ...(values.sweep ? await scheduleRules(values.sweepSchedule) : []),
];
