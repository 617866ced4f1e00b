/**
 * The last changes of a collection, in the order of their revisions.
 *
 * Guarantees: holds at most `capacity` changes; `floor` is the oldest revision from which everything later is still
 * here; adding, and finding a revision, do not depend on how much is held (constant, logarithmic).
 */
export class History<T extends { readonly revision: number }> {
  readonly #capacity: number;
  #ring: (T | undefined)[] = [];
  #start = 0;
  #length = 0;
  #floor: number;

  constructor(capacity: number, floor: number) {
    this.#capacity = Math.max(1, Math.floor(capacity));
    this.#floor = floor;
  }

  get floor(): number {
    return this.#floor;
  }

  get length(): number {
    return this.#length;
  }

  push(change: T): void {
    if (this.#length < this.#capacity) {
      this.#ring[(this.#start + this.#length) % this.#capacity] = change;
      this.#length++;
      return;
    }
    this.#floor = (this.#ring[this.#start] as T).revision;
    this.#ring[this.#start] = change;
    this.#start = (this.#start + 1) % this.#capacity;
  }

  /** Forgets every change up to this revision. */
  compact(revision: number): void {
    const keep = this.#length - this.#indexAfter(revision);
    const kept = Array.from({ length: keep }, (_, i) => this.#at(this.#length - keep + i));
    this.#ring = kept;
    this.#start = 0;
    this.#length = keep;
    this.#floor = Math.max(this.#floor, revision);
  }

  /** The changes after this revision, oldest first. */
  *after(revision: number): Generator<T> {
    for (let i = this.#indexAfter(revision); i < this.#length; i++) yield this.#at(i);
  }

  #at(index: number): T {
    return this.#ring[(this.#start + index) % this.#capacity] as T;
  }

  #indexAfter(revision: number): number {
    let low = 0;
    let high = this.#length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#at(middle).revision > revision) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
