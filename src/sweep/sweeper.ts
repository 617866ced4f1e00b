/**
 * The sweeper: lists twice, waits in between, and deletes what `decide` allows.
 *
 * Guarantees: passes never overlap and carry nothing to the next one; a failed list makes a pass void and is not repeated;
 * between the looks only the versions of expired leases are kept, and since when they and others like them are silent; a pass in which nothing is expired makes one list only.
 * The wait is measured on the monotonic clock, expiry on the API server's; our wall clock is only reported on.
 */
import type { Lease } from '../lease/lease.ts';
import { HEARTBEAT_NAMESPACE } from '../lease/lease-kind.ts';
import { KIND_LABEL } from '../lease/marks.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { listPages } from '../lease/list-pages.ts';
import type { PagePart } from '../lease/list-pages.ts';
import type { NodeSource } from '../lease/node-source.ts';
import type { LeasePage, LeaseStore } from '../lease/store.ts';
import { isStoreError } from '../lease/store.ts';
import { clockDistance } from '../runtime/clock-distance.ts';
import type { Clock } from '../runtime/clock.ts';
import { sleep } from '../runtime/clock.ts';
import { containedObserver } from '../runtime/observer.ts';
import type { Observe } from '../runtime/observer.ts';
import { checkedOptions } from '../runtime/options.ts';
import type { Given } from '../runtime/options.ts';
import { collect } from './collector.ts';
import type { FirstLook, Look, OwnLease, Plan, SweepPolicy } from './decide.ts';
import { NO_FIRST_LOOK, decide, noneKept, remember } from './decide.ts';
import { nodeNames, ownerless, planOwnerless } from './owners.ts';
import type { PassResult, SweepEvent } from './sweep-events.ts';
import type { SweepOptions } from './sweep-options.ts';
import { SWEEP_ROWS } from './sweep-options.ts';

/** Subscribes to ticks; returns what ends the subscription. */
export type Ticks = (onTick: () => void) => () => void;

/** What a sweeper is made of: its collaborators, and the options of `SweepOptions`, all optional. */
export interface SweeperOptions extends Given<SweepOptions> {
  readonly store: Pick<LeaseStore, 'list' | 'delete' | 'concurrency'>;
  readonly clock: Clock;
  /** 0 to 1, uniformly. */
  readonly random: () => number;
  /** Default: nobody listens. */
  readonly observe?: Observe<SweepEvent> | undefined;
  /** The lease that this process publishes itself: never collected. */
  readonly own?: OwnLease | undefined;
  /**
   * The Nodes. With them it deletes no expired leases, but heartbeats whose Node is gone: by default in
   * namespace `kube-node-lease` what has no other kind. Whatever else the selector finds stays.
   */
  readonly nodes?: NodeSource | undefined;
  /** When `run` begins a pass after the first; default every five minutes. */
  readonly ticks?: Ticks | undefined;
}

/** Milliseconds between passes where no ticks were given. */
const EVERY_MS = 300_000;

/** A pass was asked for while one is running. */
export class SweepInProgressError extends Error {
  override readonly name = 'SweepInProgressError';
  readonly code = 'SweepInProgress';
  constructor() {
    super('a pass of this sweeper is running');
  }
}

/** Deletes expired leases, in passes of two looks each. */
export class Sweeper {
  readonly #store: SweeperOptions['store'];
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #observe: Observe<SweepEvent>;
  readonly #ticks: Ticks;
  readonly #nodes: NodeSource | undefined;
  readonly #options: SweepOptions;
  readonly #policy: SweepPolicy;
  #busy = false;

  /** @throws OptionsError with all that is wrong with the options */
  constructor(options: SweeperOptions) {
    const { store, clock, random, observe, own, nodes, ticks = everyMs(options.clock, EVERY_MS), ...given } = options;
    this.#store = store;
    this.#clock = clock;
    this.#random = random;
    this.#observe = containedObserver(observe);
    this.#ticks = ticks;
    this.#nodes = nodes;
    const where = nodes && { namespace: HEARTBEAT_NAMESPACE, labelSelector: `!${KIND_LABEL}` };
    this.#options = checkedOptions('Sweeper', SWEEP_ROWS, { ...where, ...given });
    this.#policy = { ...this.#options, own };
  }

