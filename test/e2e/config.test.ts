/** The program's configuration as its users meet it: files, variables, flags, gates switched while it runs. */
import assert from 'node:assert/strict';
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { runProgram } from '../support/process.ts';
import { AT_ONCE_MS, claimed, embedded, lines, publish, renewedAfter, scratch, terminate, until } from './support.ts';

const HEAD = 'apiVersion: leasekeeper.dev/v1alpha1\nkind: LeasekeeperConfiguration\n';

describe('the configuration of a running publisher', { concurrency: 2 }, () => {
  it('a ConfigMap that switches the gate: off gives the lease up and stays healthy, on claims with the same holder', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const dir = await scratch(t);
    let version = 0;
    /** As kubelet updates a mounted ConfigMap. */
    const mount = async (content: string): Promise<void> => {
      const data = `..v${++version}`;
      await mkdir(join(dir, data));
      await writeFile(join(dir, data, 'lk.yaml'), HEAD + content);
      await symlink(data, join(dir, '..data_tmp'));
      await rename(join(dir, '..data_tmp'), join(dir, '..data'));
      if (version > 1) await rm(join(dir, `..v${version - 1}`), { recursive: true });
    };
    await mount('renewInterval: 1s\nleaseDuration: 30s\n');
    await symlink('..data/lk.yaml', join(dir, 'lk.yaml'));
    const program = publish(t, kubeconfig, 'gated', '--config', join(dir, 'lk.yaml'), '--sweep');
    const first = await claimed(program, at, 'gated');

    await mount('renewInterval: 1s\nfeatureGates: {APIServerIdentity: false}\n');
    await program.waitForLine(/WARN +disabled: feature gate APIServerIdentity is off/);
    await until('the lease to be gone', async () => (await at.lease('gated')) === undefined);
    assert.ok(program.running);

    await mount('renewInterval: 500ms\nleaseDuration: 60s\nfeatureGates: {APIServerIdentity: true}\n');
    const second = await until('the lease to be back', () => at.lease('gated'));
    assert.equal(second.spec.holderIdentity, first.spec.holderIdentity);
    assert.equal(second.spec.leaseDurationSeconds, 60);
    await renewedAfter(at, 'gated', second, AT_ONCE_MS);

    await mount('featureGates: {APIServerIdentity: false}\n');
    await until('the lease to be gone', async () => (await at.lease('gated')) === undefined);
    assert.ok((await terminate(program)) < AT_ONCE_MS);
    assert.equal(await at.lease('gated'), undefined);
  });

  it('a broken file is reported once and the old one stays; SIGHUP reads it again; what needs a restart is named', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const path = join(await scratch(t), 'lk.yaml');
    await writeFile(path, `${HEAD}renewInterval: 500ms\nleaseDuration: 30s\n`);
    const program = publish(t, kubeconfig, 'host', '--config', path);
    const lease = await claimed(program, at, 'host');
    await writeFile(path, `${HEAD}renewInterval: 40s\nleaseDuration: 30s\nhostnam: other\n`);
    await program.waitForLine(
      /ERROR the changed configuration file is not usable: .*hostnam: unknown key; did you mean hostname\?.*renewInterval.*40s.*must be shorter than the lease duration/,
    );
    await renewedAfter(at, 'host', lease, 3_000);
    assert.equal(lines(program, /not usable/).length, 1);
    program.signal('SIGHUP');
    await until('it to be reported again', () => lines(program, /not usable/).length === 2);
    await writeFile(path, `${HEAD}renewInterval: 400ms\nleaseDuration: 20s\nhostname: other\nlogLevel: debug\n`);
    await program.waitForLine(/configuration changed {2}changes=.*leaseDuration: 30s -> 20s/);
    await until('the new duration', async () => (await at.lease('host'))?.spec.leaseDurationSeconds === 20);
    await program.waitForLine(/DEBUG renewed/);
    await terminate(program);
    // The hostname's flag is the stronger: nothing to restart for.
    assert.deepEqual(lines(program, /needs a restart/), []);
  });

  it('sweeping is switched on and off by the file', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const path = join(await scratch(t), 'lk.yaml');
    await writeFile(path, HEAD);
    const program = publish(t, kubeconfig, 'host', '--config', path);
    await claimed(program, at, 'host');
    await writeFile(path, `${HEAD}sweep: true\nsweepSchedule: '* * * * * *'\nsweepConfirmAfter: 0s\n`);
    await until('two passes', () => lines(program, /pass finished/).length >= 2);
    await writeFile(path, `${HEAD}namespace: other\n`);
    await program.waitForLine(/WARN .*needs a restart: not applied {2}changes="namespace: kube-system -> other"/);
    const passes = (): number => lines(program, /pass finished/).length;
    const restsAt = async (count: number): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      assert.equal(passes(), count);
    };
    const before = passes();
    await restsAt(before);
    const sweeping = `${HEAD}sweep: true\nsweepSchedule: '* * * * * *'\nsweepConfirmAfter: 0s\n`;
    await writeFile(path, sweeping);
    await until('a pass', () => passes() > before);
    await writeFile(path, `${sweeping}featureGates: {APIServerIdentity: false}\n`);
    await program.waitForLine(/disabled: feature gate APIServerIdentity is off/);
    await until('the lease to be gone', async () => (await at.lease('host')) === undefined);
    await restsAt(passes());
    await terminate(program);
  });
});

