/**
 * Events about leases, for `kubectl describe lease` and `kubectl get events`: claimed, taken over, superseded, swept.
 *
 * Guarantees: best effort, and never in anybody's way: nothing waits for an Event; at most 25 at once and one every five
 * minutes after that (client-go's own limits); one request at a time, tried once; without permission it falls silent
 * after one line in the log, until the process ends, while any other failure costs that Event alone. What is too long is
 * cut to the API's limits. A renewal makes no Event.
 */
import type { ElectionEvent } from '../election/election-events.ts';
import type { PublisherEvent } from '../identity/publisher-events.ts';
import type { Lease } from '../lease/lease.ts';
import { MicroTime } from '../lease/micro-time.ts';
import { isStoreError } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Service } from '../runtime/services.ts';
import { Wake } from '../runtime/wake.ts';
import type { SweepEvent } from '../sweep/sweep-events.ts';
import { LOST, REASON } from './election-log.ts';
import type { Logger } from './log.ts';
import type { RecipeEvent } from './recipe-log.ts';

const BURST = 25;
/** Milliseconds until one more may be sent. */
const REFILL_MS = 300_000;
/** Milliseconds for one request. */
const TIMEOUT_MS = 5_000;
/** Bytes of UTF-8 that the API takes (noteLengthLimit and reportingInstanceLengthLimit of its validation). */
const MAX_NOTE_BYTES = 1024;
const MAX_INSTANCE_BYTES = 128;
/** Characters of the lease's name in that of its Event: 253 less the dot and the microseconds in hex, with some to spare. */
const MAX_NAME = 230;
const CONTROLLER = 'leasekeeper';

export interface EventBody {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly [field: string]: unknown;
}

export interface EventsOptions {
  /** @throws LeaseStoreError */
  readonly post: (event: EventBody, call: { signal: AbortSignal; timeoutMs: number }) => Promise<void>;
  readonly clock: Clock;
  /** Which instance reports: the host. At most 128 bytes are kept. */
  readonly instance: string;
  readonly log: Pick<Logger, 'info' | 'debug'>;
  /** Whether Events are made at the moment. */
  readonly enabled: () => boolean;
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
  /** Of the Leases that recipes hold, by name. */
  readonly #heldUids = new Map<string, string>();

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

  /** For recipes: who holds the Lease, and that a member of a ring was silent. Of single keys of a ring the log tells. */
  readonly recipe: Observe<RecipeEvent> = (event) => {
    switch (event.type) {
      case 'leading':
        this.#heldUids.set(event.lease.name, event.uid);
        return this.#hold(event, 'Normal', 'LeaseHeld', `${event.holder} holds the lease`);
      case 'stopped': {
        const lost = LOST.has(event.reason) || event.reason === 'abandoned';
        const note = `${event.holder} ${lost ? 'lost' : 'gave up'} the lease: ${REASON[event.reason]}`;
        return this.#hold(event, lost ? 'Warning' : 'Normal', lost ? 'LeaseLost' : 'LeaseGivenUp', note);
      }
      case 'memberTaken':
        this.#tell(
          event.lease,
          'Warning',
          'MemberSilent',
          'TakeOver',
          'the member did not renew for the duration of its lease: others take its keys',
        );
        return;
      default:
    }
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

  #hold({ lease }: ElectionEvent, type: string, reason: string, note: string): void {
    this.#put({ ...lease, uid: this.#heldUids.get(lease.name) ?? '' }, type, reason, 'Hold', note);
  }

  #tell({ metadata }: Lease, type: string, reason: string, action: string, note: string): void {
    this.#put(metadata, type, reason, action, note);
  }

  #put({ namespace, name, uid }: About, type: string, reason: string, action: string, note: string): void {
    if (this.#givenUp || !this.#options.enabled() || !this.#allowed()) return;
    // Two in one microsecond would have one name.
    this.#lastMicros = Math.max(this.#lastMicros + 1, this.#options.clock.wallMicros());
    const { instance } = this.#options;
    this.#queue.push({
      metadata: { name: `${eventNamePrefix(name)}.${this.#lastMicros.toString(16)}`, namespace },
      eventTime: MicroTime.fromEpochMicrosClamped(this.#lastMicros).toString(),
      reportingController: CONTROLLER,
      reportingInstance: cut(instance, MAX_INSTANCE_BYTES) || CONTROLLER,
      type,
      reason,
      action,
      note: cut(note, MAX_NOTE_BYTES, '…'),
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
    const { log, post } = this.#options;
    try {
      await post(event, { signal, timeoutMs: TIMEOUT_MS });
    } catch (error) {
      if (!isStoreError(error)) throw error;
      // Another failure may be of this Event or this moment, and what follows is few; this is the same for all to come.
      if (!isStoreError(error, 'Forbidden')) {
        if (error.code !== 'Aborted')
          log.debug({ code: error.code, err: error }, 'an Event about a lease was not made');
        return;
      }
      if (this.#givenUp) return;
      this.#givenUp = true;
      this.#queue = [];
      log.info({ code: error.code, err: error }, 'no Events about leases will be made; everything else works without');
    }
  }
}

/** The text when it has no more bytes than that, else as many whole characters as fit before `end`. */
function cut(text: string, maxBytes: number, end = ''): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const room = new Uint8Array(maxBytes - Buffer.byteLength(end));
  return text.slice(0, new TextEncoder().encodeInto(text, room).read) + end;
}

/** A dot follows it, so that it must not end with one, or with a dash. */
const eventNamePrefix = (leaseName: string): string => leaseName.slice(0, MAX_NAME).replace(/[-.]+$/, '');
