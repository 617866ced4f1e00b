/**
 * `leasekeeper members`: who is in a ring now: the holder of each member Lease, its last renewal, its payload.
 */
import type { OptionValues } from '../config/option-spec.ts';
import { RING_VIEW_TABLE, ringRules } from '../config/recipe-flags.ts';
import { parseRef } from '../lease/names.ts';
import { listPages } from '../lease/list-pages.ts';
import type { Lease } from '../lease/lease.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import { memberInfo } from '../recipes/members.ts';
import { RING_LABEL, isMember } from '../recipes/ring-member.ts';
import { createSystemClock } from '../runtime/clock.ts';
import { EXIT, UsageError } from './command.ts';
import type { CommandInput } from './command.ts';
import { readChecked } from '../config/bindings.ts';
import { connectApi } from './compose.ts';
import { humanDuration } from './output/human-duration.ts';
import { printAnswer, printOptions } from './output/printer.ts';
import type { Shape } from './output/printer.ts';
import { onLeases, permitted } from './permissions.ts';

interface RingLeases {
  readonly namespace: string;
  readonly ring: string;
  readonly leases: readonly Lease[];
  readonly serverDate: MicroTime | undefined;
}

/** All Leases of the ring that stands after the command's name. */
export async function readRing({ given, args, io }: CommandInput): Promise<{
  readonly values: OptionValues<typeof RING_VIEW_TABLE>;
  readonly found: RingLeases;
}> {
  const { values, problems } = await readChecked(RING_VIEW_TABLE, given, () => []);
  const [text = ''] = args;
  const rule = ringRules(text);
  const wrong = rule === undefined ? problems : [...problems, { option: 'RING', value: text, rule }];
  if (wrong.length > 0) throw new UsageError(wrong);
  const clock = createSystemClock();
  await using connection = await connectApi(values, { clock, env: io.env, light: true });
  const { namespace, name: ring } = parseRef(text, connection.namespace ?? 'default');
  const query = { namespace, labelSelector: `${RING_LABEL}=${ring}` };
  const { items, serverDate } = await listPages({
    ask: (part) => connection.store.list({ ...query, ...part }),
    keep: (page) => page.leases,
    now: () => clock.monotonic(),
  });
  if (items.length === 0) io.err(`leasekeeper: no lease of ${query.labelSelector} in namespace ${namespace}\n`);
  return { values, found: { namespace, ring, leases: items, serverDate } };
}

/** Milliseconds since the last renewal, by the API server's clock. */
const renewedAgo = ({ spec }: Lease, date: MicroTime | undefined): number | undefined =>
  spec.renewTime && date ? Math.max(0, date.since(spec.renewTime)) : undefined;

/** Held, and not yet silent for its duration, as far as the published times say. */
export function seemsLive(lease: Lease, date: MicroTime | undefined): boolean {
  const ago = renewedAgo(lease, date);
  const { holderIdentity, leaseDurationSeconds = 0 } = lease.spec;
  return !!holderIdentity && ago !== undefined && ago <= leaseDurationSeconds * 1000;
}

export async function run(input: CommandInput): Promise<number> {
  const { values, found } = await readRing(input);
  const { serverDate: date } = found;
  const rows = found.leases.filter((lease) => isMember(lease) && lease.spec.holderIdentity);
  const document = (lease: Lease): unknown => {
    const { self: _, ...info } = memberInfo(lease, false);
    return { ...info, live: seemsLive(lease, date), renewTime: lease.spec.renewTime?.toString() ?? null };
  };
  const shape: Shape<Lease> = {
    columns: [
      { header: 'MEMBER', cell: ({ metadata }) => metadata.name.slice(`${found.ring}-m-`.length) },
      { header: 'HOLDER', cell: ({ spec }) => spec.holderIdentity, max: 40 },
      { header: 'STATE', cell: (lease) => (seemsLive(lease, date) ? 'Live' : 'Silent') },
      { header: 'RENEWED', cell: (lease) => humanDuration(renewedAgo(lease, date)) },
      { header: 'PAYLOAD', cell: (lease) => JSON.stringify(memberInfo(lease, false).payload) ?? '', max: 60 },
    ],
    nameLine: ({ metadata }) => `lease.coordination.k8s.io/${metadata.name}\n`,
    document,
  };
  const answer = {
    rows,
    document: () => ({ ring: found.ring, namespace: found.namespace, members: rows.map(document) }),
  };
  const printed = await printAnswer(shape, printOptions(values.output, input.io), { ...answer, nothing: 'No members' });
  if (printed.stderr !== '' && found.leases.length > 0) input.io.err(printed.stderr);
  input.io.out(printed.stdout);
  return EXIT.ok;
}

export const grants = permitted(
  RING_VIEW_TABLE,
  () => [],
  (_values, _given, [ring = '']) => [onLeases(parseRef(ring, 'default').namespace, ['list'], 'lists the ring')],
);
