/**
 * The way between processes and the API server: what happens to each request, and to watches.
 *
 * Guarantees: consistent reads stay consistent (only watches may be old); a write whose caller gave up, or crashed, may
 * still land, up to half a minute later; what a process sent before it crashed goes on, what it had not sent never happens.
 */
import type { Lease } from '../../src/lease/lease.ts';
import type {
  CallOptions,
  LeaseEvent,
  LeasePage,
  LeaseQuery,
  LeaseRef,
  LeaseStore,
  PageQuery,
  Preconditions,
} from '../../src/lease/store.ts';
import { MemoryStore } from '../support/memory-store.ts';
import type { MemoryApi } from '../support/memory-api.ts';
import { storeError } from '../support/memory-api.ts';
import type { Call, Fault } from '../support/memory-store.ts';
import type { Chance } from './chance.ts';
import type { Chaos, FaultKind } from './chaos.ts';
import type { Process } from './process.ts';
import type { World } from './world.ts';

/** The longest that a request may be under way; less than the minute for which a lost POST is remembered. */
const LATEST_MS = 30_000;
/** The longest that a watch event may be under way. */
export const WATCH_LATE_MS = 3_000;

const BURST_MS = 10_000;
/** A DELETE may arrive some passes after the one that sent it. */
const KEPT_LISTS = 40;

type RequestFault = Extract<
  FaultKind,
  | 'connection refused'
  | 'connection reset'
  | 'request lost'
  | 'answer lost'
  | 'request late'
  | 'request repeated'
  | '401'
  | '403'
  | '429'
  | '500'
  | '503'
>;

/** How bad the network of one process is: the chance of each fault for one request. */
export interface Weather {
  readonly name: string;
  /** Milliseconds that a request, and its answer, are under way, at the most. */
  readonly delayMs: number;
  readonly answerMs: readonly [number, number];
  readonly watchMs: number;
  readonly faults: Partial<Record<RequestFault, number>>;
  /** True: only writes meet them. */
  readonly writesOnly?: boolean;
}

const weather = (name: string, faults: Weather['faults'], more: Partial<Weather> = {}): Weather => {
  return { name, delayMs: 20, answerMs: [0, 20], watchMs: 30, faults, ...more };
};

export const FAIR = weather('fair', {});
/** Writes take effect, and nobody hears of it. */
export const UNHEARD = weather('unheard', { 'answer lost': 1 }, { writesOnly: true });
export const WEATHERS: readonly Weather[] = [
  FAIR,
  weather('slow answers', {}, { answerMs: [2_000, 4_900] }),
  weather('slow', { 'request late': 0.02 }, { delayMs: 3_000, answerMs: [0, 3_000], watchMs: WATCH_LATE_MS }),
  weather('bad', {
    'connection refused': 0.05,
    'connection reset': 0.05,
    'request lost': 0.05,
    'answer lost': 0.15,
    'request late': 0.1,
    'request repeated': 0.1,
    '429': 0.05,
    '500': 0.05,
  }),
  weather('answers get lost', { 'answer lost': 0.5, 'request repeated': 0.1 }),
  weather('writes get lost', { 'request lost': 0.7, 'answer lost': 0.2 }, { writesOnly: true }),
  weather('repeats itself', { 'request repeated': 0.6, 'connection reset': 0.1 }),
  weather('late and out of order', { 'request late': 0.4, 'answer lost': 0.2 }, { delayMs: 3_000 }),
  weather('writes come late', { 'request late': 0.7 }, { writesOnly: true }),
  weather('half dead', { 'request lost': 0.5, 'request late': 0.5 }),
  weather('cut off', { 'connection refused': 1 }),
  weather('throttled', { '429': 0.7, '503': 0.1 }),
  weather('not permitted', { '401': 0.3, '403': 0.3 }),
  weather('failing', { '500': 0.4, '503': 0.2 }),
];

