/**
 * `leasekeeper step-down`: asks the holder of a lease to end its work and to release it. Exits with 0 once it has, and where
 * another was named, once that one holds the lease.
 */
import type { OptionValues } from '../config/option-spec.ts';
import { STEP_DOWN_TABLE } from '../config/lease-list-flags.ts';
import { stepDown } from '../election/step-down.ts';
import type { StepDownOutcome } from '../election/step-down.ts';
import { parseRef, refProblem } from '../lease/names.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { formatDuration } from '../config/duration.ts';
import { isStoreError } from '../lease/store.ts';
import { CommandError, EXIT, UsageError, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { connectApi } from './compose.ts';
import { printable } from './output/text-width.ts';
import { onLeases, permitted } from './permissions.ts';
import { stopSignal } from './signals.ts';

export async function run({ given, args, io }: CommandInput): Promise<number> {
  const values = await readValues(STEP_DOWN_TABLE, given);
  const [text = ''] = args;
  const rule = refProblem(text);
  if (rule !== undefined) throw new UsageError([{ option: 'LEASE', value: text, rule }]);
  const clock = createSystemClock();
  using stop = stopSignal();
  await using connection = await connectApi(values, { clock, env: io.env, light: true });
  const { store, namespace = 'default' } = connection;
  const lease = parseRef(text, values.leasesNamespace ?? namespace);
  const name = `${lease.namespace}/${lease.name}`;
  const { stepDownTo: to, stepDownWait: waitMs } = values;
  const asking = stepDown({ store, clock, random: Math.random, lease, to, waitMs, signal: stop.signal });
  const outcome = await asking.catch((error: unknown) => {
    if (!isStoreError(error, 'NotFound')) throw error;
    throw new CommandError(`there is no lease ${name}`, { cause: error });
  });
  const failure = failureText(outcome, name, values);
  if (failure !== undefined) throw new CommandError(printable(failure));
  if (outcome.outcome !== 'steppedDown') throw new TypeError(outcome.outcome);
  const { holder, next } = outcome;
  const now = next === undefined ? 'nobody holds the lease yet' : `${next} holds the lease now`;
  io.out(printable(`${name}: ${holder} stepped down, ${now}`) + '\n');
  return EXIT.ok;
}

/** Why it did not happen; undefined: it did. */
function failureText(
  outcome: StepDownOutcome,
  name: string,
  { stepDownTo: to = '', stepDownWait }: OptionValues<typeof STEP_DOWN_TABLE>,
): string | undefined {
  const wait = formatDuration(stepDownWait);
  switch (outcome.outcome) {
    case 'steppedDown':
      return undefined;
    case 'notHeld':
      return `${name}: nobody holds the lease`;
    case 'leadsAlready':
      return `${name}: ${outcome.holder} holds the lease already`;
    case 'notOurs':
      return `${name}: ${outcome.holder} cannot be asked to step down: it does not mark its terms as leasekeeper 0.2 and later does. Stop that process instead`;
    case 'timedOut':
      return `${name}: ${outcome.holder} was asked and still holds the lease after ${wait}: its work has not ended, or it is gone and the lease expires`;
    case 'another':
      return `${name}: ${outcome.holder} stepped down, but ${outcome.next} holds the lease now, not ${to}`;
    case 'absent':
      return `${name}: ${outcome.holder} stepped down, but ${to} did not take the lease within ${wait}`;
  }
}

export const grants = permitted(
  STEP_DOWN_TABLE,
  () => [],
  ({ leasesNamespace: namespace = 'default' }) => [
    onLeases(namespace, ['get', 'update'], 'writes the request on the lease'),
    onLeases(namespace, ['watch'], 'sees what becomes of it; add list before Kubernetes 1.32 and in 1.33'),
  ],
);
