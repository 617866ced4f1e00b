/**
 * `leasekeeper count`: one number. What is not known is an error, never a number.
 */
import { API_OPTIONS, COUNT_OPTIONS, LEASE_OPTIONS, LOG_OPTIONS } from '../config/shared-flags.ts';
import { readOptions } from '../config/option-spec.ts';
import { CommandError, EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { lookAtLeases } from './identity-leases.ts';

const TABLE = { ...LOG_OPTIONS, ...API_OPTIONS, ...LEASE_OPTIONS, ...COUNT_OPTIONS };

export async function run({ given, io }: CommandInput): Promise<number> {
  const { values, problems } = readOptions(TABLE, given);
  if (problems.length > 0) throw new UsageError(problems);
  const { counts } = await lookAtLeases(values, io.env);
  if (counts === undefined) {
    throw new CommandError('the API server told no time (no Date header): which leases have expired is not known');
  }
  const n = values.live ? counts.live : counts.instances;
  io.out(`${n}\n`);
  if (values.expect === undefined || values.expect === n) return EXIT.ok;
  io.err(`leasekeeper: expected ${values.expect}${values.live ? ' live' : ''} instances, there are ${n}\n`);
  return EXIT.unexpected;
}
