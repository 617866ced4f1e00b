/**
 * Bytes that arrive in pieces, until somebody wants them as one.
 *
 * Guarantees: takes memory by the bytes, not by the pieces: a Buffer of one byte weighs a hundred, and keeps alive all
 * that was read from the socket with it.
 */

/** Pieces that are kept as they came. */
const MANY = 1024;

export class Chunks {
  /** Bytes. */
  size = 0;
  /** Of MANY pieces each. */
  #joined: Buffer[] = [];
  #pieces: Buffer[] = [];

  push(piece: Buffer): void {
    this.size += piece.length;
    if (this.#pieces.push(piece) < MANY) return;
    this.#joined.push(Buffer.concat(this.#pieces));
    this.#pieces = [];
  }

  /** All of it; nothing is kept. */
  take(): Buffer {
    const all = this.#joined.length === 0 ? this.#pieces : [...this.#joined, ...this.#pieces];
    const [only] = all;
    const bytes = all.length === 1 && only ? only : Buffer.concat(all, this.size);
    this.clear();
    return bytes;
  }

  clear(): void {
    this.size = 0;
    this.#joined = [];
    this.#pieces = [];
  }
}
