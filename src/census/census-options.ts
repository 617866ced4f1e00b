/**
 * What a census can be given: defaults and rules, stated once.
 */
import { notNegativeMs, positiveMs } from '../runtime/options.ts';
import type { OptionRows } from '../runtime/options.ts';

/** A census's options: milliseconds. */
export interface CensusOptions {
  /** Milliseconds since its last renewal within which a lease is live; default 30000: three of our renew intervals. */
  readonly freshForMs: number;
  /**
   * Milliseconds since the last proof that nothing was missed, after which a kept census no longer counts as an answer;
   * default 30000: anyone who has heard nothing for as long as a silent lease stays live cannot tell who is.
   */
  readonly maxAgeMs: number;
}

/** An API server tells its time in whole seconds: below one, every answer would be chance. */
const SHORTEST_MS = 1_000;

const longEnough = (ms: number): string | undefined =>
  Number.isFinite(ms) && ms >= SHORTEST_MS ? undefined : `must be at least ${SHORTEST_MS} ms`;

export const CENSUS_ROWS: OptionRows<CensusOptions> = {
  freshForMs: {
    unit: 'ms',
    default: 30_000,
    rule: longEnough,
    text: 'a lease renewed within this time is live; the default is three renew intervals of 10 s',
  },
  maxAgeMs: {
    unit: 'ms',
    default: 30_000,
    rule: longEnough,
    text: 'time without word of the leases after which the numbers served count as unknown (503)',
  },
};

/** What one answer is given: milliseconds. */
export interface TakeCensusTimes {
  /** As of `CensusOptions`. */
  readonly freshForMs: number;
  /**
   * Between two looks: a lease is live when it was renewed in between, whatever the clocks say. Longer than the interval in
   * which its publisher renews. Default 0: one look, judged by what the leases say.
   */
  readonly observeMs: number;
  /** For all pages of a look together; default 10000. */
  readonly timeoutMs: number;
}

export const TAKE_CENSUS_ROWS: OptionRows<TakeCensusTimes> = {
  freshForMs: CENSUS_ROWS.freshForMs,
  observeMs: {
    unit: 'ms',
    default: 0,
    rule: notNegativeMs,
    text: 'look twice, this far apart, and judge by change instead of clocks',
  },
  timeoutMs: { unit: 'ms', default: 10_000, rule: positiveMs, text: 'longest time for a look' },
};
