import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Guard } from '../../src/guard/guard.ts';
import { encode } from '../../src/guard/protocol.ts';
import type { Order } from '../../src/guard/protocol.ts';
import { readStat } from '../../src/guard/process-group.ts';
import { systemNow, later } from '../../src/guard/instant.ts';
import type { GuardOptions, Until } from '../../src/guard/guard.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';
import { leaveNothing } from '../support/children.ts';

const HELPER = fileURLToPath(new URL('guarded-command.ts', import.meta.url));
const WATCHDOG = fileURLToPath(new URL('../../src/guard/watchdog.ts', import.meta.url));
const clock = createSystemClock();
const within = (ms: number): Until => ({ deadline: clock.monotonic() + ms, expires: clock.monotonic() + ms + 500 });
const ask = (command: string, ...args: string[]): Parameters<Guard['run']>[0] => ({
  command,
  args,
  env: process.env,
  graceMs: 500,
});
const runs = (pid: number): boolean =>
  existsSync(`/proc/${pid}/stat`) && !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

function watchdog(...node: string[]): ChildProcess {
  const child = spawn(process.execPath, node, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'], detached: true });
  leaveNothing(child);
  return child;
}

async function guarded(options: Partial<GuardOptions>, body: (guard: Guard) => Promise<void>): Promise<void> {
  const guard = new Guard({ clock, ...options });
  try {
    await body(guard);
  } finally {
    await guard.close();
  }
}

describe('the guard', { skip: !existsSync('/proc/self/stat') && 'needs /proc' }, () => {
  test('a command that the system refuses by an error that is thrown: not started, and the next one runs', () =>
    guarded({}, async (guard) => {
      // Longer than Linux lets one argument be.
      const outcome = await guard.run(ask('true', 'x'.repeat(200_000)), within(20_000));
      assert.equal(outcome.how, 'notStarted');
      assert.equal(outcome.how === 'notStarted' && outcome.code, 'E2BIG');
      assert.equal((await guard.run(ask('true'), within(20_000))).how, 'ended');
    }));

  test('a bug in the watchdog: it is replaced, and the command is killed', async () => {
    let child: ChildProcess | undefined;
    let pid = NaN;
    await guarded(
      {
        spawnWatchdog: () => (child = watchdog(WATCHDOG)),
        onStarted(started) {
          pid = started;
          (child?.stdio[3] as Duplex).write('no JSON\n');
        },
      },
      async (guard) => {
        assert.equal((await guard.run(ask('sleep', '60'), within(20_000))).how, 'unguarded');
        assert(pid > 1 && !runs(pid));
        const first = child;
        const again = guard.run(ask('true'), within(20_000));
        assert.notEqual(child, first);
        await again;
      },
    );
  });

  test('no watchdog can be started: the run is over, and the next one may be had', () => {
    let fail = true;
    return guarded(
      {
        spawnWatchdog() {
          if (fail) throw new Error('spawn ENOMEM');
          return watchdog(WATCHDOG);
        },
      },
      async (guard) => {
        const outcome = await guard.run(ask('true'), within(20_000));
        assert.deepEqual(outcome, { how: 'unguarded', why: 'spawn ENOMEM' });
        fail = false;
        assert.equal((await guard.run(ask('true'), within(20_000))).how, 'ended');
      },
    );
  });

  test('a watchdog that stops before it reports the start: the command is killed with it', async () => {
    let started = '';
    const script = `
      const child = require('node:child_process').spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
      require('node:fs').writeSync(1, String(child.pid));
      process.kill(process.pid, 'SIGSTOP');`;
    await guarded(
      {
        spawnWatchdog() {
          const child = spawn(process.execPath, ['-e', script], {
            stdio: ['ignore', 'pipe', 'ignore', 'pipe'],
            detached: true,
          });
          leaveNothing(child);
          child.stdout?.setEncoding('utf8').on('data', (piece: string) => (started += piece));
          return child;
        },
      },
      async (guard) => {
        const outcome = await guard.run(ask('true'), within(1_500));
        assert.deepEqual(outcome, { how: 'unguarded', why: 'it did not keep its deadline' });
        const pid = Number(started);
        assert(pid > 1, 'it had begun');
        const still = runs(pid);
        if (still) process.kill(pid, 'SIGKILL');
        assert(!still);
      },
    );
  });

  test('a kill is no request alone: it reaches the command of a watchdog that stands still', async () => {
    let child: ChildProcess | undefined;
    let guard!: Guard;
    const onStarted = (pid: number): void => {
      child!.kill('SIGSTOP');
      guard.kill();
      setTimeout(() => {
        killed = !runs(pid);
        child!.kill('SIGCONT');
      }, 200);
    };
    let killed = false;
    await guarded({ spawnWatchdog: () => (child = watchdog(WATCHDOG)), onStarted }, async (one) => {
      guard = one;
      await guard.run(ask('sleep', '60'), within(20_000));
      assert(killed);
    });
  });

  test('signals for everybody do not end the watchdog: the command runs on', async () => {
    let child: ChildProcess | undefined;
    const onStarted = (): void => {
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const)
        child!.kill(signal);
    };
    await guarded({ spawnWatchdog: () => (child = watchdog(WATCHDOG)), onStarted }, async (guard) => {
      const outcome = await guard.run(ask('sleep', '0.3'), within(20_000));
      assert.deepEqual(outcome, { how: 'ended', code: 0, signal: null, asked: false });
    });
  });

  test('leasekeeper is gone: its socket closes, and the watchdog ends the command, then itself', async () => {
    const child = watchdog(WATCHDOG);
    const socket = child.stdio[3] as Duplex;
    const far = later(systemNow(), 20_000);
    const start = { do: 'start', command: 'sleep', args: ['60'], graceMs: 500, endAt: far, killAt: far } as const;
    socket.write(encode({ ...start, env: { PATH: process.env['PATH'] } }));
    const [word] = (await once(socket, 'data')) as [Buffer];
    const { pid } = JSON.parse(word.toString()) as { pid: number };
    assert(runs(pid));
    socket.destroy();
    // Long before the command's time is over.
    await once(child, 'exit', { signal: AbortSignal.timeout(10_000) });
    assert(!runs(pid));
  });

  test('leasekeeper is gone before it has read all reports: the connection breaks, and the command ends as well', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-unread-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const child = watchdog(WATCHDOG);
    const socket = child.stdio[3] as Duplex & { readonly _handle: { readStop(): void } };
    // What is not read in time stays with the kernel, which then breaks the connection.
    socket._handle.readStop();
    const far = later(systemNow(), 60_000);
    const marker = join(dir, 'pid');
    const args = ['-c', `sleep 0.5; echo $$ > ${marker}.new; mv ${marker}.new ${marker}; exec sleep 60`];
    const start = { do: 'start', command: 'sh', args, graceMs: 500, endAt: far, killAt: far } as const;
    socket.write(encode({ ...start, env: { PATH: process.env['PATH'] } }));
    while (!existsSync(marker)) await new Promise((resolve) => setTimeout(resolve, 20));
    socket.destroy();
    await once(child, 'exit', { signal: AbortSignal.timeout(20_000) });
    assert(!runs(Number(readFileSync(marker, 'utf8'))));
  });

  test('the environment reaches the command whole, with names that no shell knows too', () =>
    guarded({}, async (guard) => {
      const env = { PATH: process.env['PATH'], 'my.var': 'x', 'a-b': 'y' };
      const script = "process.exit(process.env['my.var'] === 'x' && process.env['a-b'] === 'y' ? 0 : 1)";
      const outcome = await guard.run({ ...ask(process.execPath, '-e', script), env }, within(20_000));
      assert.equal(outcome.how === 'ended' && outcome.code, 0);
    }));

  test('a command that is gone by the time of its start: not started, in its own words', () =>
    guarded({}, async (guard) => {
      const outcome = await guard.run(ask('/nowhere/at-all'), within(20_000));
      assert.equal(outcome.how === 'notStarted' && outcome.code, 'ENOENT');
    }));
});

