import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import type { Duplex } from 'node:stream';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Guard } from '../../src/guard/guard.ts';
import type { GuardOptions, Until } from '../../src/guard/guard.ts';
import { createSystemClock } from '../../src/runtime/clock.ts';
import { leaveNothing } from '../support/children.ts';

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

  test('a watchdog that stops before it tells of the start: the command is killed with it', async () => {
    let told = '';
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
          child.stdout?.setEncoding('utf8').on('data', (piece: string) => (told += piece));
          return child;
        },
      },
      async (guard) => {
        const outcome = await guard.run(ask('true'), within(1_500));
        assert.deepEqual(outcome, { how: 'unguarded', why: 'it did not keep its deadline' });
        const pid = Number(told);
        assert(pid > 1, 'it had begun');
        const still = runs(pid);
        if (still) process.kill(pid, 'SIGKILL');
        assert(!still);
      },
    );
  });
});
