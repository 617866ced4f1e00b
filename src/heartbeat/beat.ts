/**
 * One node's heartbeat: what is kept of it between renewals, and the requests of one renewal.
 *
 * Guarantees: one PUT per renewal while all is well; a conflict or a deletion is mended within the same renewal; every
 * PUT carries the uid and the version it was made from; a Node that goes or is recreated meanwhile gets no further
 * request of the old kind.
 */
import type { Lease } from '../lease/lease.ts';
import type { NodeInfo } from '../lease/node-source.ts';
import { OwnWrites } from '../lease/own-writes.ts';
import { isStoreError } from '../lease/store.ts';
import type { LeaseStore, LeaseStoreError } from '../lease/store.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { afterFailure, disturbance, firstHeartbeat, held, nextHeartbeat, renewalTime, unheld } from './decide.ts';
import type { Held } from './decide.ts';
import type { HeartbeatEvent, HeartbeatOperation } from './heartbeat-events.ts';
import type { HeartbeatOptions } from './heartbeat-options.ts';
import type { Seat } from './wheel.ts';

/** Refused writes in a row that are answered at once; after these the waits of a failure apply (component-helpers' own). */
const CONFLICTS_AT_ONCE = 5;

/** Kept small: there are ten thousand. */
export class Beat {
  readonly seat: Seat = { place: -1, extra: -1 };
  node: NodeInfo;
  /** The lease as last answered; undefined: unknown, or none. */
  held: Held | undefined = undefined;
  /** What we wrote; undefined: nothing yet. */
  own: OwnWrites | undefined = undefined;
  failures = 0;
  /** Since when a renewal is due, in monotonic milliseconds; NaN: none is. */
  dueAt = Number.NaN;
  /** True while it waits for its turn. */
  queued = false;
  inFlight = false;
  /** The Node is deleted. */
  gone = false;

  constructor(node: NodeInfo) {
    this.node = node;
  }
}

export type BeatResult =
  | {
      readonly kind: 'renewed' | 'created' | 'recreated' | 'takenOver';
      readonly latencyMs: number;
      readonly at: number;
      /** Refused writes that were mended on the way. */
      readonly conflicts: number;
    }
  | { readonly kind: 'failed'; readonly operation: HeartbeatOperation; readonly error: LeaseStoreError }
  /** Given up: the Node is gone, or everything stops. */
  | { readonly kind: 'dropped' };

export interface BeatParts {
  readonly store: Pick<LeaseStore, 'get' | 'create' | 'update'>;
  readonly clock: Clock;
  readonly options: HeartbeatOptions;
  readonly observe: Observe<HeartbeatEvent>;
  /** Called for each request after the first. */
  readonly onExtra: () => void;
}

/** @throws what is no LeaseStoreError */
export async function renew(beat: Beat, parts: BeatParts, signal: AbortSignal): Promise<BeatResult> {
  const { clock } = parts;
  const began = beat.held;
  let mustRead = began === undefined;
  for (let conflicts = 0, requests = 0; ;) {
    let operation: HeartbeatOperation = 'get';
    try {
      if (mustRead) {
        if (requests++ > 0) parts.onExtra();
        keep(beat, await read(beat, parts, signal), parts);
        mustRead = false;
      }
      if (beat.gone || signal.aborted) return { kind: 'dropped' };
      operation = beat.held ? 'update' : 'create';
      if (requests++ > 0) parts.onExtra();
      const at = clock.monotonic();
      const created = operation === 'create';
      keep(beat, await write(beat, parts, signal), parts);
      const kind = created ? (began ? 'recreated' : 'created') : began ? 'renewed' : 'takenOver';
      return { kind, latencyMs: clock.monotonic() - at, at, conflicts };
    } catch (error) {
      if (!isStoreError(error)) throw error;
      if (error.code === 'Aborted') return { kind: 'dropped' };
      mustRead = afterFailure(operation, error) === 'read';
      if (!mustRead || ++conflicts > CONFLICTS_AT_ONCE) return { kind: 'failed', operation, error };
    }
  }
}

function keep(beat: Beat, lease: Lease | undefined, { options }: BeatParts): void {
  beat.held = lease && held(lease, beat.node, options, beat.held, beat.own?.acknowledged?.renewTime);
}

async function read(beat: Beat, parts: BeatParts, signal: AbortSignal): Promise<Lease | undefined> {
  const { store, clock, options, observe } = parts;
  const ref = { namespace: options.namespace, name: beat.node.name };
  try {
    const seen = await store.get(ref, { signal, timeoutMs: options.requestTimeoutMs, urgent: true });
    const by = disturbance(beat.node, seen, beat.own);
    const found = beat.own?.find(seen);
    if (found) beat.own?.stored(found, seen);
    else beat.own?.observed(seen, clock.monotonic());
    if (by) observe({ type: 'disturbed', node: beat.node.name, by });
    return seen;
  } catch (error) {
    if (!isStoreError(error) || afterFailure('get', error) !== 'again') throw error;
    beat.own?.observed(undefined, clock.monotonic());
    return undefined;
  }
}

async function write(beat: Beat, parts: BeatParts, signal: AbortSignal): Promise<Lease> {
  const { store, clock, options } = parts;
  const own = (beat.own ??= new OwnWrites());
  const from = beat.held && unheld(beat.held, beat.node, options);
  const renewTime = renewalTime(from?.spec.renewTime, own, clock.wallMicros());
  const lease = from
    ? nextHeartbeat(beat.node, options, from, renewTime)
    : firstHeartbeat(beat.node, options, renewTime);
  const call = { signal, timeoutMs: options.requestTimeoutMs, urgent: true };
  const sent = own.sending(renewTime, clock.monotonic(), from, {});
  try {
    const stored = await (from ? store.update(lease, call) : store.create(lease, call));
    own.stored(sent, stored);
    return stored;
  } catch (error) {
    if (isStoreError(error) && error.mayHaveCommitted) own.answerLost(sent);
    // Where something on the way sends a request twice, the answer may be a conflict with our own write: a read tells.
    else if (!isStoreError(error) || afterFailure(from ? 'update' : 'create', error) !== 'read') own.refused(sent);
    throw error;
  }
}
