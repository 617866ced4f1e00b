/**
 * The leases that a kept census remembers, their states, and the numbers they make.
 *
 * Guarantees: taking in one lease costs the same however many there are, but for `replace` and `advance`, which go through
 * all; only what a census shows is kept of a lease. Time comes as an argument: nothing here waits.
 */
import type { Lease } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';
import type { Observe } from '../runtime/observer.ts';
import { sameRecord } from '../lease/record.ts';
import type { Watched } from '../runtime/freshness.ts';
import type { CensusLease, Group, LeaseSummary } from './census.ts';
import { Tally, summary } from './census.ts';
import type { CensusEvent, InstanceState } from './census-events.ts';
import type { LeaseObservation, LeaseState } from './judge.ts';
import type { ServerNow } from './judge.ts';
import { aheadMs, deadlineOf, observedState, observationOf } from './judge.ts';

type RegisterEvent = Extract<CensusEvent, { type: 'appeared' | 'changed' | 'gone' | 'lease' | 'ahead' }>;

/** By how much two clocks' rates differ at the most. */
const CLOCK_RATE_ERROR = 0.01;

interface Entry {
  lease: LeaseSummary;
  source: Lease | undefined;
  group: Group;
  state: LeaseState;
  observation: LeaseObservation;
  /** It is in the numbers. */
  counted: boolean;
  /** As of `CensusLease`. */
  aheadMs: number | undefined;
  /** The last `replace` that saw it. */
  round: number;
}

interface CensusRegisterOptions {
  readonly freshForMs: number;
  readonly keepSource: boolean;
  /** Which leases are in the numbers; default all. */
  readonly counted?: ((lease: Lease) => boolean) | undefined;
  readonly observe: Observe<RegisterEvent>;
}

/** What `replace` gets of a list besides its leases. */
interface ListTimes {
  /** Monotonic milliseconds. */
  readonly now: number;
  /** How long ago a change that the list shows can have been at the most, in milliseconds. */
  readonly sinceMs: number;
  /** The API server's `Date`, and how long ago it can have been at the most, in milliseconds. */
  readonly date: MicroTime | undefined;
  readonly delayMs: number;
}

export class CensusRegister implements Watched {
  readonly tally = new Tally();
  /** True when a number became another; the reader of the numbers sets it back. */
  changed = false;
  /** Leases called live by their published times alone. */
  estimated = 0;
  /** The monotonic millisecond before which silence changes no state; `advance` works it out again. */
  deadline = Infinity;
  readonly #entries = new Map<string, Entry>();
  readonly #options: CensusRegisterOptions;
  /**
   * The API server's clock at monotonic 0, at the earliest, in milliseconds since the epoch; when it was read, and by how much
   * it may have been later.
   */
  #server: { readonly offset: number; readonly at: number; readonly delayMs: number } | undefined;
  #round = 0;

  constructor(options: CensusRegisterOptions) {
    this.#options = options;
  }

