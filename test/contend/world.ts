/**
 * The contenders of a run, as processes against a real API server, each behind a proxy of its own; and what may be done to
 * their parts. It ends only processes that it started, by the ids that it holds.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { leaveNothing } from '../support/children.ts';
import { startProgram } from '../support/process.ts';
import type { Program } from '../support/process.ts';
import { startRealApi } from '../support/real-api.ts';
import type { RealApi } from '../support/real-api.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import type { TcpProxy } from '../support/tcp-proxy.ts';
import { HoldsReader } from './holds.ts';
import { readSteps } from './judge.ts';
import type { Frozen, Step } from './judge.ts';

/** client-go's proportions, made short: 15 / 10 / 2. */
export const LEASE_MS = 3_000;
export const RENEW_MS = 2_000;
export const RETRY_MS = 400;
const NAME = 'contended';
const PATH = `/apis/coordination.k8s.io/v1/namespaces/default/leases/${NAME}`;

/** Milliseconds of the machine's monotonic clock, as all processes have it. */
export const now = (): number => Number(process.hrtime.bigint()) / 1e6;

/** The parts of a contender. */
export type Part = 'leasekeeper' | 'watchdog' | 'command';
export const PARTS: readonly Part[] = ['leasekeeper', 'watchdog', 'command'];

/** libfaketime, where it is installed. */
export function faketime(): string | undefined {
  const roots = ['/usr/lib', '/usr/local/lib', '/usr/lib64'].filter((root) => existsSync(root));
  const folders = roots.flatMap((root) => [root, ...readdirSync(root).map((name) => join(root, name))]);
  return folders.map((dir) => join(dir, 'faketime/libfaketime.so.1')).find((path) => existsSync(path));
}

/** What a contender runs: leasekeeper with these arguments, or another script. */
export type Launch = (contender: Contender) => { readonly script?: string; readonly args: readonly string[] };

/** How a contender of a contest for one leadership begins. */
export const contends: Launch = ({ id, kubeconfig, file }) => {
  const times = ['--lease-duration=3s', `--renew-deadline=${RENEW_MS}ms`, `--retry-period=${RETRY_MS}ms`];
  const to = ['--kubeconfig', kubeconfig, '--lease', `default/${NAME}`, '--id', id, ...times];
  const policy = ['--restart=always', '--stop-timeout=300ms', '--log-level=debug'];
  const steps = fileURLToPath(new URL('steps.ts', import.meta.url));
  return { args: ['elect', ...to, ...policy, '--', process.execPath, steps, file] };
};

export class Contender {
  readonly id: string;
  readonly proxy: TcpProxy;
  readonly kubeconfig: string;
  /** What it writes, for the judge. */
  readonly file: string;
  /** Healing starts it when it does not run. */
  wanted = true;
  /** How far its wall clock is from the machine's while nothing disturbs it, in seconds. */
  homeClock = 0;
  /** Its wall clock's distance now. */
  clock = 0;
  readonly #launch: Launch;
  readonly #clockFile: string;
  readonly #holds: HoldsReader;
  #program: Program | undefined;

  constructor(id: string, proxy: TcpProxy, kubeconfig: string, dir: string, launch: Launch) {
    this.id = id;
    this.proxy = proxy;
    this.kubeconfig = kubeconfig;
    this.#launch = launch;
    this.file = join(dir, `${id}.steps`);
    this.#clockFile = join(dir, `${id}.clock`);
    writeFileSync(this.file, '');
    this.#holds = new HoldsReader(id, this.file);
    this.stepClock(0);
  }

