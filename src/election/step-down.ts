/**
 * Asks the leader of a lease, or the holder of a lock, a slot or a shard, to end its work and to release.
 *
 * Guarantees: the request names one term, so that no later one is meant; it is written over the very version that was read;
 * a holder that does not know such requests (client-go, or an older program) is not asked. Settles within `waitMs` and one request.
 * Does not guarantee that the work ends: a leader keeps its term for as long as its work takes.
 */
import { withChanges } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import { STEP_DOWN_ANNOTATION, stepDownMarkText, termMark } from '../lease/marks.ts';
import { isCalled } from '../lease/names.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import type { LeaseEvent, LeaseRef, LeaseStore } from '../lease/store.ts';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { Follower } from '../runtime/follow.ts';
import { OptionsError, positiveMs } from '../runtime/options.ts';
import { successorProblem } from './election-options.ts';

/** Who is to step down, and for whom. */
export interface StepDownOptions {
  readonly store: Pick<LeaseStore, 'get' | 'update' | 'watch'>;
  readonly clock: Clock;
  /** 0 to 1, uniformly: Math.random. */
  readonly random: () => number;
  readonly lease: LeaseRef;
  /** Who is to lead next: a holder identity, or its part before the uuid; default anybody. */
  readonly to?: string | undefined;
  /** Milliseconds until it must have happened; default 30000. */
  readonly waitMs?: number | undefined;
  /** Ends the waiting with code `Aborted`; what was asked of the holder stays asked. */
  readonly signal?: AbortSignal | undefined;
}

/** `holder`: who was asked, or is to blame. `next`: who holds the lease now; undefined: nobody yet. */
export type StepDownOutcome =
  | { readonly outcome: 'steppedDown'; readonly holder: string; readonly next: string | undefined }
  /** It stepped down, and another than `to` was faster. */
  | { readonly outcome: 'another'; readonly holder: string; readonly next: string }
  /** It stepped down, and `to` did not come in time. */
  | { readonly outcome: 'absent'; readonly holder: string }
  /** It goes on. */
  | { readonly outcome: 'timedOut'; readonly holder: string }
  /** `to` leads already. */
  | { readonly outcome: 'leadsAlready'; readonly holder: string }
  /** Nobody marked this term as ours do: its holder does not know such requests. */
  | { readonly outcome: 'notOurs'; readonly holder: string }
  /** Nobody holds the lease, or there is none. */
  | { readonly outcome: 'notHeld' };

const WAIT_MS = 30_000;
/** How long after the release is waited for who is next, only to say it, in milliseconds: client-go's retry period. */
const NEXT_MS = 2_000;
/** Between two tries whose version was renewed in between, at the most; and until a watch that ended is opened again. */
const AGAIN_MS = 100;
const REOPEN_MS = 500;

/**
 * Asks the holder of a lease to end its term, and waits for what becomes of it.
 * @throws OptionsError; LeaseStoreError as `get` and `update` do, `Aborted` when the signal aborts
 */
export async function stepDown(options: StepDownOptions): Promise<StepDownOutcome> {
  const { store, clock, random, lease: ref, to, waitMs = WAIT_MS, signal } = options;
  const problems = [
    { field: 'waitMs', value: waitMs, rule: positiveMs(waitMs) },
    { field: 'to', value: to, rule: to === undefined ? undefined : successorProblem(to) },
  ].flatMap(({ rule, ...rest }) => (rule === undefined ? [] : [{ ...rest, rule }]));
  if (problems.length > 0) throw new OptionsError('stepDown', problems);
  const until = clock.monotonic() + waitMs;
  let asked: Lease | undefined;
  while (asked === undefined) {
    const lease = await store.get(ref, { signal });
    const { holderIdentity: holder, leaseTransitions: transitions = 0 } = lease.spec;
    if (!holder) return { outcome: 'notHeld' };
    if (to !== undefined && isCalled(holder, to)) return { outcome: 'leadsAlready', holder };
    const mark = termMark(lease);
    if (mark?.holder !== holder || mark.transitions !== transitions) return { outcome: 'notOurs', holder };
    const annotations = { [STEP_DOWN_ANNOTATION]: stepDownMarkText({ holder, transitions, to }) };
    try {
      asked = await store.update(withChanges(lease, { annotations }), { signal });
    } catch (error) {
      if (!isStoreError(error, 'Conflict')) throw error;
      if (clock.monotonic() >= until) return { outcome: 'timedOut', holder };
      await sleep(clock, random() * AGAIN_MS, signal);
    }
  }
  return follow(options, asked, until);
}

async function read(
  store: StepDownOptions['store'],
  ref: LeaseRef,
  signal: AbortSignal | undefined,
): Promise<Lease | undefined> {
  try {
    return await store.get(ref, { signal });
  } catch (error) {
    if (isStoreError(error, 'NotFound')) return undefined;
    throw error;
  }
}

/** Waits for what becomes of the term that was asked to end. */
async function follow(
  { store, clock, lease: { namespace, name }, to, signal }: StepDownOptions,
  asked: Lease,
  until: number,
): Promise<StepDownOutcome> {
  const { holderIdentity: holder = '', leaseTransitions } = asked.spec;
  const over = new AbortController();
  let outcome: StepDownOutcome = { outcome: 'timedOut', holder };
  const goesOn = (): boolean => outcome.outcome === 'timedOut';
  const end = (): void => over.abort();
  const see = (lease: Lease | undefined): void => {
    const next = lease?.spec.holderIdentity || undefined;
    if (next === holder && lease?.spec.leaseTransitions === leaseTransitions) return;
    if (next === undefined) {
      if (goesOn() && to === undefined) cancelNext = clock.schedule(NEXT_MS, end);
      outcome = to === undefined ? { outcome: 'steppedDown', holder, next } : { outcome: 'absent', holder };
      return;
    }
    outcome = { outcome: to === undefined || isCalled(next, to) ? 'steppedDown' : 'another', holder, next };
    end();
  };
  const onEvent = (event: LeaseEvent): void => {
    if (over.signal.aborted || event.type === 'fresh' || event.type === 'lost') return;
    if (event.type === 'list') see(event.leases.find(({ metadata }) => metadata.name === name));
    else if (event.lease.metadata.name === name) see(event.type === 'deleted' ? undefined : event.lease);
  };
  let cancelNext = (): void => {};
  const cancel = clock.schedule(Math.max(until - clock.monotonic(), 1), end);
  const aborted = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
  try {
    await new Follower<LeaseEvent>({
      clock,
      open: (opened) => store.watch({ namespace, fieldSelector: `metadata.name=${name}` }, opened),
      onEvent,
      onEnd: (error) => {
        // What becomes of the term cannot be seen: that it goes on would be a guess.
        if (isStoreError(error, 'Forbidden')) throw error;
        return REOPEN_MS;
      },
    }).run(aborted);
    // The watch may have been silent all the while.
    if (goesOn() && !signal?.aborted) see(await read(store, { namespace, name }, signal));
  } finally {
    cancel();
    cancelNext();
  }
  if (signal?.aborted) throw new LeaseStoreError('Aborted', { message: 'stopped while the leader was to step down' });
  return outcome;
}
