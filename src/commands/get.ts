/**
 * `leasekeeper get`: the identity leases as a table, or as a document.
 */
import { API_OPTIONS, LEASE_OPTIONS, LOG_OPTIONS, OUTPUT_OPTIONS, WATCH_OPTIONS } from '../config/shared-flags.ts';
import { readOptions } from '../config/option-spec.ts';
import { EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { lookAtLeases } from './identity-leases.ts';
import { printCensus } from './output/print-census.ts';
import type { OutputFormat } from './output/print-census.ts';

const TABLE = { ...LOG_OPTIONS, ...API_OPTIONS, ...LEASE_OPTIONS, ...OUTPUT_OPTIONS, ...WATCH_OPTIONS };

export async function run({ given, io }: CommandInput): Promise<number> {
  const { values, problems } = readOptions(TABLE, given);
  if (problems.length > 0) throw new UsageError(problems);
  const options = {
    output: (values.output ?? 'table') as OutputFormat,
    namespace: values.namespace,
    color: io.terminal && !io.env['NO_COLOR'],
  };
  if (values.watch) {
    const { watchLeases } = await import('./watch-leases.ts');
    return watchLeases(values, options, io);
  }
  const census = await lookAtLeases(values, io.env);
  const printed = await printCensus(census, options);
  if (printed.stderr !== '') io.err(printed.stderr);
  if (printed.stdout !== '') io.out(printed.stdout);
  return EXIT.ok;
}
