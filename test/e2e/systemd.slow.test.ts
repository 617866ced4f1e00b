/** The program under a systemd of the test's own: a socket for its messages. A real one runs in `npm run systemd-check`. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { notifySkip, notifySocket } from '../support/notify-socket.ts';
import { startProgram } from '../support/process.ts';
import { embedded, scratch, until } from './support.ts';

const WAIT_MS = 30_000;
const CONFIG = 'apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\nrenewInterval: 1s\n';

describe('systemd', { skip: notifySkip() }, () => {
  it('hears of start, phase, reload, life and end; a stopped process is silent', { timeout: 600_000 }, async (t) => {
    const { kubeconfig } = await embedded(t);
    const dir = await scratch(t);
    const config = join(dir, 'lk.yaml');
    await writeFile(config, CONFIG);
    const { path, messages } = await notifySocket(t, dir);
    const has = (what: RegExp): boolean => messages.some((message) => what.test(message));
    const program = startProgram(
      ['publish', '--hostname-override=a', `--kubeconfig=${kubeconfig}`, `--config=${config}`],
      {
        t,
        env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: '400000' },
      },
    );
    await until('the phase', () => has(/^(READY=1 )?STATUS=holding: kube-apiserver-\w+$/), WAIT_MS);
    assert.match(messages[0]!, /^READY=1 STATUS=\w+: kube-apiserver-\w+$/);
    await until('a sign of life', () => has(/^WATCHDOG=1$/), WAIT_MS);

    program.signal('SIGHUP');
    await until(
      'the reload',
      () =>
        messages.findLastIndex((m) => m === 'READY=1') > messages.findLastIndex((m) => m.startsWith('RELOADING=1 ')),
      WAIT_MS,
    );
    assert.ok(has(/^RELOADING=1 MONOTONIC_USEC=\d+$/));

    program.signal('SIGSTOP');
    const stopped = (): boolean => /^State:\s+T/m.test(readFileSync(`/proc/${program.pid}/status`, 'utf8'));
    await until('it to be stopped', stopped, WAIT_MS);
    // What was on its way arrives; then nothing does.
    let before: number;
    do {
      before = messages.length;
      await setTimeout(1_000);
    } while (messages.length > before);
    program.signal('SIGCONT');
    await until('a sign of life again', () => messages.length > before, WAIT_MS);

    program.signal('SIGTERM');
    assert.equal((await program.exitWithin(WAIT_MS)).code, 0);
    await until('its end', () => has(/^STOPPING=1 STATUS=stopping$/), WAIT_MS);
  });

  it('hears nothing of a configuration that is wrong: exit code 2, which the unit does not restart', async (t) => {
    const { kubeconfig } = await embedded(t);
    const { path, messages } = await notifySocket(t, await scratch(t));
    const program = startProgram(['publish', `--kubeconfig=${kubeconfig}`, '--renew-interval=2h'], {
      t,
      env: { NOTIFY_SOCKET: path },
    });
    assert.equal((await program.exitWithin(WAIT_MS)).code, 2);
    assert.deepEqual(messages, []);
  });
});
