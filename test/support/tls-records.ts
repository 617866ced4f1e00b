/**
 * Finds the middle of a TLS record in a stream of bytes, so that a connection can be cut there.
 *
 * Guarantees: follows the records from the first byte of a connection, however it is cut into pieces. Bytes that are no
 * TLS are followed as if they were, and cut somewhere.
 */
const HEADER_BYTES = 5;

export class TlsRecords {
  #header: number[] = [];
  /** Bytes that the record which has begun still has. */
  #left = 0;
  /** Records that begin before the one to cut; undefined: none is cut. */
  #before: number | undefined;
  /** Bytes of the present record until the cut. */
  #untilCut: number | undefined;

  /** Cuts the record after so many that begin from now on. */
  cutAfter(records: number | undefined): void {
    this.#before = records;
    this.#untilCut = undefined;
  }

  /** Where in this piece the cut is; undefined when it is not there. */
  push(piece: Buffer): number | undefined {
    for (let at = 0; at < piece.length;) {
      if (this.#left === 0) {
        this.#header.push(piece.readUInt8(at++));
        if (this.#header.length === HEADER_BYTES) this.#begin();
        continue;
      }
      const here = Math.min(this.#left, piece.length - at);
      if (this.#untilCut !== undefined && this.#untilCut <= here) return at + this.#untilCut;
      if (this.#untilCut !== undefined) this.#untilCut -= here;
      this.#left -= here;
      at += here;
    }
    return undefined;
  }

  #begin(): void {
    const [, , , high = 0, low = 0] = this.#header;
    this.#header = [];
    this.#left = high * 256 + low;
    if (this.#before === undefined || this.#before-- > 0) return;
    this.#before = undefined;
    this.#untilCut = this.#left >> 1;
  }
}
