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

const RFC3339 = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** Text in UTC with six fractional digits; `undefined` for what is no MicroTime. */
export function parseMicroTime(text: string): string | undefined {
  const parsed = parse(text);
  return parsed?.fraction.length === 6 ? `${parsed.seconds}.${parsed.fraction}Z` : undefined;
}

/** Text in UTC with whole seconds (a fraction is cut off, as Kubernetes does); `undefined` for what is no time. */
export function parseTime(text: string): string | undefined {
  const parsed = parse(text);
  return parsed && `${parsed.seconds}Z`;
}

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

function parse(text: string): { seconds: string; fraction: string } | undefined {
  const m = RFC3339.exec(text);
  if (!m) return undefined;
  const local = m[1] as string;
  const at = Date.parse(`${local}Z`);
  // Date.parse lets a 30th of February and hour 24 roll over; a text that does not survive the way back is none.
  if (Number.isNaN(at) || new Date(at).toISOString().slice(0, 19) !== local) return undefined;
  const fraction = m[2] ?? '';
  if (m[3] === undefined) return { seconds: local, fraction };
  const hours = Number(m[4]);
  const minutes = Number(m[5]);
  if (hours > 23 || minutes > 59) return undefined;
  const utc = new Date(at - (m[3] === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000);
  const year = utc.getUTCFullYear();
  return year < 0 || year > 9999 ? undefined : { seconds: utc.toISOString().slice(0, 19), fraction };
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
