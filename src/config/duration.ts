/**
 * Durations as Kubernetes components take them: Go's syntax, `1h30m`, `10s`, `1.5s`, `500ms`, `0`.
 */
const PART = /(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)/y;
const MS: Record<string, number> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, µs: 1e-3, ns: 1e-6 };

/** Milliseconds; `undefined` for what is no duration. Negative ones are refused: nothing here waits for less than nothing. */
export function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (text === '') return undefined;
  let ms = 0;
  PART.lastIndex = 0;
  while (PART.lastIndex < text.length) {
    const part = PART.exec(text);
    if (!part) return undefined;
    ms += Number(part[1]) * (MS[part[2] ?? ''] ?? NaN);
  }
  return Number.isFinite(ms) ? ms : undefined;
}

/** The shortest text that `parseDuration` reads back: `1h0m0s` is written `1h`. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  if (ms < 1000) return `${ms}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor((ms % 3_600_000) / 60_000);
  const seconds = (ms % 60_000) / 1000;
  return `${hours ? `${hours}h` : ''}${minutes ? `${minutes}m` : ''}${seconds ? `${Number(seconds.toFixed(6))}s` : ''}`;
}
