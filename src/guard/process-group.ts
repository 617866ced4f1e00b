/**
 * A command's process group: everything that it started, but for what left the group by itself (setsid, daemons), which
 * cannot be followed.
 */
import { readFileSync, readdirSync } from 'node:fs';

/** False: nothing of the group is left. Signals that this user may not send are left out. */
export function signalGroup(pgid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(-pgid, signal);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** What of a system `groupGone` needs. */
interface GroupSystem {
  readonly signalGroup: (pgid: number, signal: NodeJS.Signals | 0) => boolean;
  /** All processes that are seen; not of one instant: what is forked meanwhile may be missing. */
  readonly processes: () => readonly Seen[];
}

interface Seen {
  /** One letter, as in /proc: Z and X are dead. */
  readonly state: string;
  readonly parent: number;
  readonly group: number;
}

/**
 * True when nothing of the group runs any more. Dead processes that nobody has waited for do not run: beside a first
 * process of a container that does not look after orphans they stay for ever.
 */
export function groupGone(pgid: number, system: GroupSystem = { signalGroup, processes }): boolean {
  const onlyDead = (): boolean => {
    const members = system.processes().filter(({ group }) => group === pgid);
    // None is what a group looks like that forks and ends faster than it is looked through.
    return members.length > 0 && members.every(({ state }) => state === 'Z' || state === 'X');
  };
  if (!system.signalGroup(pgid, 0)) return true;
  if (!onlyDead()) return false;
  // So may this be. The kernel lets no fork escape a signal to the group: what still runs stands still to be seen. Not
  // killed: whether it is to be asked first is not decided here.
  if (!system.signalGroup(pgid, 'SIGSTOP')) return true;
  const gone = onlyDead();
  system.signalGroup(pgid, 'SIGCONT');
  return gone;
}

/** The groups of a process's children, in so far as they are seen. */
export function childGroups(pid: number): number[] {
  return [...new Set(processes().flatMap(({ parent, group }) => (parent === pid && group > 1 ? [group] : [])))];
}

/** Empty where there is no such file system. */
function processes(): Seen[] {
  let pids: string[];
  try {
    pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
  return pids.flatMap((pid) => {
    try {
      return [readStat(readFileSync(`/proc/${pid}/stat`, 'latin1'))];
    } catch {
      return []; // Ended meanwhile.
    }
  });
}

/** A process as /proc/PID/stat shows it. */
export function readStat(stat: string): Seen {
  // After the name, which may hold anything: state, parent, group.
  const [state = '', parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state, parent: Number(parent), group: Number(group) };
}
