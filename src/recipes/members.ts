/**
 * Members: publishes this process as one of a set, and gives a live view of the others.
 *
 * Guarantees: a member is live while its Lease was seen to change within its own duration, by this process's monotonic clock:
 * the clocks of members need not agree. One write a renewal, one watch for the whole set. A member that leaves is gone for
 * the others in one round trip, one that dies after its duration. `run` settles when the signal has aborted and the Lease is
 * given up.
 * Does not guarantee that two members see the same at one moment; for work that must not be done twice there are shards.
 */
import { PAYLOAD_ANNOTATION } from '../lease/marks.ts';
import type { Lease } from '../lease/lease.ts';
import { aborted, sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { containedObserver } from '../runtime/observer.ts';
import { OptionsError, checkedOptions } from '../runtime/options.ts';
import { Wake } from '../runtime/wake.ts';
import { DAMPING_ROWS } from './recipe-options.ts';
import { RingMember } from './ring-member.ts';
import type { RingMemberOptions } from './ring-member.ts';

/** Bytes of the payload as JSON: it is written with each renewal, and read by every member. */
const MAX_PAYLOAD_BYTES = 4_096;

/** Anything that JSON can say: an address, a version, a zone. */
export type Payload = Readonly<Record<string, unknown>>;

/** A member, as it is seen. */
export interface MemberInfo {
  /** Name of its Lease; its identity in the set. */
  readonly name: string;
  /** `<id>_<uuid>`: another one after a restart. */
  readonly holder: string;
  readonly labels: Readonly<Record<string, string>>;
  /** What it says of itself; undefined: nothing that can be read. Written by others: never trusted. */
  readonly payload: Payload | undefined;
  /** True for this process. */
  readonly self: boolean;
}

/** Who joined, changed or left. */
export type MemberChange = {
  /** `changed`: its payload, its labels, or the process behind its name. */
  readonly type: 'joined' | 'changed' | 'left';
  readonly member: MemberInfo;
};

/** What a member of a set is made of. */
export interface MembersOptions extends Omit<RingMemberOptions, 'annotations' | 'onDeadline' | 'onProof'> {
  /** What this member says of itself: at most 4096 bytes as JSON; default nothing. */
  readonly payload?: Payload | undefined;
  /**
   * Milliseconds for which a change waits before it is reported, so that one that is undone within them is not; default 0.
   * `live` shows every change at once.
   */
  readonly dampingMs?: number | undefined;
}

/** This process as a member of a set, and a live view of the others. */
export class Members {
  readonly #clock: Clock;
  readonly #dampingMs: number;
  readonly #member: RingMember;
  #payload: string | undefined;
  #news: (() => void)[] = [];
  #begun = false;
  #ended = false;

  /** @throws OptionsError with everything that is wrong */
  constructor(options: MembersOptions) {
    const { dampingMs } = checkedOptions('Members', DAMPING_ROWS, options);
    const { payload, dampingMs: _, observe, ...rest } = options;
    this.#dampingMs = dampingMs;
    this.#clock = options.clock;
    this.#payload = payloadText(payload);
    this.#member = new RingMember(
      {
        ...rest,
        observe: containedObserver(observe),
        // Undefined removes what an earlier process, or an earlier payload, left there.
        annotations: () => ({ [PAYLOAD_ANNOTATION]: this.#payload }),
      },
      // The Lease is all that a member holds.
      ({ signal }) => aborted(signal),
      () => this.#tellAll(),
    );
  }

  /** The live members by name, this one included once its Lease is written. */
  get live(): MemberInfo[] {
    const { view } = this.#member;
    return view.live(this.#clock.monotonic()).flatMap((name) => {
      const lease = view.lease(name);
      return lease ? [memberInfo(lease, name === this.#member.leaseName)] : [];
    });
  }

  /**
   * Another payload, written with the next renewal.
   * @throws OptionsError when it is no JSON object, or larger than 4096 bytes
   */
  update(payload: Payload | undefined): void {
    this.#payload = payloadText(payload);
  }

  /**
   * Takes part until the signal aborts; once: what was, is over for the others.
   * @throws TypeError when it was called before
   */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#begun) throw new TypeError('Members.run: it was called before; make another Members to take part again');
    this.#begun = true;
    try {
      await this.#member.run(signal);
    } finally {
      this.#ended = true;
      this.#tellAll();
    }
  }

  /**
   * Who joins, changes and leaves, from now on; who is live already joins first. Ends with `run`, or when the signal aborts.
   */
  async *changes(signal?: AbortSignal): AsyncGenerator<MemberChange, void, undefined> {
    const clock = this.#clock;
    const dampingMs = this.#dampingMs;
    const { view } = this.#member;
    let known = new Map<string, MemberInfo>();
    const wake = new Wake();
    const onNews = (): void => wake.now();
    this.#news.push(onNews);
    const onAbort = (): void => wake.now();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      while (!this.#ended && !signal?.aborted) {
        const now = new Map(this.live.map((member) => [member.name, member]));
        const changes = changesBetween(known, now);
        if (changes.length > 0 && dampingMs > 0 && !(await this.#settled(changes, known, dampingMs, signal))) continue;
        known = now;
        yield* changes;
        const at = clock.monotonic();
        await wake.wait(clock, Math.min(view.next(at) - at, MAX_WAIT_MS), signal);
      }
    } finally {
      this.#news = this.#news.filter((listener) => listener !== onNews);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** True when the same changes are still there after the damping. */
  async #settled(
    changes: readonly MemberChange[],
    known: ReadonlyMap<string, MemberInfo>,
    dampingMs: number,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    await sleep(this.#clock, dampingMs, signal);
    const again = changesBetween(known, new Map(this.live.map((member) => [member.name, member])));
    return JSON.stringify(again) === JSON.stringify(changes);
  }

  #tellAll(): void {
    for (const listener of this.#news) listener();
  }
}

/** Waits of no end are made of these. */
const MAX_WAIT_MS = 3_600_000;

function changesBetween(before: ReadonlyMap<string, MemberInfo>, now: ReadonlyMap<string, MemberInfo>): MemberChange[] {
  const changes: MemberChange[] = [];
  for (const [name, member] of before) if (!now.has(name)) changes.push({ type: 'left', member });
  for (const [name, member] of now) {
    const old = before.get(name);
    if (!old) changes.push({ type: 'joined', member });
    else if (JSON.stringify(old) !== JSON.stringify(member)) changes.push({ type: 'changed', member });
  }
  return changes;
}

export function memberInfo({ metadata, spec }: Lease, self: boolean): MemberInfo {
  return {
    name: metadata.name,
    holder: spec.holderIdentity ?? '',
    labels: metadata.labels,
    payload: parsePayload(metadata.annotations[PAYLOAD_ANNOTATION]),
    self,
  };
}

/** Reads what another wrote; undefined: nothing, or nothing that can be read. */
function parsePayload(text: string | undefined): Payload | undefined {
  if (text === undefined || Buffer.byteLength(text) > MAX_PAYLOAD_BYTES) return undefined;
  try {
    const json: unknown = JSON.parse(text);
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Payload) : undefined;
  } catch {
    return undefined;
  }
}

function payloadText(payload: Payload | undefined): string | undefined {
  if (payload === undefined) return undefined;
  let text: string | undefined;
  let rule = 'must be an object that JSON can say';
  try {
    text = JSON.stringify(payload);
    if (parsePayload(text) !== undefined) return text;
    if (text !== undefined && Buffer.byteLength(text) > MAX_PAYLOAD_BYTES)
      rule = `must be at most ${MAX_PAYLOAD_BYTES} bytes as JSON`;
  } catch {
    // A circle, say.
  }
  throw new OptionsError('Members', [{ field: 'payload', value: text ?? typeof payload, rule }]);
}
