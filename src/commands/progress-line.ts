/**
 * What a long command does at the moment, on one line of the terminal's stderr.
 *
 * Guarantees: nothing at all where stderr is no terminal; the line goes before anything else is written, and at the end;
 * nothing waits for it.
 */
import type { Clock } from '../runtime/clock.ts';
import type { Io } from './command.ts';

/** Milliseconds between two drawings. */
const DRAW_MS = 500;
/** Columns: a line that breaks could not be taken away. */
const MAX_COLUMNS = 79;

export class ProgressLine implements Disposable {
  /** To be written to in place of the one given, while the line is there. */
  readonly io: Io;
  readonly #clock: Clock;
  readonly #write: ((text: string) => void) | undefined;
  #text: (() => string) | undefined;
  #shown = false;
  #cancel = (): void => {};

  constructor(io: Io, clock: Clock) {
    this.#clock = clock;
    this.#write = io.errTerminal === true ? (text) => io.err(text) : undefined;
    const plainly =
      (write: (text: string) => void) =>
      (text: string): void => {
        this.#clear();
        write(text);
      };
    this.io = this.#write ? { ...io, out: plainly((text) => io.out(text)), err: plainly((text) => io.err(text)) } : io;
  }

  /** @param untilMs monotonic milliseconds: how long still is shown */
  show(what: string | (() => string), untilMs?: number): void {
    if (!this.#write) return;
    this.#text = () => {
      const left =
        untilMs === undefined ? undefined : Math.max(0, Math.ceil((untilMs - this.#clock.monotonic()) / 1000));
      return `${typeof what === 'string' ? what : what()}${left === undefined ? '' : `, ${left} s left`}`;
    };
    this.#cancel();
    this.#draw();
  }

  [Symbol.dispose](): void {
    this.#text = undefined;
    this.#cancel();
    this.#clear();
  }

  #draw(): void {
    if (!this.#text) return;
    this.#write?.(`\r\x1b[K${this.#text().slice(0, MAX_COLUMNS)}`);
    this.#shown = true;
    this.#cancel = this.#clock.schedule(DRAW_MS, () => this.#draw());
  }

  #clear(): void {
    if (this.#shown) this.#write?.('\r\x1b[K');
    this.#shown = false;
  }
}
