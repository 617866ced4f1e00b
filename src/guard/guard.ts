/**
 * leasekeeper's side of the watchdog: has it start the command, passes each deadline on, and says how the command ended.
 *
 * Guarantees: a command runs only under a watchdog that knows until when; `run` settles once nothing of the command's
 * process group is left, in every case but one: processes that cannot be killed. A watchdog that ended, or that did not
 * keep the last deadline it has confirmed, is replaced by killing both it and the command's group from here.
 * Does not guarantee: anything when leasekeeper and its watchdog are stopped together and the command is not. Where both
 * are killed in one go the kernel kills the command's own process, not what it started, and only where the command is
 * `bound` (see watchdog.ts).
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../runtime/clock.ts';
import { sleep } from '../runtime/clock.ts';
import { errorText } from '../runtime/printable.ts';
import { later, systemNow } from './instant.ts';
import type { Instant } from './instant.ts';
import { childGroups, groupGone, signalGroup } from './process-group.ts';
import { FD, decoder, encode } from './protocol.ts';
import type { Order, Report } from './protocol.ts';

/** Milliseconds from killing the group to the instant at which others may lead: scheduling, and the kill itself. */
export const KILL_MARGIN_MS = 250;
/**
 * Milliseconds from the end of the term until the watchdog asks the command to end by itself: as a rule leasekeeper does
 * at once, and knows better whether a renewal came in the last moment.
 */
const ASK_MARGIN_MS = 100;
/** Milliseconds past the kill that the watchdog has confirmed until its work is done from here. */
const LATE_MS = 100;
const POLL_MS = 20;
/** Milliseconds that an idle watchdog may take to end. */
const CLOSE_MS = 1_000;

interface Ask {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Milliseconds from being asked to end until being killed. */
  readonly graceMs: number;
}

/** Monotonic milliseconds of the guard's clock. */
export interface Until {
  /** The term ends. */
  readonly deadline: number;
  /** Others may lead. */
  readonly expires: number;
}

export type Outcome =
  /** `asked`: it was asked to end before it did. */
  | {
      readonly how: 'ended';
      readonly code: number | null;
      readonly signal: NodeJS.Signals | null;
      readonly asked: boolean;
    }
  | { readonly how: 'notStarted'; readonly code: string; readonly message: string }
  /** The watchdog ended, or failed to; the command was killed from here, if it had begun. */
  | { readonly how: 'unguarded'; readonly why: string };

export interface GuardOptions {
  readonly clock: Clock;
  /** Default: the watchdog beside this file, under this Node. */
  readonly spawnWatchdog?: () => ChildProcess;
  /** `bound`: the kernel ends the command's process where both leasekeeper and its watchdog are killed. */
  readonly onStarted?: (pid: number, bound: boolean) => void;
  /** The clocks that both processes share; default: the system's. */
  readonly now?: () => Instant;
}

interface Run {
  readonly settle: (outcome: Outcome) => void;
  pid: number | undefined;
  /** By number, as passed on; those after the last one confirmed. */
  extended: { readonly n: number; readonly killAt: number }[];
  cancel: () => void;
}

export class Guard {
  readonly #clock: Clock;
  readonly #spawn: () => ChildProcess;
  readonly #onStarted: (pid: number, bound: boolean) => void;
  readonly #now: () => Instant;
  #child: ChildProcess | undefined;
  #run: Run | undefined;
  #count = 0;

  constructor({ clock, spawnWatchdog = startWatchdog, onStarted = () => {}, now = systemNow }: GuardOptions) {
    this.#clock = clock;
    this.#spawn = spawnWatchdog;
    this.#onStarted = onStarted;
    this.#now = now;
  }

  /** The command's process, which leads its group; undefined while none runs. */
  get pid(): number | undefined {
    return this.#run?.pid;
  }

