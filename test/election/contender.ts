/**
 * An elector as a process, for tests: `node contender.ts KUBECONFIG NAMESPACE/NAME ID SECONDS`.
 *
 * Prints a JSON line for each event of a term, and one for every guarded step (each 10 ms while leading): {event, id, at}.
 * SIGTERM ends its work, then releases.
 */
import { randomUUID } from 'node:crypto';
import { LeaderElector } from '../../src/election/elector.ts';
import { connect } from '../../src/kube/connection.ts';
import { createSystemClock, sleep } from '../../src/runtime/clock.ts';

const [kubeconfig, lease, id, seconds] = process.argv.slice(2) as [string, string, string, string];
const [namespace, name] = lease.split('/') as [string, string];
const clock = createSystemClock();
const connection = await connect({ kubeconfig, clock, random: Math.random });
const say = (event: string, more: object = {}): void =>
  void process.stdout.write(`${JSON.stringify({ event, id, at: Date.now(), ...more })}\n`);
const elector = new LeaderElector({
  store: connection.store,
  clock,
  random: Math.random,
  lease: { namespace, name },
  id,
  uuid: randomUUID(),
  leaseDurationSeconds: Number(seconds),
  renewDeadlineMs: (Number(seconds) * 2000) / 3,
  retryPeriodMs: (Number(seconds) * 2000) / 15,
  work: async (term) => {
    while (!term.signal.aborted) {
      try {
        term.check();
      } catch {
        break;
      }
      say('step', { token: term.fencingToken });
      await sleep(clock, 10, term.signal);
    }
  },
  observe: (event) => {
    if (event.type === 'leaderObserved') say('leader', { leader: event.leader });
    else if (event.type === 'failed') say('failed', { operation: event.operation, code: event.error.code });
    else if (event.type === 'leading') say('leading', { token: event.fencingToken, transitions: event.transitions });
    else if (event.type === 'stopped') say('stopped', { token: event.fencingToken });
  },
});
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
await elector.run(stop.signal);
say('end');
await connection.close();