  /** A pass at once, and one on every tick, until the signal aborts. A tick during a pass is dropped, and reported. */
  async run(signal: AbortSignal): Promise<void> {
    let wake: (() => void) | undefined;
    const unsubscribe = this.#ticks(() => (wake ? wake() : this.#observe({ type: 'tickSkipped' })));
    const onAbort = (): void => wake?.();
    signal.addEventListener('abort', onAbort);
    try {
      while (!signal.aborted) {
        if (this.#busy) this.#observe({ type: 'tickSkipped' });
        else await this.sweepOnce(signal);
        if (signal.aborted) break;
        await new Promise<void>((resolve) => (wake = resolve));
        wake = undefined;
      }
    } finally {
      unsubscribe();
      signal.removeEventListener('abort', onAbort);
    }
  }

  /**
   * One pass. Settles promptly once the signal aborts, with outcome `aborted`. Failures of the store are in the result.
   * @throws SweepInProgressError while another pass of this sweeper runs
   */
  async sweepOnce(signal: AbortSignal): Promise<PassResult> {
    if (this.#busy) throw new SweepInProgressError();
    this.#busy = true;
    const { namespace, labelSelector, dryRun } = this.#options;
    const startedAt = this.#clock.monotonic();
    try {
      this.#observe({ type: 'passStarted', namespace, labelSelector, dryRun });
      const result = { ...(await this.#pass(signal)), dryRun, tookMs: this.#clock.monotonic() - startedAt };
      this.#observe({ type: 'passFinished', result });
      return result;
    } finally {
      this.#busy = false;
    }
  }

  async #pass(signal: AbortSignal): Promise<Omit<PassResult, 'dryRun' | 'tookMs'>> {
    const untried = { deleted: 0, changed: 0, gone: 0, failed: 0, left: 0 };
    const unseen = { seen: 0, collectable: 0, kept: noneKept(), ...untried };
    let distance: { clockDistanceMs?: number } = {};
    let plan: Plan | undefined;
    try {
      plan = this.#nodes
        ? await this.#surveyOwners(this.#nodes, signal)
        : await this.#survey(signal, (clockDistanceMs) => (distance = { clockDistanceMs }));
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (!signal.aborted) return { outcome: 'void', because: 'listFailed', error, ...unseen, ...distance };
    }
    if (!plan) return { outcome: 'aborted', ...unseen, ...distance };
    const { seen, kept, collect: leases, voidBecause, future } = plan;
    if (future.count > 0) this.#observe({ type: 'futureRenewals', ...future });
    const found = { seen, kept, collectable: leases.length, ...distance };
    if (voidBecause) return { outcome: 'void', because: voidBecause, ...found, ...untried };
    if (this.#options.dryRun) {
      for (const lease of leases) this.#observe({ type: 'wouldDelete', lease });
      return { outcome: 'completed', ...found, ...untried, left: leases.length };
    }
    const { stopped, ...collected } = await collect(
      { store: this.#store, clock: this.#clock, random: this.#random, observe: this.#observe, options: this.#options },
      leases,
      signal,
    );
    if (signal.aborted && collected.left + collected.failed > 0) return { outcome: 'aborted', ...found, ...collected };
    if (stopped) return { outcome: 'stopped', because: stopped, ...found, ...collected };
    return { outcome: 'completed', ...found, ...collected };
  }

  /** Both looks. `undefined`: aborted while waiting. */
  async #survey(signal: AbortSignal, onDistance: (ms: number) => void): Promise<Plan | undefined> {
    const { maxSkewMs, confirmAfterMs } = this.#options;
    const { first, plan, distanceMs } = await this.#lookFirst(signal);
    if (distanceMs !== undefined) {
      onDistance(distanceMs);
      this.#observe({ type: 'clockDistance', distanceMs, exceeded: Math.abs(distanceMs) > maxSkewMs });
    }
    if (plan) return plan;
    if (confirmAfterMs > 0 && !(await sleep(this.#clock, confirmAfterMs, signal))) return undefined;
    return decide(first, await this.#list(2, signal), this.#policy);
  }

  /** The same for heartbeats and the Nodes that own them. */
  async #surveyOwners(nodes: NodeSource, signal: AbortSignal): Promise<Plan | undefined> {
    const { confirmAfterMs, requestTimeoutMs: timeoutMs, allowAll } = this.#options;
    const names = (): Promise<ReadonlySet<string>> => nodeNames(nodes, { clock: this.#clock, timeoutMs, signal });
    const first = ownerless((await this.#list(1, signal)).leases, await names());
    if (first.size > 0 && confirmAfterMs > 0 && !(await sleep(this.#clock, confirmAfterMs, signal))) return undefined;
    const { leases } = await this.#list(2, signal);
    return planOwnerless(first, leases, await names(), allowAll);
  }

  /** Its own function, so that nothing of the list outlives it but what is returned. */
  async #lookFirst(signal: AbortSignal): Promise<{
    readonly first: FirstLook | undefined;
    /** When there is nothing to look at again. */
    readonly plan: Plan | undefined;
    readonly distanceMs: number | undefined;
  }> {
    const look = await this.#list(1, signal);
    const first = remember(look, this.#policy);
    const plan = first && first.expired.size > 0 ? undefined : decide(first && NO_FIRST_LOOK, look, this.#policy);
    return { first, plan, distanceMs: look.distanceMs };
  }

  async #list(look: 1 | 2, signal: AbortSignal): Promise<Look & { readonly distanceMs: number | undefined }> {
    const { namespace, labelSelector, pageSize, requestTimeoutMs: timeoutMs } = this.#options;
    const clock = this.#clock;
    const now = (): number => clock.monotonic();
    const startedAt = now();
    let earliest: MicroTime | undefined;
    let distanceMs: number | undefined;
    const ask = async (part: PagePart): Promise<LeasePage> => {
      const sentMs = clock.wallMicros() / 1000;
      const page = await this.#store.list({ namespace, labelSelector, ...part }, { signal, timeoutMs });
      const date = page.serverDate;
      if (date && (!earliest || date.compare(earliest) < 0)) {
        earliest = date;
        distanceMs = clockDistance(sentMs, clock.wallMicros() / 1000, date.epochMs);
      }
      return page;
    };
    const keep = ({ leases }: LeasePage): readonly Lease[] => leases;
    const { items, pages, serverDate, undated } = await listPages({ ask, keep, now, limit: pageSize });
    this.#observe({ type: 'looked', look, leases: items.length, pages, tookMs: now() - startedAt });
    return { leases: items, date: undated ? undefined : serverDate, distanceMs };
  }
}

/** Ticks of the clock itself. */
const everyMs =
  (clock: Clock, ms: number): Ticks =>
  (onTick) => {
    let cancel = (): void => {};
    const arm = (): void => {
      cancel = clock.schedule(ms, () => {
        arm();
        onTick();
      });
    };
    arm();
    return () => cancel();
  };
