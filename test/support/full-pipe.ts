/**
 * A pipe that is full, with a reader that does not read until a test has it read.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** @returns both ends in one descriptor that does not block, full of dots. @param keep the test closes it itself */
export function fullPipe(
  t: { after(hook: () => void): void },
  { keep = false } = {},
): { readonly fd: number; readonly path: string } {
  const directory = mkdtempSync(join(tmpdir(), 'leasekeeper-pipe-'));
  const path = join(directory, 'pipe');
  execFileSync('mkfifo', [path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  t.after(() => {
    if (!keep) closeSync(fd);
    rmSync(directory, { recursive: true });
  });
  for (const size of [65_536, 1]) {
    try {
      for (;;) writeSync(fd, '.'.repeat(size));
    } catch {
      // Full.
    }
  }
  return { fd, path };
}
