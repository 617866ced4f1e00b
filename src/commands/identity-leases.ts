/**
 * One look at leases, for `get`, `count` and `leases`.
 */
import type { Census, CensusLease } from '../census/census.ts';
import type { CensusQuery } from '../census/census-query.ts';
import { takeCensus } from '../census/take-census.ts';
import type { OptionValues } from '../config/option-spec.ts';
import type { API_OPTIONS } from '../config/shared-flags.ts';
import { createSystemClock } from '../runtime/clock.ts';
import type { Io } from './command.ts';
import { connectApi } from './compose.ts';
import { staySmall } from './memory.ts';
import { humanDuration } from './output/human-duration.ts';
import { printable } from './output/text-width.ts';
import { ProgressLine } from './progress-line.ts';
import { stopSignal } from './signals.ts';

type Values = OptionValues<typeof API_OPTIONS> & { readonly freshFor: number; readonly observe: number };

/**
 * @param queryOf which leases; or which, from the context's namespace
 * @param keepSource keeps each lease as it was read
 * @throws ConfigurationError, LeaseStoreError
 */
export async function censusOfLeases(
  values: Values,
  queryOf: CensusQuery | ((namespace: string) => CensusQuery),
  world: Io,
  keepSource = false,
): Promise<Census> {
  const clock = createSystemClock();
  using stop = stopSignal();
  // Whether stderr is a terminal costs a short command more than it says.
  using progress = values.observe > 0 ? new ProgressLine(world, clock) : undefined;
  progress?.show('looking twice', clock.monotonic() + values.observe);
  const io = progress?.io ?? world;
  await using connection = await connectApi(values, { clock, env: io.env, light: true });
  const census = await takeCensus({
    store: {
      list: (page, call) => {
        // Thousands of leases. Before the first page it would cost as much as a quarter of Node's start: V8 takes no code
        // from a cache that was made under other flags.
        if (page.continue !== undefined) staySmall();
        return connection.store.list(page, call);
      },
    },
    query: typeof queryOf === 'function' ? queryOf(connection.namespace ?? 'default') : queryOf,
    clock,
    freshForMs: values.freshFor,
    observeMs: values.observe,
    signal: stop.signal,
    timeoutMs: values.requestTimeout,
    keepSource,
  });
  const ahead = census.leases.filter(({ aheadMs }) => aheadMs !== undefined);
  for (const lease of ahead.slice(0, AHEAD_LINES)) io.err(aheadLine(lease));
  const more = ahead.length - AHEAD_LINES;
  if (more > 0) io.err(`leasekeeper: warning: ${more} more leases were renewed in the future\n`);
  return census;
}

/** How many leases with a wrong clock are named. */
const AHEAD_LINES = 10;

/** Whose clock is ahead, by how much, and what that means for its state. */
export function aheadLine({ namespace, name, aheadMs = 0, state }: CensusLease): string {
  const lease = printable(`${namespace}/${name}`);
  const judged =
    state === 'live'
      ? 'it was seen to be renewed all the same'
      : 'it does not count as live; --observe judges by change instead of clocks';
  return `leasekeeper: warning: lease ${lease}: its renewTime is ${humanDuration(aheadMs)} ahead of the API server's clock: ${judged}\n`;
}
