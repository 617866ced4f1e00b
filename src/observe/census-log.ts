/**
 * What a kept census says in the log: when it stops and begins to be right. What it counts is for those who ask.
 */
import type { CensusEvent } from '../census/census-events.ts';
import type { Observe } from '../runtime/observer.ts';
import { Outage } from './log.ts';
import type { Logger } from './log.ts';

export function logCensus(log: Logger): Observe<CensusEvent> {
  const outage = new Outage(log);
  return (event) => {
    switch (event.type) {
      case 'lost':
        outage.failed(event.error, 'the census may be old: watching the leases failed', {
          what: 'watch',
          level: 'warn',
        });
        return;
      case 'synced':
        if (outage.over()) log.info('the census is up to date again');
        return;
      case 'restarted':
        log.debug(
          { silentMs: Math.round(event.silentMs) },
          'the watch of the census was silent for long: opened a new one',
        );
        return;
      default:
        return;
    }
  };
}
