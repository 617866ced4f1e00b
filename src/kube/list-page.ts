/**
 * One page of a list, as any kind's list endpoint answers it.
 */
import { MicroTime } from '../lease/micro-time.ts';
import type { Page } from '../lease/list-pages.ts';
import { badAnswer } from './wire/api-errors.ts';
import type { Answer, Request } from './wire/transport.ts';

/**
 * Bytes of a page: 5,000 leases of the usual 1.5 kB. A longer one is asked for in smaller pages, so that a list takes its
 * own memory and little more.
 */
export const PAGE_BYTES = 4 * 1024 * 1024;

interface ListPage extends Page {
  readonly items: readonly unknown[];
}

/** @throws LeaseStoreError `BadAnswer`: it has no items or no version */
export function readList(request: Request, { status, json, headers, length }: Answer): ListPage {
  const list = json as { items?: unknown; metadata?: { resourceVersion?: unknown; continue?: unknown } } | null;
  const version = list?.metadata?.resourceVersion;
  // Go writes an empty list of some servers as null.
  const items = list?.items === null ? [] : list?.items;
  if (!Array.isArray(items) || typeof version !== 'string' || version === '') {
    throw badAnswer(request, status, `the server answered ${status} with something that is no list`);
  }
  const token = list?.metadata?.continue;
  const serverDate = readDate(headers['date']);
  return {
    items,
    resourceVersion: version,
    bytes: length,
    ...(typeof token === 'string' && token !== '' ? { continue: token } : {}),
    ...(serverDate && { serverDate }),
  };
}

/** An HTTP date; undefined for none, and for one outside the years 0 to 9999. */
function readDate(header: unknown): MicroTime | undefined {
  const ms = Date.parse(typeof header === 'string' ? header : '');
  return Number.isNaN(ms) ? undefined : MicroTime.parse(new Date(ms).toISOString());
}