describe('the command line and its sources', { concurrency: 2 }, () => {
  it('a start with bad options tells all of them, each with its source, and publishes nothing', async (t) => {
    const { kubeconfig, at } = await embedded(t);
    const path = join(await scratch(t), 'lk.yaml');
    await writeFile(path, `${HEAD}renewIntervall: 1s\nleaseDuration: 20\n`);
    const { code, stdout, stderr } = await runProgram(
      ['publish', '--kubeconfig', kubeconfig, '--config', path, '--hostname-override=h', '--feature-gates=Foo=1'],
      { env: { LEASEKEEPER_REQUEST_TIMEOUT: '20s', LEASEKEEPER_PORT: 'tcp://10.0.0.1:80', LEASEKEEPER_NAMESPCE: 'x' } },
    );
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.deepEqual(stderr.trim().split('\n'), [
      'leasekeeper: warning: LEASEKEEPER_NAMESPCE: unknown variable, ignored; did you mean LEASEKEEPER_NAMESPACE?',
      `leasekeeper: ${path}: renewIntervall: unknown key; did you mean renewInterval?`,
      `leasekeeper: ${path}: leaseDuration 20: must be a duration such as 10s, 1m30s or 500ms`,
      'leasekeeper: --feature-gates "Foo=1": unrecognized feature gate: Foo',
      'leasekeeper: LEASEKEEPER_REQUEST_TIMEOUT "20s": must be shorter than the renew interval',
    ]);
    assert.equal(await at.lease('h'), undefined);
  });

  it('an unreadable file is a usage error', async () => {
    const { code, stderr } = await runProgram(['publish', '--config', '/no/such/file.yaml']);
    assert.equal(code, 2);
    assert.equal(stderr, 'leasekeeper: --config "/no/such/file.yaml": does not exist\n');
  });

  it("the help has Kubernetes' words for the gates", async () => {
    for (const command of ['publish', 'sweep']) {
      const { stdout } = await runProgram([command, '--help']);
      const flat = stdout.replace(/\s+/g, ' ');
      assert.match(
        flat,
        /A set of key=value pairs that describe feature gates for alpha\/experimental features\. Options are: .*APIServerIdentity=true\|false \(BETA - default=true\)/,
      );
    }
  });

  it('config prints what is in force and where it comes from; its yaml and json are such files', async (t) => {
    const dir = await scratch(t);
    const path = join(dir, 'lk.yaml');
    await writeFile(path, `${HEAD}renewInterval: 5s\nfeatureGates: {APIServerIdentity: false}\nsweepQps: 0.5\n`);
    const env = { LEASEKEEPER_LEASE_DURATION: '2m' };
    const args = ['config', '--config', path, '--namespace=here'];
    const table = await runProgram(args, { env });
    assert.equal(table.code, 0, table.stderr);
    const rows = Object.fromEntries(table.stdout.split('\n').map((line) => [line.split(/ +/)[0], line.split(/ {2,}/)]));
    assert.deepEqual(rows['KEY'], ['KEY', 'VALUE', 'SOURCE']);
    assert.deepEqual(rows['renewInterval'], ['renewInterval', '5s', `${path}: renewInterval`]);
    assert.deepEqual(rows['leaseDuration'], ['leaseDuration', '2m', 'LEASEKEEPER_LEASE_DURATION']);
    assert.deepEqual(rows['namespace'], ['namespace', 'here', '--namespace']);
    assert.deepEqual(rows['shutdownPolicy'], ['shutdownPolicy', 'auto', 'default']);
    assert.deepEqual(rows['requestTimeout'], ['requestTimeout', '2.5s', 'derived']);
    assert.deepEqual(rows['featureGates.APIServerIdentity'], [
      ...['featureGates.APIServerIdentity', 'false', `${path}: featureGates`],
    ]);
    for (const format of ['yaml', 'json']) {
      const printed = await runProgram([...args, '-o', format], { env });
      const copy = join(dir, `copy.${format}`);
      await writeFile(copy, printed.stdout);
      const again = await runProgram(['config', '--config', copy, '-o', 'json']);
      const wanted = await runProgram([...args, '-o', 'json'], { env });
      assert.equal(again.stdout, wanted.stdout);
    }
  });

  it('publish --sweep refuses looks that are closer than three renew intervals', async () => {
    const { code, stderr } = await runProgram(['publish', '--sweep', '--renew-interval=20s', '--kubeconfig=/none']);
    assert.equal(code, 2);
    assert.equal(
      stderr.trim(),
      'leasekeeper: --sweep-confirm-after "30s": must be at least 3 renew intervals (1m), or 0s',
    );
  });

  it('config checks a file: exit code 2 and every problem', async (t) => {
    const path = join(await scratch(t), 'lk.yaml');
    await writeFile(path, `${HEAD}renewInterval: 2h\nsweepSchedule: often\nsweepConcurrency: 5000\n`);
    const { code, stderr, stdout } = await runProgram(['config', '--config', path]);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.deepEqual(stderr.trim().split('\n').sort(), [
      `leasekeeper: ${path}: renewInterval "2h": plus its jitter of 4 % must be shorter than the lease duration`,
      `leasekeeper: ${path}: sweepConcurrency 5000: must be a whole number from 1 to 1000`,
      `leasekeeper: ${path}: sweepSchedule "often": must be a cron expression such as */5 * * * * (expected 5 or 6 fields but got 1)`,
    ]);
  });
});
