/**
 * One look at the leases of a query, for commands that answer once and end.
 *
 * Guarantees: every lease of one consistent state of the API server, or an error (see list-pages.ts for what bounds it); an
 * answer whose time nobody told has no counts. Judged by the API server's earliest `Date`, that of the state which the pages
 * show.
 */
import { listPages } from '../lease/list-pages.ts';
import type { LeasePage, LeaseQuery, LeaseStore } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Census, ReadLease } from './census.ts';
import { publishedCensus, summary } from './census.ts';
import { CENSUS_ROWS } from './census-options.ts';

/** A state may be compacted away between two pages; who needs longer than that three times has another problem. */
const ATTEMPTS = 3;
/** More are not counted: an error, in less than 200 MB. */
const MAX_LEASES = 60_000;
/** Milliseconds for the whole list. */
const TIMEOUT_MS = 10_000;

/** Where to look, and for what. */
export interface LookOptions {
  readonly store: Pick<LeaseStore, 'list'>;
  readonly query: LeaseQuery;
  readonly clock: Clock;
  /** Milliseconds; default 30000. */
  readonly freshForMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for all pages together; default 10000. */
  readonly timeoutMs?: number | undefined;
  /** Keeps each lease as it was read, for output that shows all of it; default false. */
  readonly keepSource?: boolean | undefined;
}

/** @throws OptionsError; LeaseStoreError as `LeaseStore.list` does */
export async function takeCensus(options: LookOptions): Promise<Census> {
  const { store, query, clock, signal, keepSource } = options;
  const { timeoutMs = TIMEOUT_MS } = options;
  const { freshForMs } = checkedOptions('takeCensus', CENSUS_ROWS, { freshForMs: options.freshForMs });
  const started = clock.monotonic();
  const { items, serverDate } = await listPages({
    ask: (part, leftMs) => store.list({ ...query, ...part }, { signal, timeoutMs: leftMs }),
    keep: ({ leases }: LeasePage): ReadLease[] =>
      leases.map((lease) => (keepSource ? { ...summary(lease), source: lease } : summary(lease))),
    now: () => clock.monotonic(),
    timeoutMs,
    maxItems: MAX_LEASES,
    attempts: ATTEMPTS,
  });
  return publishedCensus(items, { serverDate, freshForMs, freshnessMs: clock.monotonic() - started });
}
