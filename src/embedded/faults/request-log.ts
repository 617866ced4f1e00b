/** What was asked of the server, for tests to look at. Bounded: the oldest entries go first; counts go on. */
import type { FaultRequest, Matcher } from './fault-rules.ts';
import { matcher } from './fault-rules.ts';

/** A request that was answered. */
export interface LoggedRequest extends FaultRequest {
  /** Path and query. */
  readonly url: string;
  /** 0 when no answer was given. */
  readonly status: number;
  /** When it was answered: the server's wall clock, microseconds since the epoch. */
  readonly at: number;
}

/** What was asked of the server. Bounded: the oldest entries go first; counts go on. */
export class RequestLog {
  readonly #capacity: number;
  #entries: LoggedRequest[] = [];
  #total = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Since the start, or the last clear. */
  get total(): number {
    return this.#total;
  }

  /** Oldest first. */
  get entries(): readonly LoggedRequest[] {
    return this.#entries.slice(-this.#capacity);
  }

  /** The entries that match; see FaultMatch. */
  matching(match: Matcher): LoggedRequest[] {
    return this.entries.filter(matcher(match));
  }

  /** How many of the entries that are kept match; all that ever came, without a match. */
  count(match?: Matcher): number {
    return match === undefined ? this.#total : this.matching(match).length;
  }

  /** Begins again at 0, the count too. */
  clear(): void {
    this.#entries = [];
    this.#total = 0;
  }

  /** For the server alone. */
  add(entry: LoggedRequest): void {
    this.#total++;
    this.#entries.push(entry);
    // Cut now and then instead of every time: that would move all of them for each request.
    if (this.#entries.length >= 2 * this.#capacity) this.#entries = this.#entries.slice(-this.#capacity);
  }
}
