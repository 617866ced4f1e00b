/**
 * The program as a child process: arguments in, lines and an exit code out.
 *
 * Guarantees: with a test context it is killed, if it still runs, when the test ends; every error says what it wrote.
 * It inherits no LEASEKEEPER_*, KUBECONFIG or KUBERNETES_* variable, so that a test means the same on every machine.
 */
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { leaveNothing } from './children.ts';

/** The entry of the program, as its source. */
export const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));

export interface ProgramOptions {
  /** Added to what is inherited. `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Run in place of `src/cli.ts`. */
  readonly script?: string;
  readonly nodeArgs?: readonly string[];
  /** In place of a stderr that is read: a descriptor, or a stream with one. */
  readonly stderr?: number | Writable;
  /** The test that it belongs to: it is killed when that ends. */
  readonly t?: { after(hook: () => Promise<void>): void };
}

export interface Exit {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Milliseconds from start to end. */
  readonly durationMs: number;
  /** Milliseconds from the last `signal` sent by the test; `undefined` when none was. */
  readonly sinceSignalMs: number | undefined;
}

/** Starts `leasekeeper` with these arguments. */
export function startProgram(args: readonly string[], options: ProgramOptions = {}): Program {
  return new Program(args, options);
}

/** Runs it to its end. */
export async function runProgram(
  args: readonly string[],
  { timeoutMs = 150_000, input, ...options }: ProgramOptions & { timeoutMs?: number; input?: string } = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const program = startProgram(args, options);
  program.endInput(input);
  const exit = await program.exitWithin(timeoutMs);
  return { ...exit, stdout: text(program.stdout), stderr: text(program.stderr) };
}

export class Program {
  /** Lines so far, without their ends. */
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  /** Settles when it has ended and all its output was read. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  readonly #waiting = new Set<() => void>();
  #signalled: number | undefined;
  #running = true;

  constructor(args: readonly string[], { env, cwd, script = CLI, nodeArgs = [], stderr, t }: ProgramOptions) {
    const started = performance.now();
    const child = spawn(process.execPath, [...nodeArgs, script, ...args], {
      cwd,
      env: { ...inherited(), ...env },
      stdio: ['pipe', 'pipe', stderr ?? 'pipe'],
    });
    this.#child = child;
    leaveNothing(child);
    child.stdin!.on('error', () => {});
    for (const name of ['stdout', 'stderr'] as const) {
      const input = child[name];
      if (input === null) continue;
      createInterface({ input }).on('line', (line) => {
        this[name].push(line);
        this.#wake();
      });
    }
    this.exited = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        this.#running = false;
        const now = performance.now();
        const sinceSignalMs = this.#signalled === undefined ? undefined : now - this.#signalled;
        resolve({ code, signal, durationMs: now - started, sinceSignalMs });
        this.#wake();
      });
    });
    t?.after(() => this.kill());
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get running(): boolean {
    return this.#running;
  }

  signal(signal: NodeJS.Signals): void {
    this.#signalled = performance.now();
    this.#child.kill(signal);
  }

  /** Writes to its standard input and closes it. */
  endInput(input = ''): void {
    this.#child.stdin!.end(input);
  }

  /**
   * The first line that matches, of both outputs or one, from the start of the program.
   * @throws Error when it ends before, or after `timeoutMs`
   */
  async waitForLine(
    pattern: RegExp,
    { timeoutMs = 150_000, from }: { timeoutMs?: number; from?: 'stdout' | 'stderr' } = {},
  ): Promise<string> {
    const lines = (): string[] => (from ? this[from] : [...this.stdout, ...this.stderr]);
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = lines().find((line) => pattern.test(line));
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (!this.#running) throw new Error(`ended without a line like ${pattern}\n${this.output()}`);
      if (left <= 0) throw new Error(`no line like ${pattern} within ${timeoutMs} ms\n${this.output()}`);
      await this.#changed(left);
    }
  }

  /** Its end. @throws Error when it still runs after `timeoutMs`; it is killed then */
  async exitWithin(timeoutMs: number): Promise<Exit> {
    const deadline = performance.now() + timeoutMs;
    while (this.#running && performance.now() < deadline) await this.#changed(deadline - performance.now());
    if (!this.#running) return this.exited;
    await this.kill();
    throw new Error(`still running after ${timeoutMs} ms\n${this.output()}`);
  }

  /** SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#running) this.#child.kill('SIGKILL');
    await this.exited.catch(() => {});
  }

  /** All that it wrote, for a message. */
  output(): string {
    return `--- stdout\n${text(this.stdout)}--- stderr\n${text(this.stderr)}`;
  }

  #changed(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      this.#waiting.add(done);
    });
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
  }
}

const text = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

function inherited(): NodeJS.ProcessEnv {
  const own = /^(LEASEKEEPER_|KUBERNETES_|KUBECONFIG$|NODE_OPTIONS$|NODE_TEST_CONTEXT$)/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !own.test(name)));
}
