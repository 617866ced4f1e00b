/**
 * What a kept census says in the log: when it stops and begins to be right. What it counts is for those who ask.
 */
import type { CensusEvent } from '../census/census-events.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Logger } from './log.ts';

export function logCensus(log: Logger): Observe<CensusEvent> {
  let lost = false;
  return (event) => {
    switch (event.type) {
      case 'lost':
        log[lost ? 'debug' : 'warn'](
          { code: event.error.code, err: event.error },
          'the census may be old: watching the leases failed',
        );
        lost = true;
        return;
      case 'synced':
        if (lost) log.info('the census is up to date again');
        lost = false;
        return;
      case 'restarted':
        log.debug(
          { silentMs: Math.round(event.silentMs) },
          'the watch of the census told nothing for long: opened a new one',
        );
        return;
      default:
        return;
    }
  };
}
