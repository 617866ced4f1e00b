/**
 * The two time formats of the Kubernetes API, and the clock that the embedded server lives by.
 *
 * Guarantees: `parseMicroTime` accepts what a Kubernetes API server accepts as a MicroTime (exactly six fractional
 * digits, any zone) and nothing else; both parsers answer in UTC and keep every digit they print.
 */

/** What the server needs of a clock; a test's own clock fits. */
export interface ServerClock {
  /** Wall clock, in microseconds since the epoch. */
  wallMicros(): number;
  /** Calls back once after `ms` milliseconds, unless the returned function was called before. */
  schedule(ms: number, callback: () => void): () => void;
}

/** setTimeout's own limit: about 25 days. */
const MAX_TIMEOUT_MS = 2_147_483_647;

export const systemClock: ServerClock = {
  wallMicros: () => Date.now() * 1000,
  schedule(ms, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, ms), MAX_TIMEOUT_MS));
    return () => clearTimeout(timer);
  },
};

const SECONDS = '2006-01-02T15:04:05Z07:00';
const MICROS = '2006-01-02T15:04:05.000000Z07:00';
/** Go's zero time, which Kubernetes shows as null. */
const ZERO = '0001-01-01T00:00:00';

const MICRO_LENGTH = '2006-01-02T15:04:05.000000Z'.length;
const MICRO_END = /^.{19}\.\d{6}Z$/;
let lastSecond = 'none';

/**
 * Text in UTC with six fractional digits, null for Go's zero time.
 * @throws RangeError in Go's words for what is no MicroTime
 */
export function parseMicroTime(text: string): string | null {
  // What renewals write, in the second that was parsed last.
  if (text.length === MICRO_LENGTH && text.startsWith(lastSecond) && MICRO_END.test(text)) return text;
  const { seconds, fraction } = parse(text, MICROS);
  return seconds === ZERO && Number(fraction) === 0 ? null : `${seconds}.${fraction}Z`;
}

/**
 * Text in UTC with whole seconds (a fraction is cut off, as Kubernetes does), null for Go's zero time.
 * @throws RangeError in Go's words for what is no time
 */
export function parseTime(text: string): string | null {
  // Times of creation, and those of managed fields, come back with every write.
  if (text === lastTimes[0] || text === lastTimes[1]) return text;
  const { seconds, fraction } = parse(text, SECONDS);
  const time = `${seconds}Z`;
  if (seconds === ZERO && Number(fraction) === 0) return null;
  if (time === text) lastTimes = [text, lastTimes[0]];
  return time;
}

let lastTimes: readonly [string, string] = ['', ''];

let cachedSecond = Number.NaN;
let cachedText = '';

/** Whole seconds in UTC, from microseconds since the epoch. */
export function formatTime(wallMicros: number): string {
  const second = Math.floor(wallMicros / 1e6);
  if (second !== cachedSecond) {
    cachedText = `${new Date(second * 1000).toISOString().slice(0, 19)}Z`;
    cachedSecond = second;
  }
  return cachedText;
}

/** The parts of a layout, as Go reads them: what each is called in errors, what fits it, the range of its number. */
const PARTS: readonly (readonly [
  part: string,
  fits: RegExp,
  range?: readonly [name: string, least: number, most: number],
])[] = [
  ['2006', /^\d{4}/],
  ['-', /^-/],
  ['01', /^\d\d/, ['month', 1, 12]],
  ['-', /^-/],
  ['02', /^\d\d/],
  ['T', /^T/],
  ['15', /^\d\d?/, ['hour', 0, 23]],
  [':', /^:/],
  ['04', /^\d\d/, ['minute', 0, 59]],
  [':', /^:/],
  ['05', /^\d\d/, ['second', 0, 59]],
  ['.000000', /^[.,]\d{6}/],
  ['Z07:00', /^(?:Z|[+-]\d\d:\d\d)/],
];

/** As Go's time.Parse: with its leniency (one digit of an hour, an offset of 24:60) and its words. */
function parse(text: string, layout: string): { seconds: string; fraction: string } {
  const wrong = (why: string): RangeError => new RangeError(`parsing time ${JSON.stringify(text)}${why}`);
  const values: string[] = [];
  let rest = text;
  for (const [part, fits, range] of PARTS) {
    // A layout without a fraction takes any number of digits.
    const optional = part === '.000000' && layout === SECONDS;
    const found = (optional ? /^(?:[.,]\d+)?/ : fits).exec(rest)?.[0];
    if (found === undefined) {
      throw wrong(` as ${JSON.stringify(layout)}: cannot parse ${JSON.stringify(rest)} as ${JSON.stringify(part)}`);
    }
    rest = rest.slice(found.length);
    if (range && (Number(found) < range[1] || Number(found) > range[2])) throw wrong(`: ${range[0]} out of range`);
    values.push(found);
  }
  if (rest !== '') throw wrong(`: extra text: ${JSON.stringify(rest)}`);
  const [year, , month, , day, , hour = '', , minute, , second, fraction = '', zone = ''] = values;
  const local = `${year}-${month}-${day}T${hour.padStart(2, '0')}:${minute}:${second}`;
  const at = Date.parse(`${local}Z`);
  // Date.parse lets a 30th of February roll over; a text that does not survive the way back is none.
  if (Number.isNaN(at) || new Date(at).toISOString().slice(0, 19) !== local) throw wrong(': day out of range');
  if (zone === 'Z' && local !== ZERO) lastSecond = local;
  if (zone === 'Z') return { seconds: local, fraction: fraction.slice(1) };
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(4))];
  if (hours > 24) throw wrong(': time zone offset hour out of range');
  if (minutes > 60) throw wrong(': time zone offset minute out of range');
  const utc = new Date(at - (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000);
  const years = utc.getUTCFullYear();
  if (years < 0 || years > 9999) throw wrong(': year outside of range [0,9999]');
  return { seconds: utc.toISOString().slice(0, 19), fraction: fraction.slice(1) };
}

const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;

/** How long ago, as kubectl's AGE column says it: two units while they matter, one afterwards. */
export function humanDuration(seconds: number): string {
  const s = Math.floor(seconds);
  if (s < -1) return '<invalid>';
  if (s < 0) return '0s';
  const two = (big: number, bigName: string, small: number, smallName: string): string => {
    const rest = Math.floor((s % big) / small);
    return `${Math.floor(s / big)}${bigName}${rest === 0 ? '' : `${rest}${smallName}`}`;
  };
  if (s < 2 * MINUTE) return `${s}s`;
  if (s < 10 * MINUTE) return two(MINUTE, 'm', 1, 's');
  if (s < 3 * HOUR) return `${Math.floor(s / MINUTE)}m`;
  if (s < 8 * HOUR) return two(HOUR, 'h', MINUTE, 'm');
  if (s < 2 * DAY) return `${Math.floor(s / HOUR)}h`;
  if (s < 8 * DAY) return two(DAY, 'd', HOUR, 'h');
  if (s < 2 * 365 * DAY) return `${Math.floor(s / DAY)}d`;
  if (s < 8 * 365 * DAY) return two(365 * DAY, 'y', DAY, 'd');
  return `${Math.floor(s / (365 * DAY))}y`;
}
