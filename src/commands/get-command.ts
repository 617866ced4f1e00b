/**
 * `leasekeeper get`: the identity leases as a table, or as a document; with --watch each that changes, until SIGTERM or
 * SIGINT.
 *
 * Guarantees: a renewal alone is no change; a lease that goes silent is one, reported when it becomes stale or expired.
 * What was missed while the API was away is reported once it is back. When the first list fails, --watch ends as well.
 */
import { LiveCensus } from '../census/live-census.ts';
import type { CensusLease } from '../census/census.ts';
import type { CensusEvent } from '../census/census-events.ts';
import type { OptionValues } from '../config/option-spec.ts';
import { GET_TABLE, getQuery, getRules, queryRules } from '../config/shared-flags.ts';
import type { API_OPTIONS } from '../config/shared-flags.ts';
import { MicroTime } from '../lease/micro-time.ts';
import type { LeaseStoreError } from '../lease/store.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { CommandError, EXIT, readValues } from './command.ts';
import type { CommandInput, Io } from './command.ts';
import { connectApi } from './compose.ts';
import { aheadLine, censusOfLeases } from './identity-leases.ts';
import { leaseShape, printCensus } from './output/print-census.ts';
import type { CensusPrintOptions, Row } from './output/print-census.ts';
import { RowPrinter, printOptions } from './output/printer.ts';
import { printable } from './output/text-width.ts';
import { onLeases, permitted } from './permissions.ts';
import { stopSignal, surviveHangup } from './signals.ts';

export async function run({ given, args, io }: CommandInput): Promise<number> {
  const names = [...new Set(args)];
  const values = await readValues(GET_TABLE, given, (read) => getRules(read, names));
  const query = getQuery(values, names);
  const options = { ...printOptions(values.output, io), noHeaders: values.noHeaders, query };
  if (values.watch) return watchLeases(values, () => options, io);
  const census = await censusOfLeases(values, query, io, options.output !== 'table' && options.output !== 'name');
  const missing = names.filter((name) => !census.leases.some((lease) => lease.name === name));
  const [one] = census.leases;
  const printed = await printCensus(census, options, names.length === 1 ? one : undefined);
  if (printed.stderr !== '' && missing.length === 0) io.err(printed.stderr);
  if (printed.stdout !== '' && (names.length === 0 || one)) io.out(printed.stdout);
  if (missing.length === 0) return EXIT.ok;
  throw new CommandError(`no such lease in namespace ${values.namespace}: ${missing.join(', ')}`);
}

/**
 * Prints the leases, and then what changes of them.
 * @param optionsOf from the context's namespace
 * @param keep which rows are printed; one that was is printed once more when it is no more to be kept
 */
export async function watchLeases(
  values: OptionValues<typeof API_OPTIONS> & { readonly freshFor: number },
  optionsOf: (namespace: string) => CensusPrintOptions,
  io: Io,
  keep: (lease: CensusLease) => boolean = () => true,
): Promise<number> {
  // A terminal that closes takes along what only shows something on it.
  if (!io.terminal) surviveHangup();
  const clock = createSystemClock();
  const stop = new AbortController();
  using signals = stopSignal(() => stop.abort());
  await using connection = await connectApi(values, { clock, env: io.env, light: true });
  const options = optionsOf(connection.namespace ?? 'default');
  const shape = leaseShape(() => MicroTime.fromEpochMicrosClamped(clock.wallMicros()), options);
  const printer = new RowPrinter(shape, options, (text) => io.out(text));
  let failed: LeaseStoreError | undefined;
  let lost = false;
  const shown = new Set<string>();
  const print = (leases: readonly CensusLease[], row: (lease: CensusLease) => Row = (lease) => lease): void => {
    const rows = leases.filter((lease) => {
      const key = `${lease.namespace}/${lease.name}`;
      const kept = keep(lease);
      const was = shown.has(key);
      if (kept) shown.add(key);
      else shown.delete(key);
      return kept || was;
    });
    if (rows.length > 0) printer.print(rows.map(row));
  };
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
      case 'ahead':
        return io.err(aheadLine(event.lease));
      case 'synced':
        if (event.first) print(census.census()?.leases ?? []);
        else if (lost) io.err('leasekeeper: up to date again\n');
        lost = false;
        return;
      case 'lease':
        print([event.lease], (lease) => (event.change === 'deleted' ? { ...lease, deleted: true } : lease));
        return;
      default:
        return;
    }
  };
  const census = new LiveCensus({
    store: connection.store,
    query: options.query,
    clock,
    random: Math.random,
    freshForMs: values.freshFor,
    observe,
    keepSource: options.output !== 'table' && options.output !== 'name',
  });
  if (!signals.signal.aborted) await census.run(stop.signal);
  await printer.settled();
  if (failed) throw failed;
  return EXIT.ok;
}

export const grants = permitted(GET_TABLE, queryRules, ({ namespace, allNamespaces, watch: follows }) => [
  onLeases(allNamespaces ? undefined : namespace, ['list'], 'lists the leases'),
  ...(follows ? [onLeases(allNamespaces ? undefined : namespace, ['watch'], 'follows what changes')] : []),
]);
