/**
 * The watches of one MemoryStore, and what a test lets happen to them.
 *
 * Guarantees: a `list` comes first, then every matching commit after it, in order, each once; the iteration ends without
 * an error when the signal aborts, leaving no listener and no timer. While events are held back nothing is lost: `resume`
 * tells it all, either event by event (`replay`) or as a new list (`relist`).
 */
import type { LeaseEvent, LeasePage, LeaseQuery, LeaseStoreError } from '../../src/lease/store.ts';
import { isStoreError } from '../../src/lease/store.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { sleep } from '../../src/runtime/clock.ts';
import type { Commit, MemoryApi } from './memory-api.ts';
import { storeError } from './memory-api.ts';
import { matcher } from './selectors.ts';

/** How long a watch waits after it could not be opened, in milliseconds. */
const REOPEN_MS = 1_000;

/** What happens to the open watches of one store. */
export class Watchers {
  readonly #open = new Set<MemoryWatch>();
  readonly #api: MemoryApi;
  readonly #clock: Clock;
  readonly #delayMs: () => number;
  #held = false;

  constructor({ api, clock, delayMs }: { api: MemoryApi; clock: Clock; delayMs: () => number }) {
    this.#api = api;
    this.#clock = clock;
    this.#delayMs = delayMs;
  }

  get open(): number {
    return this.#open.size;
  }

  get held(): boolean {
    return this.#held;
  }

  /** A dead connection that nobody noticed: no event arrives until `resume`. */
  silence(): void {
    this.#held = true;
  }

  /** The connection broke and was noticed: `lost` is sent, and no event arrives until `resume`. */
  lose(error: LeaseStoreError = storeError('Unavailable', 'watch closed')): void {
    this.#held = true;
    for (const watch of this.#open) watch.tell({ type: 'lost', error });
  }

  /** Ends silence or loss: what was missed is sent event by event, or as a new list; then `fresh`. */
  resume(how: 'replay' | 'relist' = 'replay'): void {
    this.#held = false;
    for (const watch of this.#open) watch.resume(how);
  }

  /** The server ended the connections and they were opened again: unnoticed but for `fresh`. */
  cut(): void {
    this.resume('replay');
  }

  /** As after 410: the whole state is sent again. */
  relist(): void {
    this.resume('relist');
  }

  /** Tells that nothing was missed, as a bookmark does. */
  fresh(): void {
    for (const watch of this.#open) watch.tell({ type: 'fresh' });
  }

  /** The permission to watch was taken away: every open iteration throws. */
  forbid(): void {
    for (const watch of this.#open) watch.end(storeError('Forbidden', 'leases.coordination.k8s.io is forbidden'));
  }

  /** For MemoryWatch. */
  add(watch: MemoryWatch): () => void {
    this.#open.add(watch);
    const ignore = this.#api.onCommit((commit) => watch.see(commit));
    return () => {
      this.#open.delete(watch);
      ignore();
    };
  }

  /** For MemoryWatch: calls back after the way from the server, never before an earlier event; says when, monotonic. */
  deliver(notBefore: number, underWay: Set<() => void>, callback: () => void): number {
    const now = this.#clock.monotonic();
    const at = Math.max(notBefore, now + this.#delayMs());
    if (at <= now) {
      callback();
      return now;
    }
    const cancel = this.#clock.schedule(at - now, () => {
      underWay.delete(cancel);
      callback();
    });
    underWay.add(cancel);
    return at;
  }

  /** For MemoryWatch. */
  snapshot(query: LeaseQuery): LeasePage {
    return this.#api.list(query);
  }
}

export interface MemoryWatchOptions {
  readonly query: LeaseQuery;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  readonly watchers: Watchers;
  /** Makes the opening request; `act` is what the server does then. */
  readonly open: (act: () => LeasePage) => Promise<LeasePage>;
}

export class MemoryWatch implements AsyncIterable<LeaseEvent> {
  readonly #options: MemoryWatchOptions;
  readonly #matches;
  readonly #inbox: LeaseEvent[] = [];
  readonly #underWay = new Set<() => void>();
  #missed: LeaseEvent[] = [];
  #lastAt = 0;
  #leave: () => void = () => {};
  #error: LeaseStoreError | undefined;
  #wake: () => void = () => {};

  constructor(options: MemoryWatchOptions) {
    this.#options = options;
    this.#matches = matcher(options.query);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LeaseEvent, void, undefined> {
    const { signal } = this.#options;
    const onAbort = (): void => this.#wake();
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const page = yield* this.#opened();
      if (!page) return;
      yield listOf(page);
      while (!signal.aborted) {
        if (this.#error) throw this.#error;
        const event = this.#inbox.shift();
        if (event) yield event;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.#close();
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Opens until it succeeds; `undefined` when the signal aborted before. */
  async *#opened(): AsyncGenerator<LeaseEvent, LeasePage | undefined, undefined> {
    const { query, signal, clock, watchers, open } = this.#options;
    // The server follows from the version it lists, while its answer is still under way.
    const act = (): LeasePage => {
      const page = watchers.snapshot(query);
      this.#leave = watchers.add(this);
      return page;
    };
    while (!signal.aborted) {
      try {
        return await open(act);
      } catch (error) {
        this.#close();
        if (isStoreError(error, 'Aborted')) return undefined;
        if (!isStoreError(error) || isStoreError(error, 'Forbidden', 'Invalid')) throw error;
        yield { type: 'lost', error };
        await sleep(clock, REOPEN_MS, signal);
      }
    }
    return undefined;
  }

  #close(): void {
    this.#leave();
    this.#leave = () => {};
    for (const cancel of this.#underWay) cancel();
    this.#underWay.clear();
    this.#inbox.length = 0;
    this.#missed = [];
  }

  see(commit: Commit): void {
    const event = this.#eventOf(commit);
    if (!event) return;
    if (this.#options.watchers.held) this.#missed.push(event);
    else this.tell(event);
  }

  tell(event: LeaseEvent): void {
    this.#lastAt = this.#options.watchers.deliver(this.#lastAt, this.#underWay, () => {
      this.#inbox.push(event);
      this.#wake();
    });
  }

  resume(how: 'replay' | 'relist'): void {
    const missed = this.#missed;
    this.#missed = [];
    if (how === 'relist') this.tell(listOf(this.#options.watchers.snapshot(this.#options.query)));
    else for (const event of missed) this.tell(event);
    this.tell({ type: 'fresh' });
  }

  end(error: LeaseStoreError): void {
    this.#error = error;
    this.#wake();
  }

  /** A selector's watcher sees a lease appear and vanish as its labels change. */
  #eventOf({ before, after, lease }: Commit): LeaseEvent | undefined {
    const was = before !== undefined && this.#matches(before);
    const is = after !== undefined && this.#matches(after);
    if (is) return { type: was ? 'modified' : 'added', lease };
    if (!was) return undefined;
    // What vanishes is sent as it was while it matched, with the version of its going.
    const { resourceVersion } = lease.metadata;
    return { type: 'deleted', lease: { ...before, metadata: { ...before.metadata, resourceVersion } } };
  }
}

function listOf({ leases, serverDate }: LeasePage): LeaseEvent {
  return { type: 'list', leases, serverDate };
}
