/**
 * The figures that have a budget, gathered in one run, and the table and the list of misses that docs/performance.md shows.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { format, resolveConfig } from 'prettier';
import { median, quartiles } from './measure.ts';

interface Row {
  readonly what: string;
  readonly unit: string;
  /** At the most; or at the least. */
  readonly limit: number;
  readonly atLeast?: true;
  /** What the limit is in words, where the number does not say it. */
  readonly limitText?: string;
}

/** In the order of the page. */
const ROWS = {
  cpu: {
    what: "CPU a renewal, by the Go client's with JSON",
    unit: '×',
    limit: 1,
  },
  publish: {
    what: "Resident memory of `publish`, by bare Node's",
    unit: '×',
    limit: 1.6,
  },
  watchdog: {
    what: "Resident memory of `elect`'s watchdog, by bare Node's",
    unit: '×',
    limit: 1,
  },
  count: {
    what: '`count` from a cold start, CPU by that of `node -e 0`',
    unit: '×',
    limit: 2.2,
  },
  collect: {
    what: "5,000 expired leases: kube-apiserver's collector, by our sweeper",
    unit: '×',
    limit: 6,
    atLeast: true,
  },
  fleet: { what: '10,000 heartbeats on the embedded server, resident', unit: 'MB', limit: 190 },
  late: { what: '100,000 heartbeats in one process, the latest', unit: 's', limit: 1 },
  beat: { what: '100,000 heartbeats in one process, heap of each', unit: 'kB', limit: 1.5 },
  census: { what: 'A kept census of 10,000 leases, heap of each', unit: 'kB', limit: 1.2 },
  release: { what: 'Failover after a release', unit: 'ms', limit: 50 },
  kill: { what: 'Failover after kill -9, beyond the lease’s 15 s', unit: 'ms', limit: 200 },
  shards: { what: 'Writes of a member with 1,024 shards, by those with 1', unit: '×', limit: 1, limitText: 'the same' },
  herd: { what: 'Writes at a release among 1,000 candidates', unit: '', limit: 30 },
  installed: { what: 'The library, installed', unit: 'MB', limit: 16 },
  import: {
    what: 'Importing the library, CPU by that of `node -e 0`',
    unit: '×',
    limit: 1.5,
  },
} as const satisfies Record<string, Row>;

type Name = keyof typeof ROWS;

interface Measured {
  /** One a round; of a ratio, that of the round's pair. */
  readonly values: readonly number[];
  /** What stands beside it, in the same run. */
  readonly beside?: string | undefined;
}

const measured = new Map<Name, Measured>();

/** Notes a figure of this run. */
export const figure = (name: Name, what: Measured): void => void measured.set(name, what);

/** Ratios and small numbers with two places, times and counts with none. */
const digits = (value: number, unit: string): string => value.toFixed(/^(×|kB|s)$/.test(unit) ? 2 : 0);

interface Judged {
  readonly row: Row;
  readonly value: number;
  readonly cells: readonly string[];
  readonly met: boolean;
}

function judged(): Judged[] {
  return (Object.entries(ROWS) as [Name, Row][]).flatMap(([name, row]) => {
    const found = measured.get(name);
    if (found === undefined) return [];
    const value = median(found.values);
    const with_ = (n: number): string => `${digits(n, row.unit)} ${row.unit}`.trimEnd();
    const met = row.atLeast ? value >= row.limit : value <= row.limit;
    const [low, high] = quartiles(found.values);
    const spread = found.values.length > 2 ? `${digits(low, row.unit)}–${digits(high, row.unit)}` : '';
    const limit = row.limitText ?? `${row.atLeast ? 'at least ' : ''}${row.limit} ${row.unit}`.trimEnd();
    return [
      { row, value, met, cells: [row.what, with_(value), spread, limit, met ? 'yes' : 'no', found.beside ?? ''] },
    ];
  });
}

/** Markdown: the table, and below it what was missed, and by how much. */
export function page(machine: string): string {
  const all = judged();
  const headers = ['figure', 'median', 'quartiles', 'limit', 'kept', 'beside it'];
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rows = [headers, headers.map(() => '---'), ...all.map(({ cells }) => cells)].map(line);
  const missed = all.filter(({ met }) => !met);
  const misses = missed.map(({ row, value }) => {
    const by = row.atLeast ? 1 - value / row.limit : value / row.limit - 1;
    return `- ${row.what}: by ${(by * 100).toFixed(0)} %`;
  });
  const end = missed.length === 0 ? 'Every limit was kept.' : `Missed:\n\n${misses.join('\n')}`;
  return `${machine}\n\n${rows.join('\n')}\n\n${end}`;
}

const [BEGIN, END] = ['<!-- bench:begin -->', '<!-- bench:end -->'];

/** Puts it between the markers of a file. @throws where there are none */
export async function writePage(file: string, text: string): Promise<void> {
  const old = readFileSync(file, 'utf8');
  const [from, to] = [old.indexOf(BEGIN), old.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${file} has no markers ${BEGIN} and ${END}`);
  const whole = `${old.slice(0, from + BEGIN.length)}\n\n${text}\n\n${old.slice(to)}`;
  writeFileSync(file, await format(whole, { ...(await resolveConfig(file)), filepath: file }));
}

/** Which figures were not measured. */
export const missing = (): string[] =>
  (Object.entries(ROWS) as [Name, Row][]).flatMap(([name, { what }]) => (measured.has(name) ? [] : [what]));
