/**
 * Who leads, over HTTP: at `/` and `/v1/leader` always with 200, at `/leader` with 200 only on the leader.
 *
 * Guarantees: `leading` is false from the instant at which the term ends; a leader that is not known is missing, never
 * made up. `name` is what leader-elector sidecars answered: the leader's own name, without what makes its holder unique.
 */
import { holderName } from '../lease/names.ts';
import type { LeaseRef } from '../lease/store.ts';
import { json } from './answer.ts';
import type { HttpAnswer } from './answer.ts';
import type { Check } from './health-endpoint.ts';

export interface LeaderView {
  readonly lease: LeaseRef;
  /** Our own holder identity. */
  readonly holder: string;
  /** The holder that the lease was last seen to have. */
  readonly leader: string | undefined;
  /** Milliseconds that our term still lasts; 0: we do not lead. */
  readonly remainingMs: number;
  /** Of our term. */
  readonly fencingToken: number | undefined;
}

/** @param others the status where another leads, or nobody */
export function leaderAnswer(
  { lease, holder, leader, remainingMs, fencingToken }: LeaderView,
  others: 200 | 503 = 200,
): HttpAnswer {
  const leading = remainingMs > 0;
  return json(leading ? 200 : others, {
    name: leader === undefined ? undefined : holderName(leader),
    leader,
    leading,
    lease: `${lease.namespace}/${lease.name}`,
    holder,
    ...(leading ? { fencingToken, remainingSeconds: Math.floor(remainingMs) / 1000 } : {}),
  });
}

/**
 * As client-go's: bad when the term is over and the process has not noticed, or cannot end what it does as leader.
 * @param overdue the term is over, others may lead, and its work still runs
 */
export const leaderCheck = ({ leader, remainingMs }: LeaderView, overdue: boolean): Check => ({
  name: 'leaderElection',
  ok: !overdue,
  note: overdue
    ? 'leadership is over, and the work has not ended'
    : remainingMs > 0
      ? 'leading'
      : `standing by; ${leader === undefined ? 'nobody is known to lead' : `${leader} leads`}`,
});
