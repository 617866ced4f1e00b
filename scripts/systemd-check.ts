/**
 * `npm run systemd-check`: deploy/leasekeeper.service under a real systemd, in a container of this machine's own files that
 * leaves them as they are (systemd-nspawn over an overlay, without network). After `npm run build`.
 *
 * It says why it cannot where it is not root, or systemd-nspawn, overlays or a systemd of 250 or later are not there, and
 * ends with exit code 0 then; with `--must` with 1.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import type { SpawnSyncReturns } from 'node:child_process';
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const BOUND_MS = 240_000;
const RESULT = '/leasekeeper-result';

// What runs inside: each check is a line of the result.

interface Unit {
  readonly ActiveState: string;
  readonly StatusText: string;
  readonly MainPID: string;
  readonly NRestarts: string;
  readonly ExecMainStatus: string;
  readonly Result: string;
}

const run = (command: string, ...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(command, args, { encoding: 'utf8' });
const systemctl = (...args: string[]): number | null => run('systemctl', ...args).status;

function unit(): Unit {
  const properties = 'ActiveState,StatusText,MainPID,NRestarts,ExecMainStatus,Result';
  const lines = run('systemctl', 'show', `--property=${properties}`, 'leasekeeper').stdout.trim().split('\n');
  return Object.fromEntries(
    lines.map((line) => [line.split('=', 1)[0], line.slice(line.indexOf('=') + 1)]),
  ) as unknown as Unit;
}

const say = (line: string): void => appendFileSync(RESULT, `${line}\n`);

function check(what: string, seen: unknown, ok: boolean): void {
  say(`${ok ? 'ok' : 'FAILED'}: ${what}${ok ? '' : `: ${JSON.stringify(seen)}`}`);
}

async function until(what: string, look: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  let seen = look();
  for (; !seen && performance.now() < end; seen = look()) await setTimeout(200);
  check(what, unit(), seen);
}

const DROP_IN = '/run/systemd/system/leasekeeper.service.d';

/** What differs here: a server without TLS and a certificate, and a watchdog that does not take long. */
function configure(options: string): void {
  mkdirSync(DROP_IN, { recursive: true });
  const credentials = 'LoadCredential=\nLoadCredential=kubeconfig:/etc/leasekeeper/kubeconfig';
  const command = `ExecStart=\nExecStart=/usr/bin/env leasekeeper publish --kubeconfig \${CREDENTIALS_DIRECTORY}/kubeconfig --server-health-url http://127.0.0.1:6443/livez ${options}`;
  writeFileSync(join(DROP_IN, 'check.conf'), `[Service]\n${credentials}\n${command}\nWatchdogSec=5\n`);
  systemctl('daemon-reload');
}

const transitions = (): number => {
  const { stdout } = run('leasekeeper', 'get', '--kubeconfig', '/etc/leasekeeper/kubeconfig', '-o', 'json');
  const { items } = JSON.parse(stdout) as { items: { spec: { leaseTransitions?: number } }[] };
  return items.length === 1 ? (items[0]!.spec.leaseTransitions ?? 0) : NaN;
};

const journal = (): Record<string, string>[] =>
  run('journalctl', '-u', 'leasekeeper', '-o', 'json')
    .stdout.trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, string>);

async function inside(): Promise<void> {
  mkdirSync('/etc/leasekeeper');
  const dev = ['leasekeeper', 'dev', '--port', '6443', '--write-kubeconfig', '/etc/leasekeeper/kubeconfig'];
  run('systemd-run', '--unit=server', ...dev);
  await until('an API server to publish at', () => existsSync('/etc/leasekeeper/kubeconfig'));

  configure('--renew-interval 2h');
  check('systemctl start says that the configuration is wrong', '', systemctl('start', 'leasekeeper') !== 0);
  await setTimeout(5_000);
  const wrong = unit();
  check(
    'a wrong configuration is not restarted',
    wrong,
    wrong.ActiveState === 'failed' && wrong.NRestarts === '0' && wrong.ExecMainStatus === '2',
  );
  systemctl('reset-failed', 'leasekeeper');

  writeFileSync(
    '/etc/leasekeeper/options.yaml',
    'apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\nrenewInterval: 1s\n',
  );
  configure('--config /etc/leasekeeper/options.yaml');
  check('it starts', unit(), systemctl('start', 'leasekeeper') === 0);
  await until('its status names the phase', () => unit().StatusText.startsWith('holding: kube-apiserver-'));
  const first = unit();
  check('systemctl reload ends well', first, systemctl('reload', 'leasekeeper') === 0);
  await until('it has read its file again', () =>
    journal().some(({ MESSAGE: text }) => /configuration read again/.test(text ?? '')),
  );
  await until('it is active after a reload', () => unit().ActiveState === 'active');
  check('a reload is no restart', unit(), unit().MainPID === first.MainPID);

  const before = transitions();
  systemctl('kill', '--kill-whom=main', '--signal=SIGSTOP', 'leasekeeper');
  await until(
    'a stopped process is replaced',
    () => !['0', first.MainPID].includes(unit().MainPID) && unit().StatusText.startsWith('holding'),
  );
  check('once', unit(), unit().NRestarts === '1');
  check('with one take-over', { before, after: transitions() }, transitions() === before + 1);

  check('it stops', unit(), systemctl('stop', 'leasekeeper') === 0 && unit().Result === 'success');
  const ours = journal().filter(({ SYSLOG_IDENTIFIER: name }) => name === 'leasekeeper');
  check(
    'its lines are in the journal by its name',
    journal().slice(0, 5),
    ours.some(({ MESSAGE: text }) => /INFO {2}publishing/.test(text ?? '')),
  );
  check(
    'each with its priority',
    ours,
    ours.every(
      ({ MESSAGE: text = '', PRIORITY: priority }) =>
        !/^<\d>/.test(text) &&
        (!/ (INFO|WARN|ERROR) /.test(text) ||
          priority === { INFO: '6', WARN: '4', ERROR: '3' }[/ (INFO|WARN|ERROR) /.exec(text)![1] as 'INFO']),
    ),
  );
}

