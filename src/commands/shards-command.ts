/**
 * `leasekeeper shards`: which member of a ring has which key now.
 *
 * Guarantees: a key counts as held only by the member term that it names, as that member's Lease shows it at this moment.
 */
import type { Lease } from '../lease/lease.ts';
import { MEMBER_ANNOTATION, memberTermOf, parseMemberTerm, sameMemberTerm } from '../recipes/ring-view.ts';
import { isMember } from '../recipes/ring-member.ts';
import { EXIT } from './command.ts';
import type { CommandInput } from './command.ts';
import { readRing, seemsLive } from './members-command.ts';
import { printAnswer, printOptions } from './output/printer.ts';
import type { Shape } from './output/printer.ts';
import { humanDuration } from './output/human-duration.ts';

/** `Held`; `Free`: nobody has it; `Waiting`: the term that it names is over, or silent: others wait before they take it. */
type KeyState = 'Held' | 'Free' | 'Waiting';

interface Row {
  readonly name: string;
  readonly key: string;
  readonly state: KeyState;
  readonly holder: string | undefined;
  readonly heldForMs: number | undefined;
}

export async function run(input: CommandInput): Promise<number> {
  const { values, found } = await readRing(input);
  const members = new Map(found.leases.filter(isMember).map((lease) => [lease.metadata.name, lease]));
  const rows = found.leases
    .filter((lease) => !isMember(lease))
    .map((lease): Row => {
      const { acquireTime } = lease.spec;
      const state = stateOf(lease, members, found.serverDate);
      const held = state === 'Held' && acquireTime && found.serverDate;
      return {
        name: lease.metadata.name,
        key: keyOf(lease, found.ring),
        state,
        holder: lease.spec.holderIdentity || undefined,
        heldForMs: held ? Math.max(0, found.serverDate.since(acquireTime)) : undefined,
      };
    })
    .sort((a, b) => a.key.localeCompare(b.key, 'en', { numeric: true }));
  const document = ({ name, key, state, holder, heldForMs }: Row): unknown => ({
    key,
    lease: name,
    state,
    holder: holder ?? null,
    heldForMs: heldForMs ?? null,
  });
  const shape: Shape<Row> = {
    columns: [
      { header: 'KEY', cell: ({ key }) => key, max: 40 },
      { header: 'STATE', cell: ({ state }) => state },
      { header: 'HOLDER', cell: ({ holder }) => holder, max: 40 },
      { header: 'SINCE', cell: ({ heldForMs }) => (heldForMs === undefined ? '' : humanDuration(heldForMs)) },
    ],
    nameLine: ({ name }) => `lease.coordination.k8s.io/${name}\n`,
    document,
  };
  const answer = { rows, document: () => ({ ring: found.ring, namespace: found.namespace, keys: rows.map(document) }) };
  const printed = await printAnswer(shape, printOptions(values.output, input.io), { ...answer, nothing: 'No keys' });
  if (printed.stderr !== '' && found.leases.length > 0) input.io.err(printed.stderr);
  input.io.out(printed.stdout);
  return EXIT.ok;
}

function stateOf(lease: Lease, members: ReadonlyMap<string, Lease>, date: Parameters<typeof seemsLive>[1]): KeyState {
  const term = parseMemberTerm(lease.metadata.annotations[MEMBER_ANNOTATION]);
  if (!term) return lease.spec.holderIdentity ? 'Waiting' : 'Free';
  const member = members.get(term.lease);
  const now = member && memberTermOf(member, term.durationMs);
  return member && now && sameMemberTerm(term, now) && seemsLive(member, date) ? 'Held' : 'Waiting';
}

/** The key as its holder wrote it, else what the Lease's name says. */
function keyOf({ metadata }: Lease, ring: string): string {
  const prefix = `${ring}-k-`;
  const named = metadata.name.startsWith(prefix) ? metadata.name.slice(prefix.length) : metadata.name;
  try {
    const { key } = JSON.parse(metadata.annotations[MEMBER_ANNOTATION] ?? '{}') as { key?: unknown };
    return typeof key === 'string' ? key : named;
  } catch {
    return named;
  }
}

export { grants } from './members-command.ts';
