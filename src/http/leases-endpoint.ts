/**
 * /v1/leases: all leases that a kept census follows, with their kinds, as JSON; `?kind=election` those of one kind.
 *
 * Guarantees: 200 while they are known, else 503 with the last known ones in `last`, and their age. Made at most every half
 * second for each kind, and never for more than a twentieth of the time.
 */
import type { CensusLease } from '../census/census.ts';
import type { CensusSnapshot } from '../census/census-events.ts';
import type { ElectionStanding } from '../census/elections.ts';
import { isHeld } from '../census/judge.ts';
import { KINDS } from '../lease/lease-kind.ts';
import type { Kind } from '../lease/lease-kind.ts';
import type { MicroTime } from '../lease/micro-time.ts';
import type { Clock } from '../runtime/clock.ts';
import { json, reuse } from './answer.ts';
import type { Endpoint, HttpAnswer } from './answer.ts';
import { leaseDocument } from './census-endpoint.ts';

interface LeasesSource {
  snapshot(): Pick<CensusSnapshot, 'synced' | 'freshnessMs' | 'error' | 'freshForMs'>;
  leases(): { readonly leases: readonly CensusLease[]; readonly asOf: MicroTime } | undefined;
  /** Undefined: not known. */
  elections(): readonly ElectionStanding[] | undefined;
}

const REUSE_MS = 500;

const seconds = (ms: number): number => Math.round(ms) / 1000;

export function leasesEndpoint(source: LeasesSource, clock: Clock): Endpoint {
  const make = (kind: Kind | undefined): { readonly list: Buffer; readonly asOf: MicroTime } | undefined => {
    const found = source.leases();
    if (!found) return undefined;
    const elections = new Map((source.elections() ?? []).map((one) => [`${one.namespace}/${one.name}`, one]));
    const items = found.leases
      .filter((lease) => kind === undefined || lease.kind === kind)
      .map((lease) => ({
        ...leaseDocument(lease),
        kind: lease.kind,
        held: isHeld(lease.state) ?? null,
        ...(lease.kind === 'election' && standing(elections.get(`${lease.namespace}/${lease.name}`))),
      }));
    return { list: Buffer.from(JSON.stringify(items)), asOf: found.asOf };
  };
  const made = new Map(
    [undefined, ...KINDS].map((kind) => [kind as string | undefined, reuse(clock, () => make(kind), REUSE_MS)]),
  );
  return (query): HttpAnswer => {
    const kind = query.get('kind') ?? undefined;
    const answer = made.get(kind);
    if (!answer) return json(400, { error: `kind must be one of ${KINDS.join(', ')}` });
    const { synced, freshnessMs, error, freshForMs } = source.snapshot();
    const known = source.elections() !== undefined;
    const found = answer();
    const head = JSON.stringify({
      known,
      clock: 'observed',
      freshForSeconds: seconds(freshForMs),
      synced,
      error: error ? { code: error.code, message: error.message } : null,
      ageSeconds: freshnessMs === undefined ? null : seconds(freshnessMs),
    }).slice(0, -1);
    const all = found ? [`{"asOf":"${found.asOf.toString()}","leases":`, found.list, '}'] : ['null'];
    const body =
      known && found
        ? [`${head},"leases":`, found.list, ',"last":null}\n']
        : [`${head},"leases":null,"last":`, ...all, '}\n'];
    return {
      ...{ status: known ? 200 : 503, type: 'application/json; charset=utf-8', body },
      // Of all leases they may be megabytes.
      ...(kind === 'election' && { compress: true }),
    };
  };
}

/** Of an election: for how long nobody has led, and what its last switch took. */
const standing = (one: ElectionStanding | undefined): Record<string, unknown> => ({
  leaderlessSeconds: one ? seconds(one.leaderlessMs) : null,
  lastSwitch: one?.lastSwitch
    ? {
        from: one.lastSwitch.from,
        to: one.lastSwitch.to,
        how: one.lastSwitch.how,
        seconds: seconds(one.lastSwitch.switchMs),
        leaderlessSeconds: seconds(one.lastSwitch.leaderlessMs),
      }
    : null,
});
