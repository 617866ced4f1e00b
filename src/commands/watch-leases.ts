/**
 * `leasekeeper get --watch`: every lease once, then each that changes, until SIGTERM or SIGINT.
 *
 * Guarantees: a renewal alone is no change; a lease that goes silent is one, told when it becomes stale or expired. Documents
 * come one by one, as kubectl prints them: JSON one below the other, YAML with `---` between. What was missed while the API was away is told once it is
 * back. When the first list fails it ends as `get` does.
 */
import { LiveCensus } from '../census/live-census.ts';
import type { CensusEvent } from '../census/census-events.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { leaseQuery } from '../config/shared-flags.ts';
import type { GET_TABLE } from '../config/shared-flags.ts';
import { MicroTime } from '../lease/micro-time.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { createSystemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';
import { EXIT } from './command.ts';
import type { Io } from './command.ts';
import { connectApi } from './compose.ts';
import { leaseDocument, leaseTable, nameLine, toJson, toYaml } from './output/print-census.ts';
import type { PrintOptions, Row } from './output/print-census.ts';
import { printable } from './output/text-width.ts';
import { stopSignal, surviveHangup } from './signals.ts';

type Values = OptionValues<typeof GET_TABLE>;

/** @throws ConfigurationError, LeaseStoreError */
export async function watchLeases(values: Values, options: PrintOptions, io: Io): Promise<number> {
  // A terminal that closes takes along what only shows something on it.
  if (!io.terminal) surviveHangup();
  const clock = createSystemClock();
  const stop = new AbortController();
  using signals = stopSignal(() => stop.abort());
  const connection = await connectApi(values, { clock, env: io.env, light: true });
  const { print, printed } = printer(options, clock, io);
  let failed: LeaseStoreError | undefined;
  let lost = false;
  const observe = (event: CensusEvent): void => {
    switch (event.type) {
      case 'lost':
        if (census.census() === undefined) {
          failed = event.error;
          stop.abort();
        } else if (!lost)
          io.err(`leasekeeper: warning: changes may be missing for now: ${printable(event.error.message)}\n`);
        lost = true;
        return;
      case 'synced':
        if (event.first) print(census.census()?.leases ?? []);
        else if (lost) io.err('leasekeeper: up to date again\n');
        lost = false;
        return;
      case 'lease':
        print([event.change === 'deleted' ? { ...event.lease, deleted: true } : event.lease]);
        return;
      default:
        return;
    }
  };
  const census = new LiveCensus({
    store: connection.store,
    query: leaseQuery(values),
    clock,
    random: Math.random,
    freshForMs: values.freshFor,
    observe,
    keepSource: options.output === 'json' || options.output === 'yaml',
  });
  try {
    if (!signals.signal.aborted) await census.run(stop.signal);
    await printed();
  } finally {
    await connection.close();
  }
  if (failed) throw failed;
  return EXIT.ok;
}

function printer(options: PrintOptions, clock: Clock, io: Io) {
  const now = (): MicroTime => MicroTime.fromEpochMicrosClamped(clock.wallMicros());
  const table = leaseTable(now, options);
  // YAML is made asynchronously: one document after another.
  let last = Promise.resolve();
  let between = '';
  const print = (rows: readonly Row[]): void => {
    switch (options.output) {
      case 'name':
        return io.out(rows.map(nameLine).join(''));
      case 'json':
        return io.out(rows.map((row) => toJson(leaseDocument(row))).join(''));
      case 'yaml':
        for (const row of rows) {
          last = last.then(async () => {
            io.out(`${between}${await toYaml(leaseDocument(row))}`);
            between = '---\n';
          });
        }
        return;
      default:
        return io.out(table.print(rows));
    }
  };
  return { print, printed: () => last };
}