  /** Starts it, unless it runs. */
  start(): void {
    if (this.#program?.running) return;
    const library = faketime();
    const fake = library && {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#clockFile,
      FAKETIME_NO_CACHE: '1',
      DONT_FAKE_MONOTONIC: '1',
    };
    const { script, args } = this.#launch(this);
    this.#program = startProgram(args, { ...(script !== undefined && { script }), env: { ...fake } });
  }

  /** Sets its wall clock this far from the machine's, and how fast it runs; without libfaketime it stays. */
  stepClock(seconds: number, rate = 1): void {
    if (faketime()) this.clock = seconds;
    writeFileSync(this.#clockFile, `${seconds < 0 ? '' : '+'}${seconds}s${rate === 1 ? '' : ` x${rate}`}\n`);
  }

  get steps(): Step[] {
    return readSteps(this.id, readFileSync(this.file, 'utf8'));
  }

  /** The last sign of life, without reading the whole file. */
  get last(): Step | undefined {
    const file = openSync(this.file, 'r');
    try {
      const { size } = fstatSync(file);
      const tail = Buffer.alloc(Math.min(size, 512));
      readSync(file, tail, { position: size - tail.length });
      const text = tail.toString('latin1');
      // The first line may be cut.
      return readSteps(this.id, size > tail.length ? text.slice(text.indexOf('\n') + 1) : text).at(-1);
    } finally {
      closeSync(file);
    }
  }

  /** What its works have held, and what it noted. */
  get held(): HoldsReader {
    this.#holds.read();
    return this.#holds;
  }

  get running(): boolean {
    return this.#program?.running ?? false;
  }

  get log(): string {
    return this.#program?.output() ?? '';
  }

  /** The ids of its parts, as far as they run. */
  get pids(): Partial<Record<Part, number>> {
    if (!this.#program?.running) return {};
    const leasekeeper = this.#program.pid;
    const [watchdog] = childrenOf(leasekeeper);
    const [command] = watchdog === undefined ? [] : childrenOf(watchdog);
    return { leasekeeper, ...(watchdog && { watchdog }), ...(command && { command }) };
  }

  signal(signal: NodeJS.Signals, parts: readonly Part[]): void {
    // Looked up once: what is killed first must not hide the others.
    const { pids } = this;
    for (const part of parts) if (pids[part] !== undefined) send(pids[part], signal);
  }

  async end(): Promise<void> {
    this.signal('SIGCONT', PARTS);
    await this.#program?.kill();
  }
}

/** client-go's elector. */
export class Peer {
  readonly #child: ChildProcess;
  readonly lines: { readonly event: string; readonly at: number }[] = [];
  readonly exited: Promise<void>;

  constructor(kubeconfig: string, id: string) {
    const times = [`--lease-duration=${LEASE_MS}ms`, `--renew-deadline=${RENEW_MS}ms`, `--retry-period=${RETRY_MS}ms`];
    const to = ['--kubeconfig', kubeconfig, '--namespace', 'default', '--name', NAME, '--id', id];
    this.#child = spawn(process.env['GO_PEER'] ?? '', ['elect', ...to, ...times], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    leaveNothing(this.#child);
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      this.lines.push({ event: (JSON.parse(line) as { event: string }).event, at: now() });
    });
    this.exited = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
      this.#child.once('error', () => resolve());
    });
  }

  get leads(): boolean {
    const last = this.lines.findLast(({ event }) => event === 'started' || event === 'stopped');
    return last?.event === 'started';
  }

  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child.kill(signal);
    await this.exited;
  }
}

export class World {
  readonly api: RealApi;
  readonly contenders: readonly Contender[];
  readonly frozen: Frozen[] = [];
  /** When the server was set back. */
  readonly epochs: number[] = [];
  readonly random: () => number;
  readonly #peerProxy: TcpProxy;
  readonly #notes: string;
  peer: Peer | undefined;

  private constructor(api: RealApi, contenders: readonly Contender[], peerProxy: TcpProxy, random: () => number) {
    this.api = api;
    this.contenders = contenders;
    this.#peerProxy = peerProxy;
    this.random = random;
    this.#notes = join(api.dir, 'notes.txt');
  }

  static async start(
    count: number,
    random: () => number,
    launch: Launch = contends,
    apiServerArgs: string[] = [],
  ): Promise<World> {
    const api = await startRealApi({ authorizationMode: 'AlwaysAllow', apiServerArgs });
    const contenders: Contender[] = [];
    for (let i = 1; i <= count; i++) {
      const proxy = await startTcpProxy(api.url);
      contenders.push(new Contender(`c${i}`, proxy, await api.kubeconfig({ server: proxy.url }), api.dir, launch));
    }
    return new World(api, contenders, await startTcpProxy(api.url), random);
  }

