/**
 * Runs the commands of a README as it prints them: its blocks of kind `console`, in order, in one shell.
 *
 * A line `$ …` is a command; the lines after it are what it prints. A command with output is repeated until it prints that,
 * as a reader would who looks again, for so long and no longer. Spaces are alike however many, and so are ages (`5s`) and
 * fencing tokens: those are a server's own numbers.
 * Commands of kubectl are left out where it is not installed.
 *
 * Guarantees: nothing that the commands started runs any more when the test ends, or its process.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { delimiter, dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { CLI } from './process.ts';

interface Step {
  readonly command: string;
  /** What it prints; undefined: nothing is said. */
  readonly output: string | undefined;
}

/** @param heading only what stands below it, up to the next of its level */
export async function consoleSteps(path: string, heading?: string): Promise<Step[]> {
  let text = await readFile(path, 'utf8');
  if (heading !== undefined) {
    const from = text.indexOf(`\n${heading}\n`);
    if (from < 0) throw new Error(`${path} has no heading "${heading}"`);
    const level = /^#+/.exec(heading)?.[0] ?? '';
    const to = text.indexOf(`\n${level} `, from + heading.length);
    text = text.slice(from, to < 0 ? undefined : to);
  }
  const steps: Step[] = [];
  for (const [, block = ''] of text.matchAll(/^```console\n(.*?)^```$/gms)) {
    // A backslash at its end carries a command on.
    for (const part of block.split(/^\$ /m).slice(1)) {
      const [, command = '', rest = ''] = /^((?:[^\n]*\\\n)*[^\n]*)\n(.*)$/s.exec(part) ?? [];
      steps.push({ command, output: rest === '' ? undefined : rest });
    }
  }
  if (steps.length === 0) throw new Error(`${path} has no commands`);
  return steps;
}

const alike = (text: string): string =>
  text
    .trim()
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
    .join('\n')
    .replace(/(?<= |^)\d+(s|m|m\d+s)(?= |$)/gm, 'AGE')
    .replace(/\bfencing token \d+/g, 'fencing token N');

export interface ConsoleOptions {
  /** Where the commands are run. */
  readonly cwd: string;
  /** A directory for what only the test needs. */
  readonly scratch: string;
  readonly kubeconfig: string;
  /** The test, or suite, that it belongs to. */
  readonly t: { after(hook: () => Promise<void>): void };
  /** Milliseconds for a command to print what it should. */
  readonly patienceMs?: number;
}

/** @throws Error that shows what a command printed in place of what it should */
export async function runConsole(steps: readonly Step[], options: ConsoleOptions): Promise<void> {
  const { cwd, scratch, kubeconfig, t, patienceMs = 150_000 } = options;
  const bin = join(scratch, 'bin');
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, 'leasekeeper'), `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`, { mode: 0o755 });
  const shell = spawn('bash', ['--norc', '--noprofile'], {
    cwd,
    env: {
      ...process.env,
      PATH: [bin, dirname(process.execPath), process.env['PATH']].join(delimiter),
      KUBECONFIG: kubeconfig,
      NODE_OPTIONS: `--import=${new URL('from-source.ts', import.meta.url).href}`,
      NODE_TEST_CONTEXT: undefined,
    },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  // It ends when its input does, so also when this process is killed, and takes all that it started with it.
  shell.stdin.write("trap 'kill -9 $(jobs -p) 2>/dev/null' EXIT\n");
  const exited = new Promise<void>((resolve) => shell.once('close', () => resolve()));
  let errors = '';
  shell.stderr.on('data', (chunk: Buffer) => (errors = `${errors}${chunk.toString()}`.slice(-10_000)));
  const lines: string[] = [];
  let wake = (): void => {};
  createInterface({ input: shell.stdout }).on('line', (line) => {
    lines.push(line);
    wake();
  });
  t.after(async () => {
    shell.stdin.end();
    await exited;
  });
  let asked = 0;
  /** What it prints to its standard output. */
  const run = async (command: string): Promise<string> => {
    const mark = `--- done ${++asked} ---`;
    shell.stdin.write(`${command}\necho; echo '${mark}'\n`);
    while (!lines.includes(mark)) {
      if (shell.exitCode !== null) throw new Error(`the shell ended at: ${command}\n${errors}`);
      await new Promise<void>((resolve) => (wake = resolve));
    }
    const printed = lines.splice(0, lines.indexOf(mark) + 1).slice(0, -1);
    return printed.join('\n');
  };
  const without = spawnSync('kubectl', ['version', '--client'], { stdio: 'ignore' }).error !== undefined;
  for (const { command, output } of steps) {
    if (without && command.startsWith('kubectl ')) continue;
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const printed = await run(command);
      if (output === undefined || alike(printed) === alike(output)) break;
      if (performance.now() > deadline) {
        throw new Error(`$ ${command}\nprints\n${printed}\nand not\n${output}\nstderr:\n${errors}`);
      }
      await wait(200);
    }
  }
}
