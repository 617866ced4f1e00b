/**
 * `leasekeeper/pino`: what the command line logs, on a logger of yours.
 *
 * Guarantees: a line for what somebody may have to know or mend, each kind of failure once in an outage, a few lines a
 * minute about single nodes; the rest is for level `debug`. What others wrote into leases is cut, and stays in the fields.
 */
import { logAvailability } from '../observe/availability-log.ts';
import { logCensus } from '../observe/census-log.ts';
import { logElection } from '../observe/election-log.ts';
import { logHeartbeat } from '../observe/heartbeat-log.ts';
import type { LeaseObservers } from '../observe/lease-observers.ts';
import type { Logger } from '../observe/log.ts';
import { logPublisher } from '../observe/publisher-log.ts';
import { logRecipe } from '../observe/recipe-log.ts';
import { logSweeper } from '../observe/sweep-log.ts';
import { createSystemClock } from '../runtime/clock.ts';
import type { Clock } from '../runtime/clock.ts';

export type { LeaseObservers } from '../observe/lease-observers.ts';
export type { Logger } from '../observe/log.ts';

/**
 * Observers that log.
 * @param logger pino's, or any that is called as it is: `logger.warn({ fields }, 'text')`. An error stands in field `err`
 * @param options `clock`: default the machine's
 * @example
 * const log = leaseLog(pino());
 * const elector = new LeaderElector({ …, observe: log.election(lease, () => elector) });
 */
export function leaseLog(logger: Logger, { clock = createSystemClock() }: { clock?: Clock } = {}): LeaseObservers {
  return {
    publisher: () => logPublisher(logger),
    election: () => logElection(logger),
    census: () => logCensus(logger, clock),
    sweep: () => logSweeper(logger),
    heartbeat: () => logHeartbeat(logger, clock),
    availability: () => logAvailability(logger, clock),
    recipe: () => logRecipe(logger),
  };
}
