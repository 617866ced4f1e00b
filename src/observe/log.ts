/**
 * What keeps a log short: `Outage` bounds what an outage may say, `fewLines` what many nodes or leases may.
 */
import type { Clock } from '../runtime/clock.ts';

/** What is asked of a logger: pino, or one that is called as it is. */
export interface Logger {
  readonly debug: LogLine;
  readonly info: LogLine;
  readonly warn: LogLine;
  readonly error: LogLine;
}

interface LogLine {
  (fields: object, text: string): void;
  (text: string): void;
}

type Level = 'debug' | 'info' | 'warn' | 'error';

/** The same logger with more fields in each line, or with other levels. */
export function derivedLog(log: Logger, more: object, levels: Partial<Record<Level, Level>> = {}): Logger {
  const line =
    (level: Level) =>
    (fields: object | string, text = ''): void =>
      typeof fields === 'string'
        ? log[levels[level] ?? level](more, fields)
        : log[levels[level] ?? level]({ ...more, ...fields }, text);
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

/** Kinds of failure reported in one outage: words that differ each time must not fill the log. */
const MAX_KINDS = 20;

/** What a failed request says about itself. */
interface Failure {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
}

interface FailureLine {
  /** What was asked. Failures that a retry may mend are one kind for each of these and each code; others for each message too. */
  readonly what: string;
  readonly fields?: object;
  /** A name in the message that makes no kind of its own. */
  readonly about?: string;
  /** Default: `error` for what no retry mends, else `warn`. */
  readonly level?: Level;
  /** Reported again although it was. Default false. */
  readonly remind?: boolean;
}

/** An outage in the log: each kind of failure in it is a line once, and again only for level `debug`. */
export class Outage {
  readonly #log: Logger;
  readonly #kinds = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  failed(error: Failure, text: string, { what, fields, about = '', level, remind = false }: FailureLine): void {
    const { code, message, retryable } = error;
    const kind = retryable
      ? `${what} ${code}`
      : `${what} ${code} ${message.replaceAll(about, '').replace(/\d+/g, '#')}`;
    const news = remind || (!this.#kinds.has(kind) && this.#kinds.size < MAX_KINDS);
    this.#kinds.add(kind);
    this.#log[news ? (level ?? (retryable ? 'warn' : 'error')) : 'debug']({ code, ...fields, err: error }, text);
  }

  /** Forgets it. @returns whether there was one */
  over(): boolean {
    const was = this.#kinds.size > 0;
    this.#kinds.clear();
    return was;
  }
}

/** Lines about single objects in each minute. */
const LINES_A_MINUTE = 20;
const MINUTE_MS = 60_000;

/** Writes lines about single objects: a few a minute, the rest for level `debug`, and how many those were. */
export function fewLines(
  log: Logger,
  clock: Pick<Clock, 'monotonic'>,
): (level: Level, fields: object, text: string) => void {
  let lines = 0;
  let leftOut = 0;
  let minute = clock.monotonic();
  return (level, fields, text) => {
    const now = clock.monotonic();
    if (now - minute >= MINUTE_MS) {
      if (leftOut > 0) log.info({ events: leftOut }, 'more happened than is reported here');
      [minute, lines, leftOut] = [now, 0, 0];
    }
    const room = lines < LINES_A_MINUTE;
    if (room) lines++;
    else leftOut++;
    log[room ? level : 'debug'](fields, text);
  };
}
