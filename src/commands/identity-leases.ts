/**
 * One look at the identity leases, for `get` and `count`.
 */
import { censusOptions, censusProblems } from '../census/census-options.ts';
import { formatDuration } from '../config/duration.ts';
import { LEASE_OPTIONS, OUTPUT_OPTIONS } from '../config/shared-flags.ts';
import type { API_OPTIONS } from '../config/shared-flags.ts';
import type { OptionValues, Problem } from '../config/option-spec.ts';
import type { Census } from '../census/count.ts';
import { takeCensus } from '../census/list.ts';
import { isLabelValue, labelKeyProblem, objectNameProblem } from '../lease/names.ts';
import type { LeaseQuery } from '../lease/store.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { UsageError } from './command.ts';
import { connectApi } from './compose.ts';
import { stopSignal } from './signals.ts';

type Which = OptionValues<typeof LEASE_OPTIONS>;
type Values = Which & OptionValues<typeof API_OPTIONS & Pick<typeof OUTPUT_OPTIONS, 'freshFor'>>;

export const leaseQuery = ({ namespace, labelKey, labelValue }: Which): LeaseQuery => ({
  namespace,
  labelSelector: `${labelKey}=${labelValue}`,
});

export function queryProblems({ namespace, labelKey, labelValue }: Which): Problem[] {
  return [
    ...problem(LEASE_OPTIONS.namespace.flag, namespace, objectNameProblem(namespace)),
    ...problem(LEASE_OPTIONS.labelKey.flag, labelKey, labelKeyProblem(labelKey)),
    ...problem(
      LEASE_OPTIONS.labelValue.flag,
      labelValue,
      isLabelValue(labelValue) ? undefined : 'must be a label value',
    ),
  ];
}

/** A window of nothing would call every server dead. */
export const freshProblems = (freshForMs: number): Problem[] =>
  censusProblems(censusOptions({ freshForMs })).flatMap(({ rule }) =>
    problem(OUTPUT_OPTIONS.freshFor.flag, formatDuration(freshForMs), rule),
  );

/** @throws UsageError, ConfigurationError, LeaseStoreError */
export async function lookAtLeases(values: Values, env: Readonly<Record<string, string | undefined>>): Promise<Census> {
  const problems = [...queryProblems(values), ...freshProblems(values.freshFor)];
  if (problems.length > 0) throw new UsageError(problems);
  const clock = createSystemClock();
  using stop = stopSignal();
  const connection = await connectApi(values, { clock, env, light: true });
  try {
    return await takeCensus({
      store: connection.store,
      query: leaseQuery(values),
      clock,
      freshForMs: values.freshFor,
      signal: stop.signal,
    });
  } finally {
    await connection.close();
  }
}

const problem = (option: string, value: unknown, rule: string | undefined): Problem[] =>
  rule === undefined ? [] : [{ option, value, rule }];
