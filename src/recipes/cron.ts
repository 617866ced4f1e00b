/**
 * Cron: of many replicas one runs each fire of a schedule.
 *
 * Guarantees: a fire is claimed at most once, also when answers get lost and clocks are as far apart as `maxSkewMs`; what a
 * replica's clock says moves nothing for the others (see fires.ts). A claimed fire runs unless the process that claimed it
 * died, stopped or was cut off before it began: then that fire is lost.
 * With `overlap: 'skip'` a fire is left out while the one before of its job still runs, anywhere: the runner holds a Lease of
 * its own for the job; after a crash that is once its duration has passed. A run that loses that Lease is asked to end by its
 * term's signal; if it goes on all the same, the next fire runs beside it.
 * Deleting the Lease deletes the record: a fire of the last moments may be claimed again.
 */
import { versionToken } from '../election/decide.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import { LeadershipError } from '../election/term.ts';
import type { Term } from '../election/term.ts';
import { newLease, withChanges } from '../lease/lease.ts';
import type { Lease } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';
import { KIND_LABEL } from '../lease/marks.ts';
import { LeaseStoreError, isStoreError } from '../lease/store.ts';
import type { CallOptions } from '../lease/store.ts';
import { createBackoff } from '../runtime/backoff.ts';
import { sleep } from '../runtime/clock.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { OptionsError, checkedOptions } from '../runtime/options.ts';
import { FIRES_ANNOTATION, decideClaim, firesText, parseFires } from './fires.ts';
import type { ClaimRefusal, Fire, Fires } from './fires.ts';
import { Lock, isTaken } from './lock.ts';
import type { RecipeOptions } from './lock.ts';
import { RecipeError } from './recipe-error.ts';
import { CRON_ROWS } from './recipe-options.ts';
import type { CronTimes } from './recipe-options.ts';
import { namePart } from './ring-member.ts';

/** What a cron reports to its observer. */
export type CronEvent =
  | { readonly type: 'claimed'; readonly job: string; readonly fireTime: Date }
  /** Somebody else has it, as a rule; `running`: the fire before still runs. */
  | {
      readonly type: 'refused';
      readonly job: string;
      readonly fireTime: Date;
      readonly reason: ClaimRefusal | 'running';
    }
  /**
   * No claim could be made in time. `stored`: undefined: nobody knows whether one was stored; if it was, the fire is lost.
   * False: none was, and another may still claim it. True: it was, and the term was over before the work began.
   */
  | {
      readonly type: 'lost';
      readonly job: string;
      readonly fireTime: Date;
      readonly error: LeaseStoreError;
      readonly stored: boolean | undefined;
    }
  /** The record of claimed fires cannot be read: nothing is claimed until it can. */
  | { readonly type: 'badRecord'; readonly job: string; readonly fireTime: Date };

/** What a cron is made of. */
export interface CronOptions extends Omit<RecipeOptions, 'observe'>, Partial<CronTimes> {
  /** Default: nobody listens. */
  readonly observe?: Observe<CronEvent> | undefined;
}

/** A fire that this process has claimed, while it runs. */
interface Run {
  readonly term: Term;
  readonly end: () => void;
}

/** First wait between two tries of a claim, in milliseconds. */
const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 1_000;
/** One request may take half of what is left, in milliseconds, unless that is less than this. */
const LEAST_HALF_MS = 500;
/** Of a Lease. */
const MAX_NAME = 253;

const LATE = 'the answer to the claim was read when its term was over';
const UNREAD = 'nobody knows whether the fire before still runs: its Lease could not be read in time';

/** Claims fires: a `RunCoordinator` for node-cron, or `claimFire` from any scheduler. */
export class Cron {
  readonly #options: CronOptions;
  readonly #times: CronTimes;
  readonly #observe: Observe<CronEvent>;
  readonly #runs = new Map<string, Run>();
  readonly #stop = new AbortController();
  readonly #locks = new Set<Promise<unknown>>();
  /** By job: the release of a fire that is complete. */
  readonly #releases = new Map<string, Promise<unknown>>();

