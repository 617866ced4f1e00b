/**
 * A watch that lasts: list, then follow, and start again from the last known version or from a list, until its signal aborts.
 *
 * Guarantees: the first event is `list`; what happened while the connection was away is in the events after it or
 * by another `list`. When the server ends the watch in order it is renewed at once, without a list and without a pause.
 * Who may watch but not list gets that `list` from the watch itself, where the server has it (`sendInitialEvents`: by
 * default in Kubernetes 1.32 and since 1.34). Everything else is reported as `lost` before it is repaired, with growing, jittered pauses (0.25 s to 4 s; a server's
 * Retry-After up to 30 s) where the server or the way to it is at fault. A version that the server answers three times
 * without going on from it is given up for a list. `fresh` comes with each bookmark, and as soon
 * as the server has accepted to go on from the last version. Only `Forbidden` ends the iteration with an error.
 *
 * A connection that died unnoticed is found within `silenceMs`: kube-apiserver sends a bookmark about every 60 s.
 * Memory is bounded by one list, one line and the transport's buffer: while nobody asks for the next event
 * nothing is read, and a server that has had enough of that ends the watch, which is then taken up again.
 *
 * After the signal aborts, nothing is requested any more and the iteration ends without an error.
 */
import { parseLease } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { MAX_BYTES, MAX_ITEMS, listPages } from '../lease/list-pages.ts';
import type { Page, PagePart } from '../lease/list-pages.ts';
import { LeaseStoreError } from '../lease/store.ts';
import type { CallOptions, LeaseEvent, LeasePage } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { SHORT_LIFE_MS, afterEnd, isFruitless } from './watch-end.ts';
import type { End } from './watch-end.ts';
import { LineSplitter, parseWatchLine } from './watch-stream.ts';

/** Default milliseconds without a byte until the connection is believed dead: a bookmark's 60 s, its jitter, a margin. */
const DEFAULT_SILENCE_MS = 75_000;
/** Seconds that the server is asked to keep a watch open, times 1 to 2 at random: client-go's. */
const WATCH_SECONDS = 300;
/** Attempts to go on from one version that the server answers without telling anything, until it is listed again. */
const FRUITLESS_TRIES = 3;
/** How often a list is begun again whose state was compacted away while it was read. */
const LIST_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 500;
/** Right again within 5 s of a server's return, however long it was away: a request each 2 to 4 s is no burden to it. */
const LONGEST_PAUSE_MS = 4_000;
/** The longest that a server's Retry-After is obeyed. */
const LONGEST_RETRY_AFTER_MS = 30_000;

/** The bytes of one watch. After `close`, or once its signal aborts, `read` settles. */
export interface ByteStream {
  read(): Promise<Buffer | undefined>;
  close(): void;
}

/** What is watched, and how its events are made. */
export interface WatchedKind<Item, P extends Page, Event> {
  /** Plural, for messages. */
  readonly name: string;
  /** @throws when it is no such object */
  readonly parse: (json: unknown) => Item;
  readonly versionOf: (item: Item) => string;
  readonly itemsOf: (page: P) => readonly Item[];
  readonly listed: (items: readonly Item[], serverDate: MicroTime | undefined) => Event;
  readonly changed: (type: 'added' | 'modified' | 'deleted', item: Item) => Event;
}

const LEASES: WatchedKind<Lease, LeasePage, LeaseEvent> = {
  name: 'leases',
  parse: parseLease,
  versionOf: (lease) => lease.metadata.resourceVersion,
  itemsOf: (page) => page.leases,
  listed: (leases, serverDate) => ({ type: 'list', leases, serverDate }),
  changed: (type, lease) => ({ type, lease }),
};

/** Events that every kind has. */
type CommonEvent = Extract<LeaseEvent, { type: 'fresh' | 'lost' }>;

/** Where a watch begins: after a version, or (then it is empty) with everything that there is. */
export interface WatchFrom {
  readonly resourceVersion: string;
  readonly sendInitialEvents?: true;
}

