/**
 * Semaphore: at most `count` works at once, each in a slot with its number and its token. Slots are Leases `name-0` to
 * `name-<count - 1>`; the first one says how many there are.
 *
 * Guarantees: never more than `count` works at once, also while programs that ask for another count come and go: one that
 * comes with another count than the first slot says waits until all holders of the old one have gone. Each acquisition writes
 * its count on the slot, in the same PUT, and the work begins only after a list, later than that, has shown no slot that is
 * held with another count. So of two that acquire at the same moment with different counts at least one sees the other, and
 * the one whose count is not the first slot's gives way.
 * A slot that is given back is taken within one round trip; one of a holder that died once its duration has passed.
 * Does not guarantee: the count while others delete a slot's Lease, or put it back to what it was before.
 */
import { emptiedTerm } from '../election/decide.ts';
import { checkedWork } from '../election/election-options.ts';
import { LeaderElector } from '../election/elector.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import { createSharedWatch } from '../election/shared-watch.ts';
import type { WatchLease } from '../election/lease-follower.ts';
import type { Term } from '../election/term.ts';
import { withChanges } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import { listPages } from '../lease/list-pages.ts';
import { recordOf, silence } from '../lease/record.ts';
import type { LeaseRecord, Silence } from '../lease/record.ts';
import { KIND_LABEL } from '../lease/marks.ts';
import { isStoreError } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import { isTaken } from './lock.ts';
import type { RecipeOptions } from './lock.ts';
import { RecipeError } from './recipe-error.ts';
import { SEMAPHORE_ROWS } from './recipe-options.ts';
import { Glance, Waiting, mayBeDead, recordDurationMs } from './waiting.ts';
import type { UseOptions, UseOutcome } from './waiting.ts';

/** With which count a slot was acquired; the first slot's says how many there are. */
export const SLOTS_ANNOTATION = 'leasekeeper.dev/slots';
/** Between two reads of a semaphore with another count, in milliseconds. */
const READ_AGAIN_MS = 1_000;
const SOON_MS = 100;
const FIRST_WAIT_MS = 100;
const LONGEST_WAIT_MS = 2_000;

/** A term of one slot. */
export interface SlotTerm extends Term {
  /** 0 to count - 1; nobody else has it in this term. */
  readonly slot: number;
}

/** What a semaphore reports to its observer. */
export type SemaphoreEvent =
  | ElectionEvent
  /** The semaphore has another count: ours waits until the holders of that one have gone. Reported once a use. */
  | { readonly type: 'otherCount'; readonly count: number; readonly theirs: number };

/** What a semaphore is made of. */
export interface SemaphoreOptions extends Omit<RecipeOptions, 'observe' | 'watch'> {
  /** How many works may run at once; 1 to 1000. All that use this semaphore must give the same. */
  readonly count: number;
  /** Default: nobody listens. */
  readonly observe?: Observe<SemaphoreEvent> | undefined;
}

/** So many works at a time, in all processes. */
export class Semaphore {
  readonly #options: SemaphoreOptions;
  readonly #observe: Observe<SemaphoreEvent>;
  readonly #waiting = new Waiting();

  /** @throws OptionsError with everything that is wrong */
  constructor(options: SemaphoreOptions) {
    checkedOptions('Semaphore', SEMAPHORE_ROWS, options);
    this.#options = options;
    this.#observe = containedObserver(options.observe);
    // Checks the Leases, of which the last has the longest name, and their times.
    this.#elector({ slot: options.count - 1, watch: undefined, work: async () => {}, observe: () => {} });
  }

  /** As Lock's `use`, with a slot's number in the term. */
  async use<T>(work: (term: SlotTerm) => Promise<T>, options: UseOptions = {}): Promise<T | null> {
    const outcome = await this.tryUse(work, options);
    if (outcome.ran) return outcome.value;
    if (options.otherwise !== 'throw') return null;
    const { namespace, name } = this.#options.lease;
    throw new RecipeError('NotAcquired', `no slot of ${namespace}/${name} was had within ${options.waitMs} ms`);
  }

