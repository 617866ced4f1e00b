/**
 * Events about leases, for `kubectl describe lease` and `kubectl get events`: claimed, taken over, superseded, swept.
 *
 * Guarantees: best effort, and never in anybody's way: nothing waits for an Event; at most 25 at once and one every five
 * minutes after that (client-go's own limits); one request at a time, tried once; without permission it falls silent
 * after one line in the log, until the process ends. A renewal makes no Event.
 */
import type { ElectionEvent } from '../election/events.ts';
import type { PublisherEvent } from '../identity/events.ts';
import type { Lease } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { isStoreError } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Service } from '../runtime/services.ts';
import { Wake } from '../runtime/wake.ts';
import type { SweepEvent } from '../sweep/events.ts';

const BURST = 25;
/** Milliseconds until one more may be sent. */
const REFILL_MS = 300_000;
/** Milliseconds for one request. */
const TIMEOUT_MS = 5_000;
/** Bytes that the API takes of a note. */
const NOTE_LENGTH = 1000;
const CONTROLLER = 'leasekeeper';

export interface EventBody {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly [field: string]: unknown;
}

export interface EventsOptions {
  /** @throws LeaseStoreError */
  readonly post: (event: EventBody, call: { signal: AbortSignal; timeoutMs: number }) => Promise<void>;
  readonly clock: Clock;
  /** Which instance reports: the host. At most 128 characters are kept. */
  readonly instance: string;
  /** Told once, when Events are given up. */
  readonly onGivenUp: (error: LeaseStoreError) => void;
}

interface About {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export class LeaseEvents {
  readonly #options: EventsOptions;
  readonly #wake = new Wake();
  #queue: EventBody[] = [];
  #givenUp = false;
  /** Events that may be sent now, and when that number was right, in monotonic milliseconds. */
  #allowance = BURST;
  #countedAt: number;
  #lastMicros = 0;
  #sweptNamespace = '';
  #electedUid = '';

  constructor(options: EventsOptions) {
    this.#options = options;
    this.#countedAt = options.clock.monotonic();
  }

  readonly publisher: Observe<PublisherEvent> = (event) => {
    if (event.type === 'claimed') {
      const host = event.lease.spec.holderIdentity ?? '';
      if (event.how === 'takenOver') {
        const note = `${host} took the lease over from ${event.from || 'nobody'}`;
        this.#tell(event.lease, 'Normal', 'LeaseTakenOver', 'TakeOver', note);
      } else {
        const note = `${host} ${event.how === 'created' ? 'created the lease' : 'created the lease again: it had been deleted'}`;
        this.#tell(event.lease, event.how === 'created' ? 'Normal' : 'Warning', 'LeaseClaimed', 'Claim', note);
      }
    } else if (event.type === 'superseded') {
      const note = `${event.lease.spec.holderIdentity ?? ''} took the lease over from a process with this hostname that still runs and now stands by`;
      this.#tell(event.lease, 'Warning', 'LeaseSuperseded', 'StandBy', note);
    }
  };

  readonly sweep: Observe<SweepEvent> = (event) => {
    if (event.type === 'passStarted') this.#sweptNamespace = event.namespace;
    if (event.type !== 'deleted') return;
    const { name, uid, holderIdentity } = event.lease;
    const note = `deleted the expired lease of ${holderIdentity}`;
    this.#put({ namespace: this.#sweptNamespace, name, uid }, 'Normal', 'LeaseSwept', 'Sweep', note);
  };

  /** In client-go's words, for electors of one lease. */
  readonly election: Observe<ElectionEvent> = (event) => {
    if (event.type === 'leading') this.#electedUid = event.uid;
    else if (event.type !== 'stopped') return;
    const note = `${event.holder} ${event.type === 'leading' ? 'became leader' : 'stopped leading'}`;
    this.#put({ ...event.lease, uid: this.#electedUid }, 'Normal', 'LeaderElection', 'LeaderElection', note);
  };

  readonly service: Service = {
    name: 'events',
    run: async (signal) => {
      while (!signal.aborted) {
        const next = this.#queue.shift();
        if (next) await this.#post(next, signal);
        else await this.#wake.wait(this.#options.clock, Infinity, signal);
      }
    },
  };

  #tell({ metadata }: Lease, type: string, reason: string, action: string, note: string): void {
    this.#put(metadata, type, reason, action, note);
  }

  #put({ namespace, name, uid }: About, type: string, reason: string, action: string, note: string): void {
    if (this.#givenUp || !this.#allowed()) return;
    // Two in one microsecond would have one name.
    this.#lastMicros = Math.max(this.#lastMicros + 1, this.#options.clock.wallMicros());
    const { instance } = this.#options;
    this.#queue.push({
      metadata: { name: `${name.slice(0, 230)}.${this.#lastMicros.toString(16)}`, namespace },
      eventTime: MicroTime.fromEpochMicrosClamped(this.#lastMicros).toString(),
      reportingController: CONTROLLER,
      reportingInstance: instance.slice(0, 128) || CONTROLLER,
      type,
      reason,
      action,
      note: note.length > NOTE_LENGTH ? `${note.slice(0, NOTE_LENGTH - 1)}…` : note,
      regarding: { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace, name, uid },
    });
    this.#wake.now();
  }

  #allowed(): boolean {
    const now = this.#options.clock.monotonic();
    const refilled = Math.floor((now - this.#countedAt) / REFILL_MS);
    if (refilled > 0) {
      this.#allowance = Math.min(BURST, this.#allowance + refilled);
      this.#countedAt += refilled * REFILL_MS;
    }
    if (this.#allowance === 0) return false;
    this.#allowance -= 1;
    return true;
  }

  async #post(event: EventBody, signal: AbortSignal): Promise<void> {
    try {
      await this.#options.post(event, { signal, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      if (!isStoreError(error)) throw error;
      // Another failure costs this one Event; these will be the same for all to come.
      if (!isStoreError(error, 'Forbidden', 'NotFound', 'Unauthorized', 'Invalid') || this.#givenUp) return;
      this.#givenUp = true;
      this.#queue = [];
      this.#options.onGivenUp(error);
    }
  }
}
