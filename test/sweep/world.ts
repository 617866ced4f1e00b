/**
 * What the sweeper's tests share: an API server in memory whose clock stands still until it is moved, leases of a given
 * age in it, and a sweeper over it whose events are kept.
 */
import { parseLease, withChanges } from '../../src/lease/lease.ts';
import type { Lease, LeaseSpec } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { HOSTNAME_LABEL, IDENTITY_LABEL, IDENTITY_LABEL_VALUE } from '../../src/lease/names.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { sleep } from '../../src/runtime/clock.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import type { SweepEvent } from '../../src/sweep/sweep-events.ts';
import type { SweeperOptions } from '../../src/sweep/sweeper.ts';
import { Sweeper } from '../../src/sweep/sweeper.ts';
import { MemoryStore } from '../support/memory-store.ts';

export const NAMESPACE = 'kube-system';
/** The default duration, in seconds; a lease renewed longer ago than this has expired. */
export const HOUR = 3600;

export interface Age {
  readonly name?: string;
  /** Seconds since the last renewal. */
  readonly age: number;
  readonly duration?: number;
  readonly holder?: string | undefined;
  readonly finalizers?: readonly string[];
}

export function specOf(now: MicroTime, { name = 'a', age, duration = HOUR, holder = `${name}_1` }: Age): LeaseSpec {
  return {
    holderIdentity: holder,
    leaseDurationSeconds: duration,
    renewTime: MicroTime.fromEpochMicros(now.epochMicros - Math.round(age * 1e6)),
  };
}

/** A lease as it was read, for the pure decisions. `json` is merged over it, one level deep. */
export function leaseOf(json: { metadata?: object; spec?: object } = {}): Lease {
  const labels = { [IDENTITY_LABEL]: IDENTITY_LABEL_VALUE, [HOSTNAME_LABEL]: 'host-a' };
  return parseLease({
    metadata: { name: 'a', namespace: NAMESPACE, uid: 'uid-a', resourceVersion: '7', labels, ...json.metadata },
    spec: { holderIdentity: 'a_1', leaseDurationSeconds: HOUR, ...json.spec },
  });
}

export class World {
  readonly clock = new ManualClock();
  readonly store = new MemoryStore({ clock: this.clock, by: 'sweeper' });
  readonly events: SweepEvent[] = [];
  readonly abort = new AbortController();

  get now(): MicroTime {
    return MicroTime.fromEpochMicros(this.clock.wallMicros());
  }

  minutesAgo(minutes: number): MicroTime {
    return MicroTime.fromEpochMicros(this.clock.wallMicros() - minutes * 60e6);
  }

  /** Puts an identity lease there, renewed `age` seconds ago. */
  put(name: string, age: Omit<Age, 'name'>, more: { labels?: Record<string, string>; namespace?: string } = {}): Lease {
    const labels = { [IDENTITY_LABEL]: IDENTITY_LABEL_VALUE, [HOSTNAME_LABEL]: `host-${name}` };
    return this.store.put({
      name,
      labels,
      spec: specOf(this.now, { name, ...age }),
      creationTimestamp: MicroTime.fromEpochMicros(this.now.epochMicros - 86_400e6),
      finalizers: age.finalizers ?? [],
      ...more,
    });
  }

  /** As its holder: renews it now. */
  renew(name: string): void {
    this.store.edit({ namespace: NAMESPACE, name }, () => ({ spec: { renewTime: this.now } }));
  }

  names(): string[] {
    return this.store.api.all().map((lease) => lease.metadata.name);
  }

  deletions(): string[] {
    return this.store.history
      .filter((commit) => commit.verb === 'delete' && commit.by !== 'somebody')
      .map((c) => c.name);
  }

  sweeper(options: Partial<SweeperOptions> = {}): Sweeper {
    const observe = (event: SweepEvent): void => void this.events.push(event);
    return new Sweeper({ store: this.store, clock: this.clock, random: () => 0, observe, ...options });
  }

  /** A whole pass, the clock moved for it. */
  async pass(options: Partial<SweeperOptions> = {}) {
    return this.finish(this.sweeper(options).sweepOnce(this.abort.signal));
  }

  /** Moves the clock until the promise settles. */
  async finish<T>(promise: Promise<T>, limitMs = 3_600_000): Promise<T> {
    let settled = false;
    const watched = promise.finally(() => (settled = true));
    watched.catch(() => {});
    for (let moved = 0; !settled && moved <= limitMs; moved += 500) await this.clock.advance(500);
    if (!settled) throw new Error(`not settled within ${limitMs} ms`);
    return watched;
  }

  of<T extends SweepEvent['type']>(type: T): Extract<SweepEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<SweepEvent, { type: T }> => event.type === type);
  }

  /** Renews a lease every `everyMs` as its holder would, over its own connection, until the signal aborts. */
  async keepAlive(name: string, store: MemoryStore, everyMs: number, signal: AbortSignal): Promise<void> {
    while (await sleep(this.clock, everyMs, signal)) {
      try {
        const lease = await store.get({ namespace: NAMESPACE, name }, { timeoutMs: 5_000 });
        await store.update(withChanges(lease, { spec: { renewTime: this.now } }), { timeoutMs: 5_000 });
      } catch {
        // An outage; the next attempt comes in its time.
      }
    }
  }
}

/** The same monotonic time, a wall clock that is off by this much. */
export function skewed(clock: Clock, ms: number): Clock {
  return {
    wallMicros: () => clock.wallMicros() + ms * 1000,
    monotonic: () => clock.monotonic(),
    schedule: (after, callback) => clock.schedule(after, callback),
  };
}

/** Numbers from 0 to 1 that a seed gives (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
