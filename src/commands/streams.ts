/**
 * The program's stderr, where its log goes, and the end of what it writes.
 *
 * Guarantees: `write` returns at once, whatever the reader of stderr does, and whatever another process that shares stderr
 * makes of its flags; these are left as they are. Texts are written whole and in order. At most `MAX_WAITING` bytes wait;
 * what comes beyond is left out and counted until all of it is written. `finish` waits for stdout as long as it takes, and
 * for what nobody may be reading any more `FINISH_MS` at most: stderr, and stdout once the process was asked to stop.
 */
import { constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import { askedToStop } from './signals.ts';

const MAX_WAITING = 1024 * 1024;
/** Milliseconds at the end of the process for what still waits; a stop has 10 s, and a publisher takes up to 8 of them. */
const FINISH_MS = 1_000;
/** Milliseconds until a full pipe is tried again, doubled each time. */
const FIRST_RETRY_MS = 1;
const MAX_RETRY_MS = 100;

export class Stderr {
  readonly #fd: number;
  /** Whether a write may block: then it is for another thread, one at a time. */
  readonly #blocks: boolean;
  readonly #waiting: Buffer[] = [];
  #bytes = 0;
  /** A write is with another thread, or a retry is due. */
  #busy: 'writing' | 'full' | undefined;
  #retryMs = FIRST_RETRY_MS;
  #lost = 0;
  #onLost: ((texts: number) => void) | undefined;
  #onDrained: (() => void) | undefined;

  constructor(fd = 2) {
    [this.#fd, this.#blocks] = unblocked(fd);
  }

  write(text: string): void {
    const bytes = Buffer.from(text);
    if (this.#lost > 0 || (this.#bytes > 0 && this.#bytes + bytes.length > MAX_WAITING)) {
      this.#lost++;
      return;
    }
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    if (this.#busy === undefined) this.#next();
  }

  /** @param callback called once all that waited is written, with the number of texts left out meanwhile */
  onLost(callback: (texts: number) => void): void {
    this.#onLost = callback;
  }

  /** Settles once all is written. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#bytes === 0) resolve();
      else this.#onDrained = resolve;
    });
  }

  /** Whether a write blocks a thread, for which Node's exit would wait. */
  get stuck(): boolean {
    return this.#busy === 'writing';
  }

  #next(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      if (this.#blocks) {
        this.#busy = 'writing';
        write(this.#fd, first, (error, written) => {
          this.#busy = undefined;
          if (this.#took(error, written)) this.#next();
        });
        return;
      }
      let error: unknown = null;
      let written = 0;
      try {
        written = writeSync(this.#fd, first);
      } catch (thrown) {
        error = thrown;
      }
      if (!this.#took(error, written)) return;
    }
    this.#onDrained?.();
    const lost = this.#lost;
    this.#lost = 0;
    if (lost > 0) this.#onLost?.(lost);
  }

  /** @returns whether to go on */
  #took(error: unknown, written: number): boolean {
    if ((error as NodeJS.ErrnoException | null)?.code === 'EAGAIN') {
      this.#busy = 'full';
      setTimeout(() => {
        this.#busy = undefined;
        this.#next();
      }, this.#retryMs).unref();
      this.#retryMs = Math.min(this.#retryMs * 2, MAX_RETRY_MS);
      return false;
    }
    this.#retryMs = FIRST_RETRY_MS;
    // Any other error: nobody reads it, now or ever.
    const gone = error === null ? written : this.#bytes;
    this.#bytes -= gone;
    if (error !== null) this.#waiting.length = 0;
    else if (written === this.#waiting[0]?.length) this.#waiting.shift();
    else this.#waiting[0] = this.#waiting[0]!.subarray(written);
    return true;
  }
}

/**
 * A pipe and a terminal can be opened once more on Linux, which gives flags of our own. A socket cannot, and what a user
 * may not open cannot either.
 */
function unblocked(fd: number): [fd: number, blocks: boolean] {
  try {
    const stat = fstatSync(fd);
    if (stat.isFile()) return [fd, false];
    if (process.platform === 'linux' && !stat.isSocket()) {
      return [openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY), false];
    }
  } catch {
    // As it is, then.
  }
  return [fd, true];
}

/** @param stream of JOURNAL_STREAM: the device and inode of what systemd made for this process's output */
export function stderrIsJournal(stream: string | undefined): boolean {
  if (!stream) return false;
  try {
    const { dev, ino } = fstatSync(2, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

let opened: Stderr | undefined;

export const stderr = (): Stderr => (opened ??= new Stderr());

/** For the end of the process. @returns false: `process.exit` would hang */
export async function finish(lastWords = ''): Promise<boolean> {
  if (lastWords !== '') stderr().write(lastWords);
  const printed = new Promise<void>((resolve) => {
    // Where nothing waits nothing is written: /dev/full refuses that too. An error of the last write comes before.
    if (process.stdout.writableLength === 0) setImmediate(resolve);
    else process.stdout.write('', () => resolve());
  });
  await Promise.all([askedToStop() ? atMost(printed) : printed, opened && atMost(opened.drained())]);
  return !opened?.stuck;
}

async function atMost(wait: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const bound = new Promise<void>((resolve) => (timer = setTimeout(resolve, FINISH_MS)));
  await Promise.race([wait, bound]);
  clearTimeout(timer);
}
