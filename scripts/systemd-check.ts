/**
 * `npm run systemd-check`: deploy/leasekeeper.service under a real systemd, in a container of this machine's own files that
 * leaves them as they are (systemd-nspawn over an overlay, without network). After `npm run build`.
 *
 * What the machine lacks (root, systemd-nspawn, overlays, a systemd of 250 or later that boots, the namespaces of a unit, time)
 * is said in one line, `skipped: …`, with exit code 0; with `--must` with 1. Everything else that goes wrong is a fault.
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
/** Each wait has a bound of its own; this is for a machine that is too slow for all of them. */
const BOUND_S = 300;
const RESULT = '/leasekeeper-result';
const [BOOTED, SKIPPED] = ['booted', 'skipped: '];

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
  writeFileSync(join(DROP_IN, 'check.conf'), `[Service]\n${credentials}\n${command}\nWatchdogSec=15\n`);
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

/** What our unit needs of a container, by directives that are known to work: nested ones are refused some of them. */
const SANDBOX = [
  'DynamicUser=yes',
  'CapabilityBoundingSet=',
  'DevicePolicy=closed',
  'LoadCredential=probe:/etc/leasekeeper/probe',
  'PrivateDevices=yes',
  'PrivateMounts=yes',
  'PrivateTmp=yes',
  'PrivateUsers=yes',
  'ProcSubset=pid',
  'ProtectControlGroups=yes',
  'ProtectHostname=yes',
  'ProtectKernelTunables=yes',
  'ProtectProc=invisible',
  'ProtectSystem=strict',
  'RestrictNamespaces=yes',
  'SystemCallFilter=@system-service',
  'IPAddressDeny=any',
  'IPAddressAllow=localhost',
];

async function inside(): Promise<void> {
  mkdirSync('/etc/leasekeeper');
  writeFileSync('/etc/leasekeeper/probe', '');
  const probe = run('systemd-run', '--wait', '--quiet', ...SANDBOX.map((one) => `--property=${one}`), 'true');
  if (probe.status !== 0) {
    const why = run('journalctl', '--no-pager', '-n', '3', '-p', 'err', '-o', 'cat')
      .stdout.trim()
      .split('\n')
      .join('; ');
    return say(
      `${SKIPPED}a unit cannot be confined in a container here: ${probe.stderr.trim().replaceAll('\n', '; ')} ${why}`,
    );
  }
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

const has = (program: string): boolean => run(program, '--version').error === undefined;

function cannot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux';
  if (!has('systemd-nspawn')) return 'systemd-nspawn is not installed (Debian: systemd-container)';
  for (const program of ['systemctl', 'systemd-run', 'journalctl', 'systemd-notify', 'mount', 'umount', 'timeout'])
    if (!has(program)) return `${program} is not installed`;
  if (!existsSync('/usr/lib/systemd/systemd')) return 'systemd is not installed';
  const [, version = '0'] = /^systemd (\d+)/.exec(run('systemd-nspawn', '--version').stdout) ?? [];
  if (Number(version) < 250) return `systemd ${version} is older than 250`;
  if (!existsSync(join(ROOT, 'dist/cli.js'))) return 'there is no dist/: npm run build';
  return undefined;
}

/** Files of this machine, changed in an overlay alone. @returns why there are none */
function overlay(dir: string, root: string, mounted: string[]): string | undefined {
  mkdirSync(root);
  if (run('mount', '-t', 'tmpfs', 'tmpfs', dir).status !== 0) return 'cannot mount';
  mounted.push(dir);
  for (const name of ['upper', 'work', 'root']) mkdirSync(join(dir, name));
  const options = `lowerdir=/,upperdir=${join(dir, 'upper')},workdir=${join(dir, 'work')}`;
  if (run('mount', '-t', 'overlay', 'overlay', '-o', options, root).status !== 0) return 'cannot mount an overlay of /';
  mounted.push(root);
  try {
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
    // That it has booted is known before anything of ours runs.
    writeFileSync(
      join(root, 'etc/systemd/system/leasekeeper-check.service'),
      `[Unit]\nDescription=Checks\nAfter=basic.target\nWants=basic.target\nSuccessAction=poweroff-force\nFailureAction=poweroff-force\n[Service]\nType=oneshot\nTimeoutStartSec=${BOUND_S}\nExecStartPre=/bin/sh -c 'echo ${BOOTED} > ${RESULT}'\nExecStart=/usr/local/bin/node /opt/leasekeeper/check.ts inside\n`,
    );
    rmSync(join(root, RESULT), { force: true });
  } catch (error) {
    return `cannot write to an overlay of /: ${(error as Error).message}`;
  }
  return undefined;
}

/** systemd-nspawn, and all that it starts, end in any case. */
const nspawn = (root: string, seconds: number, ...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(
    'timeout',
    [
      ...['-k', '20', `${seconds}`, 'systemd-nspawn', '--quiet', `--directory=${root}`, '--register=no', '--keep-unit'],
      ...['--private-network', '--link-journal=no', ...args],
    ],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  );

function outside(): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-systemd-'));
  const root = join(dir, 'root');
  const mounted: string[] = [];
  try {
    const lacking = overlay(dir, root, mounted);
    if (lacking !== undefined) return lacking;
    const probe = nspawn(root, 60, '--as-pid2', '/usr/local/bin/node', '--version');
    if (probe.status !== 0) return `systemd-nspawn starts nothing: ${(probe.stdout + probe.stderr).slice(-2_000)}`;
    const { stdout, stderr } = nspawn(root, BOUND_S + 60, '--boot', 'systemd.unit=leasekeeper-check.service');
    const result = existsSync(join(root, RESULT)) ? readFileSync(join(root, RESULT), 'utf8') : '';
    if (result === '') return `no systemd came up in the container: ${(stdout + stderr).slice(-2_000)}`;
    return verdict(result.slice(BOOTED.length + 1));
  } finally {
    // One that is busy goes when it can: nothing is removed through it.
    for (const path of mounted.reverse()) if (run('umount', path).status !== 0) run('umount', '-l', path);
    rmSync(dir, { recursive: true, force: true });
  }
}

/** @param result the lines of the checks @returns why they were not made */
function verdict(result: string): string | undefined {
  if (result.startsWith(SKIPPED)) return result.slice(SKIPPED.length).split('\n', 1)[0];
  process.stdout.write(result);
  if (result === '' || result.includes('FAILED')) {
    if (result === '') console.log('FAILED: the checks did not begin');
    process.exitCode = 1;
  } else if (!result.endsWith('done\n')) return `not done within ${BOUND_S} s`;
  return undefined;
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