  /** As Lock's `tryUse`. */
  async tryUse<T>(work: (term: SlotTerm) => Promise<T>, options: UseOptions = {}): Promise<UseOutcome<T>> {
    checkedWork('use', work);
    return this.#waiting.use(this.#options.clock, options, (signal, begin, allTaken, extend) =>
      this.#contend(signal, allTaken, options.waitMs === 0 ? extend : undefined, async (term) =>
        begin(() => work(term)),
      ),
    );
  }

  /** Settles once what uses left behind has settled. */
  idle(): Promise<void> {
    return this.#waiting.idle();
  }

  /** Contends until one slot is ours and the count agrees, and runs the work in it. */
  async #contend(
    signal: AbortSignal,
    allTaken: () => void,
    extend: ((ms: number) => void) | undefined,
    work: (term: SlotTerm) => Promise<void>,
  ): Promise<void> {
    const { store, lease, clock, count, random } = this.#options;
    const watch = createSharedWatch({ store, namespace: lease.namespace });
    const quiet = new Silences(clock);
    let reported = false;
    let watched = false;
    while (!signal.aborted) {
      const { theirs, held, dead, doubtMs } = await this.#slots(signal, quiet);
      const other = theirs !== undefined && theirs !== count;
      if (other && !reported) {
        reported = true;
        this.#observe({ type: 'otherCount', count, theirs });
      }
      if (other && held.length > 0) {
        // Holders of the other count that may all be dead are watched for their duration first.
        if (extend && !watched && doubtMs > 0) extend(doubtMs);
        else if (!watched || doubtMs === 0) allTaken();
        watched = true;
        await sleep(clock, READ_AGAIN_MS, signal);
        continue;
      }
      // Only the first slot's holder may say how many there are. Where another gets it, that one says so in a moment.
      const agreed = theirs === count;
      const slots = agreed ? shuffled(count, random) : [0];
      // A dead one is followed by this round's own read of it.
      const passed = new Set(agreed ? [] : dead.map(({ holder }) => holder));
      if (passed.size > 0) extend?.(Math.max(...dead.map(recordDurationMs)));
      if (
        await this.#round(slots, watch, signal, { whenTaken: agreed ? allTaken : 'end', extend, passed, quiet }, work)
      )
        return;
      if (!agreed) await sleep(clock, SOON_MS * (1 + random()), signal);
    }
  }

  /**
   * One contention for these slots.
   * @param how `whenTaken` is called when all of them are another's; `end`: the contention ends then. `extend` is called
   *   instead where a holder may be dead; undefined: nobody minds waiting. A slot of a holder in `passed` is nobody's
   * @returns true when the work has run; false when the slot had to be given back, or the contention has ended
   */
  async #round(
    slots: number[],
    watch: WatchLease,
    signal: AbortSignal,
    how: {
      readonly whenTaken: (() => void) | 'end';
      readonly extend: ((ms: number) => void) | undefined;
      readonly passed: ReadonlySet<string | undefined>;
      readonly quiet: Silences;
    },
    work: (term: SlotTerm) => Promise<void>,
  ): Promise<boolean> {
    const { whenTaken, extend, passed, quiet } = how;
    const won = new AbortController();
    const electors: Promise<void>[] = [];
    let failure: { readonly error: unknown } | undefined;
    let winner: number | undefined;
    let ran = false;
    const glances: Glance[] = [];
    let tried = false;
    const allTaken = (): void => {
      tried = true;
      if (whenTaken === 'end') return won.abort();
      const doubtMs = Math.max(0, ...glances.map((glance) => glance.doubtMs ?? 0));
      if (doubtMs > 0) extend?.(doubtMs);
      else whenTaken();
    };
    // Slots are tried one after another: the next once this one is seen to be another's, which is waited for as well.
    const tryNext = (): void => {
      const slot = slots.shift();
      if (winner !== undefined || signal.aborted) return;
      if (slot === undefined) return allTaken();
      let taken = false;
      const stop = new AbortController();
      const onWon = (): void => void (winner !== slot && stop.abort());
      const onAbort = (): void => stop.abort(signal.reason);
      won.signal.addEventListener('abort', onWon, { once: true });
      signal.addEventListener('abort', onAbort, { once: true });
      const glance = extend && new Glance(this.#options.clock, () => tried && allTaken());
      if (glance) glances.push(glance);
      const elector: LeaderElector = this.#elector({
        slot,
        watch: glance ? glance.over(watch, () => elector.holder) : watch,
        work: async (term) => {
          if (winner !== undefined || signal.aborted) return;
          winner = slot;
          won.abort();
          try {
            if (!(await this.#agreed(slot, term, quiet))) return;
            ran = true;
            await work(slotTerm(term, slot));
            // A success in a term that was lost is none.
            term.check();
          } catch (error) {
            failure = { error };
          }
        },
        observe: (event) => {
          if (taken || !isTaken(event)) return;
          if (event.type === 'leaderObserved' && passed.has(event.leader)) return;
          taken = true;
          tryNext();
        },
      });
      const ended = elector.run(stop.signal).catch((error: unknown) => {
        failure ??= { error };
        won.abort();
      });
      electors.push(
        ended.finally(() => {
          won.signal.removeEventListener('abort', onWon);
          signal.removeEventListener('abort', onAbort);
        }),
      );
    };
    tryNext();
    for (let i = 0; i < electors.length; i++) await electors[i];
    if (failure) throw failure.error;
    return ran;
  }

  /**
   * Whether the slot that we hold may be worked in: the count is ours, and no slot is held with another one, as read after
   * ours was acquired. Waits for those that are, while the term holds.
   */
  async #agreed(slot: number, term: Term, quiet: Silences): Promise<boolean> {
    const { store, clock, count } = this.#options;
    for (;;) {
      const { theirs, held, counts, first } = await this.#slots(term.signal, quiet);
      if (term.remainingMs === 0 || term.signal.aborted) return false;
      if (theirs !== count) {
        if (slot !== 0 || first?.spec.holderIdentity !== term.holder) return false;
        // Somebody else wrote it. A conflict is one with our own renewal: read again.
        const annotations = { [SLOTS_ANNOTATION]: String(count) };
        await store.update(withChanges(first, { annotations }), { urgent: true }).catch(onlyStoreErrors);
        continue;
      }
      if (held.every((other) => counts.get(other) === count)) return true;
      await sleep(clock, READ_AGAIN_MS, term.signal);
    }
  }

  /**
   * Reads all slots, consistently: what the first says of their number, and which are held by somebody not known to be dead.
   * `doubtMs`: for how long they have to be silent, where the published times say that all of them may be dead.
   */
  async #slots(
    signal: AbortSignal,
    quiet: Silences,
  ): Promise<{
    readonly theirs: number | undefined;
    readonly held: readonly number[];
    readonly dead: readonly LeaseRecord[];
    readonly counts: ReadonlyMap<number, number | undefined>;
    readonly first: Lease | undefined;
    readonly doubtMs: number;
  }> {
    const { store, clock, random, lease } = this.#options;
    const backoff = createBackoff({ firstMs: FIRST_WAIT_MS, capMs: LONGEST_WAIT_MS, random });
    const labelSelector = `${KIND_LABEL}=semaphore`;
    while (!signal.aborted) {
      try {
        const { items } = await listPages({
          ask: (part) => store.list({ namespace: lease.namespace, labelSelector, ...part }, { signal, urgent: true }),
          keep: (page) => page.leases,
          now: () => clock.monotonic(),
        });
        const slots = new Map<number, Lease>();
        for (const found of items) {
          const { name } = found.metadata;
          const digits = name.startsWith(`${lease.name}-`) ? name.slice(lease.name.length + 1) : '';
          if (/^(0|[1-9]\d{0,3})$/.test(digits)) slots.set(Number(digits), found);
        }
        const first = slots.get(0);
        const counts = new Map([...slots].map(([n, found]) => [n, countOf(found)]));
        // Who was only deprived of the slot may not have noticed yet.
        const all = [...slots].filter(([, found]) => found.spec.holderIdentity || emptiedTerm(found));
        const dead = all.filter(([, found]) => quiet.dead(found));
        const taken = all.filter((slot) => !dead.includes(slot));
        const records = taken.map(([, found]) => recordOf(found));
        const doubted = records.every((record) => mayBeDead(record, clock));
        const doubtMs = doubted ? Math.max(0, ...records.map(recordDurationMs)) : 0;
        return {
          theirs: counts.get(0),
          counts,
          held: taken.map(([n]) => n),
          dead: dead.map(([, found]) => recordOf(found)),
          first,
          doubtMs,
        };
      } catch (error) {
        if (!isStoreError(error)) throw error;
        const retryInMs = backoff.next(error.retryAfterMs);
        if (!signal.aborted) {
          const { id: holder } = this.#options;
          this.#observe({ type: 'failed', operation: 'get', error, retryInMs, lease, holder });
        }
        await sleep(clock, retryInMs, signal);
      }
    }
    return { theirs: undefined, held: [], dead: [], counts: new Map(), first: undefined, doubtMs: 0 };
  }

  #elector(parts: {
    slot: number;
    watch: WatchLease | undefined;
    work: (term: Term) => Promise<void>;
    observe: (event: ElectionEvent) => void;
  }): LeaderElector {
    const { newId, count, observe: _, lease, annotations, ...options } = this.#options;
    return new LeaderElector({
      ...options,
      lease: { namespace: lease.namespace, name: `${lease.name}-${parts.slot}` },
      uuid: newId(),
      kind: 'semaphore',
      // Also on a Lease that somebody else made.
      labels: { ...options.labels, [KIND_LABEL]: 'semaphore' },
      annotations: () => ({ ...annotations?.(), [SLOTS_ANNOTATION]: String(count) }),
      once: true,
      watch: parts.watch,
      work: parts.work,
      observe: (event) => {
        this.#observe(event);
        parts.observe(event);
      },
    });
  }
}