  note(what: string): void {
    appendFileSync(this.#notes, `${Math.round(now())} ${what}\n`);
  }

  get notes(): string {
    return existsSync(this.#notes) ? readFileSync(this.#notes, 'utf8') : '';
  }

  get steps(): Step[] {
    return this.contenders.flatMap(({ steps }) => steps);
  }

  /** Whose command has stepped just now; undefined: nobody's. */
  leader(): Contender | undefined {
    const since = now() - 150;
    return this.contenders.find(({ last }) => (last?.at ?? 0) > since);
  }

  /** A leader that has led for a while, other than this one. */
  async awaitLeader(withinMs: number, other?: Contender): Promise<Contender | undefined> {
    const until = now() + withinMs;
    while (now() < until) {
      const leader = this.leader();
      if (leader && leader !== other) return leader;
      await wait(20);
    }
    return undefined;
  }

  other(than: Contender): Contender {
    return another(this.contenders, than, this.random);
  }

  /** client-go behind a proxy of its own. */
  async startPeer(): Promise<{ readonly peer: Peer; readonly proxy: TcpProxy }> {
    const kubeconfig = await this.api.kubeconfig({ server: this.#peerProxy.url });
    this.peer = new Peer(kubeconfig, 'go');
    return { peer: this.peer, proxy: this.#peerProxy };
  }

  /** All of a contender stands still for so long. */
  async freeze(contender: Contender, ms: number): Promise<void> {
    const from = now();
    contender.signal('SIGSTOP', PARTS);
    await wait(ms);
    // Noted before it goes on, so that no step of it comes first.
    this.frozen.push({ who: contender.id, from, to: now() + 100 });
    contender.signal('SIGCONT', PARTS);
  }

  /** As somebody else: changes the lease's spec. */
  async edit(spec: object): Promise<void> {
    await this.api.request('PATCH', PATH, { spec }, { headers: { 'content-type': 'application/merge-patch+json' } });
  }

  /** Puts etcd's data back to what it was before this. */
  async setBack(meanwhile: () => Promise<void>): Promise<void> {
    const { api } = this;
    const [data, copy] = [join(api.dir, 'etcd'), join(api.dir, 'etcd-copy')];
    await api.etcd.kill();
    await rm(copy, { recursive: true, force: true });
    await cp(data, copy, { recursive: true });
    api.etcd.start();
    await meanwhile();
    await api.apiServer.kill();
    await api.etcd.kill();
    await rm(data, { recursive: true, force: true });
    await cp(copy, data, { recursive: true });
    this.epochs.push(now());
    api.etcd.start();
    api.apiServer.start();
    await api.ready();
  }

  /** Ends all faults, and starts what has ended. client-go does not come back. */
  async heal(): Promise<void> {
    await this.peer?.end();
    this.peer = undefined;
    for (const proxy of [this.#peerProxy, ...this.contenders.map((one) => one.proxy)]) proxy.set('pass');
    for (const contender of this.contenders) {
      contender.signal('SIGCONT', PARTS);
      contender.stepClock(contender.homeClock);
      if (contender.wanted) contender.start();
    }
  }

  async stop(): Promise<void> {
    await this.peer?.end();
    for (const contender of this.contenders) await contender.end();
    for (const proxy of [this.#peerProxy, ...this.contenders.map((one) => one.proxy)]) await proxy.close();
    await this.api.stop();
  }
}

export const pick = <T>(all: readonly T[], random: () => number): T => all[Math.floor(random() * all.length)]!;

/** Another that runs; where none does just now, itself. */
export function another<T extends { readonly running: boolean }>(all: readonly T[], than: T, random: () => number): T {
  const others = all.filter((one) => one !== than && one.running);
  return others.length > 0 ? pick(others, random) : than;
}

function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return text === '' ? [] : text.split(' ').map(Number);
  } catch {
    return [];
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has just ended.
  }
}
