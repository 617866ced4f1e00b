/**
 * client-go's leader election as it behaves, with `ReleaseOnCancel`: contenders beside it must cope with that.
 *
 * It polls; it judges another's record by the record's own duration since it last changed; it takes an empty holder at once;
 * after a renew deadline without success it stops leading and releases: it reads the lease, and empties it, another's too.
 */
import type { Lease } from '../../src/lease/lease.ts';
import { newLease, withChanges } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { recordOf, sameRecord } from '../../src/lease/record.ts';
import { isStoreError } from '../../src/lease/store.ts';
import type { LeaseRef, LeaseStore } from '../../src/lease/store.ts';
import { sleep } from '../../src/runtime/clock.ts';
import type { Clock } from '../../src/runtime/clock.ts';

const LEASE_MS = 15_000;
const RENEW_DEADLINE_MS = 10_000;
const RETRY_MS = 2_000;
const JITTER = 1.2;

export interface ClientGoParts {
  readonly store: LeaseStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly ref: LeaseRef;
  readonly identity: string;
  readonly note: (what: string) => void;
}

export class ClientGoElector {
  readonly #parts: ClientGoParts;
  #observed: Lease | undefined;
  #observedAt = 0;
  /** What it believes. */
  leading = false;

  constructor(parts: ClientGoParts) {
    this.#parts = parts;
  }

  /** As a process that is started again whenever it has lost its leadership. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random, note } = this.#parts;
    while (!signal.aborted) {
      this.#observed = undefined;
      while (!signal.aborted && !(await this.#try(RENEW_DEADLINE_MS))) {
        await sleep(clock, RETRY_MS * (1 + JITTER * random()), signal);
      }
      if (!this.#isOurs()) continue;
      this.leading = true;
      note('leads');
      await this.#renew(signal);
      this.leading = false;
      note('stops leading');
      await this.#release();
      await sleep(clock, 1_000, signal);
    }
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (!signal.aborted) {
      const until = clock.monotonic() + RENEW_DEADLINE_MS;
      let renewed: boolean;
      for (;;) {
        renewed = await this.#try(until - clock.monotonic());
        if (renewed || signal.aborted || clock.monotonic() + RETRY_MS >= until) break;
        await sleep(clock, RETRY_MS, signal);
      }
      if (!renewed) return;
      await sleep(clock, RETRY_MS, signal);
    }
  }

  async #try(timeoutMs: number): Promise<boolean> {
    const { store, clock, ref, identity } = this.#parts;
    const call = { timeoutMs: Math.max(timeoutMs, 1) };
    const now = this.#now();
    const spec = {
      ...{ holderIdentity: identity, leaseDurationSeconds: LEASE_MS / 1000, renewTime: now, acquireTime: now },
      // It writes its record whole, which has none.
      preferredHolder: undefined,
    };
    try {
      let lease: Lease;
      try {
        lease = await store.get(ref, call);
      } catch (error) {
        if (!isStoreError(error, 'NotFound')) throw error;
        this.#observe(await store.create(newLease({ ...ref }, { ...spec, leaseTransitions: 0 }), call));
        return true;
      }
      const { holderIdentity, leaseDurationSeconds, leaseTransitions = 0, acquireTime } = lease.spec;
      this.#observe(lease);
      const ours = this.#isOurs();
      const untilMs = this.#observedAt + (leaseDurationSeconds ?? 0) * 1000;
      if (holderIdentity && !ours && clock.monotonic() < untilMs) return false;
      const next = ours
        ? { ...spec, acquireTime, leaseTransitions }
        : { ...spec, leaseTransitions: leaseTransitions + 1 };
      this.#observe(await store.update(withChanges(lease, { spec: next }), call));
      return true;
    } catch (error) {
      if (!isStoreError(error)) throw error;
      return false;
    }
  }

  async #release(): Promise<void> {
    const { store, ref, note } = this.#parts;
    const call = { timeoutMs: RENEW_DEADLINE_MS };
    try {
      const lease = await store.get(ref, call);
      if (!this.#isOurs()) return;
      const now = this.#now();
      const spec = { holderIdentity: '', leaseDurationSeconds: 1, renewTime: now, acquireTime: now };
      await store.update(withChanges(lease, { spec }), call);
      note('released');
    } catch (error) {
      if (!isStoreError(error)) throw error;
    }
  }

  #now(): MicroTime {
    return MicroTime.fromEpochMicrosClamped(this.#parts.clock.wallMicros());
  }

  /** By what it last observed: a read before the release changes nothing of it. */
  #isOurs(): boolean {
    return this.#observed?.spec.holderIdentity === this.#parts.identity;
  }

  #observe(lease: Lease): void {
    if (!this.#observed || !sameRecord(recordOf(this.#observed), recordOf(lease))) {
      this.#observedAt = this.#parts.clock.monotonic();
    }
    this.#observed = lease;
  }
}
