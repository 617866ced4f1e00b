/**
 * deploy/Containerfile as far as it goes without a builder (`npm run image-check` has one): its first stage's steps are run
 * here with the files that it copies and no others, and what its second stage copies runs by itself, read-only, as another
 * user.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdtemp, readdir, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { version } from '../../src/version.ts';
import { embedded } from '../e2e/support.ts';
import { leaveNothing } from '../support/children.ts';
import { ROOT, instructions } from './support.ts';

const IMAGE = '/image';
/** Of the image's user. */
const UID = 65_532;

/** Whether root may become that user and still reach Node. */
const canBecome = (): boolean =>
  process.getuid?.() === 0 && spawnSync(process.execPath, ['--version'], { uid: UID, gid: UID }).status === 0;

describe('deploy/Containerfile', () => {
  it('what it copies runs read-only, by itself, as another user', { timeout: 600_000 }, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'leasekeeper-image-'));
    t.after(async () => {
      execFileSync('chmod', ['-R', 'u+w', dir]);
      await rm(dir, { recursive: true, force: true });
    });
    const src = join(dir, 'src');
    const image = join(dir, 'image');
    for (const { stage, word, rest } of instructions()) {
      if (stage > 0) break;
      if (stage < 0) continue;
      if (word === 'COPY') {
        const paths = rest.split(' ').slice(0, -1);
        for (const path of paths) await cp(join(ROOT, path), join(src, path), { recursive: true });
      } else if (rest.endsWith(' npm ci')) {
        // What it would install stands here already.
        await symlink(join(ROOT, 'node_modules'), join(src, 'node_modules'));
      } else if (word === 'RUN') {
        const command = rest.replaceAll(IMAGE, image).replace('npm run build', 'node scripts/build.ts');
        const PATH = `${dirname(process.execPath)}:${process.env['PATH']}`;
        execFileSync('sh', ['-c', command], { cwd: src, env: { ...process.env, PATH }, stdio: 'pipe' });
      }
    }
    assert.deepEqual((await readdir(image)).sort(), ['LICENSE', 'dist', 'package.json']);
    const dist = await readdir(join(image, 'dist'), { recursive: true });
    assert.deepEqual(
      dist.filter((name) => /\.d\.ts$|^(lib|index|testing)\b|node_modules/.test(name)),
      [],
    );

    const { kubeconfig } = await embedded(t);
    const config = join(dir, 'kubeconfig');
    await cp(kubeconfig, config);
    await chmod(config, 0o444);
    await chmod(dir, 0o755);
    execFileSync('chmod', ['-R', 'a=rX', image]);
    const user = canBecome() ? { uid: UID, gid: UID } : {};
    t.diagnostic(user.uid === undefined ? 'as this user: another cannot be had here' : `as user ${UID}`);
    const cli = join(image, 'dist', 'cli.js');
    // Nothing of this process's environment: an image has no home and no temporary directory to write to.
    const env = { TMPDIR: '/nonexistent', HOME: '/nonexistent' };
    const printed = spawnSync(process.execPath, [cli, '--version'], { ...user, env, cwd: '/', encoding: 'utf8' });
    assert.deepEqual([printed.stdout, printed.stderr, printed.status], [`${version}\n`, '', 0]);

    const args = [
      'publish',
      '--hostname-override=a',
      `--kubeconfig=${config}`,
      '--http-address=127.0.0.1:0',
      '--sweep',
    ];
    const child = spawn(process.execPath, [cli, ...args], {
      ...user,
      env,
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    leaveNothing(child);
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      lines.push(line);
      if (line.includes('created the lease')) break;
    }
    child.stderr.resume();
    child.kill('SIGTERM');
    const [code] = (await once(child, 'exit')) as [number | null];
    assert.equal(code, 0, lines.join('\n'));
    assert.ok(
      lines.some((line) => line.includes('created the lease')),
      lines.join('\n'),
    );

    // It could not have written beside itself.
    if (user.uid !== undefined) {
      const attempt = `require('node:fs').writeFileSync(${JSON.stringify(join(image, 'x'))}, '')`;
      assert.notEqual(spawnSync(process.execPath, ['-e', attempt], user).status, 0);
    }
  });
});
