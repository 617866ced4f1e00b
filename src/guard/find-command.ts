/**
 * Whether a command can be started, before anything else is: as execvp looks for it.
 */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** What is wrong with it; undefined when it is a file that may be executed. */
export function commandProblem(command: string, path: string | undefined): string | undefined {
  if (command === '') return 'must not be empty';
  if (command.includes('\0')) return 'must not hold a zero byte';
  // Without a PATH each system has a default of its own: then the start itself shows it.
  if (!command.includes('/') && path === undefined) return undefined;
  const places = command.includes('/') ? [command] : (path ?? '').split(':').map((dir) => join(dir || '.', command));
  let found = false;
  for (const place of places) {
    try {
      if (!statSync(place).isFile()) continue;
      found = true;
      accessSync(place, constants.X_OK);
      return interpreterProblem(place);
    } catch {
      // The next one.
    }
  }
  if (found) return 'permission denied: it may not be executed';
  return command.includes('/') ? 'no such file' : 'not found in PATH';
}

/** What is wrong with the program that a script names in its first line, which only starting it would show. */
function interpreterProblem(script: string): string | undefined {
  const head = Buffer.alloc(256);
  try {
    const file = openSync(script, 'r');
    try {
      readSync(file, head);
    } finally {
      closeSync(file);
    }
  } catch {
    return undefined; // It may be executed, and not read.
  }
  const [, interpreter] = /^#![ \t]*([^ \t\n\0]+)/.exec(head.toString('latin1')) ?? [];
  if (interpreter === undefined) return undefined;
  try {
    accessSync(interpreter, constants.X_OK);
    return undefined;
  } catch {
    return `its interpreter ${JSON.stringify(interpreter)} cannot be executed`;
  }
}
