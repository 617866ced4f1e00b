/**
 * What this process wrote and may find again: so that a lost answer is told from a second writer, and a write that is
 * still under way is not forgotten at shutdown. Bounded in size.
 */
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { settledBy } from './decide.ts';
import type { LostWrite, Sent } from './decide.ts';

/** Writes remembered at the most; the oldest is forgotten first, and would then look like a second writer's. */
const MAX_REMEMBERED = 64;

export class Written {
  #sent: readonly Sent[] = [];
  #lost: readonly LostWrite[] = [];

  /** The last acknowledged renewTime, and every later one that may have been stored. */
  get sent(): readonly Sent[] {
    return this.#sent;
  }

  /** Writes that may still take effect. */
  get lost(): readonly LostWrite[] {
    return this.#lost;
  }

  /** @param at monotonic milliseconds */
  sending(renewTime: MicroTime, at: number): Sent {
    const sent = { renewTime, at };
    this.#sent = [...this.#sent.slice(1 - MAX_REMEMBERED), sent];
    return sent;
  }

  acknowledged(sent: Sent): void {
    this.#sent = [sent];
    this.#lost = [];
  }

  refused(sent: Sent): void {
    this.#sent = this.#sent.filter((s) => s !== sent);
  }

  /** No answer came. @param base the version a PUT was made from; undefined for a POST */
  answerLost(base: Lease | undefined): void {
    const write = base && { uid: base.metadata.uid, resourceVersion: base.metadata.resourceVersion };
    this.#lost = [...this.#lost.slice(1 - MAX_REMEMBERED), { base: write }];
  }

  /** Forgets the lost writes that this look proves to be over. */
  looked(seen: Lease | undefined): void {
    this.#lost = this.#lost.filter((write) => !settledBy(write, seen));
  }

  forgetLost(): void {
    this.#lost = [];
  }
}
