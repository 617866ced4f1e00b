/**
 * What this process wrote to one lease and may find there again: so that a lost answer is distinguished from a second writer, and a
 * write that is still under way is not forgotten.
 *
 * Guarantees: no renewTime is given out while a write with it is remembered, so our writes can be distinguished; the last
 * acknowledged write is never forgotten; a write without an answer is remembered until something proves that it can no
 * longer take effect, or until 64 newer ones came: what is forgotten counts as another's, which is safe, only slower.
 */
import type { Lease } from './lease.ts';
import { MicroTime } from './micro-time.ts';

/** Unanswered writes remembered at the most; the oldest is forgotten first. */
const MAX_REMEMBERED = 64;
/**
 * How long a POST without an answer may still take effect, in milliseconds: kube-apiserver ends a request after 60 s
 * (`--request-timeout`).
 */
export const LOST_POST_MS = 60_000;

/** One write of ours. `More` is what a capability remembers with it. */
export type OwnWrite<More = object> = More & {
  readonly renewTime: MicroTime;
  /** Monotonic milliseconds, taken before it was sent. */
  readonly sentAt: number;
  /** The version it was made from; undefined for a POST. */
  readonly baseUid: string | undefined;
  readonly baseVersion: string | undefined;
};

/** One for all: of ten thousand leases nearly none has an open write. */
const NONE: readonly never[] = [];

/** Kept small, as there may be ten thousand of them: what a renewal leaves behind is one `OwnWrite`. */
export class OwnWrites<More = object> {
  #acknowledged: OwnWrite<More> | undefined;
  /** Without an answer: under way, or lost. */
  #open: readonly OwnWrite<More>[] = NONE;
  #lost: readonly OwnWrite<More>[] = NONE;

  /** The last acknowledged write, and every later one that may have been stored. */
  get all(): readonly OwnWrite<More>[] {
    return this.#acknowledged ? [this.#acknowledged, ...this.#open] : this.#open;
  }

  /** The last write that was answered with success, or found again. */
  get acknowledged(): OwnWrite<More> | undefined {
    return this.#acknowledged;
  }

  /** Writes whose answers were lost and that may still take effect. */
  get lost(): readonly OwnWrite<More>[] {
    return this.#lost;
  }

  /**
   * The wall clock's now as a renewTime, moved on by microseconds where a write that is remembered, or the record below,
   * says the same already.
   */
  time(wallMicros: number, below?: MicroTime): MicroTime {
    const isTaken = (time: MicroTime): boolean =>
      time.equals(below) ||
      time.equals(this.#acknowledged?.renewTime) ||
      this.#open.some((w) => time.equals(w.renewTime));
    const most = this.#open.length + 2;
    let time = MicroTime.fromEpochMicrosClamped(wallMicros);
    for (let tries = 1; tries <= most && isTaken(time); tries++) {
      time = MicroTime.fromEpochMicrosClamped(wallMicros + tries);
    }
    return time;
  }

  /**
   * Remembers a write that is about to be sent.
   * @param base the version a PUT is made from; undefined for a POST
   */
  sending(renewTime: MicroTime, sentAt: number, base: Lease | undefined, more: More): OwnWrite<More> {
    const { uid: baseUid, resourceVersion: baseVersion } = base?.metadata ?? {};
    const write = { ...more, renewTime, sentAt, baseUid, baseVersion };
    const [oldest] = this.#open;
    if (this.#open.length >= MAX_REMEMBERED) this.#forget((other) => other === oldest);
    this.#open = [...this.#open, write];
    return write;
  }

  /**
   * The write is the lease's record now, as an answer or a read says. Lost are then only PUTs that were made from this very
   * version, and POSTs: what found the name taken may yet find it free.
   */
  stored(write: OwnWrite<More>, lease: Lease): void {
    this.#acknowledged = write;
    this.#forget((other) => other === write || !this.#lost.includes(other) || settledBy(other, lease, write.sentAt));
  }

  /** The server refused it, or another has written over it: it will not be stored, or not again. */
  refused(write: OwnWrite<More>): void {
    this.#forget((other) => other === write);
  }

  /** No answer came: it may have been stored, or be stored yet. */
  answerLost(write: OwnWrite<More>): void {
    if (this.#open.includes(write) && !this.#lost.includes(write)) this.#lost = [...this.#lost, write];
  }

  /**
   * Forgets the lost writes that a read proves to be over.
   * @param nowMs monotonic milliseconds
   */
  observed(seen: Lease | undefined, nowMs: number): void {
    this.#forget((write) => this.#lost.includes(write) && !isRecord(write, seen) && settledBy(write, seen, nowMs));
  }

  /** Which of our writes the lease still says; undefined: another wrote it. */
  find(lease: Lease): OwnWrite<More> | undefined {
    return this.all.find((write) => isRecord(write, lease));
  }

  /** Nothing that was lost is waited for any more. */
  forgetLost(): void {
    this.#forget((write) => this.#lost.includes(write));
  }

  #forget(isOver: (write: OwnWrite<More>) => boolean): void {
    const stays = (writes: readonly OwnWrite<More>[]) => {
      const left = writes.filter((write) => !isOver(write));
      return left.length > 0 ? left : NONE;
    };
    [this.#open, this.#lost] = [stays(this.#open), stays(this.#lost)];
  }
}

const isRecord = ({ renewTime }: OwnWrite<unknown>, lease: Lease | undefined): boolean =>
  renewTime.equals(lease?.spec.renewTime);

/**
 * True when a read proves that a write can no longer take effect, or that it has.
 * @param nowMs monotonic milliseconds
 */
function settledBy(write: OwnWrite<unknown>, seen: Lease | undefined, nowMs: number): boolean {
  if (write.baseUid === undefined) {
    // It names no uid: refused while the name is taken, it makes a lease as soon as the name is free. What it made
    // carries its time for good.
    return nowMs - write.sentAt > LOST_POST_MS || write.renewTime.equals(seen?.spec.acquireTime);
  }
  // A PUT can only come while exactly its version is there.
  const { uid, resourceVersion } = seen?.metadata ?? {};
  return uid !== write.baseUid || resourceVersion !== write.baseVersion;
}
