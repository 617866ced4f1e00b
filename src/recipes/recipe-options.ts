/**
 * The options of the recipes: defaults and rules, stated once, for constructors, flags and reference.
 */
import { ELECTION_ROWS } from '../election/election-options.ts';
import type { ElectionOptions } from '../election/election-options.ts';
import { notNegativeMs, positiveMs, wholeNumber } from '../runtime/options.ts';
import type { OptionRows } from '../runtime/options.ts';
import { keyProblem } from './done-keys.ts';

/** How one use of a lock or a semaphore waits. */
interface UseTimes {
  readonly waitMs: number | undefined;
}
export const USE_ROWS: OptionRows<UseTimes> = {
  waitMs: { unit: 'ms', rule: notNegativeMs, text: 'longest time to wait for the lock; else as long as it takes' },
};

export const ONCE_ROWS: OptionRows<{ readonly key: string }> = {
  key: {
    type: 'string',
    required: true,
    rule: keyProblem,
    text: 'what is to be done once: a version, a digest; 1 to 253 characters',
  },
};

/** Each slot is a Lease that is read at every acquisition. */
const MAX_SLOTS = 1_000;
export const SEMAPHORE_ROWS: OptionRows<{ readonly count: number }> = {
  count: { type: 'number', required: true, rule: wholeNumber(1, MAX_SLOTS), text: 'how many works may run at once' },
};

/** Times of a cron, and what happens while a fire still runs. */
export interface CronTimes {
  /**
   * How far apart the clocks of replicas and API servers may be, in milliseconds; default 60000. Claimed fires are remembered
   * for twice as long, and older ones refused.
   */
  readonly maxSkewMs: number;
  /** Milliseconds that a claim may take, retries included, before the fire is given up; default 10000. */
  readonly claimTimeoutMs: number;
  /** Whether a fire runs while the one before of the same job still runs; default `allow`, node-cron's own. */
  readonly overlap: 'allow' | 'skip';
}
export const CRON_ROWS: OptionRows<CronTimes> = {
  maxSkewMs: { unit: 'ms', default: 60_000, rule: positiveMs, text: 'how far apart clocks may be' },
  claimTimeoutMs: { unit: 'ms', default: 10_000, rule: positiveMs, text: 'longest time for one claim' },
  overlap: { default: 'allow', choices: ['allow', 'skip'], text: 'whether fires of one job may run at the same time' },
};

/** Members renew less often than leaders: a failover of seconds is what they promise, and there are many. */
export const MEMBER_ROWS: OptionRows<ElectionOptions> = {
  ...ELECTION_ROWS,
  retryPeriodMs: { ...ELECTION_ROWS.retryPeriodMs, default: 5_000 },
};
export const DAMPING_ROWS: OptionRows<{ readonly dampingMs: number }> = {
  dampingMs: { unit: 'ms', default: 0, rule: notNegativeMs, text: 'how long a change waits before it is reported' },
};

const MAX_KEYS = 100_000;
export const SLOTS_ROWS: OptionRows<{ readonly slots: number }> = {
  slots: {
    type: 'number',
    required: true,
    rule: wholeNumber(1, MAX_KEYS),
    text: 'how many slots are shared: one command runs for each, somewhere',
  },
};
export const KEYS_ROWS: OptionRows<{ readonly keys: number | readonly string[] }> = {
  keys: { required: true, rule: keysProblem, text: 'what the members share: the number of keys, or their names' },
};

function keysProblem(keys: number | readonly string[]): string | undefined {
  if (typeof keys === 'number') return wholeNumber(1, MAX_KEYS)(keys);
  if (!Array.isArray(keys)) return 'must be a number of keys, or a list of names';
  if (keys.length > MAX_KEYS) return `must be at most ${MAX_KEYS} keys`;
  const bad = (keys as readonly unknown[]).find((key) => typeof key !== 'string' || key === '' || key.length > 253);
  return bad === undefined ? undefined : 'must be texts of 1 to 253 characters each';
}
