/**
 * How long nobody leads, and what standing by costs: `leasekeeper elect` beside client-go's leader election (`go-peer
 * elect`), on one server, both with 15 s / 10 s / 2 s.
 *
 * - After a release: from SIGTERM to the leader until the standby says that it leads. Ours has a command to end first (`sleep`,
 *   which does so at once), and the time until the next command runs is printed as well. Ours 50 times, theirs 10, at the same time.
 * - After kill -9: from the kill; five leases each at the same time.
 * - A standby's requests: counted by the server, ours and theirs distinguished by their verbs (ours lists, theirs gets).
 *
 *   node test/bench/failover.ts
 *
 * alone; `npm run bench` calls it with its own server.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import { leaveNothing } from '../support/children.ts';
import type { RealApi } from '../support/real-api.ts';
import { startRealApi } from '../support/real-api.ts';
import { figure } from './figures.ts';
import { median, table } from './measure.ts';

const CLI = resolve(import.meta.dirname, '../../src/cli.ts');
const STANDBY_SECONDS = 20;
/** How long a lease lasts by default. */
const DURATION_MS = 15_000;
/** Milliseconds that anything waited for may take: a lease and a long look at it. */
const PATIENCE_MS = 40_000;

/** A candidate as a process; lines are noted with when they came. */
class Candidate {
  readonly #lines: { readonly text: string; readonly at: number }[] = [];
  readonly #signal: (signal: NodeJS.Signals) => void;
  readonly exited: Promise<void>;
  #wake: () => void = () => {};

