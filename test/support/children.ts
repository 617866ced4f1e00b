/**
 * Ends the processes, and removes the directories, that tests made when the test process ends: by itself, or by a signal that can be caught, as a
 * runner's timeout or Ctrl-C send it. Only SIGKILL leaves them behind.
 */
import type { ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';

const running = new Set<ChildProcess>();
const directories = new Set<string>();

function endAll(): void {
  for (const child of running) child.kill('SIGKILL');
  for (const path of directories) {
    try {
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    } catch {
      // A process that is dying may still have written: better a directory left than a test that fails by it.
    }
  }
}

process.on('exit', endAll);
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => {
    endAll();
    // The handler is gone now: the signal does what it would have done.
    process.kill(process.pid, signal);
  });
}

/** Has this child killed with us, unless it ends before. */
export function leaveNothing(child: ChildProcess): void {
  running.add(child);
  const forget = (): void => void running.delete(child);
  child.once('exit', forget);
  child.once('error', forget);
}

/** Has this directory removed with us. The returned function forgets it again. */
export function leaveNoDirectory(path: string): () => void {
  directories.add(path);
  return () => void directories.delete(path);
}
