/**
 * A command that runs only in a term, under a watchdog: what `elect`, `lock`, `once` and `shard` do with what stands
 * after `--`.
 *
 * Guarantees: the command has ended before anybody else may have the term's lease, whatever becomes of this process; asked
 * to end it gets SIGTERM first and SIGKILL after its time.
 */
import { constants } from 'node:os';
import { COMMAND_VARIABLES } from '../config/sources.ts';
import type { Problem } from '../config/option-spec.ts';
import type { Term } from '../election/term.ts';
import { LeadershipError } from '../election/term.ts';
import { commandProblem } from '../guard/find-command.ts';
import { Guard } from '../guard/guard.ts';
import type { Outcome } from '../guard/guard.ts';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { EXIT } from './command.ts';

/** Passed on to the command as they are, while one runs, and nothing else; SIGTERM and SIGINT end it first. */
const FORWARDED = ['SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;

interface GuardedCommandOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Milliseconds from being asked to end until being killed. */
  readonly graceMs: number;
  /** The signal that asked this process to stop; passed on. */
  readonly received: () => NodeJS.Signals | undefined;
}

export class GuardedCommand {
  readonly #options: GuardedCommandOptions;
  readonly #guard: Guard;
  /** Those of this process that are open: one listener for each signal serves all. */
  static readonly #open = new Set<GuardedCommand>();
  static #forwarding = 0;
  static readonly #forward = (name: NodeJS.Signals): void => {
    for (const open of GuardedCommand.#open) open.#guard.forward(name);
  };

  /** Until it is disposed, signals that are passed on do not end this process, whether or not a command is there to take them. */
  static forwardSignals(): Disposable {
    if (GuardedCommand.#forwarding++ === 0) for (const name of FORWARDED) process.on(name, GuardedCommand.#forward);
    return {
      [Symbol.dispose]() {
        if (--GuardedCommand.#forwarding === 0)
          for (const name of FORWARDED) process.off(name, GuardedCommand.#forward);
      },
    };
  }

  readonly #signals = GuardedCommand.forwardSignals();

  constructor(options: GuardedCommandOptions) {
    const { clock, log, command } = options;
    this.#options = options;
    let unbound = false;
    const onStarted = (pid: number, bound: boolean): void => {
      log.info({ pid, command }, 'started the command');
      if (!bound && !unbound) {
        log.info(
          'nothing ends the command where leasekeeper and its watchdog are killed in one go: that needs Linux and setpriv of util-linux',
        );
      }
      unbound ||= !bound;
    };
    this.#guard = new Guard({ clock, onStarted });
    GuardedCommand.#open.add(this);
  }

  /** Starts the watchdog, so that the command need not wait for it. */
  prepare(): void {
    this.#guard.prepare();
  }

  /** For an elector's `onDeadline`: the end of the term has moved, or the term is lost. */
  readonly onDeadline = (term: Term): void => {
    if (term.lost === undefined) this.#guard.extend(term);
    // Another may hold it already: there is no time left to end in order.
    else if (term.lost !== 'deadline') this.#guard.kill();
  };

  /** Runs the command once, in this term. @param more for its environment */
  async run(term: Term, more: Readonly<Record<string, string>> = {}): Promise<Outcome> {
    const { command, args, graceMs, received, env, log } = this.#options;
    const { namespace, name } = term.lease;
    const end = (): void => this.#guard.end(isStopping(term) ? (received() ?? 'SIGTERM') : 'SIGTERM');
    const running = this.#guard.run(
      {
        command,
        args,
        graceMs,
        env: {
          ...env,
          [COMMAND_VARIABLES.lease]: `${namespace}/${name}`,
          [COMMAND_VARIABLES.holder]: term.holder,
          [COMMAND_VARIABLES.fencingToken]: String(term.fencingToken),
          ...more,
        },
      },
      term,
    );
    if (term.signal.aborted) end();
    else term.signal.addEventListener('abort', end, { once: true });
    const outcome = await running;
    term.signal.removeEventListener('abort', end);
    log[outcome.how === 'ended' ? 'info' : 'error'](ending(outcome).why);
    return outcome;
  }

  async close(): Promise<void> {
    GuardedCommand.#open.delete(this);
    this.#signals[Symbol.dispose]();
    await this.#guard.close();
  }
}

/** Whether the term's work was asked to end because this process is to end. */
export const isStopping = ({ signal }: Term): boolean =>
  signal.aborted && signal.reason instanceof LeadershipError && signal.reason.code === 'ShuttingDown';

/** The exit code, as a shell has it, and what to say. */
export function ending(outcome: Outcome): { code: number; why: string } {
  switch (outcome.how) {
    case 'ended': {
      const { code, signal } = outcome;
      if (code !== null) return { code, why: `the command ended with exit code ${code}` };
      return {
        code: signal === null ? EXIT.failed : 128 + constants.signals[signal],
        why: signal === null ? 'the command was not started: its term is over' : `the command was ended by ${signal}`,
      };
    }
    case 'notStarted':
      return { code: EXIT.failed, why: `the command could not be started: ${outcome.message}` };
    case 'unguarded':
      return { code: EXIT.failed, why: `the watchdog is gone (${outcome.why}): the command was killed` };
  }
}

/** What is wrong with what stands after `--`; of a program that runs commands, on this system. */
export function commandProblems(program: string, command: string, path: string | undefined): Problem[] {
  const problems: Problem[] = [];
  const rule = commandProblem(command, path);
  if (rule !== undefined) problems.push({ option: 'COMMAND', value: command, rule });
  if (process.platform === 'win32') {
    problems.push({ option: program, value: undefined, rule: 'needs process groups: not on Windows' });
  }
  return problems;
}
