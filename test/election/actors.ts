/**
 * Electors on one API in memory and one clock moved by hand.
 */
import { LeaderElector } from '../../src/election/elector.ts';
import type { LeaderElectorOptions } from '../../src/election/elector.ts';
import type { ElectionEvent } from '../../src/election/election-events.ts';
import type { Work } from '../../src/election/lead.ts';
import type { Term } from '../../src/election/term.ts';
import type { Lease } from '../../src/lease/lease.ts';
import type { LeaseStore } from '../../src/lease/store.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { MemoryApi } from '../support/memory-api.ts';
import { MemoryStore } from '../support/memory-store.ts';
import type { FaultPlan } from '../support/memory-store.ts';

export const REF = { namespace: 'kube-system', name: 'contended' };

/** Work that ends as soon as it is asked to. */
export const obedient: Work = (term) =>
  new Promise((resolve) => term.signal.addEventListener('abort', () => resolve(), { once: true }));

export interface ActorOptions extends Partial<
  Omit<LeaderElectorOptions, 'store' | 'clock' | 'id' | 'work' | 'observe'>
> {
  readonly work?: Work;
  readonly faults?: FaultPlan;
  /** Default: the memory itself. */
  readonly store?: LeaseStore;
  /** Its faults and journal are this actor's. */
  readonly memory?: MemoryStore;
}

export interface Actor {
  readonly elector: LeaderElector;
  readonly store: MemoryStore;
  readonly events: ElectionEvent[];
  /** Every term that the work was given, oldest first. */
  readonly terms: Term[];
  readonly outcome: Promise<unknown>;
  /** What `run` rejected with, or 'done'; undefined while it runs. */
  readonly settled: unknown;
  stop(): void;
  /** True while some term of it passes its check. */
  readonly leads: boolean;
  of<T extends ElectionEvent['type']>(type: T): Extract<ElectionEvent, { type: T }>[];
}

export class Scene {
  readonly clock = new ManualClock();
  readonly api = new MemoryApi(this.clock);
  readonly actors: Actor[] = [];

  peek(): Lease | undefined {
    return this.api.peek(REF);
  }

  get leaders(): Actor[] {
    return this.actors.filter((actor) => actor.leads);
  }

  actor(id: string, options: ActorOptions = {}): Actor {
    const { clock } = this;
    const { work = obedient, faults, memory, store: given, ...others } = options;
    const store =
      memory ?? (given as MemoryStore | undefined) ?? new MemoryStore({ clock, api: this.api, by: id, faults });
    const events: ElectionEvent[] = [];
    const terms: Term[] = [];
    const elector = new LeaderElector({
      random: () => 0.5,
      lease: REF,
      uuid: String(this.actors.length + 1),
      ...others,
      store: given ?? store,
      clock,
      id,
      observe: (event) => void events.push(event),
      work: (term) => {
        terms.push(term);
        return work(term);
      },
    });
    const abort = new AbortController();
    let settled: unknown;
    const outcome = elector.run(abort.signal).then(
      () => (settled = 'done'),
      (error: unknown) => (settled = error),
    );
    const actor: Actor = {
      elector,
      store,
      events,
      terms,
      outcome,
      get settled() {
        return settled;
      },
      stop: () => abort.abort(),
      get leads() {
        return terms.some(passes);
      },
      of: <T extends ElectionEvent['type']>(type: T) =>
        events.filter((event): event is Extract<ElectionEvent, { type: T }> => event.type === type),
    };
    this.actors.push(actor);
    return actor;
  }

  /** Moves time on in small steps, and says how long it took until `condition` held; undefined when it never did. */
  async until(condition: () => boolean, withinMs: number, stepMs = 10): Promise<number | undefined> {
    const began = this.clock.monotonic();
    await this.clock.advance(0);
    while (!condition()) {
      if (this.clock.monotonic() - began >= withinMs) return undefined;
      await this.clock.advance(stepMs);
    }
    return this.clock.monotonic() - began;
  }

  /** Ends all actors; then no timer may be left. */
  async close(): Promise<void> {
    for (const actor of this.actors) {
      actor.stop();
      actor.store.faults = undefined;
    }
    for (let i = 0; i < 100 && this.actors.some((actor) => actor.settled === undefined); i++)
      await this.clock.advance(1_000);
    await Promise.all(this.actors.map((actor) => actor.outcome));
  }
}

export function passes(term: Term): boolean {
  try {
    term.check();
    return true;
  } catch {
    return false;
  }
}
