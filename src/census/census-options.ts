/**
 * What a census can be told: defaults and rules, stated once.
 */
import type { OptionProblem } from '../runtime/options.ts';

/** A census's options: milliseconds. */
export interface CensusOptions {
  /** Milliseconds since its last renewal within which a lease is live; default 30000: three of our renew intervals. */
  readonly freshForMs: number;
  /**
   * Milliseconds since the last proof that nothing was missed, after which a kept census no longer counts as an answer;
   * default 30000: whoever has heard nothing for as long as a silent lease stays live cannot tell who is.
   */
  readonly maxAgeMs: number;
}

export const CENSUS_DEFAULTS = { freshForMs: 30_000, maxAgeMs: 30_000 } as const satisfies CensusOptions;

/** An API server tells its time in whole seconds: below one, every answer would be chance. */
const SHORTEST_MS = 1_000;

/** Fills in what was left out. */
export function censusOptions(given: { readonly [K in keyof CensusOptions]?: number | undefined } = {}): CensusOptions {
  return {
    freshForMs: given.freshForMs ?? CENSUS_DEFAULTS.freshForMs,
    maxAgeMs: given.maxAgeMs ?? CENSUS_DEFAULTS.maxAgeMs,
  };
}

/** Everything that is wrong with the options; empty when they can be used. */
export function censusProblems(o: CensusOptions): OptionProblem[] {
  const problems: OptionProblem[] = [];
  for (const field of ['freshForMs', 'maxAgeMs'] as const) {
    const value = o[field];
    if (!(Number.isFinite(value) && value >= SHORTEST_MS)) {
      problems.push({ field, value, rule: `must be at least ${SHORTEST_MS} ms` });
    }
  }
  return problems;
}
