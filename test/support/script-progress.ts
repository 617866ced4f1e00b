/**
 * How far a long script is, and how long still, on one line of the terminal; nothing where stderr is none. What is written
 * to stdout meanwhile takes its place.
 */
import { isatty } from 'node:tty';
import { ProgressLine } from '../../src/commands/progress-line.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';

export class ScriptProgress implements Disposable {
  readonly #clock = createSystemClock();
  readonly #line: ProgressLine;
  readonly #write = process.stdout.write;
  #began = this.#clock.monotonic();

  constructor() {
    const out = (text: string): void => void this.#write.call(process.stdout, text);
    const err = (text: string): void => void process.stderr.write(text);
    const io = { env: process.env, terminal: false, errTerminal: isatty(2), out, err };
    this.#line = new ProgressLine(io, this.#clock);
    if (io.errTerminal)
      process.stdout.write = ((text: string, ...more: []) => {
        this.#line.io.err('');
        return this.#write.call(process.stdout, text, ...more);
      }) as typeof process.stdout.write;
  }

  /** A part begins, of which is known how long it takes, or nothing. */
  begin(what: string, ms?: number): void {
    this.#began = this.#clock.monotonic();
    this.#line.show(what, ms === undefined ? undefined : this.#began + ms);
  }

  /** @param done of `total` since the part began: what is left takes as long as that did */
  at(what: string, done: number, total: number): void {
    const now = this.#clock.monotonic();
    const leftMs = done > 0 ? ((now - this.#began) / done) * (total - done) : undefined;
    this.#line.show(`${what}: ${done} of ${total}`, leftMs === undefined ? undefined : now + leftMs);
  }

  [Symbol.dispose](): void {
    this.#line[Symbol.dispose]();
    process.stdout.write = this.#write;
  }
}
