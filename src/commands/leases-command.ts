/**
 * `leasekeeper leases`: every lease with its kind, who holds it, and whether anybody does; with --watch what changes of them.
 *
 * Guarantees: a kind is never guessed (see lease/lease-kind.ts): what nothing tells is `unknown`. For --watch those of `get`.
 */
import type { CensusLease } from '../census/census.ts';
import { census as censusOf } from '../census/census.ts';
import { isHeld } from '../census/judge.ts';
import { LEASES_TABLE, leasesQuery, leasesRules } from '../config/lease-list-flags.ts';
import { EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { watchLeases } from './get-command.ts';
import { censusOfLeases } from './identity-leases.ts';
import { printCensus } from './output/print-census.ts';
import type { CensusPrintOptions } from './output/print-census.ts';
import { printOptions } from './output/printer.ts';
import { onLeases, permitted } from './permissions.ts';

export async function run({ given, io }: CommandInput): Promise<number> {
  const values = await readValues(LEASES_TABLE, given, leasesRules);
  const keep = values.leaderless ? (lease: CensusLease) => isHeld(lease.state) === false : undefined;
  const optionsOf = (namespace: string): CensusPrintOptions => ({
    ...printOptions(values.output, io),
    noHeaders: values.noHeaders,
    kinds: true,
    query: leasesQuery(values, namespace),
  });
  if (values.watch) return watchLeases(values, optionsOf, io, keep);
  let options: CensusPrintOptions | undefined;
  const whole = values.output === 'json' || values.output === 'yaml' || values.output === 'wide';
  const found = await censusOfLeases(values, (namespace) => (options = optionsOf(namespace)).query, io, whole);
  if (options === undefined) throw new TypeError('a look without a query');
  const printed = await printCensus(keep ? censusOf(found.leases.filter(keep), found) : found, options);
  if (printed.stderr !== '') io.err(printed.stderr);
  if (printed.stdout !== '') io.out(printed.stdout);
  return EXIT.ok;
}

export const grants = permitted(LEASES_TABLE, leasesRules, ({ allNamespaces, leasesNamespace = 'default', watch }) => {
  const namespace = allNamespaces ? undefined : leasesNamespace;
  return [
    onLeases(namespace, ['list'], 'lists the leases'),
    ...(watch ? [onLeases(namespace, ['watch'], 'follows what changes')] : []),
  ];
});
