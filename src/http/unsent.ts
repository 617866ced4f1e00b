/**
 * Answers whose readers are slow.
 *
 * Guarantees: an answer has left this process 30 s after it was made, or its connection is closed, however often its reader
 * takes a byte; answers that still wait hold at most 32 MB together, a piece that several wait for counted once: beyond
 * that the oldest are given up, as many as it takes. The newest is always tried.
 */
import type { ServerResponse } from 'node:http';
import type { Clock } from '../runtime/clock.ts';

/** Milliseconds for an answer: 10,000 leases are 7 MB, which a link of 2 Mbit/s takes in that time. */
const ANSWER_MS = 30_000;
const MAX_UNSENT_BYTES = 32 * 1024 * 1024;

export class Unsent {
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #waiting = new Map<ServerResponse, readonly (string | Buffer)[]>();
  /** How many wait for a piece. */
  readonly #pieces = new Map<string | Buffer, number>();
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be called once the whole answer has been handed to Node. */
  watch(response: ServerResponse, pieces: readonly (string | Buffer)[]): void {
    // The kernel has taken it already, as it does nearly always.
    if (response.writableLength === 0 || response.destroyed) return;
    const cancel = this.#clock.schedule(ANSWER_MS, () => response.destroy());
    response.once('close', () => {
      cancel();
      this.#release(response);
    });
    this.#waiting.set(response, pieces);
    for (const piece of pieces) {
      const readers = this.#pieces.get(piece) ?? 0;
      if (readers === 0) this.#bytes += Buffer.byteLength(piece);
      this.#pieces.set(piece, readers + 1);
    }
    for (const [oldest] of this.#waiting) {
      if (this.#bytes <= MAX_UNSENT_BYTES || oldest === response) return;
      this.#release(oldest);
      oldest.destroy();
    }
  }

  #release(response: ServerResponse): void {
    const pieces = this.#waiting.get(response) ?? [];
    this.#waiting.delete(response);
    for (const piece of pieces) {
      const readers = (this.#pieces.get(piece) ?? 0) - 1;
      if (readers > 0) this.#pieces.set(piece, readers);
      else if (this.#pieces.delete(piece)) this.#bytes -= Buffer.byteLength(piece);
    }
  }
}
