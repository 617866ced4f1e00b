/**
 * MicroTime: an instant with microseconds, as coordination.k8s.io/v1 stores it.
 *
 * Guarantees: prints exactly six fractional digits in UTC, which is the only form that a Kubernetes API server accepts;
 * reads any RFC 3339 fraction and zone; a value read and printed again keeps every microsecond. Digits beyond the sixth
 * are cut off, as Go's time formatting does. Never goes through `Date` for the fraction.
 */

const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,100}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
/** 0000-01-01T00:00:00Z and 9999-12-31T23:59:59Z, in seconds since the epoch: what four digits of a year can say. */
const FIRST_SECOND = -62_167_219_200;
const LAST_SECOND = 253_402_300_799;

let cachedSecond = Number.NaN;
let cachedText = '';

/**
 * An instant with microseconds, as coordination.k8s.io/v1 stores it. Immutable; read with `parse`, made with
 * `fromEpochMicros`.
 */
export class MicroTime {
  /** Whole seconds since 1970-01-01T00:00:00Z, rounded down. */
  readonly seconds: number;
  /** Microseconds within that second, 0 to 999999. */
  readonly micros: number;

  private constructor(seconds: number, micros: number) {
    this.seconds = seconds;
    this.micros = micros;
  }

  /** Reads an RFC 3339 time; `undefined` for anything that is not one (a wrong type, a 30th of February, year 10000). */
  static parse(text: unknown): MicroTime | undefined {
    if (typeof text !== 'string' || text.length > 140) return undefined;
    const m = RFC3339.exec(text);
    if (!m) return undefined;
    const [year, month, day, hour, minute, second] = [m[1], m[2], m[3], m[4], m[5], m[6]].map(Number) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    const offset = m[8] === undefined ? 0 : (m[8] === '-' ? -1 : 1) * (Number(m[9]) * 3600 + Number(m[10]) * 60);
    if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
    // RFC 3339 allows 60 for a leap second; it is read as the second after 59.
    if (hour > 23 || minute > 59 || second > 60) return undefined;
    if (m[8] !== undefined && (Number(m[9]) > 23 || Number(m[10]) > 59)) return undefined;
    const midnight = new Date(0).setUTCFullYear(year, month - 1, day) / 1000;
    const seconds = midnight + hour * 3600 + minute * 60 + second - offset;
    if (seconds < FIRST_SECOND || seconds > LAST_SECOND) return undefined;
    const micros = m[7] === undefined ? 0 : Number(m[7].slice(0, 6).padEnd(6, '0'));
    return new MicroTime(seconds, micros);
  }

  /**
   * From microseconds since the epoch, as `Clock.wallMicros` gives them.
   * @throws RangeError outside the years 0 to 9999
   */
  static fromEpochMicros(epochMicros: number): MicroTime {
    const whole = Math.floor(epochMicros);
    const seconds = Math.floor(whole / 1e6);
    if (!(seconds >= FIRST_SECOND && seconds <= LAST_SECOND)) {
      throw new RangeError(`MicroTime: ${epochMicros} microseconds since the epoch are outside the years 0 to 9999`);
    }
    return new MicroTime(seconds, whole - seconds * 1e6);
  }

  /** Like `fromEpochMicros`, but the first or last instant of the years 0 to 9999 for what lies outside them. */
  static fromEpochMicrosClamped(epochMicros: number): MicroTime {
    return MicroTime.fromEpochMicros(Math.min(Math.max(epochMicros, FIRST_SECOND * 1e6), LAST_SECOND * 1e6));
  }

  /** From milliseconds since the epoch, as `Date` or `epochMs` gives them; rounded to the nearest microsecond. */
  static fromEpochMs(epochMs: number): MicroTime {
    // Apart: a product of the whole number would be rounded once more, and from the year 2109 on to another microsecond.
    const whole = Math.floor(epochMs);
    return MicroTime.fromEpochMicros(whole * 1000 + Math.round((epochMs - whole) * 1000));
  }

  /** Milliseconds since the epoch, with the microseconds as a fraction (to the microsecond until the year 2248). */
  get epochMs(): number {
    return this.seconds * 1000 + this.micros / 1000;
  }

  /** Microseconds since the epoch (exact until the year 2255). */
  get epochMicros(): number {
    return this.seconds * 1e6 + this.micros;
  }

  /** Negative when this instant is before the other, 0 when equal, positive when after. */
  compare(other: MicroTime): number {
    return this.seconds - other.seconds || this.micros - other.micros;
  }

  /** True for the same instant. */
  equals(other: MicroTime | undefined): boolean {
    return other !== undefined && this.seconds === other.seconds && this.micros === other.micros;
  }

  /** Milliseconds from the other instant to this one. */
  since(other: MicroTime): number {
    return (this.seconds - other.seconds) * 1000 + (this.micros - other.micros) / 1000;
  }

  /** RFC 3339 in UTC with exactly six fractional digits: `2026-01-02T03:04:05.123456Z`. */
  toString(): string {
    if (this.seconds !== cachedSecond) {
      cachedSecond = this.seconds;
      cachedText = new Date(this.seconds * 1000).toISOString().slice(0, 20);
    }
    return `${cachedText}${String(this.micros).padStart(6, '0')}Z`;
  }

  /** As `toString` prints it. */
  toJSON(): string {
    return this.toString();
  }
}

function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}