  /** Takes in the whole state: what the list does not have is gone. */
  replace(leases: readonly Lease[], { now, sinceMs, date, delayMs }: ListTimes): void {
    this.#round += 1;
    // What the list shows was there at its Date, however long ago that is; what follows is later.
    if (date) this.#server = { offset: date.epochMs - now, at: now, delayMs: 0 };
    for (const lease of leases) this.put(lease, now, sinceMs);
    if (date) this.#server = { offset: date.epochMs - now, at: now, delayMs };
    for (const entry of this.#entries.values()) if (entry.round !== this.#round) this.#drop(entry, now);
  }

  /** Takes in one lease as it is now; for `sinceMs` see `observationOf`. */
  put(lease: Lease, now: number, sinceMs: number): void {
    const key = `${lease.metadata.namespace}/${lease.metadata.name}`;
    const next = summary(lease);
    const known = this.#entries.get(key);
    const observation =
      known && sameRecord(known.lease, next)
        ? this.#dated(known.observation, next, now)
        : this.#observed(known?.lease, next, now, sinceMs);
    let state = known?.state;
    if (!state || known?.observation !== observation) {
      state = next.holder ? observedState(observation, now, this.#options.freshForMs) : 'released';
    }
    const source = this.#options.keepSource ? lease : undefined;
    const counted = this.#options.counted?.(lease) ?? true;
    const ahead = aheadMs(next, this.#serverNow(now)?.latest);
    this.deadline = Math.min(this.deadline, deadlineOf(observation, state, this.#options.freshForMs));
    if (!known) {
      const group = this.tally.group(next.hostname, next.namespace, next.name);
      const entry: Entry = {
        lease: next,
        source,
        group,
        state,
        observation,
        counted,
        aheadMs: ahead,
        round: this.#round,
      };
      this.#entries.set(key, entry);
      this.#count(entry, undefined, undefined);
      this.#tellLease('added', entry, undefined, now);
      this.#tellAhead(entry, undefined, now);
      return;
    }
    const before = { ...known };
    const { lease: last, state: from, observation: lastObservation, aheadMs: lastAhead } = before;
    // Equal strings of an old and a new event are two in memory: the old ones, which others share, are kept.
    known.lease = keepEqual(last, next);
    known.source = source;
    known.state = state;
    known.observation = observation;
    known.aheadMs = ahead;
    known.round = this.#round;
    known.counted = counted;
    if (last.hostname !== next.hostname || counted !== before.counted) this.#regroup(known, before);
    else this.#count(known, from, lastObservation);
    if (from !== state || last.holder !== next.holder || last.hostname !== next.hostname || last.uid !== next.uid) {
      this.#tellLease('modified', known, before, now);
    }
    this.#tellAhead(known, lastAhead, now);
  }

  remove(lease: Lease, now: number): void {
    const entry = this.#entries.get(`${lease.metadata.namespace}/${lease.metadata.name}`);
    if (entry) this.#drop(entry, now);
  }

  /** Lets silence up to `at` change states. */
  advance(at: number): void {
    const { freshForMs } = this.#options;
    let deadline = Infinity;
    for (const entry of this.#entries.values()) {
      const from = entry.state;
      if (at > deadlineOf(entry.observation, from, freshForMs)) {
        const before = { ...entry };
        entry.state = observedState(entry.observation, at, freshForMs);
        this.#count(entry, from, entry.observation);
        if (entry.state !== from) this.#tellLease('modified', entry, before, at);
      }
      deadline = Math.min(deadline, deadlineOf(entry.observation, entry.state, freshForMs));
    }
    this.deadline = deadline;
  }

  /** All leases, or those in the numbers, as of a monotonic millisecond. */
  *leases(at: number, which: 'all' | 'counted'): Generator<CensusLease, void, undefined> {
    for (const entry of this.#entries.values()) if (which === 'all' || entry.counted) yield censusLease(entry, at);
  }

  /**
   * A lease that was not there before is judged as who looks once judges it, by its published time: an old lease that
   * somebody puts back is no sign of life. Where the API server's time is not known, what happens now is one.
   */
  #observed(last: LeaseSummary | undefined, next: LeaseSummary, now: number, sinceMs: number): LeaseObservation {
    const server = this.#serverNow(now);
    const first = last?.uid !== next.uid && server !== undefined;
    return observationOf(next, now, first ? Infinity : sinceMs, server);
  }

  /** An observation that nothing could date, dated when the API server has sent its time since. */
  #dated(observation: LeaseObservation, lease: LeaseSummary, now: number): LeaseObservation {
    const server = Number.isNaN(observation.renewedAt) ? this.#serverNow(now) : undefined;
    return server ? observationOf(lease, now, Infinity, server) : observation;
  }

  #serverNow(now: number): ServerNow | undefined {
    if (this.#server === undefined) return undefined;
    const { offset, at, delayMs } = this.#server;
    const ms = offset + now;
    const latest = ms + delayMs + (now - at) * CLOCK_RATE_ERROR;
    const time = (epochMs: number): MicroTime => MicroTime.fromEpochMicrosClamped(epochMs * 1000);
    return { earliest: time(ms), latest: time(latest) };
  }

  #drop(entry: Entry, now: number): void {
    const { lease } = entry;
    this.#entries.delete(`${lease.namespace}/${lease.name}`);
    this.#tellLease('deleted', entry, entry, now);
    this.#leave(entry);
  }

  #regroup(entry: Entry, before: Entry): void {
    const { lease } = entry;
    entry.group = this.tally.group(lease.hostname, lease.namespace, lease.name);
    this.#leave(before);
    this.#count(entry, undefined, undefined);
  }

  #leave({ group, state, observation, counted, lease: { namespace, name } }: Entry): void {
    if (counted) {
      if (isEstimate(state, observation)) this.estimated -= 1;
      this.#tellGroup(group, this.tally.move(group, state, undefined));
      this.changed = true;
    }
    this.tally.prune(group, namespace, name);
  }

  /** Counts an entry whose state or observation was another before; both `undefined` when it was not counted. */
  #count(entry: Entry, from: LeaseState | undefined, last: LeaseObservation | undefined): void {
    if (!entry.counted) return;
    const was = from !== undefined && last !== undefined && isEstimate(from, last);
    const is = isEstimate(entry.state, entry.observation);
    this.estimated += Number(is) - Number(was);
    const before = this.tally.move(entry.group, from, entry.state);
    if (from !== entry.state || was !== is) this.changed = true;
    this.#tellGroup(entry.group, before);
  }

  #tellGroup(group: Group, before: LeaseState | undefined): void {
    const { hostname, name, state } = group;
    if (state === before) return;
    const instance = (of: LeaseState): InstanceState => ({ hostname, name, state: of });
    const { observe } = this.#options;
    if (state === undefined) before && observe({ type: 'gone', instance: instance(before) });
    else if (before === undefined) observe({ type: 'appeared', instance: instance(state) });
    else observe({ type: 'changed', instance: instance(state), from: before });
  }

  #tellAhead(entry: Entry, before: number | undefined, at: number): void {
    if (entry.aheadMs !== undefined && before === undefined)
      this.#options.observe({ type: 'ahead', lease: censusLease(entry, at) });
  }

  #tellLease(change: 'added' | 'modified' | 'deleted', entry: Entry, before: Entry | undefined, at: number): void {
    const was = before && censusLease(before, at);
    this.#options.observe({ type: 'lease', change, lease: censusLease(entry, at), before: was, at });
  }
}

const isEstimate = (state: LeaseState, { estimated }: LeaseObservation): boolean => estimated && state === 'live';

function keepEqual(last: LeaseSummary, next: LeaseSummary): LeaseSummary {
  const { namespace, name } = last;
  return {
    ...next,
    namespace,
    name,
    uid: last.uid === next.uid ? last.uid : next.uid,
    hostname: last.hostname === next.hostname ? last.hostname : next.hostname,
    holder: last.holder === next.holder ? last.holder : next.holder,
    ...(next.payload !== undefined && last.payload === next.payload && { payload: last.payload }),
  };
}

function censusLease({ lease, source, state, observation, aheadMs }: Entry, at: number): CensusLease {
  const renewedAgoMs = Number.isFinite(observation.renewedAt) ? Math.max(0, at - observation.renewedAt) : undefined;
  return { ...lease, state, renewedAgoMs, aheadMs, source };
}
