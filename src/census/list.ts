/**
 * One look at the leases of a query, for commands that answer once and end.
 *
 * Guarantees: every lease of one consistent state of the API server, or an error; an answer whose time nobody told has
 * no counts. Judged by the API server's earliest `Date`, that of the state which the pages show.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import type { LeaseQuery, LeaseStore } from '../lease/store.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Census } from './count.ts';
import { publishedCensus } from './count.ts';
import { CENSUS_DEFAULTS } from './census-options.ts';

/** kubectl's own page. */
const PAGE_LIMIT = 500;
/** A state may be compacted away between two pages; whoever needs longer than that three times has another problem. */
const ATTEMPTS = 3;

/** Where to look, and for what. */
export interface LookOptions {
  readonly store: Pick<LeaseStore, 'list'>;
  readonly query: LeaseQuery;
  readonly clock: Clock;
  /** Milliseconds; default 30000. */
  readonly freshForMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds for each page; the store's default when left out. */
  readonly timeoutMs?: number | undefined;
}

/** @throws LeaseStoreError as `LeaseStore.list` does */
export async function takeCensus(options: LookOptions): Promise<Census> {
  const { clock, freshForMs = CENSUS_DEFAULTS.freshForMs } = options;
  for (let attempt = 1; ; attempt++) {
    const started = clock.monotonic();
    try {
      const { leases, serverDate } = await readAll(options);
      return publishedCensus(leases, { serverDate, freshForMs, freshnessMs: clock.monotonic() - started });
    } catch (error) {
      if (attempt === ATTEMPTS || !isStoreError(error, 'Expired')) throw error;
    }
  }
}

async function readAll({ store, query, signal, timeoutMs }: LookOptions): Promise<{
  leases: Lease[];
  serverDate: MicroTime | undefined;
}> {
  const leases: Lease[] = [];
  let serverDate: MicroTime | undefined;
  const seen = new Set<string>();
  let next: string | undefined;
  do {
    const page = await store.list({ ...query, limit: PAGE_LIMIT, continue: next }, { signal, timeoutMs });
    for (const lease of page.leases) leases.push(lease);
    // The pages show the state of the first; behind a load balancer the servers' clocks may differ.
    if (page.serverDate && !(serverDate && serverDate.compare(page.serverDate) <= 0)) serverDate = page.serverDate;
    const after = page.continue || undefined;
    if (after !== undefined && seen.has(after)) {
      throw new LeaseStoreError('BadAnswer', {
        message: 'the list goes round in circles: a page continues at one before it',
      });
    }
    if (after !== undefined) seen.add(after);
    next = after;
  } while (next !== undefined);
  return { leases, serverDate };
}
