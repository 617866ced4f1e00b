/**
 * A kube-apiserver that publishes its own identity, as 1.36 does it: deletes the lease that it finds at its start, without
 * preconditions, and makes its own; renews whatever lease it finds and keeps the holder found; writes neither acquireTime
 * nor leaseTransitions.
 */
import type { Lease } from '../../src/lease/lease.ts';
import { newLease, withChanges } from '../../src/lease/lease.ts';
import { MicroTime } from '../../src/lease/micro-time.ts';
import { HOSTNAME_LABEL, IDENTITY_LABEL, IDENTITY_LABEL_VALUE, leaseName } from '../../src/lease/names.ts';
import type { LeaseStore } from '../../src/lease/store.ts';
import { isStoreError } from '../../src/lease/store.ts';
import { sleep } from '../../src/runtime/clock.ts';
import type { Clock } from '../../src/runtime/clock.ts';

const RENEW_MS = 10_000;
const UPDATES_AT_ONCE = 5;
const [FIRST_WAIT_MS, LAST_WAIT_MS] = [200, 7_000];

export interface ServerIdentityOptions {
  /** Takes a DELETE and a PUT without preconditions. */
  readonly store: Pick<LeaseStore, 'get' | 'create' | 'update' | 'delete'>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly hostname: string;
  /** Of this start. */
  readonly uuid: string;
  /** With `--peer-ca-file`: the address on its lease. */
  readonly peerAddress?: string;
}

export class ServerIdentity {
  readonly name: string;
  readonly holder: string;
  readonly #options: ServerIdentityOptions;
  #latest: Lease | undefined;

  constructor(options: ServerIdentityOptions) {
    this.#options = options;
    this.name = leaseName(options.hostname, 'apiserver');
    this.holder = `${this.name}_${options.uuid}`;
  }

  /** Until the signal aborts: as after a crash, its lease stays. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#options;
    await this.remove(signal);
    do await this.#sync(signal);
    while (await sleep(clock, RENEW_MS * (1 + 0.04 * random()), signal));
  }

  /** What it does at its start, and at the end of an orderly stop. */
  async remove(signal: AbortSignal): Promise<void> {
    const blindly = { uid: '', resourceVersion: '' };
    await this.#try(() => this.#options.store.delete(this.#ref, blindly, { signal }));
  }

  async #sync(signal: AbortSignal): Promise<void> {
    if (this.#latest && (await this.#update(this.#latest, signal))) return;
    const { lease, made } = await this.#ensure(signal);
    this.#latest = lease;
    if (lease && !made) await this.#update(lease, signal);
  }

  async #update(base: Lease | undefined, signal: AbortSignal): Promise<boolean> {
    for (let i = 0; base && i < UPDATES_AT_ONCE && !signal.aborted; i++) {
      const lease: Lease = this.#written(base);
      const { answer, error } = await this.#try(() => this.#options.store.update(lease, { signal }));
      if (answer) this.#latest = answer;
      if (answer) return true;
      if (isStoreError(error, 'Conflict')) base = (await this.#ensure(signal)).lease;
    }
    return false;
  }

  /** The lease that is there, or a new one. */
  async #ensure(signal: AbortSignal): Promise<{ lease?: Lease | undefined; made: boolean }> {
    const { store, clock, hostname, peerAddress } = this.#options;
    for (let waitMs = FIRST_WAIT_MS; !signal.aborted; waitMs = Math.min(2 * waitMs, LAST_WAIT_MS)) {
      const found = await this.#try(() => store.get(this.#ref, { signal }));
      if (found.answer) return { lease: found.answer, made: false };
      if (isStoreError(found.error, 'NotFound')) {
        const labels = { [IDENTITY_LABEL]: IDENTITY_LABEL_VALUE, [HOSTNAME_LABEL]: hostname };
        const annotations: Record<string, string> = peerAddress
          ? { 'kubernetes.io/peer-advertise-address': peerAddress }
          : {};
        const spec = { holderIdentity: this.holder, leaseDurationSeconds: 3600 };
        const lease = this.#written(newLease({ ...this.#ref, labels, annotations }, spec));
        const { answer } = await this.#try(() => store.create(lease, { signal }));
        if (answer) return { lease: answer, made: true };
      }
      await sleep(clock, waitMs, signal);
    }
    return { made: false };
  }

  #written(lease: Lease): Lease {
    return withChanges(lease, { spec: { renewTime: MicroTime.fromEpochMicros(this.#options.clock.wallMicros()) } });
  }

  async #try<T>(ask: () => Promise<T>): Promise<{ answer?: T; error?: unknown }> {
    try {
      return { answer: await ask() };
    } catch (error) {
      if (!isStoreError(error)) throw error;
      return { error };
    }
  }

  get #ref() {
    return { namespace: 'kube-system', name: this.name };
  }
}
