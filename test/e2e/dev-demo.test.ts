/** `leasekeeper dev` and `leasekeeper demo`, as somebody without a cluster runs them; its whole story: demo.slow.test.ts. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import type { Program } from '../support/process.ts';
import { runProgram, startProgram } from '../support/process.ts';
import type { Scope } from './support.ts';
import { kubectlSkip, processesNaming, publish, scratch, until } from './support.ts';

async function startDev(t: Scope, ...args: string[]): Promise<{ dev: Program; cwd: string; kubeconfig: string }> {
  const cwd = await scratch(t);
  const dev = startProgram(['dev', ...args], { t, cwd });
  await dev.waitForLine(/Ctrl-C ends it/);
  return { dev, cwd, kubeconfig: join(cwd, 'leasekeeper-dev.kubeconfig') };
}

describe('dev', { concurrency: 3 }, () => {
  it('writes a kubeconfig that works, and removes it at the end', async (t) => {
    const { dev, kubeconfig } = await startDev(t);
    const program = publish(t, kubeconfig, 'master-1', '--renew-interval=1s');
    await program.waitForLine(/created the lease/);
    const count = await runProgram(['count', '--live'], { env: { KUBECONFIG: kubeconfig } });
    assert.deepEqual([count.code, count.stdout, count.stderr], [0, '1\n', '']);
    program.signal('SIGTERM');
    assert.equal((await program.exitWithin(120_000)).code, 0);
    dev.signal('SIGINT');
    assert.equal((await dev.exitWithin(120_000)).code, 0, dev.output());
    assert.deepEqual([existsSync(kubeconfig), dev.stderr], [false, []]);
  });

  it('kubectl gets, watches, applies, patches and deletes', { skip: kubectlSkip() }, async (t) => {
    const { kubeconfig, cwd } = await startDev(t);
    const base = ['--kubeconfig', kubeconfig, '-n', 'kube-system', '--cache-dir', join(cwd, 'cache')];
    const kubectl = async (...args: string[]): Promise<string> =>
      (await promisify(execFile)('kubectl', [...base, ...args], { timeout: 30_000 })).stdout;
    const file = join(cwd, 'lease.yaml');
    const manifest = (holder: string): string =>
      `apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata:\n  name: mine\nspec:\n  holderIdentity: ${holder}\n`;
    await writeFile(file, manifest('first'));
    assert.equal(await kubectl('apply', '-f', file), 'lease.coordination.k8s.io/mine created\n');
    const watching = spawn('kubectl', [...base, 'get', 'lease', '--watch']);
    t.after(() => void watching.kill('SIGKILL'));
    let output = '';
    watching.stdout.on('data', (text: Buffer) => (output += text.toString()));
    await until('the watch to begin', () => /^mine +first /m.test(output), 20_000);
    await writeFile(file, manifest('second'));
    assert.equal(await kubectl('apply', '-f', file), 'lease.coordination.k8s.io/mine configured\n');
    const patched = await kubectl('patch', 'lease', 'mine', '-p', '{"spec":{"leaseDurationSeconds":42}}');
    assert.equal(patched, 'lease.coordination.k8s.io/mine patched\n');
    const [table, yaml] = await Promise.all([kubectl('get', 'lease'), kubectl('get', 'lease', 'mine', '-o', 'yaml')]);
    assert.match(table, /^NAME +HOLDER +AGE\nmine +second +\d+s\n$/);
    assert.match(yaml, /^ {2}holderIdentity: second\n {2}leaseDurationSeconds: 42$/m);
    // Newer ones name the namespace too.
    assert.match(await kubectl('delete', 'lease', 'mine'), /^lease\.coordination\.k8s\.io "mine" deleted/);
    await until('the watcher to see it', () => /^mine +second /m.test(output));
    assert.equal(await kubectl('get', 'lease'), '');
  });

  it('a port that is taken: exit 1, one clear line, no file', async (t) => {
    const taken = createServer();
    await new Promise<void>((resolve) => void taken.listen(0, '127.0.0.1', resolve));
    t.after(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    const cwd = await scratch(t);
    const { code, stdout, stderr } = await runProgram(['dev', `--port=${port}`], { cwd });
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(
      stderr,
      new RegExp(`^leasekeeper: port ${port} on 127\\.0\\.0\\.1 is taken: choose another[^\\n]*\\n$`),
    );
    assert.deepEqual(await readdir(cwd), []);
  });

  it('a file that is not ours: exit 2, and the file stays; one that a killed dev left is replaced', async (t) => {
    const cwd = await scratch(t);
    const file = join(cwd, 'config');
    await writeFile(file, 'precious');
    const { code, stdout, stderr } = await runProgram(['dev', '--write-kubeconfig', file], { cwd });
    assert.deepEqual([code, stdout, await readFile(file, 'utf8')], [2, '', 'precious']);
    assert.match(stderr, /^leasekeeper: --write-kubeconfig "[^\n]*": exists already[^\n]*\n$/);
    const { dev, cwd: other, kubeconfig } = await startDev(t);
    await dev.kill();
    assert.ok(existsSync(kubeconfig));
    const again = startProgram(['dev'], { t, cwd: other });
    await again.waitForLine(/Ctrl-C ends it/);
    again.signal('SIGTERM');
    assert.equal((await again.exitWithin(120_000)).code, 0);
    assert.ok(!existsSync(kubeconfig));
  });

  it('leaves what another one wrote into its file meanwhile', async (t) => {
    const { dev, kubeconfig } = await startDev(t);
    await writeFile(kubeconfig, 'another');
    dev.signal('SIGINT');
    assert.equal((await dev.exitWithin(120_000)).code, 0, dev.output());
    assert.equal(await readFile(kubeconfig, 'utf8'), 'another');
  });
});

describe('demo', { concurrency: 2 }, () => {
  it('interrupted in the middle, it leaves nothing either', async (t) => {
    const tmp = await scratch(t);
    const demo = startProgram(['demo'], { t, env: { TMPDIR: tmp } });
    await demo.waitForLine(/master-2 crashes/, { timeoutMs: 60_000 });
    assert.ok((await processesNaming(tmp)).length >= 2, 'its servers run');
    demo.signal('SIGINT');
    const exit = await demo.exitWithin(120_000);
    assert.equal(exit.code, 1, demo.output());
    assert.deepEqual(demo.stderr, ['leasekeeper: the demo was interrupted']);
    assert.deepEqual(await readdir(tmp), []);
    assert.deepEqual(await processesNaming(tmp), []);
  });

  it('killed, it leaves no process behind, and its directory only until the demo after the next hour', async (t) => {
    const tmp = await scratch(t);
    const [old, young, other] = ['leasekeeper-demo-old', 'leasekeeper-demo-young', 'another-old'].map((name) =>
      join(tmp, name),
    );
    for (const path of [old!, young!, other!]) await mkdir(path);
    const long = new Date(Date.now() - 3_700_000);
    for (const path of [old!, other!]) await utimes(path, long, long);
    const demo = startProgram(['demo'], { t, env: { TMPDIR: tmp } });
    await demo.waitForLine(/master-2 crashes/, { timeoutMs: 60_000 });
    assert.ok((await processesNaming(tmp)).length >= 2, 'its servers run');
    await demo.kill();
    await until('its servers to end', async () => (await processesNaming(tmp)).length === 0, 5_000);
    assert.deepEqual([existsSync(old!), existsSync(young!), existsSync(other!)], [false, true, true]);
  });
});
