/**
 * The HTTP endpoints of `elect`. Loaded only where they are wanted.
 */
import type { LeaderElector } from '../election/elector.ts';
import type { ElectionEvent } from '../election/election-events.ts';
import { PING, healthz } from '../http/health-endpoint.ts';
import { leaderAnswer, leaderCheck } from '../http/leader-endpoint.ts';
import type { LeaderView } from '../http/leader-endpoint.ts';
import type { HttpAddress, HttpServer } from '../http/server.ts';
import { ListenError, listen } from '../http/server.ts';
import type { LeaseRef } from '../lease/store.ts';
import { createElectionMetrics } from '../observe/election-metrics.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Observe } from '../runtime/observer.ts';
import { version } from '../version.ts';
import { CommandError } from './command.ts';

export interface ElectEndpoints {
  readonly server: HttpServer;
  readonly observe: Observe<ElectionEvent>;
}

/** Listens. @throws CommandError when it cannot */
export async function electEndpoints(
  address: HttpAddress,
  lease: LeaseRef,
  clock: Clock,
  elector: () => Pick<LeaderElector, 'holder' | 'leader' | 'term'> | undefined,
): Promise<ElectEndpoints> {
  let overdue = false;
  const view = (): LeaderView => {
    const { holder = '', leader, term } = elector() ?? {};
    return { lease, holder, leader, remainingMs: term?.remainingMs ?? 0, fencingToken: term?.fencingToken };
  };
  const metrics = createElectionMetrics({
    clock,
    version,
    name: lease.name,
    remainingMs: () => view().remainingMs,
  });
  const check = healthz('healthz', () => [PING, leaderCheck(view(), overdue)]);
  try {
    const server = await listen(
      address,
      {
        '/': () => leaderAnswer(view()),
        '/v1/leader': () => leaderAnswer(view()),
        '/metrics': async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }),
        '/healthz': check,
        '/livez': check,
        '/readyz': check,
      },
      clock,
    );
    return {
      server,
      observe(event) {
        if (event.type === 'workOverdue') overdue = true;
        else if (event.type === 'contending') overdue = false;
        metrics.observe(event);
      },
    };
  } catch (error) {
    if (error instanceof ListenError) throw new CommandError(error.message, { cause: error });
    throw error;
  }
}
