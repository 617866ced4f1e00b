/**
 * What the tests of `elect` share: candidates with short leases, and what their commands did, by the machine's clock.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Program } from '../support/process.ts';
import { startProgram } from '../support/process.ts';
import { leaveNothing } from '../support/children.ts';
import type { Scope } from './support.ts';
import { until } from './support.ts';

const LEADER = fileURLToPath(new URL('fixtures/leader.ts', import.meta.url));

/** client-go's proportions, made short: 15 / 10 / 2. */
export const LEASE_MS = 3_000;
export const RENEW_MS = 2_000;
export const RETRY_MS = 400;
export const TIMES = ['--lease-duration=3s', `--renew-deadline=${RENEW_MS}ms`, `--retry-period=${RETRY_MS}ms`];
/** Instead of them, where no lease is to run out: nobody loses one because the machine is slow. */
export const PATIENT = ['--lease-duration=60s', '--renew-deadline=40s'];
/** From the sending of the last renewal until the command is killed: the lease, less 1 %, 100 ms and 250 ms. */
export const KILL_MS = LEASE_MS * 0.99 - 350;

/** Milliseconds of the machine's monotonic clock, as all processes have it. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

export interface Candidacy {
  readonly kubeconfig: string;
  /** In namespace default. */
  readonly lease: string;
  readonly id?: string;
  readonly args?: readonly string[];
  /** Default: `leader.ts` with the file of that name. */
  readonly command?: readonly string[] | undefined;
  readonly file?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts `leasekeeper elect`; it is killed, if it still runs, when the test ends. */
export function elect(t: Scope, { kubeconfig, lease, id, args = [], file, command, env = {} }: Candidacy): Program {
  const words = command ?? [process.execPath, LEADER, file ?? ''];
  const name = id === undefined ? [] : ['--id', id];
  const all = ['--kubeconfig', kubeconfig, '--lease', `default/${lease}`, ...name, ...TIMES, ...args];
  return startProgram(['elect', ...all, '--', ...words], { t, env });
}

export const stubborn = (file: string): readonly string[] => [process.execPath, LEADER, file, 'stubborn'];

/** A span in which somebody led, by its first and last sign of life. */
export interface Span {
  readonly who: string;
  readonly token: number;
  readonly from: number;
  to: number;
  /** The command's process. */
  readonly pid: number;
  /** It was asked to end. */
  asked: number | undefined;
}

/** The spans of the commands that wrote to this file, by process, in the order in which they began. */
export function spans(file: string): Span[] {
  const found = new Map<string, Span>();
  const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
  // The last line may still be under way.
  for (const line of text.split('\n').slice(0, -1)) {
    const [what, who = '', token, pid = '', at] = line.split(' ');
    const ms = Number(at);
    const span = found.get(pid) ?? { who, token: Number(token), from: ms, to: ms, pid: Number(pid), asked: undefined };
    span.to = ms;
    if (what === 'asked') span.asked ??= ms;
    found.set(pid, span);
  }
  return [...found.values()].sort((a, b) => a.from - b.from);
}

/** Waits for the span of a command that this candidate has begun; the latest of several. */
export async function leads(file: string, id: string, after = 0, timeoutMs = 150_000): Promise<Span> {
  return until(
    `${id} to lead`,
    () => spans(file).findLast(({ who, from }) => who.startsWith(`${id}_`) && from >= after),
    timeoutMs,
  );
}

/** No two spans have an instant in common, and every later one has a higher token. */
export function assertApart(all: readonly Pick<Span, 'who' | 'from' | 'to' | 'token'>[]): void {
  const sorted = [...all].sort((a, b) => a.from - b.from);
  sorted.forEach((span, i) => {
    const next = sorted[i + 1];
    if (!next) return;
    const words = `${span.who} until ${span.to}, ${next.who} from ${next.from}`;
    assert.ok(span.to < next.from, `two led at once: ${words}`);
    assert.ok(span.token < next.token, `tokens ${span.token}, ${next.token}: ${words}`);
  });
}

/** True while a process runs; one that is dead and not waited for does not. */
export function alive(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The watchdog of a candidate: its only child. */
export function watchdogOf(program: Program): number {
  const children = readFileSync(`/proc/${program.pid}/task/${program.pid}/children`, 'utf8').trim().split(' ');
  assert.equal(children.length, 1, children.join());
  return Number(children[0]);
}

/** Why what contends with client-go cannot run here; false when it can. */
export function peerSkip(): string | false {
  const peer = process.env['GO_PEER'];
  return peer !== undefined && existsSync(peer) ? false : 'GO_PEER does not name a client-go program';
}

/** client-go's elector as a process. */
export class Peer {
  /** What it said, and when, by the machine's monotonic clock. */
  readonly lines: { readonly event: string; readonly leader: string; readonly at: number }[] = [];
  readonly #kill: (signal: NodeJS.Signals) => void;

  constructor(t: Scope, kubeconfig: string, lease: string, id: string) {
    const times = [`--lease-duration=${LEASE_MS}ms`, `--renew-deadline=${RENEW_MS}ms`, `--retry-period=${RETRY_MS}ms`];
    const to = ['--kubeconfig', kubeconfig, '--namespace', 'default', '--name', lease, '--id', id];
    const child = spawn(process.env['GO_PEER'] ?? '', ['elect', ...to, ...times], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    leaveNothing(child);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { event, leader, at } = JSON.parse(line) as { event: string; leader: string; at: number };
      this.lines.push({ event, leader, at: at - Date.now() + now() });
    });
    const exited = new Promise<void>((resolve) => void child.once('close', () => resolve()));
    this.#kill = (signal) => void child.kill(signal);
    t.after(async () => {
      child.kill('SIGKILL');
      await exited;
    });
  }

  signal(signal: NodeJS.Signals): number {
    const at = now();
    this.#kill(signal);
    return at;
  }

  heard(event: string, after = 0, leader = ''): Promise<{ at: number }> {
    return until(`${event} of client-go`, () =>
      this.lines.find((line) => line.event === event && line.at >= after && line.leader.startsWith(leader)),
    );
  }
}
