/**
 * `leasekeeper get`: the identity leases as a table, or as a document; with --watch each that changes, until SIGTERM or
 * SIGINT.
 *
 * Guarantees: a renewal alone is no change; a lease that goes silent is one, reported when it becomes stale or expired.
 * What was missed while the API was away is reported once it is back. When the first list fails, --watch ends as well.
 */
import { LiveCensus } from '../census/live-census.ts';
import type { CensusEvent } from '../census/census-events.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { GET_TABLE, leaseQuery, lookRules, queryRules } from '../config/shared-flags.ts';
import { MicroTime } from '../lease/micro-time.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput, Io } from './command.ts';
import { connectApi } from './compose.ts';
import { lookAtLeases } from './identity-leases.ts';
import { leaseShape, printCensus } from './output/print-census.ts';
import type { CensusPrintOptions } from './output/print-census.ts';
import { RowPrinter, printOptions, showsAll } from './output/printer.ts';
import { printable } from './output/text-width.ts';
import { onLeases, permitted } from './permissions.ts';
import { stopSignal, surviveHangup } from './signals.ts';

export async function run({ given, io }: CommandInput): Promise<number> {
  const values = await readValues(GET_TABLE, given, lookRules);
  const options = { ...printOptions(values.output, io), namespace: values.namespace };
  if (values.watch) return watch(values, options, io);
  const printed = await printCensus(await lookAtLeases(values, io.env, showsAll(options)), options);
  if (printed.stderr !== '') io.err(printed.stderr);
  if (printed.stdout !== '') io.out(printed.stdout);
  return EXIT.ok;
}

async function watch(values: OptionValues<typeof GET_TABLE>, options: CensusPrintOptions, io: Io): Promise<number> {
  // A terminal that closes takes along what only shows something on it.
  if (!io.terminal) surviveHangup();
  const clock = createSystemClock();
  const stop = new AbortController();
  using signals = stopSignal(() => stop.abort());
  await using connection = await connectApi(values, { clock, env: io.env, light: true });
  const shape = leaseShape(() => MicroTime.fromEpochMicrosClamped(clock.wallMicros()), options);
  const printer = new RowPrinter(shape, options, (text) => io.out(text));
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
        if (event.first) printer.print(census.census()?.leases ?? []);
        else if (lost) io.err('leasekeeper: up to date again\n');
        lost = false;
        return;
      case 'lease':
        printer.print([event.change === 'deleted' ? { ...event.lease, deleted: true } : event.lease]);
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
    keepSource: showsAll(options),
  });
  if (!signals.signal.aborted) await census.run(stop.signal);
  await printer.settled();
  if (failed) throw failed;
  return EXIT.ok;
}

export const grants = permitted(GET_TABLE, queryRules, ({ namespace, watch: follows }) => [
  onLeases(namespace, ['list'], 'lists the leases'),
  ...(follows ? [onLeases(namespace, ['watch'], 'follows what changes')] : []),
]);
