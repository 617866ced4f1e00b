/**
 * How calls under way are ended from outside: each by its own signal, all by `close`.
 *
 * Guarantees: a signal has one listener while calls with it are under way, and none afterwards; nothing here keeps a call
 * that has ended. A Set of them, or a listener each, would for a while: of both, V8 links an old one that is garbage to those
 * that came after it, and all of these wait for its next full collection (of 10,000 heartbeats 10 MB a second).
 */

type End = () => void;

class Group {
  readonly #ends: End[] = [];
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): void => this.end();

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  add(end: End): void {
    if (this.#ends.push(end) === 1) this.#signal?.addEventListener('abort', this.#onAbort);
  }

  delete(end: End): void {
    const at = this.#ends.indexOf(end);
    if (at === -1) return;
    const last = this.#ends.pop() as End;
    if (at < this.#ends.length) this.#ends[at] = last;
    if (this.#ends.length === 0) this.#signal?.removeEventListener('abort', this.#onAbort);
  }

  end(): void {
    for (const end of [...this.#ends]) {
      // Another may have deleted it.
      if (!this.#ends.includes(end)) continue;
      try {
        end();
      } catch (error) {
        // As a listener's: uncaught, and in nobody's way.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

export class Endings {
  readonly #all = new Group();
  readonly #groups = new WeakMap<AbortSignal, Group>();

  /** `end` is called when the signal aborts, and by `endAll`, until it is deleted. A signal that has aborted calls nothing. */
  add(end: End, signal: AbortSignal | undefined): void {
    this.#all.add(end);
    if (!signal) return;
    let group = this.#groups.get(signal);
    if (!group) this.#groups.set(signal, (group = new Group(signal)));
    group.add(end);
  }

  delete(end: End, signal: AbortSignal | undefined): void {
    this.#all.delete(end);
    if (signal) this.#groups.get(signal)?.delete(end);
  }

  endAll(): void {
    this.#all.end();
  }
}