interface WatchOptions<P extends Page = LeasePage> {
  readonly list: (part: PagePart, call: CallOptions) => Promise<P>;
  readonly open: (from: WatchFrom & { timeoutSeconds: number }, call: CallOptions) => Promise<ByteStream>;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  readonly signal: AbortSignal;
  /** Default 75,000. */
  readonly silenceMs?: number | undefined;
  /** `open` knows `sendInitialEvents`. Default false: who may not list may not watch. */
  readonly unlisted?: boolean;
}

/** @throws LeaseStoreError `Forbidden` */
export function watchLeases(options: WatchOptions): AsyncGenerator<LeaseEvent, void, undefined> {
  return watchKind(LEASES, options);
}

/** @throws LeaseStoreError `Forbidden` */
export async function* watchKind<Item, P extends Page, Event>(
  kind: WatchedKind<Item, P, Event>,
  options: WatchOptions<P>,
): AsyncGenerator<Event | CommonEvent, void, undefined> {
  const { clock, random, signal } = options;
  const backoff = createBackoff({ firstMs: FIRST_PAUSE_MS, capMs: LONGEST_PAUSE_MS, random });
  let version: string | undefined;
  /** Set once listing was forbidden: the error, should the server not know the other way. */
  let unlisted: LeaseStoreError | undefined;
  let fruitless = 0;
  const onSeen = (seen: string): void => {
    if (seen !== version) fruitless = 0;
    version = seen;
  };
  const onAlive = (): void => backoff.reset();
  while (!signal.aborted) {
    let end: End;
    if (version === undefined && unlisted) {
      const from: WatchFrom = { resourceVersion: '', sendInitialEvents: true };
      end = yield* follow(kind, options, from, true, onSeen, onAlive);
      // Neither is permitted: watch alone would do. Where the server does not know this way, list is what is missing.
      if (end.kind === 'failed' && end.error.code === 'Forbidden') throw end.error;
      if (end.kind === 'failed' && end.error.code === 'Invalid') throw unlisted;
    } else if (version === undefined) {
      const listed = await listAll(kind, options);
      if (listed.done) {
        version = listed.version;
        fruitless = 0;
        yield listed.event;
        end = yield* follow(kind, options, { resourceVersion: version }, true, onSeen, onAlive);
      } else {
        end = listed.end;
        if (options.unlisted && end.kind === 'failed' && end.error.code === 'Forbidden') {
          unlisted = end.error;
          continue;
        }
      }
    } else end = yield* follow(kind, options, { resourceVersion: version }, false, onSeen, onAlive);
    // The store was closed under us: there is nobody left to ask.
    if (signal.aborted || (end.kind === 'failed' && end.error.code === 'Aborted')) return;
    const next = afterEnd(end, kind.name);
    if (next.fatal && next.lost) throw next.lost;
    if (next.from === 'version' && !isFruitless(end)) fruitless = 0;
    else if (next.from === 'list' || ++fruitless === FRUITLESS_TRIES) {
      version = undefined;
      fruitless = 0;
    }
    if (next.lost) yield { type: 'lost', error: next.lost };
    if (!next.pause) continue;
    const pauseMs = Math.max(backoff.next(), Math.min(next.lost?.retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS));
    if (!(await sleep(clock, pauseMs, signal))) return;
  }
}

type Listed<Event> =
  | { readonly done: true; readonly event: Event; readonly version: string }
  | { readonly done: false; readonly end: End };

async function listAll<Item, P extends Page, Event>(
  { itemsOf: keep, listed }: WatchedKind<Item, P, Event>,
  { list, clock, signal }: WatchOptions<P>,
): Promise<Listed<Event>> {
  try {
    const { items, serverDate, resourceVersion } = await listPages({
      ask: (part) => list(part, { signal }),
      keep,
      now: () => clock.monotonic(),
      attempts: LIST_ATTEMPTS,
    });
    return { done: true, event: listed(items, serverDate), version: resourceVersion };
  } catch (error) {
    return { done: false, end: { kind: 'failed', error: asStoreError(error), afterList: true } };
  }
}

