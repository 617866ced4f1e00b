/**
 * Candidates for one lease, some of a crowd, in a process of their own: what is asked of them comes by IPC, and so does who leads. Times are
 * milliseconds of the monotonic clock that all processes of a machine share.
 *
 * Killed, a candidate's requests fail before they are sent.
 */
import { randomUUID } from 'node:crypto';
import { LeaderElector } from '../../src/election/elector.ts';
import type { ElectionOptions } from '../../src/election/election-options.ts';
import { connect } from '../../src/kube/connection.ts';
import { LeaseStoreError } from '../../src/lease/store.ts';
import type { LeaseRef, LeaseStore } from '../../src/lease/store.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';

export interface Asked {
  readonly ask: 'begin' | 'stop' | 'kill' | 'revive';
  readonly id: number;
}

export type Said =
  | { readonly say: 'begun' | 'stopped'; readonly id: number }
  | { readonly say: 'leads'; readonly id: number; readonly at: number }
  /** @param sentAt when its last write was sent */
  | { readonly say: 'leaves'; readonly id: number; readonly at: number; readonly sentAt: number };

export interface CandidatesOptions {
  readonly kubeconfig: string;
  readonly lease: LeaseRef;
  readonly timing: Partial<ElectionOptions>;
}

interface Candidate {
  stop(): Promise<void>;
  kill(dead: boolean): void;
}

const clock = createSystemClock();
const now = (): number => Number(process.hrtime.bigint() / 1_000n) / 1_000;

async function begin(id: number, { kubeconfig, lease, timing }: CandidatesOptions): Promise<Candidate> {
  const connection = await connect({ clock, random: Math.random, kubeconfig });
  let [dead, sentAt] = [false, 0];
  const alive = (): void => {
    if (dead) throw new LeaseStoreError('Unavailable', { message: 'killed' });
  };
  const { store: real } = connection;
  const update: LeaseStore['update'] = async (...args) => {
    alive();
    const at = now();
    const answer = await real.update(...args);
    sentAt = at;
    return answer;
  };
  const store: LeaseStore = Object.assign(Object.create(real) as LeaseStore, {
    get: async (...args: Parameters<LeaseStore['get']>) => (alive(), real.get(...args)),
    update,
  });
  const ending = new AbortController();
  const elector = new LeaderElector({
    ...{ store, clock, random: Math.random, lease, id: `c${id}`, uuid: randomUUID(), ...timing },
    work: (term) => {
      say({ say: 'leads', id, at: now() });
      return new Promise((resolve) => void term.signal.addEventListener('abort', () => resolve(), { once: true }));
    },
  });
  const running = elector.run(ending.signal);
  const leaves = (): void => say({ say: 'leaves', id, at: now(), sentAt });
  return {
    async stop() {
      leaves();
      ending.abort();
      await running;
      await connection.close();
    },
    kill(now) {
      if (now) leaves();
      dead = now;
    },
  };
}

const say = (said: Said): void => void process.send!(said);

const options = JSON.parse(process.argv[2]!) as CandidatesOptions;
const all = new Map<number, Candidate>();
process.on('message', ({ ask, id }: Asked) => {
  if (ask === 'begin') {
    void begin(id, options).then((candidate) => {
      all.set(id, candidate);
      say({ say: 'begun', id });
    });
  } else if (ask === 'stop') {
    void all
      .get(id)
      ?.stop()
      .then(() => say({ say: 'stopped', id }));
    all.delete(id);
  } else all.get(id)?.kill(ask === 'kill');
});
process.on('disconnect', () => process.exit());