  /** Starts the watchdog, so that a command need not wait for it. */
  prepare(): void {
    if (this.#child) return;
    const child = this.#spawn();
    this.#child = child;
    let failure = 'it ended';
    const lost = (): void => void this.#lost(child, failure);
    child.on('error', (error) => {
      failure = error.message;
      if (child.pid === undefined) lost();
    });
    child.once('close', lost);
    const socket = socketOf(child);
    if (!socket) return;
    const take = decoder<Report>((report) => this.#child === child && this.#take(report));
    socket.setEncoding('utf8');
    socket.on('data', take);
    socket.on('error', () => {});
    socket.once('close', lost);
  }

  /** Runs the command to its end. One at a time. */
  run({ command, args, env, graceMs }: Ask, until: Until): Promise<Outcome> {
    if (this.#run) throw new TypeError('Guard.run: a command is running already');
    return new Promise((resolve) => {
      const settle = (outcome: Outcome): void => {
        this.#run?.cancel();
        this.#run = undefined;
        resolve(outcome);
      };
      const run: Run = { settle, pid: undefined, extended: [], cancel: () => {} };
      this.#run = run;
      try {
        this.prepare();
      } catch (error) {
        // For want of memory, say: there may be some at the next election.
        settle({ how: 'unguarded', why: errorText(error) });
        return;
      }
      this.#send({ do: 'start', command, args, env, graceMs, ...this.#instants(until) });
      this.#backUp(run, killAt(until));
    });
  }

  /** The lease was renewed. */
  extend(until: Until): void {
    if (!this.#run) return;
    this.#count += 1;
    this.#run.extended.push({ n: this.#count, killAt: killAt(until) });
    this.#send({ do: 'extend', n: this.#count, ...this.#instants(until) });
  }

  /** Asks the command and its group to end; they are killed when the grace is over. */
  end(signal: NodeJS.Signals): void {
    this.#send({ do: 'end', signal });
  }

  /** For the command alone. */
  forward(signal: NodeJS.Signals): void {
    this.#send({ do: 'signal', signal });
  }

  /** Others may lead already: at once. */
  kill(): void {
    this.#send({ do: 'kill' });
    // Not only asked for: the watchdog may be stopped.
    if (this.#run?.pid !== undefined) signalGroup(this.#run.pid, 'SIGKILL');
  }

  /** Ends the watchdog, and with it a command that still runs. */
  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const closed = new AbortController();
    child.once('close', () => closed.abort());
    socketOf(child)?.end();
    if (await sleep(this.#clock, CLOSE_MS, closed.signal)) child.kill('SIGKILL');
  }

  #send(order: Order): void {
    const socket = this.#child && socketOf(this.#child);
    if (socket?.writable) socket.write(encode(order));
  }

  /** On the clocks that both processes share. */
  #instants(until: Until): { endAt: Instant; killAt: Instant } {
    // First the instant, then what is left: whatever comes between, a stop of this process too, shortens it.
    const now = this.#now();
    const monotonic = this.#clock.monotonic();
    return {
      endAt: later(now, until.deadline + ASK_MARGIN_MS - monotonic),
      killAt: later(now, killAt(until) - monotonic),
    };
  }

  #take(report: Report): void {
    const run = this.#run;
    if (!run) return;
    switch (report.report) {
      case 'started':
        run.pid = report.pid;
        this.#onStarted(report.pid, report.bound);
        return;
      case 'heard': {
        const heard = run.extended.find(({ n }) => n === report.n);
        run.extended = run.extended.filter(({ n }) => n > report.n);
        if (heard) this.#backUp(run, heard.killAt);
        return;
      }
      case 'notStarted':
        return run.settle({ how: 'notStarted', code: report.code, message: report.message });
      case 'ended':
        return run.settle({ how: 'ended', code: report.code, signal: report.signal, asked: report.asked });
    }
  }

  /** Past this, a watchdog that keeps its deadlines would have reported the end of the command. */
  #backUp(run: Run, killAtMs: number): void {
    run.cancel();
    const late = (): void => {
      const child = this.#child;
      if (this.#run !== run || !child) return;
      void this.#lost(child, 'it did not keep its deadline');
    };
    run.cancel = this.#clock.schedule(Math.max(killAtMs + LATE_MS - this.#clock.monotonic(), 0), () => {
      // Where this process stood still, its word may be here already, unread.
      run.cancel = this.#clock.schedule(POLL_MS, late);
    });
  }

  /** Without a watchdog no command may run. */
  async #lost(child: ChildProcess, why: string): Promise<void> {
    if (this.#child !== child) return;
    this.#child = undefined;
    const run = this.#run;
    if (!run) return;
    run.cancel();
    // Of a command whose start it has not reported, it is known while it lives whose child that is.
    const running = child.exitCode === null && child.signalCode === null;
    const groups = run.pid !== undefined ? [run.pid] : running && child.pid !== undefined ? childGroups(child.pid) : [];
    child.kill('SIGKILL');
    // Until it is waited for by the watchdog, or by init in its stead, the number is nobody else's.
    for (const pgid of groups) {
      while (!groupGone(pgid)) {
        signalGroup(pgid, 'SIGKILL');
        await sleep(this.#clock, POLL_MS);
      }
    }
    run.settle({ how: 'unguarded', why });
  }
}

/** None where this process has no file descriptor left: the error comes later. */
const socketOf = ({ stdio }: ChildProcess): Duplex | undefined =>
  (stdio as ChildProcess['stdio'] | undefined)?.[FD] as Duplex | undefined;

const killAt = ({ expires }: Until): number => expires - KILL_MARGIN_MS;

/** Its standard streams are the command's. In a session of its own, so that a terminal's signals do not reach it. */
function startWatchdog(): ChildProcess {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'cjs';
  const script = new URL(`./watchdog.${extension}`, import.meta.url);
  // What these options ask for (a debugger's port, a module to load) is for the command and for us.
  const { NODE_OPTIONS: _, ...env } = process.env;
  return spawn(process.execPath, ['--max-old-space-size=32', '--v8-pool-size=0', fileURLToPath(script)], {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    detached: true,
    env,
  });
}
