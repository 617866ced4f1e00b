/** What a contender's program does for as long as it holds something: it says so in a file, every 20 ms, for holds.ts. */
import { appendFileSync } from 'node:fs';
import type { Term } from '../../src/election/term.ts';

const EVERY_MS = 20;

/** Milliseconds of the machine's monotonic clock, as all processes have it. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

export class Works {
  readonly #file: string;
  /** What runs, and when it was last known to be held. */
  readonly #running = new Map<Term, { readonly resource: string; sure: number }>();

  constructor(file: string) {
    this.#file = file;
    this.#write(`S ${now()}`);
    setInterval(() => this.#tick(), EVERY_MS);
  }

  /** Works until the term is asked to end, for so long at the most; then for `drainMs`. */
  async run(resource: string, term: Term, longestMs: number, { note = '', drainMs = 0 } = {}): Promise<void> {
    const from = now();
    if (term.remainingMs <= 0) return;
    const { fencingToken: token } = term;
    this.#write(`B ${resource} ${token} ${from} ${note}`);
    const run = { resource, sure: from };
    this.#running.set(term, run);
    await sleep(longestMs, term.signal);
    if (drainMs > 0) await sleep(drainMs);
    if (!this.#running.delete(term)) return;
    const to = now();
    if (term.remainingMs > 0) this.#write(`E ${resource} ${token} ${to}`);
    else this.#write(`L ${resource} ${token} ${run.sure}`);
  }

  note(...words: readonly unknown[]): void {
    this.#write(`N ${now()} ${words.join(' ')}`);
  }

  #tick(): void {
    const at = now();
    for (const [term, run] of this.#running) {
      if (term.remainingMs > 0) {
        run.sure = at;
        continue;
      }
      this.#running.delete(term);
      this.#write(`L ${run.resource} ${term.fencingToken} ${run.sure}`);
    }
    if (this.#running.size > 0) this.#write(`T ${at}`);
  }

  #write(line: string): void {
    appendFileSync(this.#file, `${line}\n`);
  }
}

export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, 2 ** 31 - 1));
    signal?.addEventListener('abort', done, { once: true });
  });
}
