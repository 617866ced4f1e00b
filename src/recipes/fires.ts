/**
 * The fires that were claimed, as a Lease of kind `cron` records them. Pure.
 *
 * Guarantees: a fire is claimed at most once in the life of the Lease, whatever clocks say: one that was forgotten lies
 * before the record's horizon, and what lies there is refused for good. Only the API server's clock moves the horizon, and
 * never back; the clocks of the replicas move nothing.
 */
import { MicroTime } from '../lease/micro-time.ts';

/** Where they stand. */
export const FIRES_ANNOTATION = 'leasekeeper.dev/fires';
/** Bytes that the record may take; an API server allows 256 KiB for all annotations of an object. */
export const MAX_FIRES_BYTES = 131_072;
/** The server's `Date` is cut off to whole seconds. */
const CUT_OFF_MICROS = 1e6;

/** One claimed fire: of which job, when it was due, and what tells the claims of two processes apart. */
export interface Fire {
  readonly job: string;
  readonly time: MicroTime;
  readonly nonce: string;
}

export interface Fires {
  /** Fires before it are refused: they may have been claimed and forgotten. Undefined: nothing was forgotten yet. */
  readonly horizon: MicroTime | undefined;
  readonly claimed: readonly Fire[];
}

/** What an annotation records; undefined: it cannot be read. No annotation: nothing was claimed. */
export function parseFires(text: string | undefined): Fires | undefined {
  if (text === undefined || text === '') return { horizon: undefined, claimed: [] };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof json !== 'object' || json === null) return undefined;
  const { horizon, claimed } = json as Record<string, unknown>;
  const from = MicroTime.parse(horizon);
  if ((horizon !== undefined && from === undefined) || !Array.isArray(claimed)) return undefined;
  const fires: Fire[] = [];
  for (const entry of claimed as unknown[]) {
    if (!Array.isArray(entry)) return undefined;
    const [job, due, nonce] = entry as unknown[];
    const time = MicroTime.parse(due);
    if (typeof job !== 'string' || typeof nonce !== 'string' || time === undefined) return undefined;
    fires.push({ job, time, nonce });
  }
  return { horizon: from, claimed: fires };
}

export function firesText({ horizon, claimed }: Fires): string {
  const entries = claimed.map(({ job, time, nonce }) => [job, time.toString(), nonce]);
  return JSON.stringify({ ...(horizon && { horizon: horizon.toString() }), claimed: entries });
}

type ClaimVerdict =
  /** Write this record over exactly the version it was made from. */
  | { readonly do: 'write'; readonly fires: Fires }
  /** This very claim is recorded: the answer to it was lost. */
  | { readonly do: 'run' }
  | { readonly do: 'refuse'; readonly reason: ClaimRefusal };

/**
 * `claimed`: by somebody else. `ahead`: it lies further ahead of the API server's clock than the skew allowed. `old`: it may
 * have been claimed and forgotten. `full`: so many fires were claimed lately that no further one fits.
 */
export type ClaimRefusal = 'claimed' | 'ahead' | 'old' | 'full';

/**
 * @param date the API server's `Date` of the answer that brought the record
 * @param maxSkewMs how far apart clocks may be, in milliseconds
 */
export function decideClaim(record: Fires, fire: Fire, date: MicroTime, maxSkewMs: number): ClaimVerdict {
  const known = record.claimed.find(({ job, time }) => job === fire.job && time.equals(fire.time));
  if (known) return known.nonce === fire.nonce ? { do: 'run' } : { do: 'refuse', reason: 'claimed' };
  const skewMicros = maxSkewMs * 1000;
  if (fire.time.epochMicros > date.epochMicros + CUT_OFF_MICROS + skewMicros) return { do: 'refuse', reason: 'ahead' };
  const oldest = MicroTime.fromEpochMicrosClamped(date.epochMicros - 2 * skewMicros);
  const horizon = record.horizon && record.horizon.compare(oldest) > 0 ? record.horizon : oldest;
  if (fire.time.compare(horizon) < 0) return { do: 'refuse', reason: 'old' };
  const claimed = [...record.claimed.filter(({ time }) => time.compare(horizon) >= 0), fire];
  const fires = { horizon, claimed };
  if (Buffer.byteLength(firesText(fires)) > MAX_FIRES_BYTES) return { do: 'refuse', reason: 'full' };
  return { do: 'write', fires };
}
