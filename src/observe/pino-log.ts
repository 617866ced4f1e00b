/**
 * The program's log: pino, on stderr, as JSON or as text for people.
 *
 * Guarantees: a value from a foreign lease or an answer of a server cannot forge a line or steer a terminal, in either
 * form; lines that its output left out are one line that says how many, where they are missing.
 * pino is loaded with this file; what is logged, and how often, is in the others.
 */
import pino from 'pino';
import type { Logger } from 'pino';
import { escapeQuoted, inWords, printable } from '../runtime/printable.ts';

interface LogOptions {
  readonly level: string;
  readonly format: string;
  readonly output: LogOutput;
}

interface LogOutput {
  err(line: string): void;
  /** Whether it is the journal's, which takes a line's priority from its beginning: sd-daemon(3). Default false. */
  readonly journal?: boolean;
  /** Called once there is room again, with the number of lines that were left out because there was none. */
  onLost?(callback: (lines: number) => void): void;
}

/** UTF-16 units of a value, and of a stack, that are shown in text form. */
const MAX_VALUE = 500;
const MAX_STACK = 10_000;

export function createLog({ level, format, output }: LogOptions): Logger {
  const text = (line: string): string => textLine(line, output.journal === true);
  const stream = { write: (line: string) => output.err(format === 'json' ? escapeQuoted(line) : text(line)) };
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    // An error's message and code tell what a user can act on; its stack is for debugging.
    serializers: { err: (err: unknown) => errorFields(err, level === 'debug') },
  };
  const log = pino(options, stream);
  output.onLost?.((lines) =>
    log[log.isLevelEnabled('warn') ? 'warn' : 'error']({ lines }, 'lines are missing here: nobody read the log'),
  );
  return log;
}

function errorFields(err: unknown, withStack: boolean): unknown {
  if (!(err instanceof Error)) return err;
  const { code, status } = err as { code?: unknown; status?: unknown };
  const cause = err.cause instanceof Error ? err.cause.message : undefined;
  return { message: err.message, code, status, cause, ...(withStack ? { stack: err.stack } : {}) };
}

/** Of syslog(3). */
const PRIORITIES: Readonly<Record<string, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

/** `2026-07-01T12:00:00.123+02:00 INFO  message  key=value` */
function textLine(json: string, journal: boolean): string {
  const { level, time, msg, err, ...rest } = JSON.parse(json) as Record<string, unknown>;
  const fields = Object.entries(rest).map(([key, value]) => `${fieldText(key)}=${fieldText(value)}`);
  if (typeof err === 'object' && err !== null) {
    const { message, stack } = err as { message?: unknown; stack?: unknown };
    fields.push(`error=${fieldText(message)}`);
    if (typeof stack === 'string') fields.push(stackText(stack));
  }
  const text = `${localTime(String(time))} ${String(level).toUpperCase().padEnd(5)} ${[printable(inWords(msg)), ...fields].join('  ')}`;
  // A stack has lines of its own.
  return `${journal ? text.replace(/^/gm, `<${PRIORITIES[String(level)] ?? 6}>`) : text}\n`;
}

/** RFC 3339 with the offset of the machine's zone, so that it can be read beside other logs. */
function localTime(utc: string): string {
  const time = new Date(utc);
  const offset = -time.getTimezoneOffset();
  const local = new Date(time.getTime() + offset * 60_000).toISOString().slice(0, -1);
  const two = (n: number): string => String(n).padStart(2, '0');
  const minutes = Math.abs(offset);
  return `${local}${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

function fieldText(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length <= MAX_VALUE && /^[\w.:/@=+-]+$/.test(text)
    ? text
    : printable(JSON.stringify(cut(text, MAX_VALUE)));
}

/** Indented: it begins with the error's message, whose lines must not pass for those of the log. */
function stackText(stack: string): string {
  return cut(stack, MAX_STACK)
    .split('\n')
    .map((line) => `\n    ${printable(line)}`)
    .join('');
}

const cut = (text: string, length: number): string => (text.length > length ? `${text.slice(0, length - 3)}...` : text);
