/**
 * What an elector's events say in the log.
 *
 * Guarantees: every term has a line when it begins and one when it ends, with why; who leads is logged when it changes; an
 * outage is logged once for each kind of failure in it, and its end; renewals are for level debug.
 */
import type { ElectionEvent, StopReason } from '../election/election-events.ts';
import type { Observe } from '../runtime/observer.ts';
import { Outage } from './log.ts';
import type { Logger } from './log.ts';

const OPERATION = {
  get: 'reading the lease',
  create: 'creating the lease',
  takeOver: 'taking the lease over',
  renew: 'renewing the lease',
  release: 'releasing the lease',
} as const;

const WHY = {
  absent: 'there was no lease',
  released: 'the lease was released',
  expired: 'the lease had expired',
  own: 'the lease was still ours',
  adopted: 'a write whose answer was lost had been stored',
} as const;

/** An elector leads; a lock, a slot or a member holds. */
const WORDS = {
  lead: {
    begun: 'leading',
    others: 'somebody else leads',
    nobody: 'nobody leads',
    lost: 'leadership lost',
    over: 'stopped leading',
  },
  hold: {
    begun: 'holding the lease',
    others: 'somebody else holds the lease',
    nobody: 'nobody holds the lease',
    lost: 'the lease was lost',
    over: 'no longer holding the lease',
  },
} as const;

/** Why a term is over. */
export const REASON: Readonly<Record<StopReason, string>> = {
  deadline: 'no renewal succeeded before the renew deadline',
  taken: 'somebody else holds the lease, although it had not expired',
  deleted: 'the lease was deleted',
  released: 'somebody else emptied the lease',
  workEnded: 'the work has ended',
  workFailed: 'the work has failed',
  shutdown: 'shutting down',
  steppedDown: 'it was asked to step down',
  abandoned: 'the work has not ended in time',
};
/** Terms that were lost, and not given up. */
export const LOST: ReadonlySet<StopReason> = new Set(['deadline', 'taken', 'deleted', 'released']);
const QUIET: ReadonlySet<StopReason> = new Set(['workEnded', 'shutdown', 'steppedDown']);

/** @param verb what a term is for */
export function logElection(log: Logger, verb: 'lead' | 'hold' = 'lead'): Observe<ElectionEvent> {
  const words = WORDS[verb];
  const outage = new Outage(log);
  const watch = new Outage(log);
  const recovered = (): void => {
    watch.over();
    if (outage.over()) log.info('the API server answers again');
  };
  return (event) => {
    switch (event.type) {
      case 'contending':
        log.debug('contending for the lease');
        return;
      case 'leaderObserved':
        recovered();
        // Of ourselves `leading` tells.
        if (event.leader === event.holder) return;
        if (event.leader === undefined) log.debug({ transitions: event.transitions }, words.nobody);
        else {
          const who = { [verb === 'lead' ? 'leader' : 'heldBy']: event.leader.slice(0, 300) };
          log.info({ ...who, transitions: event.transitions }, words.others);
        }
        return;
      case 'leading':
        recovered();
        log.info({ fencingToken: event.fencingToken, because: WHY[event.why] }, words.begun);
        return;
      case 'renewed':
        recovered();
        log.debug({ latencyMs: Math.round(event.latencyMs * 100) / 100 }, 'renewed');
        if (event.adopted) log.info('a renewal whose answer was lost had been stored: going on from it');
        return;
      case 'slowPath':
        log.debug('the lease was changed by somebody else: reading it before the next renewal');
        return;
      case 'failed': {
        const { operation, error, retryInMs, remainingMs } = event;
        const fields = {
          retryIn: `${Math.round(retryInMs)}ms`,
          ...(remainingMs === undefined ? {} : { [`${verb}ingFor`]: `${Math.round(remainingMs)}ms` }),
        };
        const line = { what: operation, fields };
        if (operation === 'watch') {
          const text = 'watching the lease failed: it is read every few seconds instead';
          watch.failed(error, text, { ...line, level: error.retryable ? 'info' : 'warn' });
        } else outage.failed(error, `${OPERATION[operation]} failed`, line);
        return;
      }
      case 'raceLost':
        log.debug({ retryIn: `${Math.round(event.retryInMs)}ms` }, 'another candidate was faster');
        return;
      case 'tokensFromTransitions':
        log.warn(
          { fencingToken: event.fencingToken },
          "fencing tokens are the lease's transitions, because this server's resource versions are no safe integers: they start again when the lease is deleted",
        );
        return;
      case 'steppingDown':
        log.warn(
          { to: event.to?.slice(0, 300) ?? 'anybody' },
          'another is to lead: ending the work, then releasing the lease',
        );
        return;
      case 'workReturned':
        log.warn(
          'the work returned although it was not asked to end: it is run again with the next term, and what it began still goes on. Return a promise that settles once term.signal has aborted and all has ended',
        );
        return;
      case 'stopped': {
        const fields = { fencingToken: event.fencingToken, ...('error' in event ? { err: event.error } : {}) };
        log[QUIET.has(event.reason) ? 'info' : event.reason === 'abandoned' ? 'error' : 'warn'](
          fields,
          `${LOST.has(event.reason) ? words.lost : words.over}: ${REASON[event.reason]}`,
        );
        return;
      }
      case 'workOverdue':
        log.error(`others may ${verb} by now, but the work still runs`);
        return;
      case 'released':
        log.info('released the lease');
        return;
      case 'leftToExpire':
        log.warn('the lease was not released: others wait until it expires');
        return;
      case 'watchLost':
        log.debug({ err: event.error }, 'the watch was lost: reading the lease until it is back');
        return;
      case 'watchRecovered':
        recovered();
        log.debug('the watch is back');
        return;
    }
  };
}