function countOf({ metadata }: Lease): number | undefined {
  const text = metadata.annotations[SLOTS_ANNOTATION] ?? '';
  return /^[1-9]\d{0,3}$/.test(text) ? Number(text) : undefined;
}

/** How long the records of Leases have been silent, as one caller sees them. */
class Silences {
  readonly #clock: Clock;
  readonly #seen = new Map<string, Silence>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** True once the Lease was seen to be silent for its own duration. */
  dead(lease: Lease): boolean {
    const now = this.#clock.monotonic();
    const seen = silence(this.#seen.get(lease.metadata.name), lease, now);
    this.#seen.set(lease.metadata.name, seen);
    const durationSeconds = emptiedTerm(lease)?.durationSeconds ?? lease.spec.leaseDurationSeconds ?? Infinity;
    return now - seen.since >= durationSeconds * 1000;
  }
}

/** The term with its slot; everything else is asked of the term itself. */
const slotTerm = (term: Term, slot: number): SlotTerm =>
  Object.freeze(Object.create(term, { slot: { value: slot, enumerable: true } })) as SlotTerm;

const onlyStoreErrors = (error: unknown): void => {
  if (!isStoreError(error)) throw error;
};

function shuffled(count: number, random: () => number): number[] {
  const slots = Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [slots[i], slots[j]] = [slots[j] as number, slots[i] as number];
  }
  return slots;
}
