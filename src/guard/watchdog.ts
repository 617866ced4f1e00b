/**
 * The watchdog of `leasekeeper elect`, a process of its own that loads nothing but this: it is the parent of the command,
 * hears over a socket how long the term lasts, and ends the command when that is over or leasekeeper is gone.
 *
 * Guarantees: the command and what is in its process group are killed before the lease may be another's, when leasekeeper
 * is killed or stopped too. Signals for all processes of a terminal or a service end leasekeeper, not this: it ends when
 * its socket closes and the command is gone. On Linux with setpriv (util-linux) the kernel kills the command's own process
 * when this one is killed, unless the command raises its privileges as it starts (setuid, file capabilities).
 * Does not guarantee: anything while this process is stopped (leasekeeper then ends the command); anything of processes
 * that left the command's group.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { commandProblem } from './find-command.ts';
import { systemNow } from './instant.ts';
import { Keeper } from './keeper.ts';
import { groupGone, signalGroup } from './process-group.ts';
import { FD, decoder, encode } from './protocol.ts';
import type { Order } from './protocol.ts';

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE'] as const) {
  process.on(signal, () => {});
}

/** Names that a POSIX shell passes on; it drops variables with others. */
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const PARENT_DEATH = ['--pdeathsig', 'KILL', '--'];
/** A shell that goes on only while its parent lives: one that died before the signal was asked for sends none. */
const WHILE_PARENT_LIVES = ['sh', '-c', '[ "$PPID" = "$1" ] && shift && exec "$@"', 'sh', String(process.pid)];

/** By trying it: busybox has a setpriv that cannot. */
const binds =
  process.platform === 'linux' &&
  spawnSync('setpriv', [...PARENT_DEATH, ...WHILE_PARENT_LIVES, 'true'], { stdio: 'ignore' }).status === 0;

/** The command, as a process that the kernel ends with this one where it can. */
function bound({ command, args, env }: Extract<Order, { do: 'start' }>): readonly [string, ...string[]] {
  if (!binds) return [command, ...args];
  const checked = Object.keys(env).every((name) => NAME.test(name)) ? WHILE_PARENT_LIVES : [];
  return ['setpriv', ...PARENT_DEATH, ...checked, command, ...args];
}

const socket = new Socket({ fd: FD, readable: true, writable: true });
const keeper = new Keeper({
  now: systemNow,
  schedule(ms, callback) {
    const timer = setTimeout(callback, Math.max(1, Math.ceil(ms)));
    return () => clearTimeout(timer);
  },
  start(order, done) {
    let child: ChildProcess;
    // What setpriv and the shell would only say in their own words.
    const problem = binds && commandProblem(order.command, order.env['PATH']);
    if (problem) return done(Object.assign(new Error(problem), { code: 'ENOENT' }));
    try {
      const [program, ...args] = bound(order);
      child = spawn(program, args, { env: { ...order.env }, stdio: 'inherit', detached: true });
    } catch (error) {
      // Some of the system's errors come as events, others (ETXTBSY, E2BIG, ENOMEM) are thrown.
      done(error as NodeJS.ErrnoException);
      return;
    }
    child.on('error', (error) => {
      if (child.pid === undefined) done(error);
    });
    const { pid } = child;
    if (pid === undefined) return;
    done({
      pid,
      bound: binds,
      onExit(callback) {
        child.once('exit', callback);
      },
    });
  },
  signalGroup,
  signalOne(pid, signal) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has just ended.
    }
  },
  groupGone,
  report: (report) => void socket.write(encode(report)),
});

const take = decoder<Order>((order) => keeper.take(order));
socket.setEncoding('utf8');
socket.on('data', (piece: string) => take(piece));
socket.on('error', () => {});
socket.on('end', () => keeper.orphaned());
socket.on('close', () => keeper.orphaned());
// A bug here must not leave the command alone: once the socket is closed, leasekeeper does this process's work.
process.on('uncaughtException', () => {
  socket.destroy();
  keeper.orphaned();
});
