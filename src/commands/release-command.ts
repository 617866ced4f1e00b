/**
 * `leasekeeper release HOSTNAME`: removes one instance whose host is gone. Exits with 1 when there is none, or it is renewed.
 */
import { queryText } from '../census/census-query.ts';
import { RELEASE_TABLE, leaseQuery, queryRules } from '../config/shared-flags.ts';
import { releaseHost } from '../identity/release.ts';
import { hostnameProblem } from '../lease/names.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { CommandError, EXIT, UsageError, readValues } from './command.ts';
import type { CommandInput } from './command.ts';
import { connectApi } from './compose.ts';
import { printable } from './output/text-width.ts';
import { onLeases, permitted } from './permissions.ts';
import { ProgressLine } from './progress-line.ts';
import { stopSignal } from './signals.ts';

export async function run({ given, args, io: world }: CommandInput): Promise<number> {
  const values = await readValues(RELEASE_TABLE, given, queryRules);
  const [hostname = ''] = args;
  const rule = hostnameProblem(hostname);
  if (rule !== undefined) throw new UsageError([{ option: 'HOSTNAME', value: hostname, rule }]);
  const clock = createSystemClock();
  using stop = stopSignal();
  using progress = new ProgressLine(world, clock);
  const { io } = progress;
  if (!values.force) progress.show('observing who renews it', clock.monotonic() + values.releaseObserve);
  await using connection = await connectApi(values, { clock, env: io.env, light: true });
  const query = leaseQuery(values);
  const released = await releaseHost({
    store: connection.store,
    clock,
    query,
    hostname,
    observeMs: values.releaseObserve,
    force: values.force,
    signal: stop.signal,
    timeoutMs: values.requestTimeout,
  });
  if (released.length === 0) {
    throw new CommandError(
      `there is no lease of host ${JSON.stringify(hostname)} among those ${printable(queryText(query))}`,
    );
  }
  const renewed: string[] = [];
  for (const { lease, outcome } of released) {
    const { name, finalizers } = lease.metadata;
    if (outcome === 'renewed') renewed.push(`${name} (holder ${lease.spec.holderIdentity || 'nobody'})`);
    else if (outcome === 'terminating')
      io.out(`lease ${printable(name)} marked for deletion, held by finalizers ${printable(finalizers.join(', '))}\n`);
    else io.out(`lease ${printable(name)} ${outcome === 'deleted' ? 'deleted' : 'is gone already'}\n`);
  }
  if (renewed.length === 0) return EXIT.ok;
  throw new CommandError(
    `somebody renews the lease of ${JSON.stringify(hostname)}: ${printable(renewed.join(', '))}; stop its publisher first, or use --force`,
  );
}

export const grants = permitted(RELEASE_TABLE, queryRules, ({ namespace }) => [
  onLeases(namespace, ['list'], 'reads the leases of the host'),
  onLeases(namespace, ['delete'], 'deletes them'),
]);