// What runs outside.

function cannot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  if (run('systemd-nspawn', '--version').error) return 'systemd-nspawn is not installed (Debian: systemd-container)';
  if (!existsSync('/usr/lib/systemd/systemd')) return 'systemd is not installed';
  const [, version = '0'] = /^systemd (\d+)/.exec(run('systemd-nspawn', '--version').stdout) ?? [];
  if (Number(version) < 250) return `systemd ${version} is older than 250`;
  if (!existsSync(join(ROOT, 'dist/cli.js'))) return 'there is no dist/: npm run build';
  return undefined;
}

function outside(): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-systemd-'));
  const root = join(dir, 'root');
  const mounted: string[] = [];
  try {
    mkdirSync(root);
    if (run('mount', '-t', 'tmpfs', 'tmpfs', dir).status !== 0) return 'cannot mount';
    mounted.push(dir);
    for (const name of ['upper', 'work', 'root']) mkdirSync(join(dir, name));
    const options = `lowerdir=/,upperdir=${join(dir, 'upper')},workdir=${join(dir, 'work')}`;
    if (run('mount', '-t', 'overlay', 'overlay', '-o', options, root).status !== 0)
      return 'cannot mount an overlay of /';
    mounted.push(root);
    cpSync(join(ROOT, 'dist'), join(root, 'opt/leasekeeper/dist'), { recursive: true });
    cpSync(join(ROOT, 'package.json'), join(root, 'opt/leasekeeper/package.json'));
    cpSync(fileURLToPath(import.meta.url), join(root, 'opt/leasekeeper/check.ts'));
    execFileSync('chmod', ['-R', 'a+rX', join(root, 'opt/leasekeeper')]);
    for (const name of ['node', 'leasekeeper']) rmSync(join(root, 'usr/local/bin', name), { force: true });
    cpSync(process.execPath, join(root, 'usr/local/bin/node'), { dereference: true });
    symlinkSync('/opt/leasekeeper/dist/cli.js', join(root, 'usr/local/bin/leasekeeper'));
    execFileSync('chmod', ['a+x', join(root, 'opt/leasekeeper/dist/cli.js'), join(root, 'usr/local/bin/node')]);
    cpSync(join(ROOT, 'deploy/leasekeeper.service'), join(root, 'etc/systemd/system/leasekeeper.service'));
    // The container is another machine, and runs nothing else of this one.
    writeFileSync(join(root, 'etc/machine-id'), '');
    writeFileSync(
      join(root, 'etc/systemd/system/leasekeeper-check.service'),
      `[Unit]\nDescription=Checks\nAfter=basic.target\nWants=basic.target\nSuccessAction=poweroff-force\nFailureAction=poweroff-force\n[Service]\nType=oneshot\nTimeoutStartSec=${BOUND_MS / 1000}\nExecStart=/usr/local/bin/node /opt/leasekeeper/check.ts inside\n`,
    );
    rmSync(join(root, RESULT), { force: true });
    const nspawn = [
      '--quiet',
      `--directory=${root}`,
      '--register=no',
      '--keep-unit',
      '--private-network',
      '--link-journal=no',
      '--boot',
    ];
    const { stdout, stderr } = spawnSync('systemd-nspawn', [...nspawn, 'systemd.unit=leasekeeper-check.service'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: BOUND_MS + 60_000,
      killSignal: 'SIGTERM',
    });
    const result = existsSync(join(root, RESULT)) ? readFileSync(join(root, RESULT), 'utf8') : '';
    if (result === '') return `no systemd came up in the container:\n${(stdout + stderr).slice(-2_000)}`;
    process.stdout.write(result);
    if (!result.endsWith('done\n') || result.includes('FAILED')) process.exitCode = 1;
    return undefined;
  } finally {
    for (const path of mounted.reverse()) run('umount', path);
    rmSync(dir, { recursive: true, force: true });
  }
}

if (process.argv[2] === 'inside') {
  try {
    await inside();
    say('done');
  } catch (error) {
    say(`FAILED: ${(error as Error).stack ?? String(error)}`);
  }
} else {
  const reason = cannot() ?? outside();
  if (reason !== undefined) {
    console.log(`skipped: a real systemd: ${reason}`);
    if (process.argv.includes('--must')) process.exitCode = 1;
  }
}
