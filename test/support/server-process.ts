/**
 * A server process of a test: started, paused, continued, killed and started again with the same arguments.
 *
 * Guarantees: it does not outlive this process, unless that one is killed by SIGKILL; its output goes to a file, the end of which
 * is in every error about it.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { leaveNothing } from './children.ts';

export interface ServerProcessOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** The file that stdout and stderr are appended to. */
  readonly log: string;
}

export class ServerProcess {
  readonly #options: ServerProcessOptions;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(options: ServerProcessOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Starts it, or starts it again after `kill`: same arguments, so same port and data. */
  start(): void {
    if (this.#child) throw new Error(`${this.#options.command} runs already`);
    const log = openSync(this.#options.log, 'a');
    const child = spawn(this.#options.command, this.#options.args, { stdio: ['ignore', log, log] });
    closeSync(log);
    this.#child = child;
    leaveNothing(child);
    this.#exited = new Promise((resolve) => {
      const gone = (): void => {
        if (this.#child === child) this.#child = undefined;
        resolve();
      };
      child.once('exit', gone);
      child.once('error', gone);
    });
  }

  /** SIGSTOP: connections stay open, nothing answers. */
  pause(): void {
    this.#child?.kill('SIGSTOP');
  }

  continue(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Ends it, by SIGKILL unless asked otherwise, and waits until it is gone. Does nothing when it is. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#child?.kill(signal);
    await this.#exited;
  }

  /** @throws Error with the end of its output when it does not run */
  assertRunning(): void {
    if (!this.#child) throw new Error(`${this.#options.command} does not run\n${this.logTail()}`);
  }

  /** The end of what it wrote. */
  logTail(): string {
    try {
      return readFileSync(this.#options.log, 'utf8').split('\n').slice(-20).join('\n');
    } catch {
      return '';
    }
  }
}
