/**
 * An elector's options: defaults and rules, stated once. Numbers and rules are client-go's, so that one Lease can be
 * contended for by both.
 */
import { objectNameProblem } from '../lease/names.ts';
import type { LeaseRef } from '../lease/store.ts';
import { OptionsError, positiveMs, wholeNumber } from '../runtime/options.ts';
import type { OptionProblem, OptionRows, RuleBetween } from '../runtime/options.ts';

/** An elector's times, by client-go's rules. */
export interface ElectionOptions {
  /**
   * Whole seconds that others wait, after they last saw the lease change, before they take it over. Default 15.
   * At most 3600: what says more is read as an hour by others, and would not be waited for.
   */
  readonly leaseDurationSeconds: number;
  /** Milliseconds from the sending of the last successful renewal until the term ends. Default 10000. */
  readonly renewDeadlineMs: number;
  /** Milliseconds from one renewal to the next. Default 2000. */
  readonly retryPeriodMs: number;
  /**
   * Milliseconds that the work may take to end once the elector's signal has aborted, while its lease is still renewed.
   * Work that has not ended by then is given up and its lease left to expire, not released. Default 20000: with the
   * release after it, this fits the 30 s that Kubernetes gives a pod.
   */
  readonly workTimeoutMs: number;
  /**
   * What an error of the work does, where its signal had not aborted. `retry`: it is reported, and the lease contended for
   * again. `reject`: `run` rejects with it once the lease is released. Default `retry`.
   */
  readonly onWorkError: 'retry' | 'reject';
}

/** client-go's JitterFactor: a poll comes up to this share of the retry period later, at random. */
export const POLL_JITTER = 1.2;
/** Longer durations of others are read as this: otherwise a lease of 68 years would never be taken over. */
export const MAX_LEASE_DURATION_MS = 3_600_000;
/** Kubernetes' bound on names of objects; a holder has none of its own. */
const MAX_ID_LENGTH = 253;
/** Defaults and rules are client-go's own. */
export const ELECTION_ROWS: OptionRows<ElectionOptions> = {
  leaseDurationSeconds: {
    unit: 's',
    default: 15,
    rule: wholeNumber(1, MAX_LEASE_DURATION_MS / 1000, 'whole seconds'),
    text: 'how long others wait after the last renewal that they saw, whole seconds',
  },
  renewDeadlineMs: {
    unit: 'ms',
    default: 10_000,
    rule: positiveMs,
    text: 'how long leadership lasts after the last renewal that succeeded',
  },
  retryPeriodMs: { unit: 'ms', default: 2_000, rule: positiveMs, text: 'time from one renewal to the next' },
  workTimeoutMs: {
    unit: 'ms',
    default: 20_000,
    rule: positiveMs,
    text: 'time that the work has to end at the stop, while the lease is still renewed',
  },
  onWorkError: {
    default: 'retry',
    choices: ['retry', 'reject'],
    text: 'what an error of the work does: contend again, or end the elector with it',
  },
};

export const ELECTION_BETWEEN: readonly RuleBetween<ElectionOptions>[] = [
  {
    of: ['leaseDurationSeconds', 'renewDeadlineMs'],
    rule: ({ leaseDurationSeconds, renewDeadlineMs }) =>
      leaseDurationSeconds * 1000 > renewDeadlineMs ? undefined : 'must be longer than the renew deadline',
  },
  {
    of: ['renewDeadlineMs', 'retryPeriodMs'],
    rule: ({ renewDeadlineMs, retryPeriodMs }) =>
      renewDeadlineMs > POLL_JITTER * retryPeriodMs
        ? undefined
        : `must be longer than ${POLL_JITTER} times the retry period`,
  },
];

/** Everything that is wrong with which lease is contended for, and as whom. */
export function candidacyProblems(lease: LeaseRef, id: string, uuid: string): OptionProblem[] {
  const problems: OptionProblem[] = [];
  const say = (field: string, value: unknown, rule: string | undefined): void => {
    if (rule !== undefined) problems.push({ field, value, rule });
  };
  const text = (value: string): string | undefined => {
    if (value === '') return 'must not be empty';
    if (value.length > MAX_ID_LENGTH) return `must be at most ${MAX_ID_LENGTH} characters long`;
    return /\p{Cc}/u.test(value) ? 'must not contain control characters' : undefined;
  };
  say('lease.namespace', lease.namespace, objectNameProblem(lease.namespace));
  say('lease.name', lease.name, objectNameProblem(lease.name));
  say('id', id, text(id));
  say('uuid', uuid, text(uuid));
  return problems;
}

/** Why nobody can be called so, who is to lead next. */
export const successorProblem = (to: string): string | undefined =>
  to === '' || /\p{Cc}/u.test(to) ? 'must be a holder identity, or its part before the uuid' : undefined;

/** What is wrong with a work: nothing, for a program that is type-checked. */
export const workProblems = (work: unknown): OptionProblem[] =>
  typeof work === 'function' ? [] : [{ field: 'work', value: typeof work, rule: 'must be a function' }];

/** @throws OptionsError when it is no work */
export function checkedWork(subject: string, work: unknown): void {
  const problems = workProblems(work);
  if (problems.length > 0) throw new OptionsError(subject, problems);
}

/** The options in the units of the monotonic clock. */
export interface Timing {
  readonly leaseDurationSeconds: number;
  readonly leaseDurationMs: number;
  /** From the sending of a write until nothing may be done any more in its name. */
  readonly holdMs: number;
  /** From the sending of a write until the term ends; at most `holdMs`. */
  readonly termMs: number;
  readonly retryPeriodMs: number;
  readonly workTimeoutMs: number;
}

/** Clocks are assumed to run at most 1 % apart: what others measure as a duration is at least this much of ours. */
const CLOCK_RATE = 0.99;
/** By how much the system's monotonic clock may lag after the machine was suspended, in milliseconds. */
const SUSPEND_LAG_MS = 100;

/**
 * Others count the published duration from when they see a write, which is after it was sent. So whatever has ended
 * `holdMs` after the sending has ended before anybody takes over.
 */
export function timing(o: ElectionOptions): Timing {
  const leaseDurationMs = o.leaseDurationSeconds * 1000;
  const holdMs = leaseDurationMs * CLOCK_RATE - SUSPEND_LAG_MS;
  return {
    leaseDurationSeconds: o.leaseDurationSeconds,
    leaseDurationMs,
    holdMs,
    termMs: Math.min(o.renewDeadlineMs, holdMs),
    retryPeriodMs: o.retryPeriodMs,
    workTimeoutMs: o.workTimeoutMs,
  };
}
