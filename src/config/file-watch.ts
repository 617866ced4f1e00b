/**
 * Watches one file: tells its text whenever it has become another one.
 *
 * Guarantees: a text is reported once, however often it is written, and only when two readings a moment apart found the same
 * text in the same file, untouched in between: a truncated or half-written file between two good ones is not seen, however
 * long the writing takes, unless the writer itself rests for so long. It is noticed however it changes: written in
 * place, renamed over, deleted and made again, through a symbolic link of its directory (a mounted ConfigMap's `..data`);
 * at once where the system tells, else by a check every half minute. Nothing is left when `run` settles.
 */
import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { sleep } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { Wake } from '../runtime/wake.ts';
import { readFileText } from './config-file.ts';
import type { FileText } from './config-file.ts';

/** Milliseconds between two readings that must agree; a kubelet's or an editor's steps lie closer together. */
const QUIET_MS = 250;
/** Milliseconds between checks that nothing prompted: network file systems tell nothing. */
export const POLL_MS = 30_000;
/** Milliseconds until a file that is not as it was, but no text either, is believed: it may be on its way. */
const UNREADABLE_MS = 1_000;

interface FileWatchOptions {
  readonly path: string;
  /** What is known of it; only what differs is reported. */
  readonly known: FileText;
  readonly clock: Clock;
  /** @param asked by `refresh`, so perhaps the same as before */
  readonly onChange: (file: FileText, asked: boolean) => Promise<void>;
}

/** One reading of the file. */
interface Reading {
  readonly file: FileText;
  /** Which file it was, and when it was last written, as its directory says; undefined where there is none. */
  readonly stamp: string | undefined;
}

export class FileWatch {
  readonly #options: FileWatchOptions;
  readonly #wake = new Wake();
  #known: FileText;
  #watcher: FSWatcher | undefined;
  #directory: number | undefined;
  #asked = false;

  constructor(options: FileWatchOptions) {
    this.#options = options;
    this.#known = options.known;
  }

  /** The file is read and reported as soon as it is quiet, the same or not. */
  refresh(): void {
    this.#asked = true;
    this.#wake.now();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    try {
      while (!signal.aborted) {
        await this.#watchDirectory();
        // It may have changed before there was a watch.
        await this.#checkWhenQuiet(signal);
        await this.#wake.wait(clock, POLL_MS, signal);
      }
    } finally {
      this.#watcher?.close();
      this.#watcher = undefined;
    }
  }

  async #checkWhenQuiet(signal: AbortSignal): Promise<void> {
    const { clock, onChange } = this.#options;
    let last = await this.#read();
    if (!this.#asked && same(last.file, this.#known)) return;
    let blankSince: number | undefined;
    for (;;) {
      if (!(await sleep(clock, QUIET_MS, signal))) return;
      const before = last;
      last = await this.#read();
      const now = clock.monotonic();
      if (isBlank(last.file)) blankSince ??= now;
      else blankSince = undefined;
      if (last.stamp !== before.stamp || !same(last.file, before.file)) continue;
      if (blankSince === undefined || now - blankSince >= UNREADABLE_MS) break;
    }
    const { file } = last;
    const asked = this.#asked;
    if (signal.aborted || (!asked && same(file, this.#known))) return;
    this.#asked = false;
    this.#known = file;
    await onChange(file, asked);
  }

  async #read(): Promise<Reading> {
    const { path } = this.#options;
    // Before the text: what is written in between shows at the next reading.
    const stamp = await stat(path, { bigint: true }).then(
      ({ dev, ino, size, mtimeNs }) => [dev, ino, size, mtimeNs].join(' '),
      () => undefined,
    );
    return { stamp, file: await readFileText(path) };
  }

  /** Watches the directory, not the file: that one is replaced. */
  async #watchDirectory(): Promise<void> {
    const directory = dirname(this.#options.path);
    // The directory itself may have been replaced; where it is away, the next check tells.
    const inode = await stat(directory).then(
      ({ ino }) => ino,
      () => undefined,
    );
    if (this.#watcher && inode === this.#directory) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#directory = inode;
    if (inode === undefined) return;
    try {
      const name = basename(this.#options.path);
      const watcher = watch(directory, { persistent: false }, (_, changed) => {
        // A ConfigMap's own links begin with two dots; whatever else lies in the directory is not ours to follow.
        if (changed !== null && changed !== name && !changed.startsWith('..')) return;
        this.#wake.now();
      });
      watcher.on('error', () => {
        watcher.close();
        if (this.#watcher === watcher) this.#watcher = undefined;
      });
      this.#watcher = watcher;
    } catch {
      // Out of inotify instances, say: the checks remain.
    }
  }
}

const isBlank = (file: FileText): boolean => 'unreadable' in file || file.text.trim() === '';

function same(a: FileText, b: FileText): boolean {
  if ('text' in a) return 'text' in b && a.text === b.text;
  return 'unreadable' in b && a.unreadable === b.unreadable;
}
