/**
 * One list of the leases of a query, or two, for commands that answer once and end.
 *
 * Guarantees: every lease of one consistent state of the API server, or an error (see list-pages.ts for what bounds it); an
 * answer whose time nobody reported has no counts. Judged by the API server's earliest `Date`, that of the state which the pages
 * show.
 */
import { listPages } from '../lease/list-pages.ts';
import type { LeasePage, LeaseStore } from '../lease/store.ts';
import { LeaseStoreError } from '../lease/store.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Given } from '../runtime/options.ts';
import type { Census, ReadLease } from './census.ts';
import { comparedCensus, publishedCensus, summary } from './census.ts';
import type { CensusQuery } from './census-query.ts';
import { TAKE_CENSUS_ROWS } from './census-options.ts';
import type { TakeCensusTimes } from './census-options.ts';

/** A state may be compacted away between two pages; who needs longer than that three times has another problem. */
const ATTEMPTS = 3;
/** More are not counted: an error, in less than 200 MB. */
const MAX_LEASES = 60_000;

/** Which leases to list, and where. */
export interface TakeCensusOptions extends Given<TakeCensusTimes> {
  readonly store: Pick<LeaseStore, 'list'>;
  readonly query: CensusQuery;
  readonly clock: Clock;
  readonly signal?: AbortSignal | undefined;
  /** Keeps each lease as it was read, for output that shows all of it; default false. */
  readonly keepSource?: boolean | undefined;
}

/**
 * The instances of a query: by one list, or by two, `observeMs` apart, judged by what changed in between.
 * @throws OptionsError; LeaseStoreError as `LeaseStore.list` does, `Aborted` between two lists too
 */
export async function takeCensus(given: TakeCensusOptions): Promise<Census> {
  const times = checkedOptions('takeCensus', TAKE_CENSUS_ROWS, given);
  const { clock, signal } = given;
  const first = await list(given, times);
  if (times.observeMs === 0) return first;
  if (!(await sleep(clock, times.observeMs, signal)))
    throw new LeaseStoreError('Aborted', { message: 'stopped between two lists' });
  return comparedCensus(first, await list(given, times), times.observeMs);
}

async function list(
  { store, query, clock, signal, keepSource }: TakeCensusOptions,
  { freshForMs, timeoutMs }: TakeCensusTimes,
): Promise<Census> {
  const { matches = () => true, matching: _, counted: __, ...selected } = query;
  const started = clock.monotonic();
  const { items, serverDate } = await listPages({
    ask: (part, leftMs) => store.list({ ...selected, ...part }, { signal, timeoutMs: leftMs }),
    keep: ({ leases }: LeasePage): ReadLease[] =>
      leases.filter(matches).map((lease) => (keepSource ? { ...summary(lease), source: lease } : summary(lease))),
    now: () => clock.monotonic(),
    timeoutMs,
    maxItems: MAX_LEASES,
    attempts: ATTEMPTS,
  });
  return publishedCensus(items, { serverDate, freshForMs, freshnessMs: clock.monotonic() - started });
}
