/**
 * A whole list, page by page: for what counts, collects or begins to watch.
 *
 * Guarantees: every page shows one state of the server, or it is an error; a state that was compacted away is read again
 * from the first page. A page that is too large is asked for again with fewer items, down to one. Memory and time are
 * bounded, whatever a server answers: pages that go round in circles, a list without end, or one that takes too long is an
 * error.
 */
import type { MicroTime } from './micro-time.ts';
import type { LeasePage } from './store.ts';
import { LeaseStoreError, isStoreError } from './store.ts';

/** Items a page: client-go's and kubectl's own. */
const PAGE_LIMIT = 500;
/** What a page that was too large is divided by. */
const SHRINK = 4;
/** More of any of these is no list that a cluster has: 100,000 Nodes are 200 pages and 100 MB. */
const MAX_PAGES = 10_000;
export const MAX_ITEMS = 250_000;
export const MAX_BYTES = 128 * 1024 * 1024;
/** Characters of a continue token; real ones have a few hundred. */
const MAX_TOKEN = 4_096;
/** Milliseconds for the whole list unless others are given: as long as an API server works on one request. */
const LIST_TIMEOUT_MS = 60_000;

/** A page of whatever is listed. */
export type Page = Omit<LeasePage, 'leases'>;

/** How a page is asked for. */
export interface PagePart {
  readonly limit: number;
  readonly continue?: string | undefined;
}

export interface ListPagesOptions<P extends Page, Item> {
  /** @param leftMs milliseconds that are left for the list, where `timeoutMs` bounds it */
  readonly ask: (part: PagePart, leftMs: number | undefined) => Promise<P>;
  /** What is kept of a page. */
  readonly keep: (page: P) => readonly Item[];
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Items a page; default 500. */
  readonly limit?: number | undefined;
  /** Milliseconds for the whole list; without it 60,000, looked at between pages. */
  readonly timeoutMs?: number | undefined;
  /** Items of the whole list; default 250,000. */
  readonly maxItems?: number | undefined;
  /** How often a state may be compacted away while it is read; default 1: the first time is an error. */
  readonly attempts?: number | undefined;
}

export interface WholeList<Item> {
  readonly items: readonly Item[];
  readonly resourceVersion: string;
  readonly pages: number;
  /** The earliest `Date` of the pages: nothing in the list is older. Behind a load balancer the servers' clocks may differ. */
  readonly serverDate: MicroTime | undefined;
  /** A page came without a `Date`. */
  readonly undated: boolean;
}

/** @throws LeaseStoreError what `ask` throws, `BadAnswer`, `Timeout` */
export async function listPages<P extends Page, Item>(options: ListPagesOptions<P, Item>): Promise<WholeList<Item>> {
  const { now, attempts = 1 } = options;
  const startedAt = now();
  let limit = options.limit ?? PAGE_LIMIT;
  const totalMs = options.timeoutMs ?? LIST_TIMEOUT_MS;
  const late = (cause?: unknown): LeaseStoreError =>
    new LeaseStoreError('Timeout', { message: `the list did not end within ${totalMs} ms`, cause });
  const ask = async (token: string | undefined): Promise<P> => {
    for (;;) {
      const leftMs = Math.ceil(totalMs - (now() - startedAt));
      if (leftMs <= 0) throw late();
      const part = token === undefined ? { limit } : { limit, continue: token };
      try {
        return await options.ask(part, options.timeoutMs === undefined ? undefined : leftMs);
      } catch (error) {
        if (leftMs < totalMs && options.timeoutMs !== undefined && isStoreError(error, 'Timeout')) throw late(error);
        if (limit === 1 || !isStoreError(error, 'TooLarge')) throw error;
        limit = Math.max(1, Math.floor(limit / SHRINK));
      }
    }
  };
  for (let attempt = 1; ; attempt++) {
    try {
      return await readAll(ask, options);
    } catch (error) {
      if (attempt >= attempts || !isStoreError(error, 'Expired')) throw error;
    }
  }
}

async function readAll<P extends Page, Item>(
  ask: (token: string | undefined) => Promise<P>,
  { keep, maxItems = MAX_ITEMS }: ListPagesOptions<P, Item>,
): Promise<WholeList<Item>> {
  const items: Item[] = [];
  const tokens = new Set<string>();
  let serverDate: MicroTime | undefined;
  let undated = false;
  let bytes = 0;
  for (let pages = 1, token: string | undefined; ; pages++) {
    const page = await ask(token);
    for (const item of keep(page)) items.push(item);
    bytes += page.bytes ?? 0;
    const date = page.serverDate;
    if (date === undefined) undated = true;
    else if (serverDate === undefined || date.compare(serverDate) < 0) serverDate = date;
    token = page.continue || undefined;
    if (token === undefined) return { items, resourceVersion: page.resourceVersion, pages, serverDate, undated };
    const fault = tokens.has(token)
      ? 'goes round in circles: a page continues at one before it'
      : token.length > MAX_TOKEN
        ? `has a continue token of ${token.length} characters: at most ${MAX_TOKEN} are taken`
        : pages >= MAX_PAGES || items.length > maxItems || bytes > MAX_BYTES
          ? `goes on after ${items.length} items in ${pages} pages: more than is read of one`
          : undefined;
    if (fault !== undefined) throw new LeaseStoreError('BadAnswer', { message: `the list ${fault}` });
    tokens.add(token);
  }
}