  /** @throws OptionsError with everything that is wrong */
  constructor(options: CronOptions) {
    this.#options = options;
    this.#times = checkedOptions('Cron', CRON_ROWS, options);
    this.#observe = containedObserver(options.observe);
    // Checks the Lease, the one of a job, and their times.
    new Lock({ ...options, observe: undefined }, 'cron');
    this.#lock('job');
  }

  /**
   * Claims a fire for this process.
   * @param job which of the schedules under this Lease
   * @param fireTime when it was due, by the schedule: the same for all replicas
   * @param signal gives up the claim; with `overlap: 'skip'` it also asks the work to end
   * @returns the term of the fire: until `complete`, or the end of this process; undefined: it is not ours to run
   * @throws OptionsError for a job or time that is none
   */
  async claimFire(job: string, fireTime: Date, signal?: AbortSignal): Promise<Term | undefined> {
    const problems = fireProblems(job, fireTime);
    if (problems.length > 0) throw new OptionsError('claimFire', problems);
    if (this.#stop.signal.aborted || signal?.aborted) return undefined;
    const fire: Fire = { job, time: MicroTime.fromEpochMs(fireTime.getTime()), nonce: this.#options.newId() };
    const run =
      this.#times.overlap === 'skip'
        ? await this.#claimAlone(fire, fireTime, signal)
        : this.#run(await this.#claim(fire, signal));
    if (!run) return undefined;
    this.#runs.set(runKey(job, fireTime), run);
    this.#observe({ type: 'claimed', job, fireTime });
    return run.term;
  }

  /** The term of a fire that this process has claimed; undefined: it has not, or it is complete. */
  term(job: string, fireTime: Date): Term | undefined {
    return this.#runs.get(runKey(job, fireTime))?.term;
  }

  /** The work of the fire has ended. */
  complete(job: string, fireTime: Date): void {
    const key = runKey(job, fireTime);
    this.#runs.get(key)?.end();
    this.#runs.delete(key);
  }

  /**
   * For node-cron: whether this process is to run a fire.
   * @param key `<task name>:<fire time as ISO text>`, as node-cron makes it
   * @throws OptionsError for a key that is none; node-cron leaves the fire out then
   */
  async shouldRun(key: string): Promise<boolean> {
    const { job, fireTime } = keyParts(key);
    return (await this.claimFire(job, fireTime)) !== undefined;
  }

  /** For node-cron: the run of this fire has ended. */
  onComplete(key: string): void {
    const { job, fireTime } = keyParts(key);
    this.complete(job, fireTime);
  }

  /** No further fire is claimed; works that run are asked to end by their terms; settles when what is held is released. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.allSettled(this.#locks);
  }

  #lock(job: string, observe?: Observe<ElectionEvent>): Lock {
    const { observe: _, lease, ...options } = this.#options;
    const name = `${lease.name}-${namePart(job)}`;
    const fitting = name.length > MAX_NAME ? namePart(name) : name;
    return new Lock({ ...options, observe, lease: { namespace: lease.namespace, name: fitting } }, 'cron');
  }

  /** Claims while no other fire of the job runs; that one is claimed is held for as long as it runs. */
  async #claimAlone(fire: Fire, fireTime: Date, signal?: AbortSignal): Promise<Run | undefined> {
    const stop = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    // A job's Lease that is held for nothing would leave the next fire out.
    if (await this.#refused(fire, stop)) return undefined;
    const release = this.#releases.get(fire.job);
    if (release) await orAborted(release, stop);
    if (stop.aborted) return undefined;
    let settle: (run: Run | undefined) => void = () => {};
    let fail: (error: unknown) => void = () => {};
    const answer = new Promise<Run | undefined>((resolve, reject) => ([settle, fail] = [resolve, reject]));
    let taken = false;
    const lock = this.#lock(fire.job, (event) => (taken ||= isTaken(event)));
    const using: Promise<void> = lock
      .use(
        async (term) => {
          if (!(await this.#claim(fire, term.signal))) return settle(undefined);
          // After a standstill: the next fire may run by now.
          if (term.remainingMs === 0) {
            const error = new LeaseStoreError('Timeout', { message: LATE });
            this.#observe({ type: 'lost', job: fire.job, fireTime, error, stored: true });
            return settle(undefined);
          }
          let end = (): void => {};
          const ended = new Promise<void>((resolve) => (end = resolve));
          settle({
            term,
            end: () => {
              // One that was given up, since it did not end when asked to, releases nothing any more.
              if (this.#locks.has(using)) this.#releases.set(fire.job, using);
              end();
            },
          });
          await ended;
        },
        { waitMs: 0, signal: stop, otherwise: 'throw' },
      )
      .catch((error: unknown) => {
        const { job } = fire;
        if (error instanceof RecipeError) {
          if (taken) this.#observe({ type: 'refused', job, fireTime, reason: 'running' });
          else
            this.#observe({
              type: 'lost',
              job,
              fireTime,
              error: new LeaseStoreError('Timeout', { message: UNREAD }),
              stored: false,
            });
        } else if (!(error instanceof LeadershipError || stop.aborted)) return fail(error);
        settle(undefined);
      })
      .then(() => lock.idle());
    this.#locks.add(using);
    void using.finally(() => {
      this.#locks.delete(using);
      if (this.#releases.get(fire.job) === using) this.#releases.delete(fire.job);
    });
    return answer;
  }

  /** Writes the claim into the record. @returns the record, with it; undefined: the fire is not ours */
  async #claim(fire: Fire, signal?: AbortSignal): Promise<Lease | undefined> {
    const { clock, random } = this.#options;
    const { claimTimeoutMs } = this.#times;
    const { job } = fire;
    const fireTime = new Date(fire.time.epochMs);
    const backoff = createBackoff({ firstMs: FIRST_WAIT_MS, capMs: LONGEST_WAIT_MS, random });
    const until = clock.monotonic() + claimTimeoutMs;
    const stop = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    let failure: LeaseStoreError | undefined;
    let stored: false | undefined = false;
    const call = () => ({ timeoutMs: attemptMs(until - clock.monotonic()), signal: stop, urgent: true });
    while (clock.monotonic() < until && !stop.aborted) {
      try {
        const seen = await this.#look(fire, call());
        if (!seen) return undefined;
        const { lease, fires } = seen;
        return fires === undefined ? (lease as Lease) : await this.#write(lease, firesText(fires), call());
      } catch (error) {
        if (!isStoreError(error)) throw error;
        // One that had no time says less than the one before.
        if (failure === undefined || error.code !== 'Timeout') failure = error;
        if (error.mayHaveCommitted) stored = undefined;
        // Another's claim, of this fire or of another job's, came first: look again at once.
        const raced = isStoreError(error, 'Conflict', 'AlreadyExists');
        if (!raced)
          await sleep(clock, Math.min(backoff.next(error.retryAfterMs), Math.max(0, until - clock.monotonic())), stop);
      }
    }
    failure ??= new LeaseStoreError('Timeout', { message: `no claim within ${claimTimeoutMs} ms` });
    this.#observe({ type: 'lost', job, fireTime, error: failure, stored });
    return undefined;
  }

  /**
   * Reads the record. `fires`: what claims this fire; undefined: it is claimed, by us.
   * @returns undefined when it is not ours to claim, which is reported
   */
  async #look(
    fire: Fire,
    call: CallOptions,
  ): Promise<{ readonly lease: Lease | undefined; readonly fires: Fires | undefined } | undefined> {
    const { store, lease: ref } = this.#options;
    const { job } = fire;
    const fireTime = new Date(fire.time.epochMs);
    const fieldSelector = `metadata.name=${ref.name}`;
    const { leases, serverDate } = await store.list({ namespace: ref.namespace, fieldSelector }, call);
    if (!serverDate)
      throw new LeaseStoreError('BadAnswer', { message: 'the API server sent no time (no Date header)' });
    const lease = leases.find(({ metadata }) => metadata.name === ref.name);
    const record = parseFires(lease?.metadata.annotations[FIRES_ANNOTATION]);
    if (!record) {
      this.#observe({ type: 'badRecord', job, fireTime });
      return undefined;
    }
    const verdict = decideClaim(record, fire, serverDate, this.#times.maxSkewMs);
    if (verdict.do === 'refuse') {
      this.#observe({ type: 'refused', job, fireTime, reason: verdict.reason });
      return undefined;
    }
    return { lease, fires: verdict.do === 'write' ? verdict.fires : undefined };
  }

  /** True: the record says that a fire is not ours to claim. False: it does not, or cannot be read now. */
  async #refused(fire: Fire, signal: AbortSignal): Promise<boolean> {
    const timeoutMs = attemptMs(this.#times.claimTimeoutMs);
    try {
      return (await this.#look(fire, { timeoutMs, signal, urgent: true })) === undefined;
    } catch (error) {
      if (!isStoreError(error)) throw error;
      return false;
    }
  }

  #write(lease: Lease | undefined, text: string, call: CallOptions): Promise<Lease> {
    const { store, clock, lease: ref } = this.#options;
    const annotations = { [FIRES_ANNOTATION]: text };
    const renewTime = MicroTime.fromEpochMicrosClamped(clock.wallMicros());
    if (lease) return store.update(withChanges(lease, { annotations, spec: { renewTime } }), call);
    return store.create(newLease({ ...ref, labels: { [KIND_LABEL]: 'cron' }, annotations }, { renewTime }), call);
  }

  /** Nobody else can claim this fire any more: its term ends with its work, or with this process. */
  #run(lease: Lease | undefined): Run | undefined {
    if (!lease) return undefined;
    const abort = new AbortController();
    const { lease: ref, id } = this.#options;
    const onStop = (): void => abort.abort(this.#stop.signal.reason);
    if (this.#stop.signal.aborted) onStop();
    this.#stop.signal.addEventListener('abort', onStop, { once: true });
    const term: Term = {
      lease: ref,
      holder: id,
      fencingToken: versionToken(lease) ?? 0,
      signal: abort.signal,
      deadline: Infinity,
      expires: Infinity,
      remainingMs: Infinity,
      lost: undefined,
      check: () => {},
    };
    return { term, end: () => this.#stop.signal.removeEventListener('abort', onStop) };
  }
}

/** Of one that hangs, time is left for another: its answer may be lost, and the claim stored. */
const attemptMs = (leftMs: number): number => Math.max(1, Math.ceil(leftMs / 2 < LEAST_HALF_MS ? leftMs : leftMs / 2));

/** Settles with the promise, or as soon as the signal aborts. Leaves no listener. */
async function orAborted(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  let onAbort = (): void => {};
  const aborted = new Promise<void>((resolve) => (onAbort = resolve));
  signal.addEventListener('abort', onAbort, { once: true });
  await Promise.race([promise, aborted]).finally(() => signal.removeEventListener('abort', onAbort));
}

/** Characters of a time as ISO text. */
const ISO_LENGTH = 24;

function keyParts(key: string): { job: string; fireTime: Date } {
  return { job: key.slice(0, -ISO_LENGTH - 1), fireTime: new Date(key.slice(-ISO_LENGTH)) };
}

const runKey = (job: string, fireTime: Date): string => `${job}:${fireTime.toISOString()}`;

const isoText = (time: Date): string => (Number.isNaN(time.getTime()) ? 'Invalid Date' : time.toISOString());

function fireProblems(job: string, fireTime: Date): { field: string; value: unknown; rule: string }[] {
  const problems = [];
  if (typeof job !== 'string' || job === '' || job.length > 253) {
    problems.push({ field: 'job', value: job, rule: 'must be 1 to 253 characters' });
  }
  // Also one beyond what a record can say: the year 0 to 9999.
  if (!(fireTime instanceof Date) || !/^\d{4}-/.test(isoText(fireTime))) {
    problems.push({
      field: 'fireTime',
      value: fireTime instanceof Date ? isoText(fireTime) : fireTime,
      rule: 'must be a valid Date',
    });
  }
  return problems;
}
