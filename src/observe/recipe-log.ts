/**
 * What the events of a recipe say in the log: what somebody has to know or mend. That a fire was claimed is for level debug,
 * that a lock or a key is held too, but in a command; what a work threw is for its caller.
 */
import type { ElectionEvent } from '../election/election-events.ts';
import type { CronEvent } from '../recipes/cron.ts';
import type { RingEvent } from '../recipes/ring-member.ts';
import type { SemaphoreEvent } from '../recipes/semaphore.ts';
import type { ShardEvent } from '../recipes/shards.ts';
import type { Observe } from '../runtime/observer.ts';
import { logElection } from './election-log.ts';
import { Outage, derivedLog } from './log.ts';
import type { Logger } from './log.ts';

/** Whatever a recipe reports. */
export type RecipeEvent = ElectionEvent | CronEvent | RingEvent | SemaphoreEvent | ShardEvent;

/** @param normal the level of what goes as it should: a lock is held, a key is ours */
export function logRecipe(log: Logger, normal: 'debug' | 'info' = 'debug'): Observe<RecipeEvent> {
  const election = logElection(derivedLog(log, {}, { info: normal }), 'hold');
  const ring = new Outage(log);
  const keys = new Outage(log);
  return (event) => {
    switch (event.type) {
      case 'claimed':
        log.debug({ job: event.job, fireTime: event.fireTime }, 'this fire is ours');
        return;
      case 'refused':
        if (event.reason === 'claimed' || event.reason === 'running')
          log.debug({ job: event.job, reason: event.reason }, 'this fire is not ours');
        else log.warn({ job: event.job, fireTime: event.fireTime }, REFUSED[event.reason]);
        return;
      case 'lost':
        log.warn(
          { job: event.job, fireTime: event.fireTime, code: event.error.code, err: event.error },
          event.stored === false
            ? 'a fire was not claimed here: another replica may still run it'
            : event.stored
              ? 'a fire is lost: it was claimed here, and could not begin in time'
              : 'a fire may be lost: nobody knows whether its claim was stored',
        );
        return;
      case 'badRecord':
        log.error(
          { job: event.job, fireTime: event.fireTime },
          'the record of claimed fires cannot be read: no fire is claimed until it can. Remove the annotation leasekeeper.dev/fires',
        );
        return;
      case 'otherCount':
        log.warn(
          { count: event.count, theirs: event.theirs },
          'the semaphore has another count: waiting until its holders have gone',
        );
        return;
      case 'ringLost':
        if (event.error) ring.failed(event.error, 'following the ring failed', { what: 'ring' });
        return;
      case 'ringSynced':
        if (ring.over()) log.info('the ring is followed again');
        return;
      case 'tidyFailed':
        log.warn(
          { member: event.lease.name, code: event.error.code, err: event.error },
          'the lease of a member that has gone could not be deleted: others of its kind may be left too',
        );
        return;
      case 'keyHeld':
        keys.over();
        log[normal]({ key: event.key, fencingToken: event.fencingToken }, 'the key is ours');
        return;
      case 'keyReleased':
        log[normal]({ key: event.key }, 'the key was given back');
        return;
      case 'keyLost':
        log.warn({ key: event.key }, `the key is lost: ${LOST[event.why]}`);
        return;
      case 'keyWorkEnded':
        log['error' in event ? 'error' : 'warn'](
          {
            key: event.key,
            retryIn: `${Math.round(event.retryInMs)}ms`,
            ...('error' in event && { err: event.error }),
          },
          `the work of the key has ${'error' in event ? 'failed' : 'ended'}, and is begun again`,
        );
        return;
      case 'keyFailed':
        keys.failed(event.error, 'writing the lease of a key failed', {
          what: 'key',
          about: event.key,
          fields: { key: event.key },
        });
        return;
      case 'memberTaken':
        log.warn({ member: event.member }, 'a member has been silent for its duration: its keys are shared out');
        return;
      default:
        // The caller gets what the work threw.
        if (event.type === 'stopped' && event.reason === 'workFailed') return;
        election(event);
    }
  };
}

const LOST = {
  term: "this member's term is over",
  record: 'its lease was changed or deleted by another',
  view: 'the ring has not been seen for too long',
} as const;

const REFUSED = {
  ahead:
    'a fire lies further ahead of the API server than clocks may be apart: it is left out. Is the clock of this machine right?',
  old: 'a fire is older than claimed fires are remembered: it is left out',
  full: 'the record of claimed fires is full: a fire is left out',
} as const;