/** One connection, from its opening to its end. */
async function* follow<Item, P extends Page, Event>(
  kind: WatchedKind<Item, P, Event>,
  options: WatchOptions<P>,
  from: WatchFrom,
  afterList: boolean,
  seen: (version: string) => void,
  alive: () => void,
): AsyncGenerator<Event | CommonEvent, End, undefined> {
  const what = `watch ${kind.name}`;
  const { clock, random, signal, silenceMs = DEFAULT_SILENCE_MS } = options;
  const timeoutSeconds = Math.floor(WATCH_SECONDS * (1 + random()));
  const splitter = new LineSplitter();
  let stream: ByteStream | undefined;
  let heard = false;
  let opened: number | undefined;
  const lived = (): number => (opened === undefined ? 0 : clock.monotonic() - opened);
  const soon = (): boolean => afterList && (!heard || lived() < SHORT_LIFE_MS);
  /** What there is, until the server says that this was all of it. */
  let initial: Item[] | undefined = from.sendInitialEvents ? [] : undefined;
  let initialBytes = 0;
  try {
    stream = await options.open({ ...from, timeoutSeconds }, { signal });
    opened = clock.monotonic();
    if (!afterList && !signal.aborted) yield { type: 'fresh' };
    while (!signal.aborted) {
      const piece = await readWithin(stream, clock, silenceMs);
      if (piece === 'silent') return { kind: 'silent', silenceMs };
      // A life that was not short ends the series of failures before it.
      if (lived() >= SHORT_LIFE_MS) alive();
      if (piece === undefined) return { kind: 'closed', livedMs: lived() };
      const lines = splitter.push(piece);
      if (!lines) return { kind: 'bad', why: 'a line that is too long' };
      for (const line of lines) {
        if (signal.aborted) break;
        const sent = parseWatchLine(line, what, kind.parse);
        if (sent.kind === 'bad') return sent;
        if (sent.kind === 'error') return { kind: 'failed', error: sent.error, afterList: soon() };
        if (initial && sent.kind === 'change') {
          initial.push(sent.item);
          initialBytes += line.length;
          if (initial.length > MAX_ITEMS || initialBytes > MAX_BYTES)
            return {
              kind: 'bad',
              why: `${initial.length} objects to begin with and no end: more than is read of one list`,
            };
          continue;
        }
        if (initial && sent.kind === 'bookmark' && !sent.initialEnd) continue;
        heard = true;
        const reached = sent.kind === 'bookmark' ? sent.resourceVersion : kind.versionOf(sent.item);
        if (reached !== '') seen(reached);
        if (initial) {
          yield kind.listed(initial, undefined);
          initial = undefined;
        } else yield sent.kind === 'bookmark' ? { type: 'fresh' } : kind.changed(sent.type, sent.item);
      }
    }
    return { kind: 'closed', livedMs: lived() };
  } catch (error) {
    return { kind: 'failed', error: asStoreError(error), afterList: soon() };
  } finally {
    stream?.close();
  }
}

async function readWithin(stream: ByteStream, clock: Clock, ms: number): Promise<Buffer | undefined | 'silent'> {
  let silent = false;
  const cancel = clock.schedule(ms, () => {
    silent = true;
    stream.close();
  });
  try {
    const piece = await stream.read();
    return silent && piece === undefined ? 'silent' : piece;
  } catch (error) {
    if (silent) return 'silent';
    throw error;
  } finally {
    cancel();
  }
}

/** Anything else is a mistake of this program: it goes to the caller as it is. */
function asStoreError(error: unknown): LeaseStoreError {
  if (error instanceof LeaseStoreError) return error;
  throw error;
}
