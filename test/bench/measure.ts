/**
 * What the benches share: measured processes, medians, tables.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Longest time that a measured process may take, in milliseconds, unless another is given. */
const BOUND_MS = 120_000;

/** Runs a program that prints one JSON object as its last line. */
export async function runJson<T>(command: string, args: readonly string[], boundMs = BOUND_MS): Promise<T> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: boundMs });
  let text = '';
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (complaints += part));
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${complaints}`);
  return JSON.parse(text.trim().split('\n').at(-1) ?? '') as T;
}

/** Ticks of /proc's times in a second: the same on every Linux that Node runs on. */
const TICKS = 100;

/** CPU seconds that a process has used; `ended`: those of its children that have ended. NaN where there is no /proc. */
export function cpuSeconds(pid: number | 'self', of: 'itself' | 'ended' = 'itself'): number {
  try {
    // After the name, which may hold anything, from the third field on; utime is the 14th, cutime the 16th.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)!.split(' ');
    const at = of === 'itself' ? 11 : 13;
    return (Number(fields[at]) + Number(fields[at + 1])) / TICKS;
  } catch {
    return NaN;
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = NaN, high = NaN] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]];
  return (low + high) / 2;
}

/** The first and the third. */
export function quartiles(values: readonly number[]): readonly [number, number] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => {
    const place = (sorted.length - 1) * share;
    const [low = NaN, high = low] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    return low + (high - low) * (place % 1);
  };
  return [at(0.25), at(0.75)];
}

/** `2.97 (2.88–3.19)`: the median and the quartiles. */
export function spread(values: readonly number[], digits: number): string {
  const [low, high] = quartiles(values);
  return `${median(values).toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}

/** CPU milliseconds of a program from its start to its end, threads and all. @throws unless it ends with 0 */
export function cpuOfRun(command: string, args: readonly string[]): number {
  const script = 'TIMEFORMAT="%3U %3S"; time "$@" >/dev/null';
  const { status, stderr } = spawnSync('bash', ['-c', script, 'bash', command, ...args], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr}`);
  const [user = NaN, system = NaN] = stderr.trim().split('\n').at(-1)!.split(' ').map(Number);
  return (user + system) * 1000;
}

/** Columns aligned; the first to the left, the others to the right. */
export function table(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headers, ...rows];
  const widths = headers.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('   ');
  return all.map(line).join('\n');
}