/** What the API server does to everybody. */
export class Network {
  readonly world: World;
  readonly api: MemoryApi;
  readonly chaos: Chaos;
  /** `refuse`: nobody gets through; `hang`: requests are never answered. */
  outage: 'refuse' | 'hang' | undefined;
  /** etcd is full: it takes no writes but deletions. */
  noSpace = false;
  /** The last trouble was that. */
  wasSpace = false;
  /** A proxy takes the `Date` from answers. */
  noDate = false;
  /** When writes began and stopped failing for everybody; of outages in a row the first beginning and the last end. */
  troubleBeganAt = -Infinity;
  outageEndedAt = -Infinity;
  /** Between two outages in a row the API came back for a moment, at this moment; NaN: it did not. */
  backForAMomentAt = Number.NaN;

  constructor(world: World, api: MemoryApi, chaos: Chaos) {
    this.world = world;
    this.api = api;
    this.chaos = chaos;
  }
}

/** The store as one process sees it: answers reach it only while it runs. */
export class Link implements LeaseStore {
  readonly #network: Network;
  readonly #process: Process;
  readonly #random: Chance;
  readonly store: MemoryStore;
  #weather = FAIR;
  /** Since when the network is fair, in true milliseconds; NaN while it is not. */
  fairSince: number;
  mayWatch = true;
  /** The last complete lists, as the process received them, and when, in true milliseconds. */
  readonly lists: { readonly leases: readonly Lease[]; readonly dated: boolean; readonly at: number }[] = [];
  /** When its watches last fell silent, and when what they had held back was sent; true milliseconds. */
  readonly silence = { from: -Infinity, until: -Infinity };
  /** When a watch last sent it the whole state, or that all was sent, in true milliseconds. */
  caughtUpAt = -Infinity;
  /** The most requests in ten seconds. */
  busiest = 0;
  #burst = 0;
  #burstSince = 0;
  #pages: LeasePage[] = [];

  constructor(network: Network, process: Process, random: Chance, name: string) {
    const { world, api } = network;
    this.#network = network;
    this.#process = process;
    this.#random = random;
    this.fairSince = world.now;
    this.store = new MemoryStore({
      clock: world,
      api,
      by: name,
      watchDelayMs: () => this.#watchDelay(),
      faults: (call) => this.#fault(call),
    });
  }

  get weather(): Weather {
    return this.#weather;
  }

  set weather(next: Weather) {
    this.#weather = next;
    if (next !== FAIR) this.fairSince = NaN;
    else if (Number.isNaN(this.fairSince)) this.fairSince = this.#network.world.now;
  }

  /** Nothing is sent from now on. */
  hush(noticed: boolean): void {
    if (!this.store.watches.held) this.silence.from = this.#network.world.now;
    if (noticed) this.store.watches.lose();
    else this.store.watches.silence();
  }

  /** What was held back is sent, one by one or as a whole. */
  resume(how: 'replay' | 'relist'): void {
    if (this.store.watches.held) this.silence.until = this.#network.world.now;
    this.store.watches.resume(how);
  }

  get(ref: LeaseRef, options?: CallOptions): Promise<Lease> {
    return this.#answer(this.store.get(ref, options));
  }

  create(lease: Lease, options?: CallOptions): Promise<Lease> {
    return this.#answer(this.store.create(lease, options));
  }

  update(lease: Lease, options?: CallOptions): Promise<Lease> {
    return this.#answer(this.store.update(lease, options));
  }

  delete(ref: LeaseRef, preconditions: Preconditions, options?: CallOptions): Promise<void> {
    return this.#answer(this.store.delete(ref, preconditions, options));
  }

