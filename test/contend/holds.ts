/**
 * Who held what, and when: written by the programs of recipes.ts and shards.ts, read and judged here.
 *
 * A program appends lines: `B resource token at [note]` begins a hold, `E resource token at` ends it, `L resource token at`
 * says that it was lost, and until when the program was sure of it; `T at` says every 20 ms that all that was begun still
 * runs; `S at` is the start of a process; `N at …` is a note. `at` is the machine's monotonic milliseconds.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { Frozen } from './judge.ts';

export interface Hold {
  readonly who: string;
  readonly resource: string;
  readonly token: number;
  readonly note: string;
  readonly from: number;
  /** The last sign of life. */
  to: number;
  /** It runs, as far as is known. */
  open: boolean;
}

export interface Note {
  readonly who: string;
  readonly at: number;
  readonly words: readonly string[];
}

/** Follows one contender's file. */
export class HoldsReader {
  readonly holds: Hold[] = [];
  readonly notes: Note[] = [];
  readonly #who: string;
  readonly #file: string;
  readonly #open = new Map<string, Hold>();
  #offset = 0;
  #rest = '';

  constructor(who: string, file: string) {
    this.#who = who;
    this.#file = file;
  }

  /** Reads what was appended. */
  read(): void {
    const file = openSync(this.#file, 'r');
    try {
      const bytes = Buffer.alloc(fstatSync(file).size - this.#offset);
      this.#offset += readSync(file, bytes, { position: this.#offset });
      this.push(bytes.toString('latin1'));
    } finally {
      closeSync(file);
    }
  }

  push(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) this.#line(line.split(' '));
  }

  #line([kind, ...words]: string[]): void {
    const who = this.#who;
    if (kind === 'T') for (const hold of this.#open.values()) hold.to = Number(words[0]);
    else if (kind === 'S') {
      for (const hold of this.#open.values()) hold.open = false;
      this.#open.clear();
    } else if (kind === 'N') this.notes.push({ who, at: Number(words[0]), words: words.slice(1) });
    else {
      const [resource = '', token, at, note = ''] = words;
      const key = `${resource} ${token}`;
      if (kind === 'B') {
        const hold = { who, resource, token: Number(token), note, from: Number(at), to: Number(at), open: true };
        this.holds.push(hold);
        this.#open.set(key, hold);
      } else {
        const hold = this.#open.get(key);
        if (hold) [hold.to, hold.open] = [Number(at), false];
        this.#open.delete(key);
      }
    }
  }
}

export interface HoldsVerdict {
  readonly problems: readonly string[];
  /** Holds that went on for a moment after their process had stood still, while another held: a sink refuses those. */
  readonly refused: number;
}

/** How long a process that goes on after a stop may take to notice, in milliseconds. */
const THAW_MS = 2_000;

/** No two hold a resource at once, and each later one has a greater token. */
export function judgeHolds(holds: readonly Hold[], frozen: readonly Frozen[]): HoldsVerdict {
  const problems: string[] = [];
  const byResource = Map.groupBy(holds, ({ resource }) => resource);
  let refused = 0;
  for (const all of byResource.values()) {
    const sorted = all.toSorted((a, b) => a.from - b.from);
    let last: Hold | undefined;
    let until = -Infinity;
    for (const hold of sorted) {
      if (last) {
        if (hold.from <= until)
          problems.push(`two at once: ${show(last)} and ${show(hold)}, for ${ms(until - hold.from)}`);
        // A hold that was interrupted goes on with its token.
        if (hold.token < last.token || (hold.token === last.token && hold.who !== last.who))
          problems.push(`tokens: ${show(hold)} came after ${show(last)}`);
      }
      const to = endOf(hold, frozen);
      if (to < hold.to && sorted.some((other) => other.token > hold.token && other.from <= hold.to)) refused++;
      if (to >= until) [last, until] = [hold, to];
    }
  }
  return { problems, refused };
}

/** Never more than what the notes of the holds say, and only holds of one note at a time. */
export function judgeCounts(holds: readonly Hold[], frozen: readonly Frozen[]): string[] {
  const problems: string[] = [];
  const ends = holds.map((hold) => ({ hold, to: endOf(hold, frozen) })).sort((a, b) => a.hold.from - b.hold.from);
  let running: typeof ends = [];
  for (const one of ends) {
    running = [...running.filter(({ to }) => to >= one.hold.from), one];
    const other = running.find(({ hold }) => hold.note !== one.hold.note);
    if (other)
      problems.push(`of ${other.hold.note} and of ${one.hold.note} at once: ${show(other.hold)}, ${show(one.hold)}`);
    if (running.length > Number(one.hold.note)) {
      problems.push(
        `${running.length} at once of ${one.hold.note}: ${running.map(({ hold }) => show(hold)).join(', ')}`,
      );
    }
  }
  return problems;
}

/** When it ended for a sink that takes no lower token: a process that stood still may go on for a moment. */
function endOf(hold: Hold, frozen: readonly Frozen[]): number {
  const thaw = frozen.find(
    ({ who, from, to }) => who === hold.who && hold.from <= from + 50 && hold.to >= to - 200 && hold.to <= to + THAW_MS,
  );
  return thaw ? Math.min(hold.to, thaw.from + 50) : hold.to;
}

const ms = (time: number): string => `${Math.round(time)} ms`;
const show = ({ who, resource, token, from }: Hold): string =>
  `${who} holds ${resource} (token ${token}, from ${ms(from)} on)`;
