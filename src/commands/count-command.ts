/**
 * `leasekeeper count`: one number. What is not known is an error, never a number.
 */
import { queryText } from '../census/census-query.ts';
import { COUNT_TABLE, leaseQuery, takeCensusRules, queryRules } from '../config/shared-flags.ts';
import { CommandError, EXIT, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { censusOfLeases } from './identity-leases.ts';
import { printable } from './output/text-width.ts';
import { onLeases, permitted } from './permissions.ts';

export async function run({ given, io }: CommandInput): Promise<number> {
  const values = await readValues(COUNT_TABLE, given, takeCensusRules);
  const query = leaseQuery(values);
  const { counts, leases, asOf } = await censusOfLeases(values, query, io);
  if (leases.length === 0) io.err(`leasekeeper: no lease found ${printable(queryText(query))}\n`);
  if (counts === undefined) {
    throw new CommandError(
      asOf
        ? 'the leases of shards are among them, which nobody renews: `leasekeeper shards` shows who holds them'
        : 'the API server sent no time (no Date header): which leases have expired is not known',
    );
  }
  const n = values.live ? counts.live : counts.instances;
  io.out(`${n}\n`);
  if (values.expect === undefined || values.expect === n) return EXIT.ok;
  io.err(`leasekeeper: expected ${values.expect}${values.live ? ' live' : ''} instances, there are ${n}\n`);
  return EXIT.unexpected;
}

export const grants = permitted(COUNT_TABLE, queryRules, ({ namespace }) => [
  onLeases(namespace, ['list'], 'lists the leases'),
]);
