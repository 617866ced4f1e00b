/**
 * Twenty publishers and four sweepers; two pairs of publishers have one hostname each. Everything that was written is read
 * from the API server's audit log: its own times, and the order in which it answered.
 *
 * Judged: a lease that is deleted had expired, by what it published and the server's clock, and its publisher had been silent
 * for its duration less what its clock was wrong; of two processes with one hostname one takes the lease over when it starts,
 * or after a window of silence.
 */
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { leaveNoDirectory } from '../support/children.ts';
import { untilIt } from './recipes.ts';
import { spread } from './rounds.ts';
import type { Contest, Settings } from './rounds.ts';
import { TROUBLES } from './scenarios.ts';
import type { Scenario } from './scenarios.ts';
import { World, faketime, pick } from './world.ts';
import type { Contender } from './world.ts';
import { setTimeout as wait } from 'node:timers/promises';

const SWEEPERS = 4;
const PAIRS = 2;
const DURATION_S = 8;
/** Clocks are stepped by up to half the duration. */
const STEP_S = DURATION_S / 2;
/** Of those that have a hostname alone, and of the second of a pair, in milliseconds. */
const RENEW_MS = 1_000;
const OTHER_RENEW_MS = 1_500;
/** A holder is taken over after so much silence, by either of a pair at the earliest. */
const WINDOW_MS = 5_000;
const CONFIRM_MS = 3 * OTHER_RENEW_MS + 500;
/** From the expiry of a dead publisher's lease: passes that were void or waited for others come again. */
const SWEPT_MS = 4 * (CONFIRM_MS + 4_000);
/** All of them start at once, on a busy machine. */
const BEGIN_MS = 120_000;

/** One answered write, as the audit log has it. */
export interface Write {
  readonly verb: 'create' | 'update' | 'delete';
  readonly name: string;
  readonly hostname: string;
  readonly holder: string;
  /** Milliseconds since the epoch. */
  readonly renewTime: number;
  readonly durationMs: number;
  readonly received: number;
  readonly answered: number;
}

export async function publishAndSweep({ contenders, random }: Settings): Promise<Contest> {
  const publishers = contenders || 20;
  const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-audit-'));
  leaveNoDirectory(dir);
  const [policy, log] = [join(dir, 'policy.json'), join(dir, 'audit.log')];
  const rules = [
    {
      level: 'Request',
      verbs: ['create', 'update', 'delete'],
      resources: [{ group: 'coordination.k8s.io', resources: ['leases'] }],
    },
    { level: 'None' },
  ];
  const head = { apiVersion: 'audit.k8s.io/v1', kind: 'Policy', omitStages: ['RequestReceived'] };
  writeFileSync(policy, JSON.stringify({ ...head, rules }));
  const number = (one: Contender): number => Number(one.id.slice(1));
  const publishes = (one: Contender): boolean => number(one) <= publishers;
  const alone = (one: Contender): boolean => number(one) <= publishers - 2 * PAIRS;
  const hostname = (one: Contender): string =>
    alone(one) ? `host-${number(one)}` : `shared-${(number(one) - publishers + 2 * PAIRS + 1) >> 1}`;
  const world = await World.start(
    publishers + SWEEPERS,
    random,
    (one) => {
      const to = ['--kubeconfig', one.kubeconfig];
      if (!publishes(one))
        return { args: ['sweep', ...to, '--schedule', '*/2 * * * * *', `--confirm-after=${CONFIRM_MS}ms`] };
      const interval = alone(one) || number(one) % 2 === 0 ? RENEW_MS : OTHER_RENEW_MS;
      const times = [`--lease-duration=${DURATION_S}s`, `--renew-interval=${interval}ms`, `--fresh-for=${WINDOW_MS}ms`];
      return { args: ['publish', ...to, ...times, '--hostname-override', hostname(one), '--shutdown-policy=keep'] };
    },
    [`--audit-policy-file=${policy}`, `--audit-log-path=${log}`],
  );
  await world.heal();
  const audit = new AuditLog(log);
  const problems: string[] = [];
  const sweeps: number[] = [];
  const renewed = (): boolean => {
    const since = Date.now() - 3 * OTHER_RENEW_MS;
    const fresh = new Set(
      audit
        .read()
        .filter((write) => write.answered > since)
        .map((write) => write.hostname),
    );
    return world.contenders.every((one) => one.running && (!publishes(one) || fresh.has(hostname(one))));
  };
  await untilIt(renewed, BEGIN_MS);

  const gone: Scenario = {
    name: 'publishers are killed, and their leases swept',
    async play() {
      const dead = world.contenders.filter(alone).filter(() => random() < 0.3);
      const from = Date.now();
      for (const one of dead) {
        one.wanted = false;
        one.signal('SIGKILL', ['leasekeeper']);
      }
      const hosts = new Set(dead.map(hostname));
      const deleted = (): Write[] =>
        audit
          .read()
          .filter(({ verb, hostname: host, answered }) => verb === 'delete' && answered > from && hosts.has(host));
      if (!(await untilIt(() => deleted().length >= hosts.size, DURATION_S * 1_000 + SWEPT_MS))) {
        problems.push(`swept ${deleted().length} of ${hosts.size} leases`);
      }
      sweeps.push(...deleted().map(({ answered }) => answered - from));
      for (const one of dead) one.wanted = true;
    },
  };
  const clocks: Scenario = {
    name: `clocks are stepped by up to ${STEP_S} s`,
    skip: () => (faketime() ? undefined : 'libfaketime is not installed'),
    async play() {
      for (let i = 0; i < 3; i++) {
        for (const one of world.contenders) one.stepClock(Math.round((2 * random() - 1) * STEP_S));
        pick(world.contenders, random).signal('SIGKILL', ['leasekeeper']);
        await wait(2_000 + random() * DURATION_S * 500);
      }
    },
  };
  const cutOff: Scenario = {
    name: 'some are cut off for longer than a duration',
    async play() {
      for (const one of world.contenders) if (random() < 0.3) one.proxy.set('pause');
      await wait(DURATION_S * 1_000 + random() * 2 * CONFIRM_MS);
    },
  };

  return {
    world,
    scenarios: [gone, clocks, cutOff, ...TROUBLES],
    ready: async (withinMs) => ((await untilIt(renewed, withinMs)) ? pick(world.contenders, random) : undefined),
    judge: () => ({ problems: [...problems, ...judgeWrites(audit.read()).problems], refused: 0 }),
    summary() {
      const { hands, deletions } = judgeWrites(audit.read());
      return [
        `${audit.read().length} writes, ${deletions} leases swept, ${hands} changes of hands after silence`,
        `a dead publisher's lease is gone after: ${spread(sweeps)} (${DURATION_S} s until it expires)`,
      ];
    },
    async last() {
      rmSync(dir, { recursive: true, force: true });
      return Promise.resolve([]);
    },
  };
}

