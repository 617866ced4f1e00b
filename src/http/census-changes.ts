/**
 * /v1/changes: what the page shows, and of a page that was looked at before only what has changed since.
 *
 * Guarantees: the answer to `since=NEXT`, where NEXT is the `next` of an earlier answer, makes of what that reader knew what a
 * new reader is given; a `since` from elsewhere or long ago gets everything. A renewal alone is two numbers. Leases are
 * looked through at most once a second, and never for more than a twentieth of the time; answers to the same question are
 * made once. A lease that leaves is named by its number, which no other lease ever gets.
 */
import type { CensusLease } from '../census/census.ts';
import type { LeaseState } from '../census/judge.ts';
import type { Clock } from '../runtime/clock.ts';
import type { PassResult } from '../sweep/sweep-events.ts';
import { json, reuse } from './answer.ts';
import type { Endpoint, HttpAnswer } from './answer.ts';
import { frame, numbers, seconds } from './census-endpoint.ts';
import type { CensusSource } from './census-endpoint.ts';

/** Milliseconds for which the leases are not looked through again. */
const SCAN_MS = 1_000;
/** Scans that are remembered: who asks for changes since an older one gets everything. */
const KEPT_SCANS = 60;
/** Leases that left, and passes, that are sent. */
const LATELY = 10;

/** What is sent of a lease, in this order: more would be sent at each change. */
interface Row {
  readonly id: number;
  readonly lease: CensusLease;
  /** The scan that found it, or anything but its renewal, new; the one that found it renewed. */
  changedAt: number;
  renewedAt: number;
}

/** A lease that was expired when it left: it was swept, or deleted by hand. */
interface Removed {
  readonly name: string;
  readonly lease: string;
  readonly state: LeaseState;
  readonly at: number;
}

/** A pass of a sweeper in this process. */
export type Pass = Pick<PassResult, 'outcome' | 'because' | 'seen' | 'deleted' | 'dryRun'>;

export class CensusChanges {
  readonly #source: CensusSource;
  readonly #clock: Clock;
  /** Tells this process's numbers from those of one before it. */
  readonly #epoch: string;
  readonly #rows = new Map<string, Row>();
  /** What left, by the scan that missed it. */
  #gone: { readonly id: number; readonly scan: number }[] = [];
  #removed: Removed[] = [];
  #passes: (Pass & { readonly at: number })[] = [];
  /** Of the last scan that found something new among those. */
  #latelyAt = 0;
  #scan = 0;
  /** Of the last scan, on the monotonic clock: the moment that its times are of. */
  #of: number | undefined;
  #lastId = 0;
  #answers = new Map<number, HttpAnswer>();
  readonly #refresh: () => void;

  constructor(source: CensusSource, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
    this.#epoch = Math.round(clock.wallMicros()).toString(36);
    this.#refresh = reuse(clock, () => this.#walk(), SCAN_MS);
  }

  /** To be called for each pass of a sweeper in this process. */
  passed(result: Pass): void {
    this.#passes = [{ ...result, at: this.#clock.monotonic() }, ...this.#passes].slice(0, LATELY);
    this.#latelyAt = this.#scan + 1;
  }

  readonly answer: Endpoint = (query) => {
    this.#refresh();
    const [, epoch, scan] = /^(\w+)\.(\d{1,15})$/.exec(query.get('since') ?? '') ?? [];
    const asked = epoch === this.#epoch ? Number(scan) : 0;
    const since = asked > this.#scan || asked < this.#scan - KEPT_SCANS ? 0 : asked;
    const made = this.#answers.get(since) ?? this.#answerSince(since);
    this.#answers.set(since, made);
    return made;
  };