  constructor(command: string, args: readonly string[]) {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    leaveNothing(child);
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (text) => {
        this.#lines.push({ text, at: performance.now() });
        this.#wake();
      });
    }
    this.exited = new Promise((done) => void child.once('close', () => done()));
    this.#signal = (signal) => void child.kill(signal);
  }

  signal(signal: NodeJS.Signals): number {
    const at = performance.now();
    this.#signal(signal);
    return at;
  }

  /** When it said so first. */
  async said(pattern: RegExp): Promise<number> {
    const until = performance.now() + PATIENCE_MS;
    for (;;) {
      const line = this.#lines.find(({ text }) => pattern.test(text));
      if (line) return line.at;
      if (performance.now() > until)
        throw new Error(`no ${pattern}: ${this.#lines.map(({ text }) => text).join('\n')}`);
      await Promise.race([new Promise<void>((done) => (this.#wake = done)), wait(1_000)]);
    }
  }

  async end(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }
}

interface Kind {
  readonly name: string;
  readonly leads: RegExp;
  readonly standsBy: RegExp;
  readonly start: (lease: string, id: string) => Candidate;
}

export interface FailoverBench {
  readonly api: RealApi;
  /** Left out: ours alone. */
  readonly goPeer: string | undefined;
  /** Releases of ours; default 50. */
  readonly releases?: number;
}

export async function benchFailover({ api, goPeer, releases = 50 }: FailoverBench): Promise<string> {
  const kubeconfig = await api.kubeconfig();
  const ours: Kind = {
    name: 'leasekeeper elect',
    leads: /"msg":"leading"/,
    standsBy: /"msg":"somebody else leads"/,
    start: (lease, id) => {
      const who = ['--kubeconfig', kubeconfig, '--lease', `kube-system/${lease}`, '--id', id, '--log-format=json'];
      return new Candidate(process.execPath, [CLI, 'elect', ...who, '--', 'sh', '-c', 'echo begun; exec sleep 600']);
    },
  };
  const theirs: Kind | undefined =
    goPeer === undefined
      ? undefined
      : {
          name: 'go-peer elect',
          leads: /"event":"started"/,
          standsBy: /"event":"leader"/,
          start: (lease, id) =>
            new Candidate(goPeer, ['elect', '--kubeconfig', kubeconfig, '--name', lease, '--id', id]),
        };
  const kinds = theirs ? [ours, theirs] : [ours];

  const requests = await standbyRequests(api, ours, theirs);
  const [kept, looks] = requests;
  const released = await Promise.all([
    afterRelease(ours, releases, /^begun/),
    ...(theirs ? [afterRelease(theirs, Math.ceil(releases / 5))] : []),
  ]);
  const killed = await Promise.all(
    kinds.map((kind) =>
      Promise.all([0, 1, 2, 3, 4].map((i) => afterKill(kind, `${kind.name.split(' ')[0]}-killed-${i}`))),
    ),
  );
  figure('release', {
    values: released[0]?.leads ?? [],
    beside: released[1] && `client-go ${median(released[1].leads).toFixed(0)} ms`,
  });
  const beyond = (took: readonly number[] = []): number[] => took.map((one) => one - DURATION_MS);
  figure('kill', {
    values: beyond(killed[0]),
    beside: killed[1] && `client-go ${median(beyond(killed[1])).toFixed(0)} ms`,
  });
  const ms = (value: number | undefined): string => (value === undefined ? '-' : `${value.toFixed(0)} ms`);
  return table(
    [
      'failover',
      'release, median',
      'slowest',
      'next command runs',
      'kill -9, median',
      'slowest',
      `standby, ${STANDBY_SECONDS} s`,
    ],
    kinds.map(({ name }, i) => {
      const { leads = [], runs = [] } = released[i] ?? {};
      const kills = killed[i] ?? [];
      return [
        name,
        ms(median(leads)),
        ms(Math.max(...leads)),
        runs.length > 0 ? ms(median(runs)) : '-',
        ms(median(kills)),
        ms(Math.max(...kills)),
        i === 0 ? `${kept} read, 1 watch` : `${looks} reads`,
      ];
    }),
  );
}

/** Milliseconds from SIGTERM to one until the other leads, and until its command runs. */
async function afterRelease(kind: Kind, rounds: number, begun?: RegExp): Promise<{ leads: number[]; runs: number[] }> {
  const lease = `${kind.name.split(' ')[0]}-released`;
  const leads: number[] = [];
  const runs: number[] = [];
  let leader = kind.start(lease, 'c0');
  await leader.said(kind.leads);
  for (let round = 1; round <= rounds; round++) {
    const standby = kind.start(lease, `c${round}`);
    await standby.said(kind.standsBy);
    // Whatever starting it cost is over.
    await wait(100);
    const asked = leader.signal('SIGTERM');
    leads.push((await standby.said(kind.leads)) - asked);
    if (begun) runs.push((await standby.said(begun)) - asked);
    await leader.exited;
    leader = standby;
  }
  await leader.end();
  return { leads, runs };
}

async function afterKill(kind: Kind, lease: string): Promise<number> {
  const leader = kind.start(lease, 'a');
  await leader.said(kind.leads);
  const standby = kind.start(lease, 'b');
  await standby.said(kind.standsBy);
  const killed = leader.signal('SIGKILL');
  const took = (await standby.said(kind.leads)) - killed;
  await Promise.all([leader.end(), standby.end()]);
  return took;
}

/** Reads by our standby, and by theirs, beside a leader of ours that only writes. */
async function standbyRequests(api: RealApi, ours: Kind, theirs: Kind | undefined): Promise<[number, number]> {
  const leader = ours.start('kept', 'leader');
  await leader.said(ours.leads);
  const counts = async (): Promise<[number, number]> => [
    await api.requestCount({ verb: 'LIST' }),
    await api.requestCount({ verb: 'GET' }),
  ];
  const before = await counts();
  const standbys = [ours, theirs]
    .filter((kind) => kind !== undefined)
    .map((kind) => ({ kind, is: kind.start('kept', kind.name) }));
  for (const { kind, is } of standbys) await is.said(kind.standsBy);
  await wait(STANDBY_SECONDS * 1_000);
  const after = await counts();
  await Promise.all([leader, ...standbys.map(({ is }) => is)].map((each) => each.end()));
  return [after[0] - before[0], after[1] - before[1]];
}

if (import.meta.main) {
  const root = resolve(import.meta.dirname, '../..');
  process.env['KUBEBUILDER_ASSETS'] ??= resolve(root, '../shared/envtest');
  const goPeer = process.env['GO_PEER'] ?? resolve(root, '../shared/peers/go-peer');
  const api = await startRealApi();
  try {
    console.log(await benchFailover({ api, goPeer: existsSync(goPeer) ? goPeer : undefined }));
  } finally {
    await api.stop();
  }
}
