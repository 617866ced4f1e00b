/**
 * What systemd is to know of a service with `Type=notify`: READY, STATUS, RELOADING, STOPPING, and WATCHDOG.
 *
 * Guarantees: without NOTIFY_SOCKET nothing is sent; messages go out one after another, in their order; WATCHDOG comes from
 * the event loop, so that a process that is stopped or stuck sends none. A message that cannot be sent is one warning, and
 * changes nothing else.
 *
 * They are sent by the program `systemd-notify`: Node opens no datagram socket of the file system, and the process that
 * sends is then a child, for which a unit needs `NotifyAccess=all`.
 */
import { spawn } from 'node:child_process';
import type { Logger } from '../observe/log.ts';
import type { Clock } from '../runtime/clock.ts';
import { printable } from '../runtime/printable.ts';

/** What systemd gave this process; it is for none of its children. */
export interface SystemdVariables {
  readonly socket: string;
  /** Undefined: no watchdog, or another process's. */
  readonly watchdogMs: number | undefined;
}

/** Takes the variables out of the environment, as sd_notify's `unset_environment` does. */
export function takeSystemdVariables(
  env: Record<string, string | undefined>,
  pid: number,
): SystemdVariables | undefined {
  const { NOTIFY_SOCKET: socket, WATCHDOG_USEC: usec, WATCHDOG_PID: whose } = env;
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete env[name];
  if (!socket) return undefined;
  const watchdogMs = Number(usec ?? 0) / 1000;
  const ours = watchdogMs > 0 && (whose === undefined || whose === String(pid));
  return { socket, watchdogMs: ours ? watchdogMs : undefined };
}

/** Sends one message, `VARIABLE=VALUE` a line. */
export type Notify = (lines: readonly string[]) => Promise<void>;

interface SystemdOptions {
  /** Undefined: systemd did not start this process, or does not listen to it. */
  readonly variables: SystemdVariables | undefined;
  readonly clock: Pick<Clock, 'schedule'>;
  readonly log: Pick<Logger, 'warn'>;
  /** Default: by systemd-notify. */
  readonly notify?: Notify;
}

export class Systemd implements Disposable {
  readonly #options: SystemdOptions;
  readonly #notify: Notify | undefined;
  #status: (() => string) | undefined;
  #shown = '';
  /** Settles once all messages so far are sent. */
  #sent: Promise<void> = Promise.resolve();
  #waiting = 0;
  #looking = false;
  #reloading = false;
  #failed = false;
  #cancel = (): void => {};

  constructor(options: SystemdOptions) {
    const { variables, notify } = options;
    this.#options = options;
    this.#notify = variables && (notify ?? bySystemdNotify(variables.socket));
  }

  /** The service has begun. @param status one line, asked again after each `changed` */
  ready(status: () => string): void {
    if (!this.#notify) return;
    this.#status = status;
    this.#send('READY=1');
    const ms = this.#options.variables?.watchdogMs;
    if (ms !== undefined) this.#beat(ms / 2);
  }

  /** The status may be another one. Called often: it is looked at once in a turn of the event loop. */
  changed(): void {
    if (!this.#status || this.#looking) return;
    this.#looking = true;
    setImmediate(() => {
      this.#looking = false;
      if (this.#news() !== undefined) this.#send();
    });
  }

  /** The configuration is read again; to be followed by `reloaded`. */
  reloading(): void {
    if (!this.#status || this.#reloading) return;
    this.#reloading = true;
    // For `Type=notify-reload`: by systemd's own clock.
    this.#send('RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
  }

  reloaded(): void {
    if (!this.#reloading) return;
    this.#reloading = false;
    this.#send('READY=1');
  }

  stopping(): void {
    if (!this.#notify) return;
    this.#status = () => 'stopping';
    this.#send('STOPPING=1');
  }

  /** Ends the watchdog's messages. */
  [Symbol.dispose](): void {
    this.#cancel();
  }

  #beat(everyMs: number): void {
    this.#cancel = this.#options.clock.schedule(everyMs, () => {
      // One that waits says as much.
      if (this.#waiting === 0) this.#send('WATCHDOG=1');
      this.#beat(everyMs);
    });
  }

  /** The status, when it is not the one that was sent last. */
  #news(): string | undefined {
    const status = printable(this.#status?.() ?? '');
    return status === this.#shown ? undefined : status;
  }

  #send(...lines: string[]): void {
    const status = this.#news();
    if (status !== undefined) lines.push(`STATUS=${status}`);
    this.#shown = status ?? this.#shown;
    this.#waiting++;
    this.#sent = this.#sent
      .then(() => this.#notify?.(lines))
      .catch((err: unknown) => {
        if (!this.#failed)
          this.#options.log.warn({ err }, 'systemd cannot be notified: it does not know how this service is');
        this.#failed = true;
      })
      .finally(() => this.#waiting--);
  }
}

/** systemd-notify waits until systemd has taken the message, so that it knows whose it is. */
const bySystemdNotify =
  (socket: string): Notify =>
  (lines) =>
    new Promise((resolve, reject) => {
      const env = { ...process.env, NOTIFY_SOCKET: socket };
      const child = spawn('systemd-notify', lines, { env, stdio: 'ignore' });
      // The last message outlives this process, and does not hold it.
      child.unref();
      child.once('error', reject);
      child.once('exit', (code, signal) =>
        code === 0 ? resolve() : reject(new Error(`systemd-notify: ${signal ?? `exit code ${code}`}`)),
      );
    });
