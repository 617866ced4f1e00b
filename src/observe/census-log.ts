/**
 * What a kept census says in the log: when it stops and begins to be right, and whose clock is wrong. What it counts is for
 * those who ask.
 */
import type { CensusEvent } from '../census/census-events.ts';
import type { Observe } from '../runtime/observer.ts';
import type { Clock } from '../runtime/clock.ts';
import { Outage, fewLines } from './log.ts';
import type { Logger } from './log.ts';

export function logCensus(log: Logger, clock: Pick<Clock, 'monotonic'>): Observe<CensusEvent> {
  const one = fewLines(log, clock);
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
      case 'ahead': {
        const { namespace, name, hostname, aheadMs = 0 } = event.lease;
        one(
          'warn',
          { lease: `${namespace}/${name}`, hostname, ahead: `${Math.round(aheadMs / 1000)}s` },
          "the renewTime of a lease is ahead of the API server's clock: its publisher's clock is wrong; it is live only while it is seen to change",
        );
        return;
      }
      case 'switched': {
        const { namespace, name, from, to, how, switchMs, leaderlessMs } = event;
        const [took, leaderless] = [switchMs, leaderlessMs].map((ms) => `${(ms / 1000).toFixed(3)}s`);
        log.info({ lease: `${namespace}/${name}`, from, to, how, took, leaderless }, 'another leader');
        return;
      }
      default:
        return;
    }
  };
}