  async list(query: PageQuery, options?: CallOptions): Promise<LeasePage> {
    if (!query.continue) this.#pages = [];
    const answer = await this.#answer(this.store.list(query, options));
    const undated = this.#network.noDate && this.#network.chaos.inject('no Date');
    const { serverDate: _date, ...rest } = answer;
    const page = undated ? rest : answer;
    this.#pages.push(page);
    if (!page.continue) {
      const leases = this.#pages.flatMap((p) => p.leases);
      const dated = this.#pages.every((p) => p.serverDate !== undefined);
      this.lists.push({ leases, dated, at: this.#network.world.now });
      if (this.lists.length > KEPT_LISTS) this.lists.shift();
    }
    return page;
  }

  async *watch(query: LeaseQuery, signal: AbortSignal): AsyncGenerator<LeaseEvent, void, undefined> {
    for await (const event of this.store.watch(query, signal)) {
      await new Promise<void>((resolve) => this.#process.turn(resolve));
      if (event.type === 'list' || event.type === 'fresh') this.caughtUpAt = this.#network.world.now;
      yield event;
    }
  }

  #answer<T>(call: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      call.then(
        (value) => this.#process.turn(() => resolve(value)),
        (error: unknown) => this.#process.turn(() => reject(error as Error)),
      );
    });
  }

  #count(now: number): void {
    if (now - this.#burstSince > BURST_MS) [this.#burstSince, this.#burst] = [now, 0];
    this.busiest = Math.max(this.busiest, ++this.#burst);
  }

  #watchDelay(): number {
    const { watchMs } = this.#weather;
    const ms = this.#random() * watchMs;
    return ms > FAIR.watchMs && !this.#network.chaos.inject('watch late') ? FAIR.watchMs : ms;
  }

  #fault(call: Readonly<Call>): Fault {
    this.#count(call.at);
    const { outage, noSpace, chaos } = this.#network;
    const random = this.#random;
    const { delayMs, answerMs, faults } = this.#weather;
    // The dice are thrown whatever comes of it, so that a kind of fault that is left out changes no other.
    let dice = random();
    const [delay, answer, which] = [random() * delayMs, random.between(...answerMs), random()];
    const slow = delay + answer > FAIR.delayMs + FAIR.answerMs[1] && !chaos.inject('request slow');
    const way = slow ? { delayMs: which * 20, answerDelayMs: which * 20 } : { delayMs: delay, answerDelayMs: answer };
    if (outage && chaos.inject('API outage'))
      return outage === 'hang' ? { hang: true } : { ...way, fail: 'Unavailable' };
    const write = call.verb === 'create' || call.verb === 'update';
    if (noSpace && write && chaos.inject('no space for writes')) {
      return { ...way, fail: storeError('ServerError', 'etcdserver: mvcc: database space exceeded') };
    }
    if (call.verb === 'watch' && !this.mayWatch && chaos.inject('watch forbidden'))
      return { ...way, fail: 'Forbidden' };
    if (this.#weather.writesOnly && !write && call.verb !== 'delete') return way;
    for (const kind of Object.keys(faults) as RequestFault[]) {
      if ((dice -= faults[kind]!) >= 0) continue;
      const fault = faultOf(kind, call, which);
      return fault && chaos.inject(kind) ? { ...way, ...fault } : way;
    }
    return way;
  }
}

/** @param which 0 to 1: chooses among the ways in which this can happen */
function faultOf(kind: RequestFault, { verb }: Readonly<Call>, which: number): Fault | undefined {
  const write = verb === 'create' || verb === 'update' || verb === 'delete';
  switch (kind) {
    case 'connection refused':
      return { fail: 'Unavailable' };
    case 'connection reset':
      return { fail: storeError('Unavailable', 'connection reset', { mayHaveCommitted: write }) };
    case 'request lost':
      return verb === 'watch' ? undefined : { hang: true };
    case 'answer lost':
      return verb === 'watch' ? undefined : { lose: which < 0.5 ? 'Timeout' : 'Unavailable' };
    case 'request late':
      return { delayMs: which * LATEST_MS };
    case 'request repeated':
      // Nobody repeats a POST but at once: it is not idempotent.
      return write
        ? {
            repeat: {
              afterMs: verb === 'create' ? which : which * which * 10_000,
              answer: which < 0.5 ? 'last' : 'first',
            },
          }
        : undefined;
    case '401':
      return { fail: 'Unauthorized' };
    case '403':
      // A watch that was forbidden is not tried again for five minutes; that is a fault of its own.
      return verb === 'watch' ? undefined : { fail: 'Forbidden' };
    case '429':
      return { fail: storeError('TooManyRequests', 'slow down', which < 0.7 ? { retryAfterMs: which * 20_000 } : {}) };
    case '500':
      return { fail: 'ServerError' };
    case '503':
      return { fail: storeError('ServerError', 'the server is currently unable to handle the request') };
  }
}
