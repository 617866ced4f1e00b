/**
 * `npm run image-check` and `npm run systemd-check` on machines that lack something: they say what, with exit code 0, and
 * still fail for a fault of ours. Programs of the machine are stand-ins here.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from './support.ts';

const skip = process.platform === 'linux' && process.getuid?.() === 0 ? false : 'needs root on Linux';

/** Runs a script of the project; `programs` are shell scripts that stand before those of the machine. */
function run(script: string, programs: Readonly<Record<string, string>>, ...args: string[]) {
  const dir = mkdtempSync(join(tmpdir(), 'leasekeeper-checks-'));
  try {
    for (const [name, text] of Object.entries(programs))
      writeFileSync(join(dir, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    const env = { ...process.env, PATH: `${dir}:${process.env['PATH']}` };
    const { status, stdout, stderr } = spawnSync(process.execPath, [join(ROOT, 'scripts', script), ...args], {
      env,
      encoding: 'utf8',
    });
    return { status, stdout, all: stdout + stderr };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

describe('image-check', { skip, concurrency: 1 }, () => {
  /** A machine that can all that is tried, until the image itself is built. */
  const able = (build: string): Record<string, string> => ({
    ...Object.fromEntries(['mount', 'umount', 'chroot', 'du'].map((name) => [name, 'exit 0'])),
    buildah: `case "$*" in *deploy/Containerfile*) ${build};; esac; echo stand-in`,
  });

  it('says what buildah is refused', () => {
    const buildah = 'echo "Error: chroot isolation: operation not permitted" >&2; exit 125';
    const { status, stdout, all } = run('image-check.ts', { ...able('exit 0'), buildah });
    assert.match(stdout, /^skipped: the image: buildah [^]*operation not permitted/, all);
    assert.equal(status, 0, all);
  });

  it('says that mounts are refused, which is a failure where it must', () => {
    const mount = 'echo denied >&2; exit 32';
    const { status, stdout, all } = run('image-check.ts', { ...able('exit 0'), mount }, '--must');
    assert.match(stdout, /^skipped: the image: mount [^]*denied/, all);
    assert.equal(status, 1, all);
  });

  it('says that a registry is away while it builds', () => {
    const { status, stdout, all } = run('image-check.ts', able('echo "npm error code EAI_AGAIN" >&2; exit 1'));
    assert.match(stdout, /^skipped: the image: /, all);
    assert.equal(status, 0, all);
  });

  it('fails for a Containerfile that does not build', () => {
    const { status, all } = run('image-check.ts', able('echo "npm error code EUSAGE" >&2; exit 1'));
    assert.ok(status !== 0 && all.includes('EUSAGE') && !all.includes('skipped'), all);
  });
});

describe('systemd-check', { skip, concurrency: 1 }, () => {
  it('says what the machine refuses', () => {
    for (const programs of [
      { mount: 'exit 32' },
      { 'systemd-nspawn': 'echo "systemd 239"' },
      { 'systemd-nspawn': '[ "$1" = --version ] && echo "systemd 252" && exit 0; echo refused >&2; exit 1' },
    ]) {
      const { status, stdout, all } = run('systemd-check.ts', programs);
      assert.match(stdout, /^skipped: a real systemd: /, all);
      assert.equal(status, 0, all);
    }
  });
});
