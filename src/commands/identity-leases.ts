/**
 * One look at the identity leases, for `get` and `count`.
 */
import type { Census } from '../census/census.ts';
import { takeCensus } from '../census/take-census.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { leaseQuery } from '../config/shared-flags.ts';
import type { COUNT_TABLE, GET_TABLE } from '../config/shared-flags.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { connectApi } from './compose.ts';
import { staySmall } from './memory.ts';
import { stopSignal } from './signals.ts';

type Values = OptionValues<typeof COUNT_TABLE> | OptionValues<typeof GET_TABLE>;

/**
 * @param keepSource keeps each lease as it was read
 * @throws ConfigurationError, LeaseStoreError
 */
export async function lookAtLeases(
  values: Values,
  env: Readonly<Record<string, string | undefined>>,
  keepSource = false,
): Promise<Census> {
  staySmall();
  const clock = createSystemClock();
  using stop = stopSignal();
  await using connection = await connectApi(values, { clock, env, light: true });
  return await takeCensus({
    store: connection.store,
    query: leaseQuery(values),
    clock,
    freshForMs: values.freshFor,
    signal: stop.signal,
    timeoutMs: values.requestTimeout,
    keepSource,
  });
}
