/**
 * `leasekeeper get`: the identity leases as a table, or as a document.
 */
import { GET_TABLE, lookRules, queryRules } from '../config/shared-flags.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { lookAtLeases } from './identity-leases.ts';
import { printCensus } from './output/print-census.ts';
import type { OutputFormat } from './output/print-census.ts';
import { onLeases, permitted } from './permissions.ts';

export async function run({ given, io }: CommandInput): Promise<number> {
  const values = await readValues(GET_TABLE, given, lookRules);
  const options = {
    output: (values.output ?? 'table') as OutputFormat,
    namespace: values.namespace,
    color: io.terminal && !io.env['NO_COLOR'],
  };
  if (values.watch) {
    const { watchLeases } = await import('./watch-leases.ts');
    return watchLeases(values, options, io);
  }
  const census = await lookAtLeases(values, io.env, values.output === 'json' || values.output === 'yaml');
  const printed = await printCensus(census, options);
  if (printed.stderr !== '') io.err(printed.stderr);
  if (printed.stdout !== '') io.out(printed.stdout);
  return EXIT.ok;
}

export const grants = permitted(GET_TABLE, queryRules, ({ namespace, watch }) => [
  onLeases(namespace, ['list'], 'lists the leases'),
  ...(watch ? [onLeases(namespace, ['watch'], 'follows what changes')] : []),
]);
