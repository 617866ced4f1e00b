/**
 * How elections go from one leader to the next, as one that follows all leases sees it. Pure: time comes as an argument.
 *
 * Guarantees: only leases of kind election count; nobody leads from when the holder released the lease, or from when its
 * duration had passed since its last renewal, until the next holder's first write. Times are those of the changes, not of
 * when they were noticed. What is forgotten with a deleted lease is no switch.
 */
import type { CensusLease } from './census.ts';
import type { LeaderSwitch, LeaseChange } from './census-events.ts';
import { isHeld } from './judge.ts';

/** How one election stands. */
export interface ElectionStanding {
  readonly namespace: string;
  readonly name: string;
  /** Milliseconds for which nobody has led; 0: somebody leads. */
  readonly leaderlessMs: number;
  /** The last one that was seen. */
  readonly lastSwitch: LeaderSwitch | undefined;
}

interface Election {
  readonly lease: CensusLease;
  /** Who leads, or led last. */
  leader: string | undefined;
  /** Monotonic milliseconds of the leader's last sign while nobody leads; and since when. */
  vacant: { readonly sign: number; readonly since: number; readonly how: 'released' | 'expired' } | undefined;
  lastSwitch: LeaderSwitch | undefined;
}

export class Elections {
  readonly #elections = new Map<string, Election>();

  /** Folds in what became of a lease. @returns the switch that it is, where it is one */
  fold({ change, lease, before, at }: LeaseChange): LeaderSwitch | undefined {
    const key = `${lease.namespace}/${lease.name}`;
    if (change === 'deleted' || lease.kind !== 'election') {
      this.#elections.delete(key);
      return undefined;
    }
    const known = this.#elections.get(key);
    const leader = lease.holder ?? known?.leader;
    const election: Election = { lease, leader, vacant: undefined, lastSwitch: known?.lastSwitch };
    this.#elections.set(key, election);
    if (isHeld(lease.state) === false) {
      // Released, or deleted and put back released: the one before held it until now, as far as was seen.
      election.vacant = known?.vacant ?? vacancy(lease, at);
      return undefined;
    }
    if (known?.leader === undefined || lease.holder === undefined) return undefined;
    // Taken over before anybody looked whether the one before had expired.
    const left = known.vacant ?? (known.leader !== lease.holder && before ? lapse(before, at) : undefined);
    if (!left || !isNewTerm(known.lease, lease)) return undefined;
    const began = signOf(lease, at);
    return (election.lastSwitch = {
      namespace: lease.namespace,
      name: lease.name,
      from: known.leader,
      to: lease.holder,
      how: left.since > began ? 'taken' : left.how,
      switchMs: Math.max(0, began - left.sign),
      leaderlessMs: Math.max(0, began - left.since),
    });
  }

  /** @param now monotonic milliseconds */
  standings(now: number): ElectionStanding[] {
    return [...this.#elections.values()].map(({ lease: { namespace, name }, vacant, lastSwitch }) => {
      return { namespace, name, leaderlessMs: vacant ? Math.max(0, now - vacant.since) : 0, lastSwitch };
    });
  }
}

/** Monotonic milliseconds of the last sign of life that a lease shows; `at` where nothing tells. */
const signOf = ({ renewedAgoMs = 0 }: CensusLease, at: number): number => at - renewedAgoMs;

/** Of a lease that nobody holds. */
function vacancy(lease: CensusLease, at: number): Election['vacant'] {
  // A release is the last sign; it says so by its own time.
  return lease.state === 'released'
    ? { sign: signOf(lease, at), since: signOf(lease, at), how: 'released' }
    : lapse(lease, at);
}

/** From when a lease that was not renewed is nobody's; that may lie ahead. */
function lapse(lease: CensusLease, at: number): NonNullable<Election['vacant']> {
  const sign = signOf(lease, at);
  return { sign, since: sign + (lease.leaseDurationSeconds ?? 0) * 1000, how: 'expired' };
}

/** A late renewal goes on with the term. */
const isNewTerm = (a: CensusLease, b: CensusLease): boolean =>
  a.holder !== b.holder || a.uid !== b.uid || a.leaseTransitions !== b.leaseTransitions || !sameTime(a, b);

const sameTime = ({ acquireTime: a }: CensusLease, { acquireTime: b }: CensusLease): boolean =>
  a ? a.equals(b) : b === undefined;
