/**
 * A shell in which the commands of an example are run one after another, as somebody would type them.
 *
 * Guarantees: `leasekeeper` is the program as its source; no variable of this machine's reaches it; the shell and all that
 * it started are gone when its test ends.
 */
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { CLI } from '../support/process.ts';

export interface Ran {
  readonly code: number;
  /** stdout and stderr, as a terminal shows them. */
  readonly output: string;
}

export interface Shell {
  /** @throws Error when it has not ended after so many milliseconds */
  run(command: string, timeoutMs?: number): Promise<Ran>;
}

interface Scope {
  after(hook: () => Promise<void>): void;
}

/** @param env beside PATH and HOME */
export async function openShell(t: Scope, cwd: string, env: Readonly<Record<string, string>>): Promise<Shell> {
  const bin = join(cwd, 'bin');
  await mkdir(bin, { recursive: true });
  const program = `#!/bin/sh\nexec '${process.execPath}' '${CLI}' "$@"\n`;
  await writeFile(join(bin, 'leasekeeper'), program, { mode: 0o755 });
  // A group of its own, so that what it leaves running ends with it.
  const shell = spawn('bash', ['--noprofile', '--norc'], {
    cwd,
    detached: true,
    env: { PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}`, HOME: cwd, ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const ended = new Promise<void>((resolve) => shell.once('close', () => resolve()));
  t.after(async () => {
    try {
      process.kill(-(shell.pid ?? 0), 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    await ended;
  });
  let text = '';
  let wake = (): void => {};
  for (const stream of [shell.stdout, shell.stderr]) {
    stream.setEncoding('utf8').on('data', (part: string) => {
      text += part;
      wake();
    });
  }
  let commands = 0;
  return {
    async run(command, timeoutMs = 60_000) {
      const mark = `--- end of ${++commands} ---`;
      text = '';
      shell.stdin.write(`{ ${command}\n} 2>&1; echo "${mark} $?"\n`);
      const timer = setTimeout(() => shell.kill('SIGKILL'), timeoutMs);
      try {
        for (;;) {
          const [, output = '', code] = new RegExp(`^(.*)${mark} (\\d+)\n`, 's').exec(text) ?? [];
          if (code !== undefined) return { code: Number(code), output };
          if (shell.exitCode !== null || shell.signalCode !== null) throw new Error(`${command}: no end\n${text}`);
          await Promise.race([new Promise<void>((resolve) => (wake = resolve)), ended]);
        }
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
