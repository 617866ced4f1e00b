/** What systemd is sent, in which order, and what becomes of it when it cannot be. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { Systemd, takeSystemdVariables } from '../../src/commands/systemd.ts';
import type { Notify } from '../../src/commands/systemd.ts';
import { ManualClock } from '../../src/runtime/manual-clock.ts';

function started(notify?: Notify, watchdogMs: number | undefined = 30_000) {
  const clock = new ManualClock();
  const sent: string[] = [];
  const warnings: string[] = [];
  const log = { warn: (_: object | string, text = '') => void warnings.push(text) };
  const systemd = new Systemd({
    variables: { socket: '/run/systemd/notify', watchdogMs },
    clock,
    log,
    notify: notify ?? ((lines) => Promise.resolve(void sent.push(lines.join(' ')))),
  });
  return { clock, sent, warnings, systemd };
}

describe('what systemd is sent', () => {
  it('READY and the status, changes of the status once each, and STOPPING', async () => {
    const { sent, systemd } = started();
    let status = 'claiming';
    systemd.changed();
    systemd.ready(() => status);
    await setImmediate();
    systemd.changed();
    await setImmediate();
    status = 'holding';
    for (let i = 0; i < 3; i++) systemd.changed();
    await setImmediate();
    systemd.stopping();
    await setImmediate();
    assert.deepEqual(sent, ['READY=1 STATUS=claiming', 'STATUS=holding', 'STOPPING=1 STATUS=stopping']);
  });

  it('RELOADING until the file was taken, or refused', async () => {
    const { sent, systemd } = started();
    systemd.reloaded();
    systemd.ready(() => 'up');
    systemd.reloading();
    systemd.reloaded();
    systemd.reloaded();
    await setImmediate();
    assert.equal(sent.length, 3);
    assert.match(sent[1]!, /^RELOADING=1 MONOTONIC_USEC=\d+$/);
    assert.equal(sent[2], 'READY=1');
  });

  it('WATCHDOG twice in its time, from the start on, until it is disposed', async () => {
    const { clock, sent, systemd } = started();
    assert.equal(clock.pending, 0);
    systemd.ready(() => 'up');
    await clock.advance(45_000);
    assert.deepEqual(sent, ['READY=1 STATUS=up', 'WATCHDOG=1', 'WATCHDOG=1', 'WATCHDOG=1']);
    systemd[Symbol.dispose]();
    assert.equal(clock.pending, 0);
  });

  it('one message at a time; WATCHDOG does not queue behind one that hangs', async () => {
    const sent: string[] = [];
    let answer = (): void => {};
    const { clock, systemd } = started((lines) => {
      sent.push(lines.join(' '));
      return new Promise((resolve) => (answer = resolve));
    });
    systemd.ready(() => 'up');
    await clock.advance(60_000);
    assert.deepEqual(sent, ['READY=1 STATUS=up']);
    answer();
    await clock.advance(15_000);
    assert.deepEqual(sent, ['READY=1 STATUS=up', 'WATCHDOG=1']);
  });

  it('what cannot be sent is one warning', async () => {
    const { clock, warnings, systemd } = started(() => Promise.reject(new Error('spawn systemd-notify ENOENT')));
    systemd.ready(() => 'up');
    await clock.advance(60_000);
    assert.deepEqual(warnings, ['systemd cannot be notified: it does not know how this service is']);
  });

  it('a status of several lines cannot forge a message', async () => {
    const { sent, systemd } = started();
    systemd.ready(() => 'held by a\nMAINPID=1');
    await setImmediate();
    assert.deepEqual(sent, ['READY=1 STATUS=held by a\\x0aMAINPID=1']);
  });
});

describe('the variables of systemd', () => {
  it('are taken out of the environment, so that no command or plugin has them', () => {
    const env = { NOTIFY_SOCKET: '@a', WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7', HOME: '/' };
    assert.deepEqual(takeSystemdVariables(env, 7), { socket: '@a', watchdogMs: 30_000 });
    assert.deepEqual(env, { HOME: '/' });
  });

  it('mean nothing without a socket, and no watchdog for another process', () => {
    assert.equal(takeSystemdVariables({ WATCHDOG_USEC: '1' }, 7), undefined);
    const other = { NOTIFY_SOCKET: '/a', WATCHDOG_USEC: '1000', WATCHDOG_PID: '8' };
    assert.deepEqual(takeSystemdVariables(other, 7), { socket: '/a', watchdogMs: undefined });
    assert.deepEqual(takeSystemdVariables({ NOTIFY_SOCKET: '/a', WATCHDOG_USEC: 'x' }, 7)?.watchdogMs, undefined);
  });
});
