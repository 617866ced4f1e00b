/** deploy/leasekeeper.service: what systemd itself says of it. It runs under a real systemd in `npm run systemd-check`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { EXIT } from '../../src/commands/command.ts';
import { main } from '../../src/commands/main.ts';
import { DEPLOY, ROOT, text } from './support.ts';

const UNIT = text('leasekeeper.service');

describe('the systemd unit', () => {
  const missing = spawnSync('systemd-analyze', ['--version']).error !== undefined && 'systemd-analyze is not installed';

  it('is in order', { skip: missing }, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-unit-'));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const verify = async (unit: string): Promise<string> => {
      const file = join(dir, 'leasekeeper.service');
      await writeFile(file, unit);
      const { stderr } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' });
      // Units of the machine may have faults of their own.
      return stderr
        .split('\n')
        .filter((line) => line.includes('leasekeeper.service'))
        .join('\n');
    };
    assert.equal(await verify(UNIT), '');
    assert.match(await verify(UNIT.replace('RestartSec', 'RestartSecs')), /Unknown key/);
  });

  it('starts leasekeeper with options that it takes', async () => {
    const [, line = ''] = /^ExecStart=\/usr\/bin\/env leasekeeper (.*)$/m.exec(UNIT) ?? [];
    const missing = join(ROOT, 'no-such');
    let err = '';
    const io = { env: {}, terminal: false, out: () => {}, err: (more: string) => void (err += more) };
    assert.equal(await main(line.replace(/\$\{CREDENTIALS_DIRECTORY\}/, missing).split(' '), io), 2);
    // Everything but the kubeconfig, which is not there, is in order.
    assert.match(err, new RegExp(`^leasekeeper: [^\n]*${missing}/kubeconfig[^\n]*\n$`));
    assert.match(UNIT, /^LoadCredential=kubeconfig:\/etc\/leasekeeper\/kubeconfig$/m);
  });

  it('is exposed to little: 1.2 at the most, by systemd-analyze security', { skip: missing }, () => {
    const security = ['security', '--offline=yes', '--no-pager', join(DEPLOY, 'leasekeeper.service')];
    const { status, stdout, stderr } = spawnSync('systemd-analyze', security, { encoding: 'utf8' });
    // Before systemd 250 it asks a manager that runs.
    if (status !== 0) return assert.match(stderr, /offline/);
    const [, exposure] = /Overall exposure level for leasekeeper\.service: ([\d.]+)/.exec(stdout) ?? [];
    assert.ok(Number(exposure) <= 1.2, stdout);
  });

  it('is not restarted for a wrong configuration, is notified by the program, and is watched', () => {
    for (const line of [`RestartPreventExitStatus=${EXIT.usage}`, 'Type=notify', 'Restart=always'])
      assert.ok(UNIT.includes(`\n${line}\n`), line);
    assert.match(UNIT, /^WatchdogSec=\d+$/m);
    assert.match(UNIT, /^SyslogIdentifier=leasekeeper$/m);
    assert.match(UNIT, /^ExecReload=.* -HUP \$MAINPID$/m);
  });

  it('waits longer for its end than leasekeeper takes', () => {
    const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(UNIT)?.[1]);
    assert.ok(seconds > 10);
  });
});
