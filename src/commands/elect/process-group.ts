/**
 * A command's process group: everything that it started, but for what left the group by itself (setsid, daemons), which
 * cannot be followed.
 */
import { readFileSync, readdirSync } from 'node:fs';

/** False: nothing of the group is left. Signals that this user may not send are not sent, and nobody is told. */
export function signalGroup(pgid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pgid, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/**
 * True when nothing of the group runs any more. Dead processes that nobody has waited for do not run: beside a first
 * process of a container that does not look after orphans they stay for ever.
 */
export function groupGone(pgid: number): boolean {
  if (!signalGroup(pgid, 0)) return true;
  let pids: string[];
  try {
    pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return false; // No such file system here.
  }
  if (pids.length === 0) return false;
  return pids.every((pid) => {
    let stat: string;
    try {
      stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    } catch {
      return true; // Ended meanwhile.
    }
    // After the name, which may hold anything: state, parent, group.
    const [state = '', , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(group) !== pgid || 'ZX'.includes(state);
  });
}
