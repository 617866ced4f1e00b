/**
 * The watchdog of `leasekeeper elect`, a process of its own that loads nothing but this: it is the parent of the command,
 * is told over a socket how long leadership lasts, and ends the command when that is over or nobody is left to tell.
 *
 * Guarantees: the command and what is in its process group are killed before the lease may be another's, when leasekeeper
 * is killed or stopped too. Signals for all processes of a terminal or a service end leasekeeper, not this: it ends when
 * its socket closes and the command is gone.
 * Does not guarantee: anything while this process is stopped or killed itself (leasekeeper then ends the command);
 * anything of processes that left the command's group.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { systemNow } from './instant.ts';
import { Keeper } from './keeper.ts';
import { groupGone, signalGroup } from './process-group.ts';
import { FD, decoder, encode } from './protocol.ts';
import type { Order } from './protocol.ts';

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGPIPE'] as const) {
  process.on(signal, () => {});
}

const socket = new Socket({ fd: FD, readable: true, writable: true });
const keeper = new Keeper({
  now: systemNow,
  schedule(ms, callback) {
    const timer = setTimeout(callback, Math.max(1, Math.ceil(ms)));
    return () => clearTimeout(timer);
  },
  start({ command, args, env }, done) {
    let child: ChildProcess;
    try {
      child = spawn(command, args, { env: { ...env }, stdio: 'inherit', detached: true });
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
