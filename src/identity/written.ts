/**
 * What this process wrote and may find again: so that a lost answer is told from a second writer, and a write that is
 * still under way is not forgotten at shutdown. Bounded in size; the acknowledged renewTime is never forgotten.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { settledBy } from './decide.ts';
import type { LostWrite, Sent } from './decide.ts';

/** Unanswered writes remembered at the most; the oldest is forgotten first. */
const MAX_REMEMBERED = 64;

export class Written {
  #acknowledged: Sent | undefined;
  #unanswered: readonly Sent[] = [];
  #lost: readonly LostWrite[] = [];

  /** The last acknowledged renewTime, and every other one that may have been stored. */
  get sent(): readonly Sent[] {
    return this.#acknowledged ? [this.#acknowledged, ...this.#unanswered] : this.#unanswered;
  }

  /** Writes that may still take effect. */
  get lost(): readonly LostWrite[] {
    return this.#lost;
  }

  /** @param at monotonic milliseconds */
  sending(renewTime: MicroTime, at: number): Sent {
    const sent = { renewTime, at };
    this.#unanswered = [...this.#unanswered.slice(1 - MAX_REMEMBERED), sent];
    return sent;
  }

  /** @param lease as answered */
  acknowledged(sent: Sent, lease: Lease): void {
    this.#acknowledged = sent;
    // A PUT is over once its version is; a POST that found the name taken may yet find it free.
    this.#lost = this.#lost.filter((write) => write.base === undefined && !settledBy(write, lease, sent.at));
    this.#unanswered = this.#unanswered.filter((s) => this.#lost.some((write) => write.sent === s));
  }

  refused(sent: Sent): void {
    this.#unanswered = this.#unanswered.filter((s) => s !== sent);
  }

  /** No answer came. @param base the version a PUT was made from; undefined for a POST */
  answerLost(sent: Sent, base: Lease | undefined): void {
    const version = base && { uid: base.metadata.uid, resourceVersion: base.metadata.resourceVersion };
    this.#lost = [...this.#lost.slice(1 - MAX_REMEMBERED), { sent, base: version }];
  }

  /** Forgets the lost writes that this look proves to be over. @param nowMs monotonic milliseconds */
  looked(seen: Lease | undefined, nowMs: number): void {
    this.#lost = this.#lost.filter((write) => !settledBy(write, seen, nowMs));
  }

  forgetLost(): void {
    this.#lost = [];
  }
}