  #walk(): void {
    const census = this.#source.census();
    const now = this.#clock.monotonic();
    this.#answers = new Map();
    this.#scan += 1;
    const scan = this.#scan;
    this.#of = census && now - census.freshnessMs;
    const seen = new Set<string>();
    for (const lease of census?.leases ?? []) {
      const key = `${lease.namespace}/${lease.name}/${lease.uid}`;
      seen.add(key);
      const known = this.#rows.get(key);
      const changedAt = known && sameBut(known.lease, lease) ? known.changedAt : scan;
      const renewed = known?.lease.renewTime?.toString() !== lease.renewTime?.toString();
      this.#rows.set(key, {
        id: known?.id ?? ++this.#lastId,
        lease,
        changedAt,
        renewedAt: renewed ? scan : (known?.renewedAt ?? scan),
      });
    }
    for (const [key, { id, lease }] of this.#rows) {
      if (seen.has(key)) continue;
      this.#rows.delete(key);
      this.#gone.push({ id, scan });
      if (lease.state !== 'expired') continue;
      const removed = { name: lease.hostname ?? lease.name, lease: lease.name, state: lease.state, at: now };
      this.#removed = [removed, ...this.#removed].slice(0, LATELY);
      this.#latelyAt = scan;
    }
    this.#gone = this.#gone.filter((one) => one.scan >= scan - KEPT_SCANS);
  }

  #answerSince(since: number): HttpAnswer {
    const snapshot = this.#source.snapshot();
    const now = this.#clock.monotonic();
    const { known } = snapshot;
    const answer = known ? snapshot.answer : snapshot.last;
    const leases: unknown[] = [];
    const renewed: number[] = [];
    for (const { id, lease, changedAt, renewedAt } of this.#rows.values()) {
      if (changedAt > since) leases.push(rowOf(id, lease));
      else if (renewedAt > since && lease.renewedAgoMs !== undefined) renewed.push(id, tenths(lease.renewedAgoMs));
    }
    const ago = (at: number): number => Math.round((now - at) / 1000);
    return {
      ...json(200, {
        next: `${this.#epoch}.${this.#scan}`,
        all: since === 0,
        known,
        ...frame(snapshot),
        counts: answer ? numbers(answer) : null,
        // Of the states and times of the leases.
        ageSeconds: this.#of === undefined ? null : seconds(now - this.#of),
        leases,
        renewed,
        gone: this.#gone.filter(({ scan }) => scan > since).map(({ id }) => id),
        ...(this.#latelyAt > since && {
          lately: {
            passes: this.#passes.map(({ at, outcome, because = null, seen, deleted, dryRun }) => ({
              ...{ secondsAgo: ago(at), outcome, because, seen, deleted, dryRun },
            })),
            removed: this.#removed.map(({ at, ...one }) => ({ secondsAgo: ago(at), ...one })),
          },
        }),
      }),
      compress: true,
    };
  }
}

const tenths = (ms: number): number => Math.round(ms / 100);

/** Number, host, state, lease, namespace, holder, transitions, since when it is held (ISO), tenths of a second since its renewal, marks. */
const rowOf = (id: number, lease: CensusLease): unknown[] => [
  id,
  lease.hostname ?? lease.name,
  lease.state,
  lease.name,
  lease.namespace,
  lease.holder ?? null,
  lease.leaseTransitions ?? null,
  (lease.acquireTime ?? lease.creationTimestamp)?.toString().slice(0, 19) ?? null,
  lease.renewedAgoMs === undefined ? null : tenths(lease.renewedAgoMs),
  [...(lease.terminating ? ['being deleted'] : []), ...(lease.aheadMs === undefined ? [] : ['clock ahead'])].join(', '),
];

/** Equal in all that is shown but the time of the renewal. */
const sameBut = (a: CensusLease, b: CensusLease): boolean =>
  a.state === b.state &&
  a.holder === b.holder &&
  a.hostname === b.hostname &&
  a.leaseTransitions === b.leaseTransitions &&
  a.terminating === b.terminating &&
  (a.aheadMs === undefined) === (b.aheadMs === undefined) &&
  a.acquireTime?.toString() === b.acquireTime?.toString();
