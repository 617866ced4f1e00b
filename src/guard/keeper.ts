/**
 * The watchdog's work, apart from its process: starts the command, keeps its deadlines, ends its process group.
 *
 * Guarantees: a command whose deadline has come is not started; while there is one it is looked after by `decide`; `ended`
 * is reported once nothing of its group is left.
 */
import { decide } from './decide.ts';
import type { Watched } from './decide.ts';
import { later } from './instant.ts';
import type { Instant } from './instant.ts';
import type { Order, Report } from './protocol.ts';

interface Started {
  readonly pid: number;
  /** The kernel ends this process with ours. */
  readonly bound: boolean;
  /** Called once, when the command's own process has ended. */
  onExit(callback: (code: number | null, signal: NodeJS.Signals | null) => void): void;
}

interface KeeperOptions {
  readonly now: () => Instant;
  /** Calls back once after `ms` milliseconds, unless the returned function was called before. */
  readonly schedule: (ms: number, callback: () => void) => () => void;
  /** Starts the command as the leader of a process group of its own. Calls back at once, or later with an error. */
  readonly start: (
    order: Extract<Order, { do: 'start' }>,
    done: (result: Started | NodeJS.ErrnoException) => void,
  ) => void;
  readonly signalGroup: (pgid: number, signal: NodeJS.Signals) => void;
  readonly signalOne: (pid: number, signal: NodeJS.Signals) => void;
  readonly groupGone: (pgid: number) => boolean;
  readonly report: (report: Report) => void;
}

/** Milliseconds between two kills: what was being forked at the first one is met by the next. */
const KILL_AGAIN_MS = 20;

/** `asked`: the command's own process was asked to end before it did. */
type Exit = Omit<Extract<Report, { report: 'ended' }>, 'report'>;
type Running = { -readonly [Key in keyof Omit<Watched, 'exited' | 'gone'>]: Watched[Key] } & {
  pid: number | undefined;
  readonly graceMs: number;
  exit: Exit | undefined;
};

export class Keeper {
  readonly #options: KeeperOptions;
  #running: Running | undefined;
  #orphaned = false;
  #cancel: () => void = () => {};

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  take(order: Order): void {
    const { now } = this.#options;
    const running = this.#running;
    if (order.do === 'start') {
      this.#start(order);
      return;
    }
    if (order.do === 'extend') this.#options.report({ report: 'heard', n: order.n });
    if (!running) return;
    if (order.do === 'extend') {
      running.endAt = order.endAt;
      running.killAt = order.killAt;
    } else if (order.do === 'kill') {
      running.asked = true;
      running.doomed = true;
    } else if (order.do === 'signal') {
      if (running.pid !== undefined && !running.exit) this.#options.signalOne(running.pid, order.signal);
    } else if (!running.asked) {
      running.stopBy = later(now(), running.graceMs);
      this.#ask(running, order.signal);
    }
    this.#step();
  }

  /** Nobody is left to say how long the term lasts: it is over. */
  orphaned(): void {
    this.#orphaned = true;
    if (this.#running) this.#running.doomed = true;
    this.#step();
  }

  #start(order: Extract<Order, { do: 'start' }>): void {
    const { report, start, now } = this.#options;
    if (this.#running) throw new Error('a command is running already');
    const { graceMs, endAt, killAt } = order;
    const doomed = this.#orphaned;
    const watched: Watched = { endAt, killAt, asked: false, stopBy: undefined, doomed, exited: false, gone: true };
    if (decide(watched, now()).do !== 'wait') {
      report({ report: 'ended', code: null, signal: null, asked: true });
      return;
    }
    const running: Running = {
      endAt,
      killAt,
      asked: false,
      stopBy: undefined,
      doomed,
      graceMs,
      pid: undefined,
      exit: undefined,
    };
    this.#running = running;
    start(order, (result) => {
      if (result instanceof Error) {
        this.#running = undefined;
        report({ report: 'notStarted', code: result.code ?? '', message: result.message });
        return;
      }
      running.pid = result.pid;
      report({ report: 'started', pid: result.pid, bound: result.bound });
      result.onExit((code, signal) => {
        running.exit = { code, signal, asked: running.asked };
        this.#step();
      });
      this.#step();
    });
  }

  #ask(running: Running, signal: NodeJS.Signals): void {
    running.asked = true;
    if (running.pid === undefined) return;
    this.#options.signalGroup(running.pid, signal);
    // One that was stopped would not hear it.
    this.#options.signalGroup(running.pid, 'SIGCONT');
  }

  #step(): void {
    this.#cancel();
    const running = this.#running;
    if (running?.pid === undefined) return;
    const { now, groupGone, report, schedule, signalGroup } = this.#options;
    const exited = running.exit !== undefined;
    const action = decide({ ...running, exited, gone: exited && groupGone(running.pid) }, now());
    switch (action.do) {
      case 'ended':
        this.#running = undefined;
        report({ report: 'ended', ...(running.exit as Exit) });
        return;
      case 'kill':
        running.asked = true;
        signalGroup(running.pid, 'SIGKILL');
        this.#cancel = schedule(KILL_AGAIN_MS, () => this.#step());
        return;
      case 'ask':
        running.stopBy = later(now(), running.graceMs);
        this.#ask(running, 'SIGTERM');
        this.#step();
        return;
      case 'wait':
        this.#cancel = schedule(action.ms, () => this.#step());
    }
  }
}