export function judgeWrites(writes: readonly Write[]): {
  readonly problems: string[];
  readonly hands: number;
  readonly deletions: number;
} {
  const problems: string[] = [];
  /** Last write of each name. */
  const last = new Map<string, Write>();
  const holders = new Set<string>();
  let hands = 0;
  let deletions = 0;
  for (const write of writes.toSorted((a, b) => a.answered - b.answered)) {
    const before = last.get(write.name);
    if (write.verb === 'delete') {
      deletions++;
      last.delete(write.name);
      if (!before) continue;
      const silentMs = write.answered - before.answered;
      const early = before.renewTime + before.durationMs - write.answered;
      if (early > 0) problems.push(`${before.hostname} was deleted ${Math.round(early)} ms before it expired`);
      if (silentMs < before.durationMs - STEP_S * 1_000) {
        problems.push(`${before.hostname} was deleted after ${Math.round(silentMs)} ms of silence`);
      }
      continue;
    }
    if (before && before.holder !== write.holder && holders.has(write.holder)) {
      hands++;
      const silentMs = write.answered - before.received;
      if (silentMs < WINDOW_MS) {
        problems.push(`${write.hostname} went back to ${write.holder} after ${Math.round(silentMs)} ms of silence`);
      }
    }
    holders.add(write.holder);
    last.set(write.name, write);
  }
  return { problems, hands, deletions };
}

/** Follows the audit log: answered writes of leases. */
class AuditLog {
  readonly #path: string;
  readonly #writes: Write[] = [];
  readonly #hosts = new Map<string, string>();
  #offset = 0;
  #rest = Buffer.alloc(0);

  constructor(path: string) {
    this.#path = path;
  }

  read(): readonly Write[] {
    if (!existsSync(this.#path)) return this.#writes;
    const file = openSync(this.#path, 'r');
    try {
      const { size } = fstatSync(file);
      // A new file: the old one was full.
      if (size < this.#offset) this.#offset = 0;
      const bytes = Buffer.alloc(size - this.#offset);
      this.#offset += readSync(file, bytes, { position: this.#offset });
      const all = Buffer.concat([this.#rest, bytes]);
      const end = all.lastIndexOf(10) + 1;
      this.#rest = all.subarray(end);
      for (const line of all.toString('utf8', 0, end).split('\n')) if (line !== '') this.#line(line);
      return this.#writes;
    } finally {
      closeSync(file);
    }
  }

  #line(line: string): void {
    const entry = JSON.parse(line) as Entry;
    const { verb, objectRef, responseStatus, requestObject, requestReceivedTimestamp, stageTimestamp } = entry;
    if ((responseStatus?.code ?? 500) >= 300 || entry.stage !== 'ResponseComplete') return;
    const { metadata, spec } = requestObject ?? {};
    const name = objectRef.name ?? metadata?.name ?? '';
    const hostname = metadata?.labels?.['kubernetes.io/hostname'] ?? this.#hosts.get(name) ?? '';
    if (hostname === '') return;
    this.#hosts.set(name, hostname);
    this.#writes.push({
      verb,
      name,
      hostname,
      holder: spec?.holderIdentity ?? '',
      renewTime: Date.parse(spec?.renewTime ?? ''),
      durationMs: (spec?.leaseDurationSeconds ?? 0) * 1_000,
      received: Date.parse(requestReceivedTimestamp),
      answered: Date.parse(stageTimestamp),
    });
  }
}

interface Entry {
  readonly verb: Write['verb'];
  readonly stage: string;
  readonly objectRef: { readonly name?: string };
  readonly responseStatus?: { readonly code?: number };
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
  readonly requestObject?: {
    readonly metadata?: { readonly name?: string; readonly labels?: Readonly<Record<string, string>> };
    readonly spec?: {
      readonly holderIdentity?: string;
      readonly renewTime?: string;
      readonly leaseDurationSeconds?: number;
    };
  };
}
