/**
 * What the events of shards say in the log: each slot that is held, given back or lost, with why; an outage once.
 */
import type { ShardEvent } from '../recipes/shards.ts';
import type { Observe } from '../runtime/observer.ts';
import { Outage } from './log.ts';
import type { Logger } from './log.ts';

const LOST = {
  term: "lost: this member's term is over",
  record: 'lost: its lease was changed or deleted by another',
  view: 'lost: the ring has not been seen for too long',
} as const;

export function logShards(log: Logger): Observe<ShardEvent> {
  const outage = new Outage(log);
  return (event) => {
    switch (event.type) {
      case 'keyHeld':
        return log.info({ key: event.key, fencingToken: event.fencingToken }, 'the key is ours');
      case 'keyReleased':
        return log.info({ key: event.key }, 'the key was given back');
      case 'keyLost':
        return log.warn({ key: event.key }, `the key is ${LOST[event.why]}`);
      case 'keyWorkEnded': {
        const { key, retryInMs, error } = event;
        if (error === undefined)
          return log.warn({ key, retryInMs }, 'the work of the key has ended, and is begun again');
        return log.error({ key, retryInMs, err: error }, 'the work of the key has failed, and is begun again');
      }
      case 'memberTaken':
        return log.warn({ member: event.member }, 'a member has been silent for its duration: its keys are free');
      case 'keyFailed':
        return outage.failed(event.error, 'a request for a key failed', {
          what: 'key',
          fields: { key: event.key },
          about: event.key,
        });
      case 'ringLost':
        if (event.error) outage.failed(event.error, 'following the ring failed', { what: 'ring' });
        return;
      case 'ringSynced':
        if (outage.over()) log.info('the ring is seen again');
    }
  };
}