const canBind = spawnSync('setpriv', ['--pdeathsig', 'KILL', '--', 'true']).status === 0;

describe('killed in one go', { skip: !canBind && 'needs Linux and setpriv of util-linux' }, () => {
  /** leasekeeper, its watchdog and the command, by name. */
  async function trio(path: string, ...command: string[]) {
    const child = spawn(process.execPath, [HELPER, path, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
    leaveNothing(child);
    const [word] = (await once(child.stdout, 'data')) as [Buffer];
    const started = JSON.parse(word.toString()) as { leasekeeper: number; command: number; bound: boolean };
    assert(started.bound);
    const { parent } = readStat(readFileSync(`/proc/${started.command}/stat`, 'latin1'));
    return { child, leasekeeper: started.leasekeeper, watchdog: parent, command: started.command };
  }
  const PATH = process.env['PATH'] ?? '';
  const orders = [
    ['leasekeeper', 'watchdog'],
    ['watchdog', 'leasekeeper'],
    ['leasekeeper', 'watchdog', 'command'],
    ['command', 'watchdog', 'leasekeeper'],
    ['watchdog', 'command', 'leasekeeper'],
  ] as const;
  for (const order of orders) {
    test(`${order.join(', then ')}: the command's process ends with them`, async () => {
      const all = await trio(PATH, 'sleep', '60');
      for (const name of order) process.kill(all[name], 'SIGKILL');
      const until = performance.now() + 60_000;
      while (runs(all.command) && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
      const still = runs(all.command);
      if (still) process.kill(all.command, 'SIGKILL');
      assert(!still);
    });
  }

  test('before the kernel was asked to watch: the command does not begin', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-late-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    // Its setpriv takes so long that the watchdog is gone by then.
    await writeFile(join(dir, 'setpriv'), `#!/bin/sh\nPATH=${PATH}\nsleep 0.5\nexec setpriv "$@"\n`);
    await chmod(join(dir, 'setpriv'), 0o755);
    const marker = join(dir, 'began');
    const all = await trio(`${dir}:${PATH}`, 'sh', '-c', `echo > ${marker}; sleep 60`);
    for (const name of ['leasekeeper', 'watchdog'] as const) process.kill(all[name], 'SIGKILL');
    const until = performance.now() + 60_000;
    while (runs(all.command) && performance.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
    if (runs(all.command)) process.kill(-all.command, 'SIGKILL');
    assert(!existsSync(marker));
  });
});

/** A guard whose watchdog only takes down what it is ordered. */
function overheard(options: Partial<GuardOptions> & Pick<GuardOptions, 'clock'>): { guard: Guard; orders: Order[] } {
  const socket = new PassThrough();
  const orders: Order[] = [];
  socket.on('data', (piece: string) => orders.push(JSON.parse(piece) as Order));
  const child = Object.assign(new PassThrough(), {
    stdio: [null, null, null, socket],
    pid: undefined,
    exitCode: 0,
    signalCode: null,
    kill: () => true,
  }) as unknown as ChildProcess;
  return { guard: new Guard({ ...options, spawnWatchdog: () => child }), orders };
}

test('the command is to be killed a while before others may lead', async () => {
  const now = (): { running: number; sinceBoot: number } => ({ running: 1_000, sinceBoot: 5_000 });
  const clock = new ManualClock();
  const { guard, orders } = overheard({ clock, now });
  void guard.run(ask('true'), { deadline: 10_000, expires: 14_750 });
  await new Promise((resolve) => setImmediate(resolve));
  const [start] = orders;
  assert(start?.do === 'start');
  assert.equal(start.endAt.running, 1_000 + 10_000 + 100);
  assert.deepEqual(start.killAt, { running: 1_000 + 14_750 - 250, sinceBoot: 5_000 + 14_750 - 250 });
});

test('a stop between the readings of two clocks puts nothing off', async () => {
  let time = 0;
  /** Each reading is followed by a stop of a second. */
  const read = (): number => (time += 1_000) - 1_000;
  const manual = new ManualClock();
  const clock = { ...manual, schedule: manual.schedule.bind(manual), wallMicros: () => 0, monotonic: read };
  const { guard, orders } = overheard({
    clock,
    now: () => {
      const running = read();
      return { running, sinceBoot: running };
    },
  });
  void guard.run(ask('true'), { deadline: 10_000, expires: 15_000 });
  await new Promise((resolve) => setImmediate(resolve));
  const [start] = orders;
  assert(start?.do === 'start');
  assert(start.killAt.running <= 15_000 - 250, String(start.killAt.running));
});

test('without a file descriptor left neither a command nor a credential plugin starts, and the process goes on', () => {
  const program = fileURLToPath(new URL('out-of-descriptors.ts', import.meta.url));
  const limited = ['-c', 'ulimit -n 64; exec "$@"', 'sh', process.execPath, program];
  const { stdout, stderr } = spawnSync('sh', limited, { encoding: 'utf8' });
  assert.match(stdout, /^exec plugin \/bin\/true: it cannot be run \(EMFILE\)\n.*EMFILE\ngoes on\n$/, stderr);
});
