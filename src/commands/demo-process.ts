/**
 * The commands of the demo as processes of their own: so that a publisher can really be killed.
 *
 * Guarantees: LEASEKEEPER_* variables of the user's do not reach them; the story does not depend on them. They end when
 * this process does, also when it is killed.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';

/**
 * Loaded before the program: ends it when the channel to its parent closes, which the kernel sees to however that ended.
 * Its API server is gone then, so there is nothing to end in order. The channel itself keeps nothing running.
 */
const END_WITH_PARENT = `data:text/javascript,${encodeURIComponent(
  "process.once('disconnect', () => process.kill(process.pid, 'SIGKILL')); process.channel?.unref();",
)}`;

export interface PublisherProcess {
  /** SIGKILL; resolves when it has ended. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with its exit code. */
  stop(): Promise<number | null>;
  /** The last line of its log, for when something went wrong. */
  readonly lastWords: string;
}

/** The program, with stderr to be read. */
function start(args: readonly string[]): ChildProcessByStdio<null, null, Readable> {
  const cli = process.argv[1] ?? '';
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('LEASEKEEPER_')));
  const nodeArgs = [...process.execArgv, '--import', END_WITH_PARENT];
  const child = spawn(process.execPath, [...nodeArgs, cli, ...args], {
    env,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  // The types of `spawn` know three descriptors only.
  return child as ChildProcessByStdio<null, null, Readable>;
}

/** Runs a command to its end, or the signal's. @returns its exit code, and its log as JSON lines */
export async function runCommand(
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ code: number | null; log: readonly Record<string, unknown>[] }> {
  const child = start([...args, '--log-format=json']);
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (part: string) => (text += part));
  const onAbort = (): void => void child.kill('SIGKILL');
  signal.addEventListener('abort', onAbort, { once: true });
  const code = await new Promise<number | null>((resolve) => {
    child.on('error', () => resolve(null));
    child.on('close', resolve);
  });
  signal.removeEventListener('abort', onAbort);
  const lines = text.split('\n').filter((line) => line.startsWith('{'));
  return { code, log: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

export function startPublisher(args: readonly string[]): PublisherProcess {
  const child = start(['publish', ...args]);
  let words = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    words = text.trim().split('\n').at(-1) ?? words;
  });
  const ended = new Promise<number | null>((resolve) => {
    child.on('error', (error) => {
      words = error.message;
      resolve(null);
    });
    child.on('exit', (code) => resolve(code));
  });
  return {
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    stop() {
      child.kill('SIGTERM');
      return ended;
    },
    get lastWords() {
      return words;
    },
  };
}
